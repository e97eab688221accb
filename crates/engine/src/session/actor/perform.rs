//! What the machine decides, done.

use super::{Actor, BURY_LIMIT, HELLO_LIMIT, LEAVE_LIMIT, Operation, Pending, request_for};
use crate::session::ends::{Circumstances, Report, last_message, refused};
use crate::session::handle::{Source, closed};
use crate::session::link::WorkerLink;
use crate::session::machine::{Action, Event, State, Token, Verdict, Why};
use crate::session::messages;
use crate::session::past::Past;
use crate::session::timeline::Mark;
use base64::Engine as _;
use pyrepl3_protocol::message::{Message, Stream};
use pyrepl3_protocol::worker::{InitEvent, Request, Source as WireSource};
use pyrepl3_protocol::{Code, Failure};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

impl Actor {
    /// Feeds the machine and performs what it decides.
    pub(super) async fn feed(&mut self, event: Event) {
        let actions = self.machine.handle(event, Instant::now());
        self.perform(actions).await;
    }

    /// Performs actions, and what follows from them.
    pub(super) async fn perform(&mut self, actions: Vec<Action>) {
        let mut todo = VecDeque::from(actions);
        loop {
            let Some(action) = todo.pop_front() else {
                let Some(event) = self.later.pop_front() else { return };
                todo.extend(self.machine.handle(event, Instant::now()));
                continue;
            };
            match action {
                Action::Send(token, mark) => self.send(token, mark),
                Action::Branch(token) => self.ask_for_branches(token),
                Action::Revert { mark, keep, discard } => self.begin_return(mark, keep, discard).await,
                Action::Drop(marks) => self.drop_marks(&marks),
                Action::Evict(marks) => self.evict(&marks),
                Action::NoUndo => self.warn_of_no_undo(
                    "the session has as many snapshots as its limit allows, and every one is needed",
                    "drop snapshots, end the transaction, or raise the limit `snapshots`",
                ),
                Action::CameBack(cause) => self.came_back(cause),
                Action::Interrupt(token) => {
                    self.tell(&Request::Interrupt { id: token });
                    if let Some(process) = &self.worker.process {
                        process.interrupt();
                    }
                }
                Action::Kill => {
                    self.killed_by_us = true;
                    if let Some(process) = &self.worker.process {
                        process.kill();
                    }
                }
                Action::End(token, verdict, state) => self.end(token, verdict, state).await,
                Action::Lost { running } => self.lost(running),
                Action::Respawn => self.respawn().await,
                // `run` leaves its loop and does it.
                Action::Teardown => {}
            }
        }
    }

    fn send(&mut self, token: Token, mark: Option<Mark>) {
        // What was written until now belongs to the session, not to what starts.
        let current = self.machine.current();
        debug_assert_eq!(current, Some(token));
        self.drain_as_session();
        self.severed = false;
        // The first thing that it prints is told at once.
        self.pace = None;
        let name = match self.pending.get(&token) {
            Some(Pending::Operate(operation)) => match &operation.operation {
                Operation::Snapshot { name } => name.clone(),
                _ => None,
            },
            _ => None,
        };
        let wake = match mark {
            None => None,
            Some(mark) => match self.freeze(token, mark, name) {
                Some(wake) => Some(wake),
                None if self.machine.mark_is_optional() => None,
                None => return,
            },
        };
        if matches!(self.pending.get(&token), Some(Pending::Execute(_))) {
            self.journal(self.count + 1);
        }
        let Some(pending) = self.pending.get_mut(&token) else { return };
        let sent = match pending {
            Pending::Query { query, .. } => self.worker.send(&request_for(token, query)),
            Pending::Operate(operation) => {
                operation.sent = Some(Instant::now());
                operation.mark = mark;
                if let Some(frozen) = mark.and_then(|mark| self.frozen.get_mut(&mark)) {
                    let what = &operation.operation;
                    frozen.redo = matches!(what, Operation::Undo);
                    frozen.asked_for = matches!(what, Operation::Snapshot { .. } | Operation::Savepoint { .. });
                }
                let restores = matches!(operation.operation, Operation::Restore(_));
                match wake {
                    Some(wake) if restores => match self.serve_checkpoint(token) {
                        Ok(theirs) => {
                            self.worker.send_with(&Request::Restore { id: token, fds: 2 }, vec![wake, theirs])
                        }
                        Err(error) => Err(error),
                    },
                    Some(wake) => {
                        let track = matches!(operation.operation, Operation::Checkpoint(_));
                        self.worker.send_with(&Request::Freeze { id: token, fds: 1, track }, vec![wake])
                    }
                    None => Ok(()),
                }
            }
            Pending::Execute(execution) => {
                self.count += 1;
                execution.count = self.count;
                self.past.push(self.count);
                execution.started = Some(Instant::now());
                if self.oom_kills.is_none() {
                    self.oom_kills = crate::process::out_of_memory_kills();
                }
                let name;
                let file = match &execution.request.file {
                    Some(file) => file,
                    None => {
                        name = format!("<execution {}>", self.count);
                        &name
                    }
                };
                let code = match &execution.request.source {
                    Source::Text(text) => WireSource::Text(text),
                    Source::Bytes(bytes) => {
                        WireSource::Bytes { base64: base64::engine::general_purpose::STANDARD.encode(bytes) }
                    }
                };
                let optional = wake.is_some() && self.machine.mark_is_optional();
                let mut salvage: &[String] = &[];
                let mut descriptors = Vec::from_iter(wake);
                if !optional
                    && !descriptors.is_empty()
                    && !execution.request.salvage.is_empty()
                    && let Ok((kept, theirs)) = super::salvage::file()
                {
                    execution.salvage = Some(kept);
                    descriptors.push(theirs);
                    salvage = &execution.request.salvage;
                }
                let fds = (!descriptors.is_empty()).then_some(descriptors.len() as u8);
                let request = Request::Execute { id: token, count: self.count, file, code, fds, salvage, optional };
                match descriptors.is_empty() {
                    false => self.worker.send_with(&request, descriptors),
                    true => self.worker.send(&request),
                }
            }
        };
        if sent.is_err() {
            self.worker.closed = true;
        }
    }

