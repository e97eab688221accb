//! Transactions, snapshots and branches of a session, over the wire.

use super::held::Holding;
use super::peer::Peer;
use super::wire::{json, time};
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{Branch, Branched, Message, RolledBack, SnapshotCreated};
use pyrepl3_engine::{Failure, Session, Submitted};
use std::sync::Arc;
use tokio::task::JoinSet;

type Asked<T> = Result<Submitted<T>, Failure>;

impl Peer {
    /// Requests about a session's state.
    pub(super) fn take_state(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        message: Message,
        tasks: &mut JoinSet<()>,
    ) {
        match message {
            Message::Begin(message) => {
                let timeout = message.timeout.map(|seconds| time(seconds, "timeout")).transpose();
                let begun = session.and_then(|session| Ok(session.begin(timeout?)));
                self.answer_later(tasks, message.id, async move {
                    json(&serde_json::json!({ "transaction_id": begun?.await? }))
                });
            }
            Message::Commit(message) => {
                let done = session.map(|session| session.commit(message.transaction_id.as_deref()));
                self.answer_later(tasks, message.id, async move { done?.await.map(|()| None) });
            }
            Message::Rollback(message) => {
                let back = session.map(|session| session.rollback(message.transaction_id.as_deref()));
                self.rolled_back(tasks, message.id, back);
            }
            Message::RollbackTo(message) => {
                let back = session.map(|session| {
                    // What runs is being stopped: what it has written comes without being waited for.
                    self.held.open_flows(session.id());
                    session.rollback_to(&message.snapshot_id, message.transaction_id.as_deref())
                });
                self.rolled_back(tasks, message.id, back);
            }
            Message::Undo(message) => {
                let back = session.map(|session| session.undo());
                self.rolled_back(tasks, message.id, back);
            }
            Message::Redo(message) => {
                let back = session.map(|session| session.redo());
                self.rolled_back(tasks, message.id, back);
            }
            Message::Savepoint(message) => {
                let made = session.map(|session| session.savepoint(message.transaction_id.as_deref()));
                self.created(tasks, message.id, made);
            }
            Message::TakeSnapshot(message) => {
                let made = session.map(|session| session.snapshot(message.name.as_deref()));
                self.created(tasks, message.id, made);
            }
            Message::Snapshots(message) => {
                let listed = session.map(|session| session.snapshots());
                self.answer_later(tasks, message.id, async move { json(&listed?.await?) });
            }
            Message::DropSnapshot(message) => {
                let dropped = session.map(|session| session.drop_snapshot(&message.snapshot_id));
                self.answer_later(tasks, message.id, async move { dropped?.await.map(|()| None) });
            }
            Message::BranchRequest(message) => {
                let made = session.map(|session| session.branch(message.count, message.random));
                tasks.spawn(async move {
                    let made = match made {
                        Ok(made) => made.await,
                        Err(failure) => Err(failure),
                    };
                    match made {
                        Ok(sessions) => self.introduce_branches(sessions, message.id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            _ => {}
        }
    }

    fn rolled_back(self: Arc<Self>, tasks: &mut JoinSet<()>, request: String, back: Asked<RolledBack>) {
        let reply_to = Some(request.clone());
        self.send_later(
            tasks,
            request,
            async move { Ok(Message::RolledBack(RolledBack { reply_to, ..back?.await? })) },
        );
    }

    fn created(self: Arc<Self>, tasks: &mut JoinSet<()>, request: String, made: Asked<SnapshotCreated>) {
        let reply_to = Some(request.clone());
        self.send_later(tasks, request, async move {
            Ok(Message::SnapshotCreated(SnapshotCreated { reply_to, ..made?.await? }))
        });
    }

    /// Tells the client of branches, then sends it what happens in them.
    async fn introduce_branches(self: Arc<Self>, sessions: Vec<Session>, reply_to: String) {
        let mut branches = Vec::new();
        for session in &sessions {
            self.held.put_session(session.id(), Holding::Own(session.clone()));
            if let Some(lineage) = session.lineage() {
                branches.push(Branch {
                    session_id: session.id().to_owned(),
                    python: session.python(),
                    parent: lineage.parent.clone(),
                    branched_at: lineage.branched_at,
                });
            }
        }
        let message = Branched {
            id: id::new(IdKind::Message),
            timestamp: crate::clock::now(),
            session_id: None,
            execution_id: None,
            seq: None,
            reply_to: Some(reply_to),
            branches,
        };
        self.send(&Message::Branched(message)).await;
        let mut listening = JoinSet::new();
        for session in sessions {
            listening.spawn(self.clone().listen(session));
        }
        while listening.join_next().await.is_some() {}
    }
}
