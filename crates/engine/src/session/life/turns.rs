//! What a task does when its turn has come, and when the worker says that it ended.

use super::machine::{Current, Machine};
use super::types::{Action, For, Phase, Said, SnapshotPurpose, State, Task, TaskKind, Token, Verdict, Why, drop_marks};
use crate::clock::Time;
use crate::session::timeline::{Mark, NoRoom, Role, Target};
use pyrepl3_protocol::message::TransactionPolicy;

impl Machine {
    /// Gives the worker the next task that needs it; those that do not are done on the way.
    pub(super) fn turn(&mut self, now: Time, actions: &mut Vec<Action>) {
        while self.phase == Phase::Ready
            && self.current.is_none()
            && self.reverting.is_none()
            && let Some(task) = self.queue.pop_front()
        {
            if let Err(why) = self.begin_task(task, now, actions) {
                actions.push(Action::End(task.token, Verdict::Refused(why), State::Kept));
            }
        }
    }

    fn begin_task(&mut self, task: Task, now: Time, actions: &mut Vec<Action>) -> Result<(), Why> {
        let open = self.timeline.open();
        if task.transaction.is_some() && open.map(|open| open.number) != task.transaction {
            return Err(Why::NoTransaction);
        }
        self.timeline.touch(now);
        match task.kind {
            TaskKind::Query | TaskKind::Save => self.send(task, None, now, actions),
            TaskKind::Execute => self.begin_execution(task, now, actions)?,
            TaskKind::Branch => {
                self.give(task, None, now);
                actions.push(Action::Branch(task.token));
            }
            TaskKind::Freeze(purpose) => {
                let role = match purpose {
                    SnapshotPurpose::Named => Role::Named,
                    SnapshotPurpose::Savepoint if open.is_none() => return Err(Why::NoTransaction),
                    SnapshotPurpose::Savepoint => Role::Savepoint,
                    SnapshotPurpose::Begin(_) if open.is_some() => return Err(Why::TransactionOpen),
                    SnapshotPurpose::Begin(_) => Role::Begin,
                    SnapshotPurpose::Checkpoint => Role::Saving,
                };
                let mark = self.mark(role, None, actions)?;
                self.send(task, Some(mark), now, actions);
            }
            TaskKind::Restore => {
                let mark = self.mark(Role::Guard, None, actions)?;
                drop_marks(self.timeline.clear_redo(), actions);
                self.send(task, Some(mark), now, actions);
                self.used = true;
                self.dirty = true;
            }
            TaskKind::Commit => {
                if open.is_none() {
                    return Err(Why::NoTransaction);
                }
                let gone = self.timeline.commit();
                drop_marks(gone, actions);
                actions.push(Action::End(task.token, Verdict::Done, State::Kept));
            }
            TaskKind::Rollback => {
                let mark = self.timeline.begin_mark().ok_or(Why::NoTransaction)?;
                drop_marks(self.timeline.clear_redo(), actions);
                let back = self.timeline.revert_to(mark, Some(Role::Begin));
                self.revert(back, For::Operation(task.token), actions);
            }
            TaskKind::RollbackTo(mark) => {
                if self.timeline.roles(mark).is_none() {
                    return Err(Why::NoSnapshot);
                }
                drop_marks(self.timeline.clear_redo(), actions);
                let back = self.timeline.revert_to(mark, None);
                self.revert(back, For::Operation(task.token), actions);
            }
            TaskKind::Undo => {
                // Inside what is to be undone, the present is frozen first: redo returns to it.
                let target = self.timeline.undo_mark().ok_or(Why::NothingToUndo)?;
                let mark = self.mark(Role::Redo, Some(target), actions)?;
                self.send(task, Some(mark), now, actions);
            }
            TaskKind::Redo => {
                let target = self.timeline.redo_mark().ok_or(Why::NothingToRedo)?;
                let mark = self.mark(Role::Undo, Some(target), actions)?;
                self.send(task, Some(mark), now, actions);
            }
            TaskKind::Settle => match self.timeline.begin_mark() {
                Some(mark) => {
                    let back = self.timeline.revert_to(mark, Some(Role::Begin));
                    self.revert(back, For::Settle(task.token), actions);
                }
                None => {
                    drop_marks(self.timeline.clear(), actions);
                    actions.push(Action::End(task.token, Verdict::Done, State::Kept));
                }
            },
        }
        Ok(())
    }

    fn begin_execution(&mut self, task: Task, now: Time, actions: &mut Vec<Action>) -> Result<(), Why> {
        let explicit = task.policy == TransactionPolicy::Explicit;
        let begins = explicit && self.timeline.open().is_none();
        let guards = task.policy != TransactionPolicy::CommitAlways;
        let undo = self.timeline.has_undo();
        let mark = match guards || undo {
            true => match self.mark(Role::Guard, None, actions) {
                // That nothing can be undone is no reason not to run.
                Err(_) if !guards => None,
                mark => Some(mark?),
            },
            false => None,
        };
        let no_undo = undo && mark.is_none();
        drop_marks(self.timeline.clear_redo(), actions);
        if begins && let Some(mark) = mark {
            self.timeline.begin(mark, None, now);
        }
        self.send(task, mark, now, actions);
        if no_undo {
            actions.push(Action::NoUndo);
        }
        if let Some(current) = &mut self.current {
            current.began = begins;
            current.optional = !guards;
        }
        self.used = true;
        self.dirty = true;
        Ok(())
    }