    /// Tells a client how its task ended.
    async fn end(&mut self, token: Token, verdict: Verdict, state: State) {
        let pending = self.pending.remove(&token);
        // The prompts of an execution's own thread were closed by the worker; those of other threads go on waiting.
        match pending {
            None => {}
            Some(Pending::Operate(operation)) => Box::pin(self.end_operation(*operation, verdict, state)).await,
            Some(Pending::Query { reply, .. }) => {
                let failure = match verdict {
                    Verdict::Crashed | Verdict::Killed { .. } => Failure::new(
                        Code::SessionLost,
                        "the worker died while it answered",
                        self.exit.as_ref().map(ToString::to_string).unwrap_or_default(),
                        if state == State::Undone {
                            "the session is back in an earlier state; ask again"
                        } else {
                            "the session goes on with a fresh namespace"
                        },
                    ),
                    Verdict::Violation => self.fault.clone().unwrap_or_else(|| closed(&self.place.shared.id)),
                    _ => closed(&self.place.shared.id),
                };
                _ = reply.send(Err(failure));
            }
            Some(Pending::Execute(mut execution)) => {
                if let Verdict::Refused(why) = verdict {
                    return self.refuse_execution(*execution, why);
                }
                let mut report = (state == State::Undone).then(|| self.last_return.take()).flatten();
                if let Some(returned) = &mut report {
                    super::salvage::tell(&execution, returned);
                }
                if state == State::Kept && execution.started.is_some() {
                    self.note_executed();
                }
                let known = Circumstances {
                    timeout: execution.request.timeout,
                    grace: Duration::from_secs_f64(
                        self.place.setup.options.limits.interrupt_grace.unwrap_or(super::GRACE),
                    ),
                    ran_for: execution.started.map(|at| at.elapsed()),
                    execution_count: execution.count,
                    exit: self.exit.as_ref(),
                    severed: self.severed,
                    state,
                    undone: report.as_ref().map(|returned| returned.undone.clone()).unwrap_or_default(),
                    salvaged: report
                        .as_mut()
                        .map(|returned| std::mem::take(&mut returned.salvaged_names))
                        .unwrap_or_default(),
                    report: report.map(|returned| returned.report),
                    violation: self
                        .fault
                        .as_ref()
                        .filter(|fault| fault.code == Code::ProtocolError)
                        .map(|fault| fault.why.as_str()),
                };
                let report = std::mem::replace(&mut execution.report, Report::None);
                let last = last_message(verdict, report, &known);
                if let Some(key) = &execution.request.idempotency_key {
                    let ran = !matches!(verdict, Verdict::Cancelled | Verdict::CancelledByError);
                    if ran {
                        self.keys.end(key, &last);
                    } else {
                        self.keys.forget(key);
                    }
                }
                for (id, outbox) in execution.repeats.drain(..) {
                    outbox.finish(Some(self.addressed(last.clone(), &id, true)));
                }
                execution.outbox.finish(Some(self.addressed(last, &execution.id, false)));
                for waiter in execution.stopped.drain(..) {
                    _ = waiter.send(Ok(()));
                }
            }
        }
    }

