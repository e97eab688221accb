//! The loop of the interactive session: what happens, one thing at a time.

use super::editor::requests::EditorAnswer;
use super::state::Repl;
use crate::signals::Asked;
use pyrepl3_engine::protocol::message::Restored;
use std::time::{Duration, Instant};

#[derive(Debug)]
enum Event {
    Signal(Asked),
    Answer(EditorAnswer),
    /// A message of what runs; none when it has ended without a last one.
    Execution(Option<pyrepl3_engine::Event>),
    /// A message of the session; none when that has ended.
    Session(Option<pyrepl3_engine::Event>),
    Time,
}

impl Repl {
    /// Runs until a person, the code, or a signal ends it; returns the exit status.
    pub(crate) async fn run(mut self, restored: Option<Restored>) -> u8 {
        self.greet();
        if let Some(restored) = restored {
            self.restored(&restored);
        }
        loop {
            self.ask().await;
            let done = match self.next().await {
                Event::Signal(Asked::Interrupt) => {
                    self.console.screen.echoed("^C");
                    self.interrupt();
                    None
                }
                Event::Signal(Asked::End(signal)) => return self.end(signal).await,
                Event::Answer(answer) => self.answered(answer).await,
                Event::Execution(Some(event)) | Event::Session(Some(event)) => self.message(event.into_message()).await,
                Event::Execution(None) => {
                    self.refused();
                    None
                }
                Event::Session(None) => self.fresh().await,
                Event::Time => {
                    self.time();
                    None
                }
            };
            if let Some(status) = done {
                return self.leave(status).await;
            }
        }
    }

    fn greet(&mut self) {
        let python = self.session().python();
        let (version, path) = python.map_or_else(Default::default, |python| (python.version, python.executable));
        let palette = self.console.palette;
        let name = palette.strong(&format!("pyrepl3 {}", env!("CARGO_PKG_VERSION")));
        self.console.line(&format!("{name}  Python {version}  {}", palette.aside(&path)));
        self.console.aside("%help lists the commands, Tab completes, Ctrl-D leaves");
    }

    async fn next(&mut self) -> Event {
        let slow = self.running.as_ref().and_then(|running| running.stopping.deadline());
        let deadline = [slow, self.console.screen.deadline()].into_iter().flatten().min();
        let running = &mut self.running;
        let behind = self.console.screen.is_behind();
        tokio::select! {
            biased;
            asked = self.signals.next() => Event::Signal(asked),
            answer = self.editor.answer(), if self.editor.is_busy() => Event::Answer(answer),
            message = async { match running { Some(running) => running.execution.next().await, None => None } },
                if running.is_some() && !behind => Event::Execution(message),
            message = self.events.next(), if !behind => Event::Session(message),
            () = tokio::time::sleep(Duration::from_millis(50)), if behind => Event::Time,
            () = async { tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()).await },
                if deadline.is_some() => Event::Time,
        }
    }

    fn time(&mut self) {
        let now = Instant::now();
        if self.console.screen.deadline().is_some_and(|at| at <= now) {
            self.console.screen.show_unfinished();
        }
        if self.running.as_mut().is_some_and(|running| running.stopping.is_due(now)) {
            self.console.aside("the code has not stopped yet; if it does not, its process is killed");
        }
    }
}
