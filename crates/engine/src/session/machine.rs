//! The life of a session, as a pure state machine: `(state, event, now) → (state, actions)`.
//!
//! It knows tokens, marks and times, no processes, no payloads. The actor performs its actions and feeds it events.
//!
//! ```text
//! Starting -- Up -------> Ready -- Close -----> Closing -- Gone --> Closed
//!     |                   |   ^                    ^
//!     |                Exited Up                   |
//!     |                   v   |                    |
//!     |                 Respawning -- Failed ------|
//!     +-- Failed, Violation (from any) ------------+
//!
//! a task:   queued -- turn --> sent -- Ended --> reported, or undone first: Revert -- Reverted --> reported
//!                                |-- Interrupt, deadline --> interrupted -- grace/2 --> interrupted once more
//!                                                                        -- grace --> killed -- Exited --> ended
//! ```
//!
//! `turns` decides what a task does when its turn has come, `returns` how the session goes back to a mark, `timeline`
//! keeps the marks.

mod returns;
mod turns;

use super::timeline::{Bounds, Mark, Timeline};
use pyrepl3_protocol::message::TransactionPolicy;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Names a task to the machine.
pub(crate) type Token = u64;

/// What a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs code; ends with a result or an error.
    Execute,
    /// Asks the worker; ends with a reply.
    Query,
    /// Takes a snapshot.
    Freeze(Purpose),
    /// Brings a checkpoint back; ends with a reply, or is undone.
    Restore,
    /// Splits the session.
    Branch,
    /// Keeps the effects of the open transaction.
    Commit,
    /// Undoes the open transaction.
    Rollback,
    /// Returns to a mark.
    ReturnTo(Mark),
    /// Returns to the state before the last execution.
    Undo,
    /// Returns to what undo left.
    Redo,
    /// Undoes the open transaction, if there is one, and drops every mark.
    Settle,
}

/// What a snapshot that a client asks for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Named,
    Savepoint,
    Begin(Option<Duration>),
    Checkpoint,
}

/// Something to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) token: Token,
    pub(crate) kind: Kind,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop_on_error: bool,
    pub(crate) policy: TransactionPolicy,
    /// The explicit transaction that it belongs to, if it says so.
    pub(crate) transaction: Option<u64>,
}

impl Task {
    pub(crate) fn new(token: Token, kind: Kind) -> Self {
        Task {
            token,
            kind,
            timeout: None,
            stop_on_error: false,
            policy: TransactionPolicy::CommitAlways,
            transaction: None,
        }
    }
}

/// How the worker says that a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Result,
    Error,
    Reply,
    /// It could not be frozen, so what asked for it did not happen.
    Unfrozen,
    /// The checkpoint could not be brought back.
    Unrestored,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The worker said hello.
    Up,
    /// The worker could not be started.
    Failed,
    /// The worker says that a task ended.
    Ended { token: Token, said: Said },
    /// The mark of the task that runs could not be made, and the task runs without it.
    Unmarked { token: Token },
    /// The worker's process ended; all that it said was told before.
    Exited,
    /// The worker broke the protocol, or its session init is gone.
    Violation,
    /// The return to a mark is complete.
    Reverted,
    /// The frozen process could not be woken. `dead`: the worker that was live before is gone, too.
    RevertFailed { dead: bool },
    /// A client interrupts what runs.
    Interrupt,
    /// A client cancels a task.
    Cancel(Token),
    /// A client drops a mark.
    DropMark(Mark),
    /// A checkpoint begins to be made of a mark.
    Hold(Mark),
    /// The checkpoint has been made, or given up.
    Release(Mark),
    /// Another session needs room: a mark that can go is to go.
    MakeRoom,
    /// A time that [`Machine::deadline`] named has come.
    Timer,
    /// The session is to end.
    Close,
    /// Nothing of the session is left.
    Gone,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give a task to the worker; first freeze the present as a mark, if there is one.
    Send(Token, Option<Mark>),
    /// Ask the worker for branches.
    Branch(Token),
    /// Wake the frozen process of a mark in place of the worker, which ends. `keep`: the mark stays usable. The marks
    /// that are discarded end with it.
    Revert { mark: Mark, keep: bool, discard: Vec<Mark> },
    /// End the frozen processes of these marks.
    Drop(Vec<Mark>),
    /// The same, for want of room: tell clients.
    Evict(Vec<Mark>),
    /// Tell the worker which task is meant, and send SIGINT.
    Interrupt(Token),
    /// Send SIGKILL to the worker.
    Kill,
    /// A task has ended; tell its client how, and what became of the state.
    End(Token, Verdict, State),
    /// What is sent leaves no step of undo, for want of room.
    NoUndo,
    /// The worker died while nothing ran, and the session is back at a mark; or its transaction's time was up.
    CameBack(Cause),
    /// The worker died: tell that the state is lost.
    Lost { running: bool },
    /// Start another worker in the same session.
    Respawn,
    /// End every process of the session.
    Teardown,
}

/// Why a session went back without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Died,
    Expired,
}