    /// It never ran, as was found out when its turn had come.
    fn refuse_execution(&mut self, mut execution: super::PendingExecution, why: Why) {
        let failure = refused(why, self.unfrozen.take());
        self.past.take_back(execution.count);
        if let Some(key) = &execution.request.idempotency_key {
            self.keys.forget(key);
        }
        if let Some(refuse) = execution.refuse.take() {
            _ = refuse.send(failure.clone());
        }
        for (_, outbox) in execution.repeats.drain(..) {
            outbox.finish(None);
        }
        execution.outbox.finish(None);
        for waiter in execution.stopped.drain(..) {
            _ = waiter.send(Err(failure.clone()));
        }
    }

    /// A last message with its session and execution.
    pub(super) fn addressed(&self, mut last: Message, execution: &str, replayed: bool) -> Message {
        let session = Some(self.place.shared.id.clone());
        let execution = Some(execution.to_owned());
        match &mut last {
            Message::ResultMessage(end) => {
                (end.session_id, end.execution_id, end.replayed) = (session, execution, replayed);
            }
            Message::ErrorMessage(end) => {
                (end.session_id, end.execution_id, end.replayed) = (session, execution, replayed);
            }
            _ => {}
        }
        last
    }

    /// Takes out of both pipes exactly what they hold.
    pub(super) fn drain(&mut self) {
        self.drain_to(true);
    }

    fn drain_as_session(&mut self) {
        self.drain_to(false);
    }

    fn drain_to(&mut self, running: bool) {
        for stdout in [true, false] {
            let mut chunks = Vec::new();
            let pipe = if stdout { &mut self.worker.stdout } else { &mut self.worker.stderr };
            pipe.drain(|chunk| chunks.push(chunk));
            for chunk in chunks {
                let message = messages::output(stream(stdout), chunk.text, chunk.bytes);
                self.deliver_to(Message::OutputMessage(message), running);
            }
        }
    }

    pub(super) fn deliver_output(&self, stdout: bool, text: String, bytes: Option<Vec<u8>>) {
        self.deliver(Message::OutputMessage(messages::output(stream(stdout), text, bytes)));
    }

    /// To the running execution, or to whoever listens to the session.
    pub(super) fn deliver(&self, message: Message) {
        self.deliver_to(message, true);
    }

    fn deliver_to(&self, mut message: Message, running: bool) {
        let session = Some(self.place.shared.id.clone());
        let execution = if running { self.running() } else { None };
        let id = execution.map(|execution| execution.id.clone());
        match &mut message {
            Message::OutputMessage(part) => (part.session_id, part.execution_id) = (session, id),
            Message::DisplayMessage(part) => (part.session_id, part.execution_id) = (session, id),
            Message::InputMessage(part) => (part.session_id, part.execution_id) = (session, id),
            Message::Warning(part) => (part.session_id, part.execution_id) = (session, id),
            _ => {}
        }
        match execution {
            Some(execution) => {
                if execution.outbox.is_heard() {
                    execution.outbox.push(message, false);
                }
            }
            None => {
                let events = &self.place.shared.events;
                events.push(message, !events.is_heard());
            }
        }
    }

    fn lost(&mut self, running: bool) {
        let how = self.exit.as_ref().map_or_else(|| "ended".to_owned(), ToString::to_string);
        let when = if running { "while code ran" } else { "while nothing ran" };
        let reason =
            format!("the worker process {how} {when}; its namespace is gone, and the session goes on with a fresh one");
        let message = messages::session_lost(&self.place.shared.id, reason, self.exit.clone(), true);
        self.place.shared.events.push(Message::SessionLost(message), false);
        self.came_back = None;
        if !self.plan_recovery() {
            self.past = Past::default();
        }
        self.gone.clear();
        self.prompts.clear();
    }

    /// Another worker in the same session. Session init kills first what is left of the last one.
    async fn respawn(&mut self) {
        self.up = false;
        self.greeting = None;
        self.killed_by_us = false;
        self.incarnation += 1;
        self.patience = Some(Instant::now() + HELLO_LIMIT);
        let started = async {
            let stdin = self.place.setup.stdin.as_ref().map(std::os::fd::AsFd::as_fd);
            let os = |error: std::io::Error| Failure::os("the session could not be started again", &error);
            let (worker, fds) = WorkerLink::new(&self.place.setup.request(), stdin).map_err(os)?;
            self.init.spawn(self.incarnation, &fds).await?;
            Ok(worker)
        };
        match started.await {
            Ok(worker) => self.worker = worker,
            Err(failure) => {
                self.fault = Some(failure);
                self.worker.closed = true;
                let actions = self.machine.handle(Event::Failed, Instant::now());
                // Ends only: nothing is left to start.
                Box::pin(self.perform(actions)).await;
            }
        }
    }