    fn mark(&mut self, role: Role, target: Option<Mark>, actions: &mut Vec<Action>) -> Result<Mark, Why> {
        let (mark, evicted) = self.timeline.make(role, target).map_err(|NoRoom| Why::NoRoom)?;
        if !evicted.is_empty() {
            actions.push(Action::Evict(evicted));
        }
        Ok(mark)
    }

    fn send(&mut self, task: Task, mark: Option<Mark>, now: Time, actions: &mut Vec<Action>) {
        self.give(task, mark, now);
        actions.push(Action::Send(task.token, mark));
    }

    fn give(&mut self, task: Task, mark: Option<Mark>, now: Time) {
        let deadline = task.timeout.map(|timeout| now.after(timeout));
        self.current = Some(Current {
            task,
            mark,
            optional: false,
            began: false,
            deadline,
            stop: None,
            splitting: false,
            abandoned: false,
        });
    }

    /// The worker says that a task ended.
    pub(super) fn ended(&mut self, token: Token, said: Said, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let fits = self.current.filter(|current| !current.splitting).filter(|current| {
            let executes = current.task.kind == TaskKind::Execute;
            let fits = match said {
                Said::Result | Said::Error => executes,
                Said::Reply => !executes,
                Said::Unfrozen => current.mark.is_some() || current.task.kind == TaskKind::Branch,
                Said::Unrestored => current.task.kind == TaskKind::Restore,
            };
            current.task.token == token && fits
        });
        let Some(current) = fits else { return self.violation(actions) };
        if current.stop.is_some_and(|stop| stop.killed) {
            // It ended just before SIGKILL hit, but its process is dying: the exit tells what became of it.
            return;
        }
        self.timeline.touch(now);
        if current.task.kind == TaskKind::Branch && said == Said::Reply {
            // Nothing else is sent before they are made: a return would end them on the way.
            self.current = Some(Current { splitting: true, deadline: None, stop: None, ..current });
            return actions.push(Action::Split(token));
        }
        self.current = None;
        if said == Said::Unfrozen {
            self.unfrozen(&current, now, actions);
        } else if current.task.kind == TaskKind::Execute {
            self.executed(&current, said, actions);
        } else {
            self.operated(&current, said, now, actions);
        }
        self.turn(now, actions);
    }

    /// The branches have been made, or could not be.
    pub(super) fn split(&mut self, token: Token, now: Time, actions: &mut Vec<Action>) {
        if self.current.is_some_and(|current| current.splitting && current.task.token == token) {
            self.current = None;
            self.timeline.touch(now);
            actions.push(Action::End(token, Verdict::Done, State::Kept));
            self.turn(now, actions);
        }
    }

    /// The worker never got what it was to do: it did not happen.
    pub(super) fn undelivered(&mut self, token: Token, now: Time, actions: &mut Vec<Action>) {
        let fits = self.current.take_if(|current| current.task.token == token && !current.splitting);
        let Some(current) = fits else { return };
        if let Some(mark) = current.mark {
            if current.began {
                drop_marks(self.timeline.commit(), actions);
            }
            self.timeline.forget(mark);
            actions.push(Action::Drop(vec![mark]));
        }
        actions.push(Action::End(token, Verdict::Cancelled, State::Kept));
        self.turn(now, actions);
    }

    /// There is no snapshot, so what needed it does not happen. An undo does, without a present to come back to; and a
    /// checkpoint, which the worker writes itself while it waits.
    fn unfrozen(&mut self, current: &Current, now: Time, actions: &mut Vec<Action>) {
        if let Some(mark) = current.mark {
            if current.began {
                drop_marks(self.timeline.commit(), actions);
            }
            self.timeline.forget(mark);
            actions.push(Action::Drop(vec![mark]));
        }
        let token = current.task.token;
        if current.task.kind == TaskKind::Undo
            && let Some(mark) = self.timeline.undo_mark()
        {
            // What cannot be frozen, memory that is full, say, is what people want to leave.
            drop_marks(self.timeline.clear_redo(), actions);
            let back = self.timeline.revert_to(mark, Some(Role::Undo));
            return self.revert(back, For::Operation(token), actions);
        }
        if current.task.kind == TaskKind::Freeze(SnapshotPurpose::Checkpoint)
            && current.stop.is_none()
            && !current.abandoned
        {
            let task = Task { kind: TaskKind::Save, timeout: None, ..current.task };
            return self.send(task, None, now, actions);
        }
        actions.push(Action::End(token, Verdict::Refused(Why::Unfrozen), State::Kept));
    }

