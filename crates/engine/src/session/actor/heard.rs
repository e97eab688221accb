//! What the worker and session init say, and what their silence means.

use super::{Actor, EXIT_LIMIT, Pending, returns};
use crate::process::Process;
use crate::session::ends::Report;
use crate::session::machine::{Event, Phase, Said, Token};
use crate::session::messages;
use pyrepl3_protocol::message::{DisplayMessage, Message, ProcessExit};
use pyrepl3_protocol::worker::{self, InitEvent, Request};
use pyrepl3_protocol::{Code, Failure, JsonText};
use rustix::fd::OwnedFd;
use serde_json::value::RawValue;
use std::sync::PoisonError;
use std::time::Instant;

impl Actor {
    pub(super) async fn worker_event(&mut self, event: worker::Event) {
        match event {
            worker::Event::Hello(hello) => {
                if self.up || self.returning.is_some() || self.greeting.is_some() {
                    return self.violation("the worker said hello twice".into()).await;
                }
                if self.worker.process.is_none() {
                    // Session init has yet to say which process it is.
                    self.greeting = Some(hello.python);
                    return;
                }
                self.hello(hello.python).await;
            }
            worker::Event::Awake(awake) => {
                let branch = self.ready.is_some() && self.place.shared.lineage.is_some();
                if self.up || !(branch || self.returning.is_some()) {
                    return self.violation("a process woke that nobody had asked to".into()).await;
                }
                self.awake(awake).await;
            }
            worker::Event::Refused(refused) if !self.up => {
                self.fault = Some(Failure::new(Code::Internal, "the worker could not be started", refused.why, ""));
                self.feed(Event::Failed).await;
            }
            worker::Event::Refused(_) => {
                self.violation("the worker refused to start after it had started".into()).await;
            }
            _ if !self.up => self.violation("the worker spoke before it said hello".into()).await,
            worker::Event::Frozen(frozen) => self.warn(&frozen),
            worker::Event::Unfrozen(refused) => {
                let (why, how) = (returns::bounded(&refused.why), returns::bounded(&refused.how));
                if refused.goes_on {
                    self.warn_of_no_undo(&why, &how);
                    return self.feed(Event::Unmarked { token: refused.id }).await;
                }
                self.unfrozen = Some((why, how));
                self.feed(Event::Ended { token: refused.id, said: Said::Unfrozen }).await;
            }
            worker::Event::Unrestored(refused) => {
                self.note_unrestored(refused.id, &refused.why, &refused.how);
                self.feed(Event::Ended { token: refused.id, said: Said::Unrestored }).await;
            }
            worker::Event::Wait(wait) => {
                if self.init.ask_status(wait.input, wait.pid, wait.nohang).await.is_err() {
                    let unknown = JsonText::from("unknown");
                    self.tell(&Request::Answer { input: wait.input, value: Some(&unknown) });
                }
            }
            worker::Event::Input(prompt) => self.prompt(prompt).await,
            worker::Event::InputClosed(closed) => {
                self.prompts.retain(|_, prompt| prompt.number != closed.input);
            }
            worker::Event::Display(display) => {
                let message = DisplayMessage {
                    id: pyrepl3_protocol::id::new(pyrepl3_protocol::id::Kind::Message),
                    timestamp: messages::now(),
                    session_id: None,
                    execution_id: None,
                    data: display.data,
                    metadata: display.metadata,
                    display_id: display.display_id,
                    update: display.update,
                };
                self.deliver(Message::DisplayMessage(message));
                if let Some(input) = display.input {
                    self.tell(&Request::Answer { input, value: None });
                }
            }
            worker::Event::Result(done) => self.ended(done.id, Said::Result, Report::Done(Box::new(done))).await,
            worker::Event::Error(raised) => self.ended(raised.id, Said::Error, Report::Raised(Box::new(raised))).await,
            worker::Event::Reply(answer) => {
                let fits = self.machine.current() == Some(answer.id);
                if let Some(Pending::Query { .. }) = self.pending.get(&answer.id).filter(|_| fits)
                    && let Some(Pending::Query { reply, .. }) = self.pending.remove(&answer.id)
                {
                    _ = reply.send(query_result(answer.data));
                } else if fits {
                    self.note_warnings(answer.id, &answer.data);
                }
                self.feed(Event::Ended { token: answer.id, said: Said::Reply }).await;
            }
        }
    }

    pub(super) async fn ended(&mut self, token: Token, said: Said, report: Report) {
        // What is left of a character that was never finished belongs to this execution.
        for stdout in [true, false] {
            let pipe = if stdout { &mut self.worker.stdout } else { &mut self.worker.stderr };
            if let Some(chunk) = pipe.finish() {
                self.deliver_output(stdout, chunk.text, chunk.bytes);
            }
        }
        if self.machine.current() == Some(token)
            && let Some(Pending::Execute(execution)) = self.pending.get_mut(&token)
        {
            execution.report = report;
        }
        self.feed(Event::Ended { token, said }).await;
    }