    /// Ends every process of the session.
    pub(super) async fn teardown(&mut self) {
        self.give_up_saving();
        self.close_journal();
        let busy = self.machine.current().is_some();
        if let Some((code, join)) = self.leave.filter(|_| self.up && !busy && !self.init_gone && self.count > 0) {
            self.tell(&Request::Exit { code, join });
            self.let_leave(join).await;
        }
        if !self.init_gone && self.init.end().await.is_ok() {
            let ended = async {
                let mut buried = false;
                // Its channel closes with it. One that was killed has buried nobody.
                while let Some(event) = self.init.next().await {
                    buried |= matches!(event, (InitEvent::Ended {}, _));
                }
                buried
            };
            match tokio::time::timeout(BURY_LIMIT, ended).await {
                Ok(true) => return self.drain(),
                // It is gone.
                Ok(false) => {}
                Err(_) => self.init.kill(),
            }
        }
        // Session init is gone: what it would have buried falls to the process that forked it.
        if let Some(process) = &self.worker.process {
            process.kill();
        }
        self.place.origin.server.sweep().await;
        self.drain();
    }

    /// Lets the worker leave by itself, with its last output, within a limit unless its threads are waited for.
    async fn let_leave(&mut self, join: bool) {
        let limit = Instant::now() + if join { Duration::from_secs(3600 * 24 * 365) } else { LEAVE_LIMIT };
        self.worker.stdout.watch();
        self.worker.stderr.watch();
        loop {
            let worker = &self.worker;
            let interrupts = &mut self.commands;
            tokio::select! {
                biased;
                event = self.init.next() => match event {
                    Some((InitEvent::Exit { code, signal, .. }, _)) => {
                        self.exit = Some(pyrepl3_protocol::message::ProcessExit { code, signal, out_of_memory: false });
                        self.drain();
                        return;
                    }
                    Some(_) => {}
                    None => {
                        self.init_gone = true;
                        return;
                    }
                },
                _ = worker.stdout.readable(), if !worker.stdout.ended => {
                    if let Some(chunk) = self.worker.stdout.read() {
                        self.deliver_output(true, chunk.text, chunk.bytes);
                    }
                }
                _ = worker.stderr.readable(), if !worker.stderr.ended => {
                    if let Some(chunk) = self.worker.stderr.read() {
                        self.deliver_output(false, chunk.text, chunk.bytes);
                    }
                }
                command = interrupts.recv(), if join => match command {
                    // A person presses Ctrl-C while a thread of the script is waited for.
                    Some(super::Command::Interrupt { reply }) => {
                        if let Some(process) = &self.worker.process {
                            process.interrupt();
                        }
                        _ = reply.send(Ok(()));
                    }
                    Some(other) => self.refuse_late(other),
                    None => return,
                },
                () = tokio::time::sleep_until(limit.into()) => return,
            }
        }
    }

    /// Answers what was asked too late.
    fn refuse_late(&mut self, command: super::Command) {
        use super::Command;
        let failure = self.fault.clone().unwrap_or_else(|| closed(&self.place.shared.id));
        match command {
            Command::Execute { outbox, refuse, .. } => {
                _ = refuse.send(failure);
                outbox.finish(None);
            }
            Command::Query { reply, .. } => _ = reply.send(Err(failure)),
            Command::Answer { reply, .. } | Command::Interrupt { reply } | Command::Cancel { reply, .. } => {
                _ = reply.send(Err(failure));
            }
            Command::Status { reply } => _ = reply.send(Ok(self.status())),
            Command::Operate { reply, .. } => _ = reply.send(Err(failure)),
            Command::Snapshots { reply } => _ = reply.send(Err(failure)),
            Command::DropSnapshot { reply, .. } => _ = reply.send(Err(failure)),
            Command::MakeRoom => {}
            Command::Close { reply, .. } => self.closers.extend(reply),
        }
    }

    /// Tells everybody that the session has ended.
    pub(super) fn say_goodbye(mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.refuse_late(command);
        }
        if let Some(ready) = self.ready.take() {
            let failure = self.fault.clone().unwrap_or_else(|| closed(&self.place.shared.id));
            _ = ready.send(Err(failure));
        }
        let lost = self.fault.as_ref().map(|fault| {
            Message::SessionLost(messages::session_lost(
                &self.place.shared.id,
                fault.to_string(),
                self.exit.clone(),
                false,
            ))
        });
        self.place.shared.events.finish(lost);
        for reply in self.closers.drain(..) {
            _ = reply.send(Ok(()));
        }
    }
}

fn stream(stdout: bool) -> Stream {
    if stdout { Stream::Stdout } else { Stream::Stderr }
}
