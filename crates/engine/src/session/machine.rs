//! The life of a session, as a pure state machine: `(state, event, now) → (state, actions)`.
//!
//! It knows tokens and times, no processes, no payloads. The actor performs its actions and feeds it events.
//!
//! ```text
//! Starting -- Up -------> Ready -- Close -----> Closing -- Gone --> Closed
//!     |                   |   ^                    ^
//!     |                Exited Up                   |
//!     |                   v   |                    |
//!     |                 Respawning -- Failed ------|
//!     +-- Failed, Violation (from any) ------------+
//!
//! a task:   queued -- turn --> sent -- Ended --> reported
//!                                |-- Interrupt, deadline --> interrupted -- grace/2 --> interrupted once more
//!                                                                        -- grace --> killed -- Exited --> ended
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Names a task to the machine.
pub(crate) type Token = u64;

/// What kind of end a task can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs code; ends with a result or an error.
    Execute,
    /// Asks the worker; ends with a reply.
    Query,
}

/// Something for the worker to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) token: Token,
    pub(crate) kind: Kind,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop_on_error: bool,
}

/// How the worker says that a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Result,
    Error,
    Reply,
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
    /// The worker's process ended; all that it said was told before.
    Exited,
    /// The worker broke the protocol, or its session init is gone.
    Violation,
    /// A client interrupts what runs.
    Interrupt,
    /// A client cancels a task.
    Cancel(Token),
    /// A time that [`Machine::deadline`] named has come.
    Timer,
    /// The session is to end.
    Close,
    /// Nothing of the session is left.
    Gone,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give a task to the worker.
    Send(Token),
    /// Tell the worker which task is meant, and send SIGINT.
    Interrupt(Token),
    /// Send SIGKILL to the worker.
    Kill,
    /// A task has ended; tell its client how.
    End(Token, Verdict),
    /// The worker died: tell that the state is lost.
    Lost { running: bool },
    /// Start another worker in the same session.
    Respawn,
    /// End every process of the session.
    Teardown,
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
    grace: Duration,
    limit: usize,
    violated: bool,
    /// Whether this worker was given anything to do: else its death loses nothing.
    used: bool,
    lost_unseen: bool,
}

impl Machine {
    /// A session whose worker is being started. `grace`: between SIGINT and SIGKILL; `limit`: tasks that may wait.
    pub(crate) fn new(grace: Duration, limit: usize) -> Self {
        Machine {
            phase: Phase::Starting,
            queue: VecDeque::new(),
            current: None,
            grace,
            limit,
            violated: false,
            used: false,
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

    /// Whether what runs is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.current.is_some_and(|current| current.stop.is_some())
    }

    /// Tasks that wait.
    pub(crate) fn queued(&self) -> impl Iterator<Item = Token> + '_ {
        self.queue.iter().map(|task| task.token)
    }

    /// When to feed [`Event::Timer`] next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let current = self.current?;
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
        if std::mem::take(&mut self.lost_unseen) {
            return Err(Refusal::Lost);
        }
        if self.queue.len() >= self.limit {
            return Err(Refusal::Full);
        }
        self.queue.push_back(task);
        let mut actions = Vec::new();
        self.turn(now, &mut actions);
        Ok(actions)
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
            Event::Exited => self.exited(&mut actions),
            Event::Violation => self.violation(&mut actions),
            Event::Interrupt => self.stop(false, now, &mut actions),
            Event::Cancel(token) => self.cancel(token, now, &mut actions),
            Event::Timer => self.timer(now, &mut actions),
            Event::Close => self.close(&mut actions),
            Event::Gone => {
                if let Some(current) = self.current.take() {
                    let verdict = if self.violated { Verdict::Violation } else { Verdict::Closed };
                    actions.push(Action::End(current.task.token, verdict));
                }
                self.drop_queue(Verdict::Closed, &mut actions);
                self.phase = Phase::Closed;
            }
        }
        actions
    }

    fn turn(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase == Phase::Ready
            && self.current.is_none()
            && let Some(task) = self.queue.pop_front()
        {
            let deadline = task.timeout.and_then(|timeout| now.checked_add(timeout));
            self.current = Some(Current { task, deadline, stop: None });
            self.used |= task.kind == Kind::Execute;
            actions.push(Action::Send(task.token));
        }
    }

    fn ended(&mut self, token: Token, said: Said, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let fits = self.current.filter(|current| {
            current.task.token == token && (current.task.kind == Kind::Query) == (said == Said::Reply)
        });
        let Some(current) = fits else { return self.violation(actions) };
        let verdict = match current.stop {
            Some(stop) if stop.timed_out => Verdict::TimedOut,
            // User code swallowed the interrupt and completed: that is a success.
            Some(_) if said == Said::Error => Verdict::Interrupted,
            _ => Verdict::Reported,
        };
        if current.stop.is_some_and(|stop| stop.killed) {
            // It ended just before SIGKILL hit, but its process is dying: the exit tells what became of it.
            return;
        }
        self.current = None;
        actions.push(Action::End(token, verdict));
        if current.task.stop_on_error && (said == Said::Error || verdict == Verdict::TimedOut) {
            self.drop_queue(Verdict::CancelledByError, actions);
        }
        self.turn(now, actions);
    }

    fn exited(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Closing | Phase::Closed => {}
            Phase::Starting | Phase::Respawning => self.close(actions),
            Phase::Ready => {
                let current = self.current.take();
                if let Some(current) = current {
                    let verdict = match current.stop {
                        Some(stop) => Verdict::Killed { timed_out: stop.timed_out },
                        None => Verdict::Crashed,
                    };
                    actions.push(Action::End(current.task.token, verdict));
                    if current.task.stop_on_error {
                        self.drop_queue(Verdict::CancelledByError, actions);
                    }
                } else {
                    self.lost_unseen = self.used && self.queue.is_empty();
                }
                self.used = false;
                self.phase = Phase::Respawning;
                actions.push(Action::Lost { running: current.is_some() });
                actions.push(Action::Respawn);
            }
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
            actions.push(Action::End(token, Verdict::Cancelled));
        }
    }

    fn timer(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let Some(current) = &mut self.current else { return };
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
        actions.extend(self.queue.drain(..).map(|task| Action::End(task.token, verdict)));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
