//! A worker's start and end, and what session init says.

use super::state::SessionTask;
use crate::clock::Time;
use crate::process::Process;
use crate::session::durability::Recovery;
use crate::session::incarnation::{Seen, Step, WorkerLink};
use crate::session::life::{Event, Phase};
use crate::session::linger::Released;
use pyrepl3_protocol::message::ProcessExit;
use pyrepl3_protocol::worker::{InitEvent, Request};
use pyrepl3_protocol::{Failure, JsonText};
use rustix::fd::OwnedFd;
use std::sync::Arc;

impl SessionTask {
    /// What was seen of the worker, and what follows.
    pub(super) fn see(&mut self, seen: Seen) {
        for step in self.incarnation.see(seen, Time::now()) {
            self.step(step);
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Ready => self.worker_is_ready(),
            Step::Reverted => self.reverted(),
            Step::CannotStart => {
                let how = self.exit_in_words();
                self.note_fault(format!("its process {how} before it was ready"));
                self.feed(Event::Failed);
            }
            Step::TooSlow => {
                self.note_fault("it did not answer in time".to_owned());
                self.feed(Event::Failed);
            }
            Step::CannotWake => {
                self.snapshots.reverting = None;
                self.feed(Event::RevertFailed { dead: true });
            }
            Step::Died => self.feed(Event::Exited),
            Step::Breach(why) => self.breach(why),
            Step::Kill => self.kill_worker(),
            Step::AskToLeave => {
                if let Some((code, join)) = self.leave {
                    self.tell_worker(&Request::Exit { code, join });
                }
            }
            Step::Bury => {
                if self.init.end().is_err() || self.init.gone {
                    self.init_is_gone();
                }
            }
            Step::Abandon => self.abandon(),
            Step::Gone => {
                self.drain();
                self.feed(Event::Gone);
            }
        }
    }

    pub(super) fn kill_worker(&self) {
        if let Some(process) = &self.worker.process {
            process.kill();
        }
    }

    fn worker_is_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            _ = ready.send(Ok(()));
        }
        match self.durability.recovery {
            // The checkpoint is restored before anything else runs.
            Recovery::Planned => self.look_for_recovery(),
            Recovery::None | Recovery::LookingUp => self.feed(Event::Up),
        }
    }

    /// Session init has something to say, or has ended.
    pub(super) fn init_events(&mut self) {
        while let Some((event, fds)) = self.init.next() {
            self.init_event(event, fds);
            if self.machine.phase() == Phase::Closed || self.is_released() {
                return;
            }
        }
        if self.init.gone {
            self.init_is_gone();
        }
    }

    /// The channel to session init has ended.
    fn init_is_gone(&mut self) {
        match self.lingering.as_mut().filter(|_| self.init.is_alive()) {
            // It lives, and does not hear this supervisor any more: another one has come.
            Some(lingering) => _ = lingering.released.get_or_insert(Released::Superseded),
            None => self.see(Seen::InitGone),
        }
    }

    pub(super) fn init_event(&mut self, event: InitEvent, mut fds: Vec<OwnedFd>) {
        match event {
            InitEvent::Up {} => {}
            InitEvent::Spawned { worker, .. } => {
                if worker == self.incarnation.number() && self.worker.process.is_none() {
                    let process = fds.pop().and_then(|pidfd| Process::from_pidfd(pidfd).ok());
                    let seen = if process.is_some() { Seen::Known } else { Seen::Unknown };
                    if let Some(process) = process {
                        self.worker.take(process);
                    }
                    self.see(seen);
                }
            }
            InitEvent::Ended { last } => {
                self.init.is_ending = last;
                self.see(Seen::Buried);
            }
            InitEvent::Exit { worker, code, signal } => {
                // One that was rolled back is of no interest any more.
                if worker == self.incarnation.number() {
                    self.worker_exited(code, signal);
                }
            }
            InitEvent::Swept { ended } => {
                if let Some((_, reverting)) = &mut self.snapshots.reverting {
                    reverting.ended = ended;
                }
                let is_held_back = self.incarnation.is_sweeping();
                self.see(Seen::Swept);
                if is_held_back {
                    self.frames_told();
                }
            }
            // What waits for an answer has a limit of its own.
            InitEvent::Refused { op, why } => tracing::warn!(%op, %why, "session init refused a request"),
            // Said to a supervisor that takes over, before this is there.
            InitEvent::Adopted { .. } | InitEvent::Held { .. } => {}
            InitEvent::Frozen { mark, .. } => self.frozen_asks(mark, fds),
            InitEvent::Channel(fresh) => self.worker_asks(&fresh, fds),
            InitEvent::Status { number, status } => {
                let status = JsonText::from(status.as_str());
                self.tell_worker(&Request::Answer { input: number, value: Some(&status) });
            }
        }
    }

    pub(super) fn worker_exited(&mut self, code: Option<i32>, signal: Option<i32>) {
        self.hear_last_words();
        if self.machine.phase() == Phase::Closed {
            return;
        }
        let by_us = self.incarnation.was_killed();
        let out_of_memory = signal == Some(9) && !by_us && self.context.origin.oom.explains_a_death();
        self.exit = Some(ProcessExit { code, signal, out_of_memory });
        self.see(Seen::Exited);
    }

    /// Another worker in the same session. Session init kills first what is left of the last one.
    pub(super) fn respawn(&mut self) {
        self.incarnation.respawn(Time::now());
        self.gives_next_request();
        if !self.write_down() {
            return;
        }
        self.spawn_worker();
    }

    /// Asks session init for the worker that is awaited.
    pub(super) fn spawn_worker(&mut self) {
        let lingers = self.lingering.is_some();
        let setup = &self.context.setup;
        let stdin = setup.stdin.as_ref().map(std::os::fd::AsFd::as_fd);
        let started = WorkerLink::new(&setup.request(), stdin, lingers).and_then(|(worker, fds)| {
            if lingers {
                self.init.keep_worker(&worker)?;
            }
            self.init.spawn(self.incarnation.number(), fds).map(|()| worker)
        });
        match started {
            Ok(worker) => self.worker = worker,
            Err(error) => {
                self.fault = Some(Failure::os("the session could not be started again", &error));
                self.worker.control.closed = true;
                self.feed(Event::Failed);
            }
        }
    }

    /// The session is to end: first the worker, where it may leave by itself, then all else.
    pub(super) fn tear_down(&mut self) {
        self.durability.give_up();
        self.answerers.give_up();
        self.give_up_waiting();
        let idle = self.machine.current().is_none() && self.machine.reverting().is_none();
        let may_leave = idle && !self.init.gone && self.count > 0;
        let leave = self.leave.filter(|_| may_leave).map(|(_, join)| join);
        if let Some(step) = self.incarnation.close(leave, Time::now()) {
            self.step(step);
        }
    }

    /// Session init did not bury the session. What is left falls to the process that forked it.
    fn abandon(&mut self) {
        let shared = Arc::strong_count(&self.context.origin.family) > 1;
        if !shared {
            // Of a family it is the others' session init, too: they must not end with this one.
            self.init.kill();
        }
        self.kill_worker();
        if let Some(server) = self.context.origin.server.clone() {
            tokio::spawn(async move { server.sweep().await });
        }
    }
}
