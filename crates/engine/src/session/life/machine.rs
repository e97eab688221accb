//! The machine itself: what it remembers, and what happens to it.

use super::types::{Action, Event, PendingRevert, Phase, Refusal, State, Task, TaskKind, Token, Verdict, Why};
use crate::clock::Time;
use crate::session::timeline::{Bounds, Mark, Role, Timeline};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    pub(super) task: Task,
    /// The mark that was made for it.
    pub(super) mark: Option<Mark>,
    /// Whether it runs even when that mark cannot be made.
    pub(super) optional: bool,
    /// Whether it began the explicit transaction.
    pub(super) began: bool,
    pub(super) deadline: Option<Time>,
    pub(super) stop: Option<Stop>,
    /// Whether the worker has done its part, and the branches are being made from what it forked.
    pub(super) splitting: bool,
    /// Whether who asked for it is gone with a supervisor.
    pub(super) abandoned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) timed_out: bool,
    /// When to send SIGINT once more: the first may have come where it could not take hold, between two tasks of an
    /// event loop, say. None when that was done.
    pub(super) again_at: Option<Time>,
    pub(super) kill_at: Time,
    pub(super) killed: bool,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(super) phase: Phase,
    pub(super) queue: VecDeque<Task>,
    pub(super) current: Option<Current>,
    /// The return that is under way. Nothing is sent meanwhile.
    pub(super) reverting: Option<PendingRevert>,
    pub(super) timeline: Timeline,
    pub(super) grace: Duration,
    pub(super) limit: usize,
    pub(super) violated: bool,
    /// Whether this worker was given anything to do: else its death loses nothing.
    pub(super) used: bool,
    /// Whether an execution has begun since the newest mark.
    pub(super) dirty: bool,
    pub(super) lost_unseen: bool,
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

    /// The mark that is made for what the worker has, and whether it executes code.
    pub(crate) fn current_task(&self) -> Option<(Token, Option<Mark>, TaskKind)> {
        self.current.map(|current| (current.task.token, current.mark, current.task.kind))
    }

    /// Another supervisor has the session from now on. Who asked for anything but executions is gone with the one before:
    /// what waits of that is dropped, and what runs is brought to an end that needs nobody. Returns the tokens of executions
    /// that wait.
    pub(crate) fn taken_over(&mut self) -> Vec<Token> {
        self.queue.retain(|task| task.kind == TaskKind::Execute);
        if let Some(current) = &mut self.current {
            current.abandoned = current.task.kind != TaskKind::Execute;
        }
        self.queued().collect()
    }

    /// The branching whose worker has done its part.
    pub(crate) fn splitting(&self) -> Option<Token> {
        self.current.filter(|current| current.splitting).map(|current| current.task.token)
    }

    /// Whether what runs is being killed.
    pub(crate) fn is_killing(&self) -> bool {
        self.current.and_then(|current| current.stop).is_some_and(|stop| stop.killed)
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
        self.reverting.as_ref().map(PendingRevert::token)
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
    pub(crate) fn deadline(&self) -> Option<Time> {
        let Some(current) = self.current.filter(|current| !current.splitting) else {
            let waits = self.phase == Phase::Ready && self.reverting.is_none() && self.current.is_none();
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
    pub(crate) fn submit(&mut self, task: Task, now: Time) -> Result<Vec<Action>, Refusal> {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return Err(Refusal::Closed);
        }
        // What will be refused changes nothing, and stops nothing.
        if let Some(why) = self.refuses(&task) {
            return Ok(vec![Action::End(task.token, Verdict::Refused(why), State::Kept)]);
        }
        // To go back to a snapshot is what one does about it.
        let cures = matches!(task.kind, TaskKind::RollbackTo(_) | TaskKind::Restore | TaskKind::Settle);
        if std::mem::take(&mut self.lost_unseen) && !cures {
            return Err(Refusal::Lost);
        }
        if self.queue.len() >= self.limit && !cures {
            return Err(Refusal::Full);
        }
        let mut actions = Vec::new();
        if matches!(task.kind, TaskKind::RollbackTo(_) | TaskKind::Restore) {
            self.drop_queue(Verdict::Cancelled, &mut actions);
            self.stop(false, now, &mut actions);
        }
        self.queue.push_back(task);
        self.turn(now, &mut actions);
        Ok(actions)
    }

    /// Why a task that stops what runs will not be done, as far as can be known now.
    fn refuses(&self, task: &Task) -> Option<Why> {
        let TaskKind::RollbackTo(mark) = task.kind else { return None };
        if task.transaction.is_some() && self.timeline.open().map(|open| open.number) != task.transaction {
            return Some(Why::NoTransaction);
        }
        self.timeline.roles(mark).is_none().then_some(Why::NoSnapshot)
    }

    /// Takes a task that comes before all others, while the worker is being started again.
    pub(crate) fn submit_first(&mut self, task: Task) {
        debug_assert_eq!(self.phase, Phase::Respawning);
        self.queue.push_front(task);
    }

    /// Takes an event.
    pub(crate) fn handle(&mut self, event: Event, now: Time) -> Vec<Action> {
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
            Event::Undelivered { token } => self.undelivered(token, now, &mut actions),
            Event::Split { token } => self.split(token, now, &mut actions),
            Event::Exited => self.exited(&mut actions),
            Event::Violation => self.violation(&mut actions),
            Event::Reverted => self.reverted(now, &mut actions),
            Event::RevertFailed { dead } => self.revert_failed(dead, now, &mut actions),
            Event::Interrupt => self.stop(false, now, &mut actions),
            Event::Cancel(token) => self.cancel(token, now, &mut actions),
            Event::DropMark(mark) => {
                if self.timeline.take(mark, Role::Named) {
                    actions.push(Action::Drop(vec![mark]));
                }
            }
            Event::Hold(mark) => drop(self.timeline.add(mark, Role::Saving)),
            Event::Release(mark) => {
                if self.timeline.take(mark, Role::Saving) {
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

    pub(super) fn violation(&mut self, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Closing | Phase::Closed) {
            self.violated = true;
            self.close(actions);
        }
    }

    fn stop(&mut self, timed_out: bool, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let grace = self.grace;
        let Some(current) = &mut self.current else { return };
        if current.splitting {
            // The worker has nothing to do with it any more.
            return;
        }
        match &current.stop {
            Some(stop) if stop.killed => return,
            // Asked again: the code may have swallowed the first.
            Some(_) => {}
            None => {
                let again_at = Some(now.after(grace / 2));
                current.stop = Some(Stop { timed_out, again_at, kill_at: now.after(grace), killed: false });
            }
        }
        actions.push(Action::Interrupt(current.task.token));
    }

    fn cancel(&mut self, token: Token, now: Time, actions: &mut Vec<Action>) {
        if self.current() == Some(token) {
            return self.stop(false, now, actions);
        }
        if let Some(at) = self.queue.iter().position(|task| task.token == token) {
            self.queue.remove(at);
            actions.push(Action::End(token, Verdict::Cancelled, State::Kept));
        }
    }

    fn timer(&mut self, now: Time, actions: &mut Vec<Action>) {
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

    pub(super) fn drop_queue(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        actions.extend(self.queue.drain(..).map(|task| Action::End(task.token, verdict, State::Kept)));
    }
}
