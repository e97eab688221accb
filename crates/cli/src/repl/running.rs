//! What runs, from its start to its end.

use super::show;
use super::turn::{Repl, Running};
use crate::{exit, size};
use pyrepl3_engine::protocol::message::{ErrorMessage, Message, ResultMessage};
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
                    Some(Running { execution, request, timed, retried: false, stopping: None, said_so: false });
            }
            Err(failure) => self.failure(&failure),
        }
    }

    /// Interrupts what runs, if something does.
    pub(super) fn interrupt(&mut self) {
        if let Some(running) = &mut self.running {
            running.stopping.get_or_insert_with(Instant::now);
            let session = self.live.session();
            tokio::spawn(async move { session.interrupt().await });
        }
    }

    /// A message of what runs.
    pub(super) async fn said(&mut self, message: Option<Message>) -> Option<u8> {
        match message {
            Some(Message::OutputMessage(output)) => self.output(&output),
            Some(Message::DisplayMessage(display)) => self.display(&display),
            Some(Message::InputMessage(prompt)) => {
                if let Some(running) = &mut self.running {
                    // It asks, so it goes on.
                    (running.stopping, running.said_so) = (None, false);
                }
                self.prompts.push_back(prompt);
            }
            Some(Message::ResultMessage(result)) => self.completed(&result).await,
            Some(Message::ErrorMessage(error)) => return self.failed(&error).await,
            Some(other) => self.aside(&other),
            None => self.refused(),
        }
        None
    }

    async fn completed(&mut self, result: &ResultMessage) {
        self.screen.finish_line();
        if let Some(text) = show::result(self.palette, result) {
            self.screen.line(&text);
        }
        self.save(&result.data);
        self.remember(result.execution_count);
        if self.running.take().is_some_and(|running| running.timed) {
            self.screen.line(&self.palette.aside(&show::cost(result.duration, result.memory_delta)));
        } else if result.duration >= SLOW {
            self.remark = format!("took {}", size::seconds(result.duration));
        }
        self.prune().await;
    }

    async fn failed(&mut self, error: &ErrorMessage) -> Option<u8> {
        self.remember(error.execution_count);
        self.steps.turn(&error.undone, &[]);
        let running = self.running.take();
        if let Some(code) = error.exit_code {
            return Some(exit::of_code(code));
        }
        self.screen.line(&show::error(self.palette, error));
        if running.is_some_and(|running| running.timed) {
            self.screen.line(&self.palette.aside(&format!("took {}", size::seconds(error.duration))));
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
            self.steps.add(count, source);
        }
    }

    fn refused(&mut self) {
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
                self.failure(&failure);
            }
            None => {}
        }
    }

    pub(super) fn failure(&mut self, failure: &pyrepl3_engine::Failure) {
        self.screen.line(&self.palette.error(&failure.to_string()));
    }
}
