//! Transactions, snapshots, undo and branches: what clients ask, and how it is answered.

use super::checkpoints::{CheckpointRequest, RestoreRequest, Restoring, Stored};
use super::returns::Returned;
use super::{Actor, Pending, QUERY_LIMIT, Reply, branch::BRANCHES};
use crate::session::ends;
use crate::session::frozen::Frozen;
use crate::session::handle::{Session, closed};
use crate::session::machine::{Event, Kind, Purpose, State, Task, Token, Verdict, Why};
use crate::session::messages;
use crate::session::timeline::Mark;
use pyrepl3_protocol::message::{RandomState, Restored, RolledBack, SnapshotCreated, SnapshotKind};
use pyrepl3_protocol::{Code, Failure};
use std::time::{Duration, Instant};

/// Characters of a snapshot's name.
const NAME: usize = 200;

/// Something to do with the session's state.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Begin { timeout: Option<Duration> },
    Commit { transaction: Option<String> },
    Rollback { transaction: Option<String> },
    Savepoint { transaction: Option<String> },
    Snapshot { name: Option<String> },
    ReturnTo { snapshot: String, transaction: Option<String> },
    Undo,
    Redo,
    Branch { count: u32, random: RandomState },
    Checkpoint(CheckpointRequest),
    Restore(RestoreRequest),
    Settle,
}

/// How it was done.
#[derive(Debug)]
pub(crate) enum Outcome {
    Begun(String),
    Done,
    Created(Box<SnapshotCreated>),
    RolledBack(Box<RolledBack>),
    Branches(Vec<Session>),
    Stored(Box<Stored>),
    Restored(Box<Restored>),
}

/// An operation that was taken and has not ended.
#[derive(Debug)]
pub(super) struct PendingOperation {
    pub(super) operation: Operation,
    pub(super) reply: Reply<Outcome>,
    pub(super) asked: Instant,
    /// When its snapshot was asked of the worker.
    pub(super) sent: Option<Instant>,
    pub(super) mark: Option<Mark>,
    pub(super) warnings: Vec<String>,
    pub(super) restoring: Restoring,
}

impl PendingOperation {
    pub(super) fn new(operation: Operation, reply: Reply<Outcome>) -> Self {
        PendingOperation {
            operation,
            reply,
            asked: Instant::now(),
            sent: None,
            mark: None,
            warnings: Vec::new(),
            restoring: Restoring::default(),
        }
    }
}

impl Actor {
    /// The public id of an explicit transaction. No other session has one like it.
    pub(super) fn transaction_id(&self, number: u64) -> String {
        format!("txn_{}_{number}", self.place.shared.id.trim_start_matches("ses_"))
    }

    /// The transaction with this id.
    pub(super) fn transaction_number(&self, id: &str) -> u64 {
        // No transaction has the number 0, so what is no id of this session's names none.
        let number = id.strip_prefix("txn_").and_then(|rest| rest.rsplit_once('_'));
        let mine = self.place.shared.id.trim_start_matches("ses_");
        number.filter(|(session, _)| *session == mine).and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
    }

    pub(super) async fn operate(&mut self, operation: Operation, reply: Reply<Outcome>) {
        if let (Operation::Checkpoint(request), Some(mark)) = (&operation, self.mark_before_what_runs()) {
            self.feed(Event::Hold(mark)).await;
            return self.begin_saving(mark, request.clone(), reply, Instant::now(), None).await;
        }
        let kind = match self.kind_of_operation(&operation) {
            Ok(kind) => kind,
            Err(failure) => {
                _ = reply.send(Err(failure));
                return;
            }
        };
        let transaction = match &operation {
            Operation::Commit { transaction }
            | Operation::Rollback { transaction }
            | Operation::Savepoint { transaction }
            | Operation::ReturnTo { transaction, .. } => transaction.as_deref().map(|id| self.transaction_number(id)),
            _ => None,
        };
        let token = self.token();
        // A restore takes as long as what it loads, and can be interrupted.
        let freezes = matches!(kind, Kind::Freeze(_) | Kind::Branch | Kind::Undo | Kind::Redo);
        let timeout = freezes.then_some(QUERY_LIMIT);
        let task = Task { timeout, transaction, ..Task::new(token, kind) };
        match self.machine.submit(task, Instant::now()) {
            Ok(actions) => {
                let pending = PendingOperation::new(operation, reply);
                self.pending.insert(token, Pending::Operate(Box::new(pending)));
                self.perform(actions).await;
            }
            Err(refusal) => _ = reply.send(Err(self.refusal(refusal))),
        }
    }

