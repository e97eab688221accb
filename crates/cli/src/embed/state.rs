//! Transactions, snapshots and branches of a session, over the wire.

use super::connection::{Connection, json, time};
use super::held::Place;
use pyrepl3_engine::protocol::id::{self, Kind};
use pyrepl3_engine::protocol::message::{Branch, Branched, Message, RolledBack, SnapshotCreated};
use pyrepl3_engine::{Failure, Session};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::JoinSet;

impl Connection {
    /// Requests about a session's state. Each is handed to the session here, in the order in which it came, and waited
    /// for in a task of its own.
    pub(super) fn take_state(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        message: Message,
        tasks: &mut JoinSet<()>,
    ) {
        match message {
            Message::Begin(message) => {
                let work = begun(async move {
                    let timeout = message.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
                    let id = session?.begin(timeout).await?;
                    json(&serde_json::json!({ "transaction_id": id }))
                });
                self.spawn(tasks, message.id, |_| work);
            }
            Message::Commit(message) => {
                let work =
                    begun(async move { session?.commit(message.transaction_id.as_deref()).await.map(|()| None) });
                self.spawn(tasks, message.id, |_| work);
            }
            Message::Rollback(message) => {
                self.returning(
                    tasks,
                    message.id,
                    async move { session?.rollback(message.transaction_id.as_deref()).await },
                );
            }
            Message::RollbackTo(message) => {
                if let Ok(session) = &session {
                    // What runs is being stopped: what it has written comes without being waited for.
                    self.held.open_flows(session.id());
                }
                self.returning(tasks, message.id, async move {
                    session?.rollback_to(&message.snapshot_id, message.transaction_id.as_deref()).await
                });
            }
            Message::Undo(message) => self.returning(tasks, message.id, async move { session?.undo().await }),
            Message::Redo(message) => self.returning(tasks, message.id, async move { session?.redo().await }),
            Message::Savepoint(message) => {
                self.creating(
                    tasks,
                    message.id,
                    async move { session?.savepoint(message.transaction_id.as_deref()).await },
                );
            }
            Message::TakeSnapshot(message) => {
                self.creating(tasks, message.id, async move { session?.snapshot(message.name.as_deref()).await });
            }
            Message::Snapshots(message) => {
                let work = begun(async move { json(&session?.snapshots().await?) });
                self.spawn(tasks, message.id, |_| work);
            }
            Message::DropSnapshot(message) => {
                let work = begun(async move { session?.drop_snapshot(&message.snapshot_id).await.map(|()| None) });
                self.spawn(tasks, message.id, |_| work);
            }
            Message::BranchRequest(message) => {
                let work = begun(async move { session?.branch(message.count, message.random).await });
                tasks.spawn(async move {
                    match work.await {
                        Ok(sessions) => self.introduce_branches(sessions, message.id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            _ => {}
        }
    }

    fn returning(
        self: Arc<Self>,
        tasks: &mut JoinSet<()>,
        request: String,
        work: impl Future<Output = Result<RolledBack, Failure>> + Send + 'static,
    ) {
        let work = begun(work);
        tasks.spawn(async move {
            match work.await {
                Ok(back) => {
                    let back = RolledBack { reply_to: Some(request), ..back };
                    self.send(&Message::RolledBack(back)).await;
                }
                Err(failure) => self.refuse(Some(request), &failure).await,
            }
        });
    }

    fn creating(
        self: Arc<Self>,
        tasks: &mut JoinSet<()>,
        request: String,
        work: impl Future<Output = Result<SnapshotCreated, Failure>> + Send + 'static,
    ) {
        let work = begun(work);
        tasks.spawn(async move {
            match work.await {
                Ok(created) => {
                    let created = SnapshotCreated { reply_to: Some(request), ..created };
                    self.send(&Message::SnapshotCreated(created)).await;
                }
                Err(failure) => self.refuse(Some(request), &failure).await,
            }
        });
    }

    /// Tells the client of branches, then sends it what happens in them.
    async fn introduce_branches(self: Arc<Self>, sessions: Vec<Session>, reply_to: String) {
        let mut branches = Vec::new();
        for session in &sessions {
            self.held.put_session(session.id(), Place::Own(session.clone()));
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
            id: id::new(Kind::Message),
            timestamp: super::connection::now(),
            session_id: None,
            execution_id: None,
            reply_to: Some(reply_to),
            branches,
        };
        self.send(&Message::Branched(message)).await;
        let mut listening = JoinSet::new();
        for session in sessions {
            listening.spawn(self.clone().listen(session, false));
        }
        while listening.join_next().await.is_some() {}
    }
}

/// A future that has been polled once: the session has its request, so what comes later stands behind it.
pub(super) fn begun<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    let mut work = Box::pin(work);
    let first = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    async move {
        match first {
            Poll::Ready(done) => done,
            Poll::Pending => work.await,
        }
    }
}
