//! Transactions, snapshots, undo, branches, checkpoints: what clients ask of the session's state.

use super::branches::BRANCHES;
use super::run::QUERY_LIMIT;
use super::state::{SessionTask, Then};
use crate::clock::Time;
use crate::messages;
use crate::session::failures;
use crate::session::life::{Event, SnapshotPurpose, State, Task, TaskKind, Token, Verdict, Why};
use crate::session::mailbox::Operation;
use crate::session::snapshots::{Awaited, Reverted, bounded};
use crate::session::tickets::{PendingOperation, Ticket};
use pyrepl3_protocol::message::{RolledBack, SnapshotKind};
use pyrepl3_protocol::{Code, Failure};
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

/// Characters of a snapshot's name.
const NAME: usize = 200;
/// Warnings that are told of one snapshot.
pub(super) const WARNINGS: usize = 30;

impl SessionTask {
    pub(super) fn operate(&mut self, operation: Operation) {
        if let Operation::Checkpoint { .. } = &operation
            && let Some(mark) = self.mark_before_what_runs()
            && let Operation::Checkpoint { request, reply } = operation
        {
            self.feed(Event::Hold(mark));
            return self.begin_saving(mark, request, reply, Instant::now(), None);
        }
        let kind = match self.kind_of(&operation) {
            Ok(kind) => kind,
            Err(failure) => return operation.refuse(failure),
        };
        let transaction = match &operation {
            Operation::Commit { transaction, .. }
            | Operation::Rollback { transaction, .. }
            | Operation::Savepoint { transaction, .. }
            | Operation::RollbackTo { transaction, .. } => transaction.as_deref().map(|id| self.transaction_number(id)),
            _ => None,
        };
        let token = self.tickets.token();
        // A restore takes as long as what it loads, and can be interrupted.
        let freezes = matches!(kind, TaskKind::Freeze(_) | TaskKind::Branch | TaskKind::Undo | TaskKind::Redo);
        let timeout = freezes.then_some(QUERY_LIMIT);
        let task = Task { timeout, transaction, ..Task::new(token, kind) };
        match self.machine.submit(task, Time::now()) {
            Ok(actions) => {
                let pending = PendingOperation::new(operation);
                self.tickets.insert(token, Ticket::Operate(Box::new(pending)));
                self.perform(actions);
            }
            Err(refusal) => operation.refuse(self.refusal(refusal)),
        }
    }

