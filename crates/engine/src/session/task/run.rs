//! The loop: one thing that happens, and what follows from it.

use super::report::Report;
use super::state::SessionTask;
use crate::clock::{Time, sleep_until};
use crate::session::incarnation::Seen;
use crate::session::life::Phase;
use crate::session::mailbox::Command;
use crate::session::tickets::Ticket;
use pyrepl3_protocol::message::Message;
use std::time::Duration;

/// How long a query may take: it runs properties and reprs of the user's.
pub(crate) const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// How long session init may leave unread what another supervisor is to know.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// What happened.
enum Turn {
    Command(Command),
    Report(Report),
    Init,
    InitWritable,
    Frames,
    Writable,
    Output { stdout: bool },
    Autosave,
    Timer,
    Paced,
    Room,
}

/// How long to wait before what could not be written down is tried again.
const RETRY: Duration = Duration::from_millis(200);

impl SessionTask {
    pub(crate) async fn run(mut self) {
        // A branch has spoken already.
        self.frames_told();
        self.turn_is_over();
        while self.machine.phase() != Phase::Closed && !self.is_released() {
            let turn = self.wait().await;
            if !matches!(turn, Turn::Output { .. } | Turn::Paced | Turn::Room) {
                self.note_that_something_happened();
            }
            self.take(turn);
            self.go_on_with_answers();
            self.turn_is_over();
        }
        self.durability.close_journal().await;
        if !self.is_released()
            && let Some(lingering) = self.lingering.take()
        {
            lingering.end().await;
        }
        self.last_requests().await;
        // Whoever is told that the session has ended finds no process of it.
        _ = tokio::time::timeout(LAST_REQUESTS, self.init.end_of_process()).await;
        self.say_goodbye();
    }

    /// When to look at the clocks of the machines.
    fn deadline(&self) -> Option<Time> {
        let renewal = self.lingering.as_ref().and_then(|lingering| lingering.renewal);
        let all = [self.machine.deadline(), self.incarnation.deadline(), self.init.deadline(), renewal];
        all.into_iter().flatten().min()
    }

    /// Waits for the next thing to happen. Every branch is cancel-safe.
    async fn wait(&mut self) -> Turn {
        let deadline = self.deadline();
        let autosave = self.autosave_at();
        let listening = self.is_listening();
        if listening && self.pace.is_none() {
            self.worker.stdout.watch();
            self.worker.stderr.watch();
        }
        let (worker, init, log) = (&self.worker, &self.init, &self.context.shared.log);
        let paced = self.pace;
        let reading = listening && paced.is_none();
        let hearing = listening && !self.incarnation.is_sweeping() && !self.holds_frames();
        tokio::select! {
            biased;
            Some(command) = self.commands.recv() => Turn::Command(command),
            () = init.readable(), if !init.gone => Turn::Init,
            Some(report) = self.reports.recv() => Turn::Report(report),
            _ = worker.control.readable(), if hearing && !worker.control.closed => Turn::Frames,
            () = worker.stdout.readable(), if reading && !worker.stdout.ended => Turn::Output { stdout: true },
            () = worker.stderr.readable(), if reading && !worker.stderr.ended => Turn::Output { stdout: false },
            () = sleep_until(paced), if paced.is_some() => Turn::Paced,
            _ = worker.control.writable(), if worker.control.is_waiting() && !worker.control.closed => Turn::Writable,
            () = init.writable(), if init.is_waiting() && !init.gone => Turn::InitWritable,
            () = sleep_until(deadline), if deadline.is_some() => Turn::Timer,
            () = sleep_until(autosave), if autosave.is_some() => Turn::Autosave,
            () = log.room(), if !listening => Turn::Room,
            () = tokio::time::sleep(RETRY), if log.is_troubled() || worker.stdout.unheard || worker.stderr.unheard => Turn::Room,
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Command(command) => self.command(command),
            Turn::Report(report) => self.report(report),
            Turn::Init => self.init_events(),
            Turn::InitWritable => self.init.flush(),
            Turn::Frames => self.read_frames(),
            Turn::Writable => {
                if let Err(error) = self.worker.control.flush() {
                    self.lost_touch(&error);
                }
            }
            Turn::Output { stdout } => self.read_output(stdout),
            Turn::Paced => self.pace = None,
            Turn::Autosave => self.save_by_itself(),
            Turn::Timer => self.timer(),
            Turn::Room => {
                if self.log().is_troubled() {
                    _ = self.log().is_written();
                    // What could not be taken is in the pipes still, and the runtime does not tell of it twice.
                    self.worker.stdout.unwatch();
                    self.worker.stderr.unwatch();
                }
            }
        }
    }

    fn timer(&mut self) {
        let now = Time::now();
        if self.init.deadline().is_some_and(|deadline| deadline <= now) {
            // It was resumed when it began to leave something unread.
            self.init.give_up();
            return self.see(Seen::InitGone);
        }
        self.look_at_renewal(now);
        self.see(Seen::Timer);
        self.feed(crate::session::life::Event::Timer);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Frozen { number, found } => {
                self.snapshots.confirmed(number, found);
                self.go_on_with_snapshots();
            }
            Report::FrozenLate => {
                if let Err(error) = self.init.resume_frozen() {
                    tracing::debug!(%error, "session init cannot be asked to let a frozen process go on");
                }
            }
            Report::SaverBorn { saving, pidfd } => self.durability.born(saving, pidfd),
            Report::SaverEnded(end) => self.saver_ended(*end),
            Report::AnswererBorn(born) => self.answerer_born(born),
            Report::AnswererEnded { number, unasked } => self.answerer_ended(number, unasked),
            Report::Found(found) => self.checkpoint_found(found),
            Report::RecoveryFound(found) => self.recovery_found(found),
            Report::NotRestored { request, operation, failure } => {
                self.answer_restore(&request, operation, Err(failure));
            }
            Report::Noted { last, execution } => self.finish_execution(*last, *execution),
            Report::Member(member) => self.take_in(*member),
            Report::Split { token, made } => self.split_done(token, made),
        }
    }

    /// Session init is to have what was said last.
    async fn last_requests(&mut self) {
        while self.is_released() && self.init.is_waiting() && !self.init.gone {
            if tokio::time::timeout(LAST_REQUESTS, self.init.writable()).await.is_err() {
                return;
            }
            self.init.flush();
        }
    }

    /// Tells everybody that the session has ended.
    fn say_goodbye(mut self) {
        if self.is_released() && self.log().is_journalled() {
            // Its events are the next supervisor's: nothing is added to them here. Before anybody is refused, who can tell why then.
            self.log().leave();
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.refuse_late(command);
        }
        let failure = self.why_closed();
        if let Some(ready) = self.ready.take() {
            _ = ready.send(Err(failure.clone()));
        }
        // There are some where the session goes on without this supervisor.
        for ticket in self.tickets.take_all() {
            match ticket {
                Ticket::Execute(mut execution) => {
                    if let Some(refuse) = execution.refuse.take() {
                        _ = refuse.send(failure.clone());
                    }
                }
                Ticket::Query(query) => query.refuse(failure.clone()),
                Ticket::Operate(pending) => pending.operation.refuse(failure.clone()),
            }
        }
        self.give_up_waiting();
        let released = self.why_released();
        let lost = released.as_ref().or(self.fault.as_ref()).map(|fault| {
            let message = crate::messages::session_lost(self.id(), fault.to_string(), self.exit.clone(), false);
            Message::SessionLost(message)
        });
        self.log().close(lost);
        for reply in std::mem::take(&mut self.closers) {
            _ = reply.send(Ok(()));
        }
    }
}