    pub(super) async fn init_event(&mut self, event: Option<(InitEvent, Option<OwnedFd>)>) {
        match event {
            Some((InitEvent::Up {} | InitEvent::Ended {}, _)) => {}
            Some((InitEvent::Spawned { worker, .. }, pidfd)) => {
                if worker == self.incarnation && self.worker.process.is_none() {
                    self.spawned(pidfd).await;
                }
            }
            Some((InitEvent::Exit { worker, code, signal }, _)) => {
                // One that was rolled back is of no interest any more.
                if worker == self.incarnation {
                    self.worker_exited(code, signal).await;
                }
            }
            Some((InitEvent::Swept { ended }, _)) => self.swept(ended).await,
            Some((InitEvent::Status { number, status }, _)) => {
                let status = JsonText::from(status.as_str());
                self.tell(&Request::Answer { input: number, value: Some(&status) });
            }
            // Said to a supervisor that takes over; this one never does.
            Some((
                InitEvent::Adopted { .. }
                | InitEvent::Held { .. }
                | InitEvent::Frozen { .. }
                | InitEvent::Channel { .. },
                _,
            )) => {}
            // What waits for an answer has a limit of its own.
            Some((InitEvent::Refused { op, why }, _)) => tracing::warn!(%op, %why, "session init refused a request"),
            None => {
                self.init_gone = true;
                self.violation("session init was killed".into()).await;
            }
        }
    }

    /// Session init has forked a worker: this is its process.
    async fn spawned(&mut self, pidfd: Option<OwnedFd>) {
        let Some(process) = pidfd.and_then(|pidfd| Process::from_pidfd(pidfd).ok()) else {
            // It could not be forked, which its channel says; or it is gone, and its exit comes; or there was no room for
            // the descriptor, and nobody can be told to end it but session init.
            self.patience = Some(Instant::now() + EXIT_LIMIT);
            return;
        };
        self.worker.take(process);
        if let Some(python) = self.greeting.take() {
            self.hello(python).await;
        }
    }

    pub(super) async fn worker_exited(&mut self, code: Option<i32>, signal: Option<i32>) {
        // What it said before it died counts.
        loop {
            match self.worker.read(false) {
                Ok(true) => self.told().await,
                Ok(false) => break,
                Err(why) => return self.violation(why).await,
            }
            if self.machine.phase() == Phase::Closing {
                return;
            }
        }
        self.drain();
        let out_of_memory = signal == Some(9)
            && !self.killed_by_us
            && matches!((self.oom_kills, crate::process::out_of_memory_kills()), (Some(before), Some(now)) if now > before);
        let exit = ProcessExit { code, signal, out_of_memory };
        if self.returning.take().is_some() {
            // The woken process died before it was ready: to an earlier one, if there is one.
            self.exit = Some(exit);
            self.patience = None;
            return self.feed(Event::RevertFailed { dead: true }).await;
        }
        if !self.up && self.fault.is_none() {
            self.fault = Some(Failure::new(
                Code::Internal,
                "the worker could not be started",
                format!("its process {exit} before it was ready"),
                "",
            ));
        }
        self.exit = Some(exit);
        self.patience = None;
        self.feed(Event::Exited).await;
    }

    pub(super) async fn timer(&mut self) {
        let now = Instant::now();
        if self.patience.is_some_and(|at| at <= now) {
            self.patience = None;
            if self.returning.take().is_some() {
                if let Some(process) = &self.worker.process {
                    process.kill();
                }
                return self.feed(Event::RevertFailed { dead: true }).await;
            }
            if !self.up {
                self.fault = Some(Failure::new(
                    Code::Internal,
                    "the worker could not be started",
                    "it did not answer in time",
                    "",
                ));
                return self.feed(Event::Failed).await;
            }
            if self.worker.closed && !self.killed_by_us {
                // Another program has taken its place, say. Its end is told by session init.
                self.severed = true;
                self.killed_by_us = true;
                if let Some(process) = &self.worker.process {
                    process.kill();
                }
                self.patience = Some(now + EXIT_LIMIT);
                return;
            }
            if self.worker.closed {
                return self.violation("the worker closed its control channel and lived on".into()).await;
            }
        }
        self.feed(Event::Timer).await;
    }

    pub(super) async fn hello(&mut self, python: pyrepl3_protocol::message::PythonInfo) {
        self.up = true;
        self.patience = None;
        *self.place.shared.python.lock().unwrap_or_else(PoisonError::into_inner) = Some(python);
        if let Some(ready) = self.ready.take() {
            _ = ready.send(Ok(()));
        }
        self.recover().await;
        self.feed(Event::Up).await;
    }

    /// What a rollback of the running execution will not restore: told now, before it is relied on.
    pub(super) fn warn(&mut self, frozen: &worker::Frozen) {
        if self.machine.current() != Some(frozen.id) {
            return;
        }
        for text in frozen.warnings.iter().take(30) {
            let message = messages::warning(&self.place.shared.id, returns::bounded(text));
            self.deliver(Message::Warning(message));
        }
    }
}

/// A worker's answer is data, or says that the query failed.
fn query_result(data: Box<RawValue>) -> Result<Box<RawValue>, Failure> {
    #[derive(serde::Deserialize)]
    struct Failed {
        error: String,
    }
    match serde_json::from_str::<Failed>(data.get()) {
        Ok(failed) => {
            Err(Failure::new(Code::Interrupted, "the question could not be answered", failed.error, "ask again"))
        }
        Err(_) => Ok(data),
    }
}