    fn kind_of_operation(&self, operation: &Operation) -> Result<Kind, Failure> {
        Ok(match operation {
            Operation::Begin { timeout } => Kind::Freeze(Purpose::Begin(*timeout)),
            Operation::Commit { .. } => Kind::Commit,
            Operation::Rollback { .. } => Kind::Rollback,
            Operation::Savepoint { .. } => Kind::Freeze(Purpose::Savepoint),
            Operation::Snapshot { name } => {
                if name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > NAME) {
                    return Err(Failure::new(
                        Code::BadRequest,
                        "the snapshot's name cannot be used",
                        format!("a name has 1 to {NAME} characters"),
                        "choose another, or none",
                    ));
                }
                Kind::Freeze(Purpose::Named)
            }
            Operation::ReturnTo { snapshot, .. } => {
                let mark = self.mark_of(snapshot).ok_or_else(|| ends::refused(Why::NoSnapshot, None))?;
                Kind::ReturnTo(mark)
            }
            Operation::Undo => Kind::Undo,
            Operation::Redo => Kind::Redo,
            Operation::Branch { count, .. } => {
                if *count == 0 || *count > BRANCHES {
                    return Err(Failure::new(
                        Code::BadRequest,
                        format!("a session cannot be split into {count} branches at once"),
                        format!("1 to {BRANCHES} can be made at once"),
                        "ask for fewer",
                    ));
                }
                Kind::Branch
            }
            Operation::Checkpoint(_) => Kind::Freeze(Purpose::Checkpoint),
            Operation::Restore(_) => Kind::Restore,
            Operation::Settle => Kind::Settle,
        })
    }

    pub(super) async fn drop_snapshot(&mut self, snapshot: &str, reply: Reply<()>) {
        let Some(mark) = self.mark_of(snapshot) else {
            _ = reply.send(Err(ends::refused(Why::NoSnapshot, None)));
            return;
        };
        if self.machine.timeline().roles(mark).is_none_or(|roles| !roles.named) {
            _ = reply.send(Err(Failure::new(
                Code::BadRequest,
                "this snapshot cannot be dropped",
                "the session keeps it by itself: for undo, for redo, or for the open transaction",
                "drop those that were asked for; others go when they are not needed any more",
            )));
            return;
        }
        self.feed(Event::DropMark(mark)).await;
        _ = reply.send(Ok(()));
    }

    /// Answers an operation.
    pub(super) async fn end_operation(&mut self, mut pending: PendingOperation, verdict: Verdict, state: State) {
        let id = self.place.shared.id.clone();
        match (&pending.operation, verdict, pending.mark) {
            (Operation::Checkpoint(request), Verdict::Done, Some(mark)) => {
                let request = request.clone();
                return self.begin_saving(mark, request, pending.reply, pending.asked, pending.sent).await;
            }
            (Operation::Restore(request), ..) if !matches!(verdict, Verdict::Refused(_) | Verdict::Cancelled) => {
                let request = request.clone();
                let answer = self.end_restore(&request, &mut pending, verdict, state).await;
                if request.automatic {
                    self.tell_recovery(&answer);
                }
                _ = pending.reply.send(answer);
                return;
            }
            _ => {}
        }
        let answer = match verdict {
            Verdict::Refused(why) => Err(ends::refused(why, self.unfrozen.take())),
            Verdict::Begun(number) => Ok(Outcome::Begun(self.transaction_id(number))),
            Verdict::Done | Verdict::Reported => match (&pending.operation, state) {
                (Operation::Branch { count, random }, _) => self.branch(*count, *random).await.map(Outcome::Branches),
                (Operation::Settle | Operation::Commit { .. }, _) => Ok(Outcome::Done),
                (operation, State::Undone) => {
                    let reason = match operation {
                        Operation::Undo => "undo",
                        Operation::Redo => "redo",
                        Operation::Rollback { .. } => "rollback",
                        _ => "rollback_to",
                    };
                    Ok(match self.last_return.take() {
                        Some(mut returned) => {
                            returned.took = pending.asked.elapsed();
                            let message = messages::rolled_back(&id, self.known(&returned), &returned, reason.into());
                            Outcome::RolledBack(Box::new(message))
                        }
                        None => Outcome::Done,
                    })
                }
                _ => match self.confirmed(pending.mark).await {
                    Some((kind, frozen, paused)) => Ok(Outcome::Created(Box::new(messages::snapshot_created(
                        &id,
                        &frozen.id,
                        frozen.name.clone(),
                        kind,
                        pending.warnings,
                        pending.sent.map_or(Duration::ZERO, |sent| paused.saturating_duration_since(sent)),
                        frozen.past.last().unwrap_or(0),
                    )))),
                    None => Err(Failure::new(
                        Code::SnapshotRefused,
                        "no snapshot could be taken",
                        "its process ended before it was ready",
                        "code may have changed a module that it needs (os, json); the session is as it was",
                    )),
                },
            },
            Verdict::Killed { .. } | Verdict::Crashed => Err(Failure::new(
                Code::SessionLost,
                "the worker died on the way",
                self.how_it_died(),
                if state == State::Undone {
                    "the session is back in an earlier state; ask again"
                } else {
                    "the session goes on with a fresh namespace"
                },
            )),
            Verdict::Cancelled | Verdict::CancelledByError => Err(Failure::new(
                Code::Interrupted,
                "it was cancelled before its turn came",
                "a return to a snapshot cancels what waits",
                "",
            )),
            Verdict::Violation => Err(self.fault.clone().unwrap_or_else(|| closed(&id))),
            _ => Err(closed(&id)),
        };
        _ = pending.reply.send(answer);
    }

    /// The frozen process of a mark, when it has said that it is there, and when the worker went on.
    async fn confirmed(&mut self, mark: Option<Mark>) -> Option<(SnapshotKind, &Frozen, Instant)> {
        let (mark, paused) = (mark?, Instant::now());
        let kind = self.kind_of(mark);
        if self.frozen.get_mut(&mark)?.confirm().await.is_err() {
            self.later.push_back(Event::DropMark(mark));
            return None;
        }
        Some((kind, self.frozen.get(&mark)?, paused))
    }

    /// How the worker's process ended, and what is back.
    fn how_it_died(&mut self) -> String {
        let how = self.exit.as_ref().map(ToString::to_string).unwrap_or_default();
        match self.last_return.take() {
            Some(returned) => format!("it {how}. {}", returned.report),
            None => how,
        }
    }

    /// The snapshot that a return went to, if clients know it.
    fn known(&self, returned: &Returned) -> Option<String> {
        self.mark_of(&returned.id).map(|_| returned.id.clone())
    }

    /// What the worker says of a snapshot that an operation asked for.
    pub(super) fn note_warnings(&mut self, token: Token, data: &serde_json::value::RawValue) {
        if self.note_restored(token, data) {
            return;
        }
        #[derive(serde::Deserialize)]
        struct Taken {
            #[serde(default)]
            warnings: Vec<String>,
        }
        if let (Some(Pending::Operate(pending)), Ok(taken)) =
            (self.pending.get_mut(&token), serde_json::from_str::<Taken>(data.get()))
        {
            pending.warnings = taken.warnings.iter().take(30).map(|text| super::returns::bounded(text)).collect();
        }
    }
}