/// What became of the session's state when a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As the task left it.
    Kept,
    /// As it was at a mark.
    Undone,
    /// As the task left it, although it should have been undone: its snapshot was gone.
    Stuck,
    /// Gone with the process.
    Lost,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the worker said.
    Reported,
    /// The worker said so after SIGINT that a client asked for.
    Interrupted,
    /// The worker said so after SIGINT, or at all, when its time had passed.
    TimedOut,
    /// The process died while it was being stopped.
    Killed {
        /// Whether its time had passed; else a client asked.
        timed_out: bool,
    },
    /// The process died by itself.
    Crashed,
    /// It never ran.
    Cancelled,
    /// It never ran, because one before it failed and asked for that.
    CancelledByError,
    /// The session ended.
    Closed,
    /// The worker broke the protocol.
    Violation,
    /// It was done.
    Done,
    /// It began the explicit transaction with this number.
    Begun(u64),
    /// It never ran: why.
    Refused(Why),
}

/// Why a task was refused when its turn had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    NoTransaction,
    TransactionOpen,
    NoSnapshot,
    NothingToUndo,
    NothingToRedo,
    NoRoom,
    /// The worker said why.
    Unfrozen,
    /// The frozen process has died.
    SnapshotDied,
}

/// Why a task is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The session has ended or is about to.
    Closed,
    /// Too many wait.
    Full,
    /// The worker died while nothing ran; said once, so that no code runs unwittingly on a fresh namespace.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Respawning,
    Closing,
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    task: Task,
    /// The mark that was made for it.
    mark: Option<Mark>,
    /// Whether it runs even when that mark cannot be made.
    optional: bool,
    /// Whether it began the explicit transaction.
    began: bool,
    deadline: Option<Instant>,
    stop: Option<Stop>,
}

#[derive(Debug, Clone, Copy)]
struct Stop {
    timed_out: bool,
    /// When to send SIGINT once more: the first may have come where it could not take hold, between two tasks of an
    /// event loop, say. None when that was done.
    again_at: Option<Instant>,
    kill_at: Instant,
    killed: bool,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    queue: VecDeque<Task>,
    current: Option<Current>,
    /// The return that is under way. Nothing is sent meanwhile.
    reverting: Option<returns::Reverting>,
    timeline: Timeline,
    grace: Duration,
    limit: usize,
    violated: bool,
    /// Whether this worker was given anything to do: else its death loses nothing.
    used: bool,
    /// Whether an execution has begun since the newest mark.
    dirty: bool,
    lost_unseen: bool,
}

impl Machine {
    /// A session whose worker is being started. `grace`: between SIGINT and SIGKILL; `limit`: tasks that may wait.
    pub(crate) fn new(grace: Duration, limit: usize, bounds: Bounds) -> Self {
        Machine {
            phase: Phase::Starting,
            queue: VecDeque::new(),
            current: None,
            reverting: None,
            timeline: Timeline::new(bounds),
            grace,
            limit,
            violated: false,
            used: false,
            dirty: false,
            lost_unseen: false,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The task that the worker has.
    pub(crate) fn current(&self) -> Option<Token> {
        self.current.map(|current| current.task.token)
    }

    /// Whether what runs is to run even when its mark cannot be made.
    pub(crate) fn mark_is_optional(&self) -> bool {
        self.current.is_some_and(|current| current.optional)
    }

    /// Whether what runs is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.current.is_some_and(|current| current.stop.is_some())
    }

    /// Whether the session is on its way back to a mark, and the task that waits for it.
    pub(crate) fn reverting(&self) -> Option<Option<Token>> {
        self.reverting.as_ref().map(returns::Reverting::token)
    }

    /// Whether state is gone of which no client was told yet: the next request hears of it.
    pub(crate) fn is_loss_unseen(&self) -> bool {
        self.lost_unseen
    }

    /// What was lost is all back: nobody needs to hear of it.
    pub(crate) fn forget_loss(&mut self) {
        self.lost_unseen = false;
    }

    /// Tasks that wait.
    pub(crate) fn queued(&self) -> impl Iterator<Item = Token> + '_ {
        self.queue.iter().map(|task| task.token)
    }