    /// There is no snapshot, and the task that could have had one runs.
    pub(super) fn unmarked(&mut self, token: Token, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let fits = self.current.as_mut().filter(|current| current.task.token == token && current.optional);
        let Some(mark) = fits.and_then(|current| current.mark.take()) else { return self.violation(actions) };
        self.timeline.forget(mark);
        actions.push(Action::Drop(vec![mark]));
    }

    fn executed(&mut self, current: &Current, said: Said, actions: &mut Vec<Action>) {
        let verdict = match current.stop {
            Some(stop) if stop.timed_out => Verdict::TimedOut,
            // User code swallowed the interrupt and completed: that is a success.
            Some(_) if said == Said::Error => Verdict::Interrupted,
            _ => Verdict::Reported,
        };
        let failed = verdict == Verdict::TimedOut || (verdict == Verdict::Reported && said == Said::Error);
        let undoes = match current.task.policy {
            TransactionPolicy::CommitAlways | TransactionPolicy::Explicit => false,
            TransactionPolicy::CommitOnSuccess => failed || verdict == Verdict::Interrupted,
            TransactionPolicy::RollbackOnFailure => failed,
        };
        let stops = current.task.stop_on_error && (said == Said::Error || verdict == Verdict::TimedOut);
        let token = current.task.token;
        match current.mark {
            Some(mark) if undoes => {
                let back = self.timeline.revert_to(mark, Some(Role::Guard));
                self.revert(back, For::Execution { token, verdict, stops }, actions);
            }
            mark => {
                if let Some(mark) = mark {
                    self.keep_for_undo(mark, actions);
                }
                actions.push(Action::End(token, verdict, State::Kept));
                if stops {
                    self.drop_queue(Verdict::CancelledByError, actions);
                }
            }
        }
    }

    /// The mark before something that is kept: a step of undo, where the session has them.
    fn keep_for_undo(&mut self, mark: Mark, actions: &mut Vec<Action>) {
        if self.timeline.has_undo() {
            // That it forgets its oldest steps is what its limit is for: no eviction.
            drop_marks(self.timeline.add(mark, Role::Undo), actions);
        }
        if self.timeline.take(mark, Role::Guard) {
            actions.push(Action::Drop(vec![mark]));
        }
    }

    /// The worker has done its part of an operation.
    fn operated(&mut self, current: &Current, said: Said, now: Time, actions: &mut Vec<Action>) {
        let token = current.task.token;
        let verdict = match (current.task.kind, current.mark) {
            (TaskKind::Freeze(SnapshotPurpose::Begin(timeout)), Some(mark)) => {
                self.dirty = false;
                Verdict::Begun(self.timeline.begin(mark, timeout, now))
            }
            (TaskKind::Freeze(SnapshotPurpose::Checkpoint), Some(mark)) if current.abandoned => {
                // Nobody would save it.
                self.timeline.forget(mark);
                actions.push(Action::Drop(vec![mark]));
                Verdict::Done
            }
            (TaskKind::Freeze(SnapshotPurpose::Checkpoint), _) => Verdict::Done,
            (TaskKind::Freeze(_), _) => {
                self.dirty = false;
                Verdict::Done
            }
            // What an abandoned one has brought back nobody knows any more.
            (TaskKind::Restore, Some(mark)) if said == Said::Unrestored || current.abandoned => {
                let back = self.timeline.revert_to(mark, Some(Role::Guard));
                return self.revert(back, For::Operation(token), actions);
            }
            (TaskKind::Restore, Some(mark)) => {
                self.keep_for_undo(mark, actions);
                Verdict::Reported
            }
            (TaskKind::Undo, _) => match self.timeline.undo_mark() {
                Some(mark) => {
                    let back = self.timeline.revert_to(mark, Some(Role::Undo));
                    return self.revert(back, For::Operation(token), actions);
                }
                None => self.without_target(current, Why::NothingToUndo, actions),
            },
            (TaskKind::Redo, _) => match self.timeline.redo_mark() {
                Some(mark) => {
                    self.timeline.take(mark, Role::Redo);
                    let back = Target { mark, keep: false, discard: Vec::new() };
                    return self.revert(back, For::Operation(token), actions);
                }
                None => self.without_target(current, Why::NothingToRedo, actions),
            },
            _ => Verdict::Reported,
        };
        actions.push(Action::End(token, verdict, State::Kept));
    }
}

impl Machine {
    /// What it was to return to had to go meanwhile, so that the mark for the way back is of no use.
    fn without_target(&mut self, current: &Current, why: Why, actions: &mut Vec<Action>) -> Verdict {
        if let Some(mark) = current.mark {
            self.timeline.forget(mark);
            actions.push(Action::Drop(vec![mark]));
        }
        Verdict::Refused(why)
    }
}
