//! How the session goes back to a mark: because a task asked for it, because an execution is undone, because the worker
//! died, because the open transaction's time is up.

use super::machine::Machine;
use super::types::{Action, Cause, For, PendingRevert, Phase, State, TaskKind, Verdict, Why, drop_marks};
use crate::clock::Time;
use crate::session::timeline::{Role, Target};

impl Machine {
    pub(super) fn revert(&mut self, back: Target, purpose: For, actions: &mut Vec<Action>) {
        self.reverting = Some(PendingRevert { mark: back.mark, discard: back.discard.clone(), purpose });
        actions.push(Action::Revert { mark: back.mark, keep: back.keep, discard: back.discard });
    }

    /// The session is back.
    pub(super) fn reverted(&mut self, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let Some(reverting) = self.reverting.take() else { return self.violation(actions) };
        self.dirty = false;
        match reverting.purpose {
            For::Execution { token, verdict, stops } => {
                actions.push(Action::End(token, verdict, State::Undone));
                if stops {
                    self.drop_queue(Verdict::CancelledByError, actions);
                }
            }
            For::Operation(token) => actions.push(Action::End(token, Verdict::Done, State::Undone)),
            For::Settle(token) => {
                drop_marks(self.timeline.clear(), actions);
                actions.push(Action::End(token, Verdict::Done, State::Undone));
            }
            For::Death { lossy } => {
                self.lost_unseen = lossy && self.queue.is_empty();
                actions.push(Action::CameBack(Cause::Died));
            }
            For::Expiry => actions.push(Action::CameBack(Cause::Expired)),
        }
        self.timeline.touch(now);
        self.turn(now, actions);
    }

    /// The frozen process could not be woken.
    pub(super) fn revert_failed(&mut self, dead: bool, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        let Some(reverting) = self.reverting.take() else { return self.violation(actions) };
        self.timeline.forget(reverting.mark);
        if self.timeline.begin_mark() == Some(reverting.mark) {
            // There is no way back to before the transaction: what is, stays.
            drop_marks(self.timeline.commit(), actions);
        }
        let mut gone = reverting.discard;
        gone.push(reverting.mark);
        drop_marks(gone, actions);
        if dead {
            return self.fall_back(reverting.purpose, actions);
        }
        match reverting.purpose {
            For::Execution { token, verdict, stops } => {
                actions.push(Action::End(token, verdict, State::Stuck));
                if stops {
                    self.drop_queue(Verdict::CancelledByError, actions);
                }
            }
            For::Operation(token) | For::Settle(token) => {
                actions.push(Action::End(token, Verdict::Refused(Why::SnapshotDied), State::Kept));
            }
            For::Death { .. } | For::Expiry => {}
        }
        self.turn(now, actions);
    }

    /// The worker's process ended by itself, or was killed.
    pub(super) fn died(&mut self, actions: &mut Vec<Action>) {
        let Some(current) = self.current.take() else {
            return self.fall_back(For::Death { lossy: self.dirty }, actions);
        };
        let verdict = match current.stop {
            Some(stop) => Verdict::Killed { timed_out: stop.timed_out },
            None => Verdict::Crashed,
        };
        let guarded = matches!(current.task.kind, TaskKind::Execute | TaskKind::Restore);
        // A mark that was about to be made for something else is none.
        if let Some(mark) = current.mark.filter(|_| !guarded) {
            self.timeline.forget(mark);
            actions.push(Action::Drop(vec![mark]));
        }
        let stops = current.task.stop_on_error;
        self.fall_back(For::Execution { token: current.task.token, verdict, stops }, actions);
    }

    /// The worker is gone: back to the newest mark, or else to nothing.
    fn fall_back(&mut self, purpose: For, actions: &mut Vec<Action>) {
        drop_marks(self.timeline.clear_redo(), actions);
        if let Some(mark) = self.timeline.newest() {
            let back = self.timeline.revert_to(mark, Some(Role::Guard));
            return self.revert(back, purpose, actions);
        }
        drop_marks(self.timeline.clear(), actions);
        let running = match purpose {
            For::Execution { token, verdict, stops } => {
                actions.push(Action::End(token, verdict, State::Lost));
                if stops {
                    self.drop_queue(Verdict::CancelledByError, actions);
                }
                true
            }
            For::Operation(token) | For::Settle(token) => {
                actions.push(Action::End(token, Verdict::Crashed, State::Lost));
                true
            }
            For::Death { .. } | For::Expiry => {
                self.lost_unseen = self.used && self.queue.is_empty();
                false
            }
        };
        self.used = false;
        self.dirty = false;
        self.phase = Phase::Respawning;
        actions.push(Action::Lost { running });
        actions.push(Action::Respawn);
    }

    /// Nobody has done anything in the open transaction for too long.
    pub(super) fn expire(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase != Phase::Ready || self.reverting.is_some() {
            return;
        }
        if let Some(open) = self.timeline.open()
            && open.deadline <= now
            && let Some(mark) = self.timeline.begin_mark()
        {
            drop_marks(self.timeline.clear_redo(), actions);
            let back = self.timeline.revert_to(mark, Some(Role::Begin));
            self.revert(back, For::Expiry, actions);
        }
    }
}
