//! What runs, from its start to its end.

use super::display::render;
use super::running::{Running, Stopping};
use super::state::Repl;
use crate::{exit, size};
use pyrepl3_engine::protocol::message::{ErrorMessage, ResultMessage};
use pyrepl3_engine::{Code, ExecuteRequest, Source};
use std::time::Instant;

/// What is worth a remark at the right margin of the next prompt, in seconds.
const SLOW: f64 = 2.0;

impl Repl {
    /// Runs code.
    pub(super) fn execute(&mut self, request: ExecuteRequest, timed: bool) {
        match self.session().execute(request.clone()) {
            Ok(execution) => {
                self.running =
                    Some(Running { execution, request, timed, retried: false, stopping: Stopping::default() });
            }
            Err(failure) => self.console.failure(&failure),
        }
    }

    /// Interrupts what runs, if something does.
    pub(super) fn interrupt(&mut self) {
        if let Some(running) = &mut self.running {
            running.stopping.begin(Instant::now());
            self.editor.forget_typed_ahead();
            let session = self.session();
            tokio::spawn(async move { session.interrupt().await });
        }
    }

    /// It completed.
    pub(super) async fn completed(&mut self, result: &ResultMessage) {
        self.console.screen.finish_line();
        if let Some(text) = render::result(self.console.palette, result).filter(|_| !result.shown) {
            self.console.line(&text);
        }
        self.console.save_images(&result.data);
        self.remember(result.execution_count);
        if self.running.take().is_some_and(|running| running.timed) {
            self.console.aside(&render::cost(result.duration, result.memory_delta));
        } else if result.duration >= SLOW {
            self.remark = format!("took {}", size::seconds(result.duration));
        }
        self.prune().await;
    }

    /// It did not; Some when it wants the program to end.
    pub(super) async fn failed(&mut self, error: &ErrorMessage) -> Option<u8> {
        self.remember(error.execution_count);
        self.log.mark_undone(&error.undone, &[]);
        let running = self.running.take();
        if let Some(code) = error.exit_code {
            return Some(exit::of_code(code));
        }
        let text = render::error(self.console.palette, error);
        if !text.is_empty() {
            self.console.line(&text);
        }
        if running.is_some_and(|running| running.timed) {
            self.console.aside(&format!("took {}", size::seconds(error.duration)));
        }
        self.loss_told = error.session_lost;
        self.prune().await;
        None
    }

    fn remember(&mut self, count: u64) {
        if let Some(running) = self.running.as_ref().filter(|_| count > 0) {
            let source = match &running.request.source {
                Source::Text(text) => text.decode().unwrap_or_default(),
                Source::Bytes(_) => format!("%run {}", running.request.file.as_deref().unwrap_or_default()),
            };
            self.log.add(count, source);
        }
    }

    /// It has ended without a last message: it never ran.
    pub(super) fn refused(&mut self) {
        let Some(running) = self.running.take() else { return };
        match running.execution.refusal() {
            // The loss was announced when it happened, so the line is meant for what there is now.
            Some(failure) if failure.code == Code::SessionLost && !running.retried => {
                self.execute(running.request, running.timed);
                if let Some(again) = &mut self.running {
                    again.retried = true;
                }
            }
            Some(failure) => {
                let failure = failure.clone();
                self.console.failure(&failure);
            }
            None => {}
        }
    }
}