    fn kind_of(&self, operation: &Operation) -> Result<TaskKind, Failure> {
        Ok(match operation {
            Operation::Begin { timeout, .. } => TaskKind::Freeze(SnapshotPurpose::Begin(*timeout)),
            Operation::Commit { .. } => TaskKind::Commit,
            Operation::Rollback { .. } => TaskKind::Rollback,
            Operation::Savepoint { .. } => TaskKind::Freeze(SnapshotPurpose::Savepoint),
            Operation::Snapshot { name, .. } => {
                let unfit = |name: &String| {
                    name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control)
                };
                if name.as_ref().is_some_and(unfit) {
                    return Err(Failure::new(
                        Code::BadRequest,
                        "the snapshot's name cannot be used",
                        format!("a name has 1 to {NAME} characters, and no control characters"),
                        "choose another, or none",
                    ));
                }
                TaskKind::Freeze(SnapshotPurpose::Named)
            }
            Operation::RollbackTo { snapshot, .. } => {
                let mark = self.snapshots.mark_of(snapshot);
                TaskKind::RollbackTo(mark.ok_or_else(|| failures::refused(Why::NoSnapshot, None))?)
            }
            Operation::Undo { .. } => TaskKind::Undo,
            Operation::Redo { .. } => TaskKind::Redo,
            Operation::Branch { count, .. } => {
                if *count == 0 || *count > BRANCHES {
                    return Err(Failure::new(
                        Code::BadRequest,
                        format!("a session cannot be split into {count} branches at once"),
                        format!("1 to {BRANCHES} can be made at once"),
                        "ask for fewer",
                    ));
                }
                TaskKind::Branch
            }
            Operation::Checkpoint { .. } => TaskKind::Freeze(SnapshotPurpose::Checkpoint),
            Operation::Restore { .. } => TaskKind::Restore,
            Operation::Settle { .. } => TaskKind::Settle,
            Operation::Save => TaskKind::Save,
        })
    }

    /// Answers an operation, or goes on with what it needs beside the worker.
    pub(super) fn end_operation(&mut self, pending: PendingOperation, verdict: Verdict, state: State) {
        let done = matches!(verdict, Verdict::Done | Verdict::Begun(_) | Verdict::Reported);
        match pending.operation {
            Operation::Checkpoint { request, reply } if verdict == Verdict::Done => match pending.mark {
                Some(mark) => self.begin_saving(mark, request, reply, pending.asked, pending.sent),
                None => _ = reply.send(Err(self.why_not(verdict, state))),
            },
            Operation::Restore { .. } if !matches!(verdict, Verdict::Refused(_) | Verdict::Cancelled) => {
                self.end_restore(pending, verdict, state);
            }
            Operation::Begin { reply, .. } => {
                let answer = match verdict {
                    Verdict::Begun(number) => Ok(self.transaction_id(number)),
                    _ => Err(self.why_not(verdict, state)),
                };
                _ = reply.send(answer);
            }
            Operation::Commit { reply, .. } | Operation::Settle { reply } => {
                self.snapshots.last = None;
                _ = reply.send(if done { Ok(()) } else { Err(self.why_not(verdict, state)) });
            }
            Operation::Undo { reply } => _ = reply.send(self.rolled_back("undo", pending.asked, verdict, state)),
            Operation::Redo { reply } => _ = reply.send(self.rolled_back("redo", pending.asked, verdict, state)),
            Operation::Rollback { reply, .. } => {
                _ = reply.send(self.rolled_back("rollback", pending.asked, verdict, state));
            }
            Operation::RollbackTo { reply, .. } => {
                _ = reply.send(self.rolled_back("rollback_to", pending.asked, verdict, state));
            }
            Operation::Savepoint { .. } | Operation::Snapshot { .. } if done => match pending.mark {
                Some(mark) => {
                    // The worker went on when it answered; that the frozen process is there may be heard later.
                    let paused = pending.sent.map_or(Duration::ZERO, |sent| sent.elapsed());
                    self.snapshots.wait(Awaited::Confirm(mark, Then::Answer(Box::new(pending), paused)));
                    self.go_on_with_snapshots();
                }
                None => pending.operation.refuse(self.why_not(verdict, state)),
            },
            operation => operation.refuse(self.why_not(verdict, state)),
        }
    }

    /// Answers who asked for a snapshot, once it is known whether its process is there.
    pub(super) fn answer_snapshot(&mut self, pending: PendingOperation, paused: Duration) {
        let Some(mark) = pending.mark else { return };
        let kind = self.kind_of_mark(mark);
        let there = self.snapshots.get(mark).filter(|frozen| frozen.process().is_some());
        let answer = match there {
            Some(frozen) => Ok(messages::snapshot_created(
                self.id(),
                &frozen.id,
                frozen.name.clone(),
                kind,
                pending.warnings,
                paused,
                frozen.applied.last().unwrap_or(0),
            )),
            // A return has undone it before it was known to be there.
            None if self.machine.timeline().roles(mark).is_none() => Err(failures::stopped()),
            None => {
                self.later.push_back(Event::DropMark(mark));
                Err(Failure::new(
                    Code::SnapshotRefused,
                    "no snapshot could be taken",
                    "its process ended before it was ready",
                    "code may have changed a module that it needs (os, json); the session is as it was",
                ))
            }
        };
        match pending.operation {
            Operation::Savepoint { reply, .. } | Operation::Snapshot { reply, .. } => _ = reply.send(answer),
            _ => {}
        }
    }

    fn rolled_back(
        &mut self,
        reason: &str,
        asked: Instant,
        verdict: Verdict,
        state: State,
    ) -> Result<RolledBack, Failure> {
        let undone = verdict == Verdict::Done && state == State::Undone;
        match self.snapshots.last.take_if(|_| undone) {
            Some(mut reverted) => {
                reverted.took = asked.elapsed();
                if let Some((why, _)) = self.unfrozen.take() {
                    self.warn_session(format!("What was undone cannot be redone: {why}"));
                }
                Ok(reverted.message(self.id(), self.known(&reverted), reason.to_owned()))
            }
            None => Err(self.why_not(verdict, state)),
        }
    }

    /// Why an operation was not done.
    fn why_not(&mut self, verdict: Verdict, state: State) -> Failure {
        match verdict {
            Verdict::Refused(why) => failures::refused(why, self.unfrozen.take()),
            Verdict::Killed { .. } | Verdict::Crashed => {
                failures::died("the worker died on the way", self.how_it_died(), state)
            }
            Verdict::Cancelled | Verdict::CancelledByError => Failure::new(
                Code::Interrupted,
                "it was cancelled before its turn came",
                "a return to a snapshot cancels what waits",
                "",
            ),
            Verdict::Interrupted | Verdict::TimedOut => failures::stopped(),
            _ => self.why_closed(),
        }
    }

    /// How the worker's process ended, and what is back.
    fn how_it_died(&mut self) -> String {
        let how = self.exit_in_words();
        match self.snapshots.last.take() {
            Some(reverted) => format!("it {how}. {}", reverted.report),
            None => how,
        }
    }

    /// The snapshot that a return went to, if clients know it.
    fn known(&self, reverted: &Reverted) -> Option<String> {
        self.snapshots.mark_of(&reverted.id).map(|_| reverted.id.clone())
    }

    /// What the worker says of an operation: of the snapshot that it took, or of what it restored.
    pub(super) fn note_reply(&mut self, token: Token, data: &RawValue) {
        #[derive(serde::Deserialize)]
        struct Taken {
            #[serde(default)]
            warnings: Vec<String>,
        }
        let Some(pending) = self.tickets.operation_mut(token) else { return };
        if matches!(pending.operation, Operation::Restore { .. }) {
            return pending.restoring.note_recovered(data);
        }
        if let Ok(taken) = serde_json::from_str::<Taken>(data.get()) {
            pending.warnings = taken.warnings.iter().take(WARNINGS).map(|text| bounded(text)).collect();
        }
    }

    pub(super) fn kind_of_mark(&self, mark: u64) -> SnapshotKind {
        super::reverts::kind(self.machine.timeline().roles(mark))
    }
}