    /// The marks, and the open transaction.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// When to feed [`Event::Timer`] next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let Some(current) = self.current else {
            let waits = self.phase == Phase::Ready && self.reverting.is_none();
            return self.timeline.open().filter(|_| waits).map(|open| open.deadline);
        };
        match current.stop {
            Some(stop) if stop.killed => None,
            Some(stop) => Some(stop.again_at.unwrap_or(stop.kill_at)),
            None => current.deadline,
        }
    }

    /// Takes a task.
    ///
    /// # Errors
    /// Why not; the machine is as before then, except that [`Refusal::Lost`] is said only once.
    pub(crate) fn submit(&mut self, task: Task, now: Instant) -> Result<Vec<Action>, Refusal> {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return Err(Refusal::Closed);
        }
        // To go back to a snapshot is what one does about it.
        let cures = matches!(task.kind, Kind::ReturnTo(_) | Kind::Restore | Kind::Settle);
        if std::mem::take(&mut self.lost_unseen) && !cures {
            return Err(Refusal::Lost);
        }
        if self.queue.len() >= self.limit && !cures {
            return Err(Refusal::Full);
        }
        let mut actions = Vec::new();
        if matches!(task.kind, Kind::ReturnTo(_) | Kind::Restore) {
            self.drop_queue(Verdict::Cancelled, &mut actions);
            self.stop(false, now, &mut actions);
        }
        self.queue.push_back(task);
        self.turn(now, &mut actions);
        Ok(actions)
    }

    /// Takes a task that comes before all others, while the worker is being started again.
    pub(crate) fn submit_first(&mut self, task: Task) {
        debug_assert_eq!(self.phase, Phase::Respawning);
        self.queue.push_front(task);
    }

    /// Takes an event.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Up => match self.phase {
                Phase::Starting | Phase::Respawning => {
                    self.phase = Phase::Ready;
                    self.turn(now, &mut actions);
                }
                Phase::Closing | Phase::Closed => {}
                Phase::Ready => self.violation(&mut actions),
            },
            Event::Failed => self.close(&mut actions),
            Event::Ended { token, said } => self.ended(token, said, now, &mut actions),
            Event::Unmarked { token } => self.unmarked(token, &mut actions),
            Event::Exited => self.exited(&mut actions),
            Event::Violation => self.violation(&mut actions),
            Event::Reverted => self.reverted(now, &mut actions),
            Event::RevertFailed { dead } => self.revert_failed(dead, now, &mut actions),
            Event::Interrupt => self.stop(false, now, &mut actions),
            Event::Cancel(token) => self.cancel(token, now, &mut actions),
            Event::DropMark(mark) => {
                if self.timeline.take(mark, super::timeline::Role::Named) {
                    actions.push(Action::Drop(vec![mark]));
                }
            }
            Event::Hold(mark) => drop(self.timeline.add(mark, super::timeline::Role::Saving)),
            Event::Release(mark) => {
                if self.timeline.take(mark, super::timeline::Role::Saving) {
                    actions.push(Action::Drop(vec![mark]));
                }
            }
            Event::MakeRoom => {
                if let Some(mark) = self.timeline.evict() {
                    actions.push(Action::Evict(vec![mark]));
                }
            }
            Event::Timer => self.timer(now, &mut actions),
            Event::Close => self.close(&mut actions),
            Event::Gone => {
                let waits = self.reverting.take().and_then(|reverting| reverting.token());
                if let Some(token) = self.current.take().map(|current| current.task.token).or(waits) {
                    let verdict = if self.violated { Verdict::Violation } else { Verdict::Closed };
                    actions.push(Action::End(token, verdict, State::Lost));
                }
                self.drop_queue(Verdict::Closed, &mut actions);
                self.phase = Phase::Closed;
            }
        }
        actions
    }

    fn exited(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Closing | Phase::Closed => {}
            Phase::Starting | Phase::Respawning => self.close(actions),
            Phase::Ready if self.reverting.is_some() => {}
            Phase::Ready => self.died(actions),
        }
    }

    fn violation(&mut self, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Closing | Phase::Closed) {
            self.violated = true;
            self.close(actions);
        }
    }

    fn stop(&mut self, timed_out: bool, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let grace = self.grace;
        let Some(current) = &mut self.current else { return };
        match &current.stop {
            Some(stop) if stop.killed => return,
            // Asked again: the code may have swallowed the first.
            Some(_) => {}
            None => {
                let again_at = Some(now + grace / 2);
                current.stop = Some(Stop { timed_out, again_at, kill_at: now + grace, killed: false });
            }
        }
        actions.push(Action::Interrupt(current.task.token));
    }

    fn cancel(&mut self, token: Token, now: Instant, actions: &mut Vec<Action>) {
        if self.current() == Some(token) {
            return self.stop(false, now, actions);
        }
        if let Some(at) = self.queue.iter().position(|task| task.token == token) {
            self.queue.remove(at);
            actions.push(Action::End(token, Verdict::Cancelled, State::Kept));
        }
    }

    fn timer(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let Some(current) = &mut self.current else { return self.expire(now, actions) };
        match &mut current.stop {
            None if current.deadline.is_some_and(|deadline| deadline <= now) => self.stop(true, now, actions),
            Some(stop) if !stop.killed && stop.kill_at <= now => {
                stop.killed = true;
                actions.push(Action::Kill);
            }
            Some(stop) if stop.again_at.is_some_and(|at| at <= now) => {
                stop.again_at = None;
                actions.push(Action::Interrupt(current.task.token));
            }
            _ => {}
        }
    }

    fn close(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        self.phase = Phase::Closing;
        let verdict = if self.violated { Verdict::Violation } else { Verdict::Closed };
        self.drop_queue(verdict, actions);
        actions.push(Action::Teardown);
    }

    fn drop_queue(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        actions.extend(self.queue.drain(..).map(|task| Action::End(task.token, verdict, State::Kept)));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
