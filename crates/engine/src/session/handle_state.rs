//! What a program does with a session's state: transactions, snapshots, undo, branches.

use super::answers::{Reply, Submitted};
use super::handle::Session;
use super::mailbox::{Command, Operation};
use super::snapshots::memory_of;
use pyrepl3_protocol::message::{RandomState, RolledBack, Snapshot, SnapshotCreated};
use pyrepl3_protocol::{Code, Failure};
use std::future::Future;
use std::time::Duration;

impl Session {
    pub(super) fn operate<T>(&self, make: impl FnOnce(Reply<T>) -> Operation) -> Submitted<T> {
        self.submit(|reply| Command::Operate(make(reply)))
    }

    /// Begins an explicit transaction: nothing that happens in it counts until it is committed. Waits its turn. Returns
    /// the transaction's id. `timeout`: without anything happening in it, it rolls back; the session's own limit
    /// without it.
    ///
    /// # Errors
    /// `transaction_open`, `snapshot_refused`, `too_many`, `session_lost`, `session_closed`.
    pub fn begin(&self, timeout: Option<Duration>) -> Submitted<String> {
        self.operate(|reply| Operation::Begin { timeout, reply })
    }

    /// Keeps the effects of the open transaction; `transaction` says which, and whichever is open without it. Waits its
    /// turn.
    ///
    /// # Errors
    /// `no_transaction`, `session_lost`, `session_closed`.
    pub fn commit(&self, transaction: Option<&str>) -> Submitted<()> {
        self.operate(|reply| Operation::Commit { transaction: transaction.map(str::to_owned), reply })
    }

    /// Undoes the open transaction. Waits its turn.
    ///
    /// # Errors
    /// `no_transaction`, `snapshot_not_found`, `session_lost`, `session_closed`.
    pub fn rollback(&self, transaction: Option<&str>) -> Submitted<RolledBack> {
        self.operate(|reply| Operation::Rollback { transaction: transaction.map(str::to_owned), reply })
    }

    /// Takes a snapshot inside the open transaction, which ends with it. Waits its turn.
    ///
    /// # Errors
    /// `no_transaction`, `too_many`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub fn savepoint(&self, transaction: Option<&str>) -> Submitted<SnapshotCreated> {
        self.operate(|reply| Operation::Savepoint { transaction: transaction.map(str::to_owned), reply })
    }

    /// Takes a snapshot: the whole state of the process, whatever objects it holds. Waits its turn.
    ///
    /// # Errors
    /// `bad_request`, `too_many`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub fn snapshot(&self, name: Option<&str>) -> Submitted<SnapshotCreated> {
        self.operate(|reply| Operation::Snapshot { name: name.map(str::to_owned), reply })
    }

    /// The snapshots, oldest first, with what each holds alone; whatever runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub fn snapshots(&self) -> impl Future<Output = Result<Vec<Snapshot>, Failure>> + Send + 'static + use<> {
        let listed = self.submit(|reply| Command::Snapshots { reply });
        async move {
            let listed = listed.await?;
            // The kernel walks the pages to tell.
            tokio::task::spawn_blocking(move || {
                let measure = |(mut snapshot, pid): (Snapshot, Option<i32>)| {
                    snapshot.memory = pid.and_then(memory_of);
                    snapshot
                };
                listed.into_iter().map(measure).collect()
            })
            .await
            .map_err(|error| Failure::new(Code::Internal, "memory could not be measured", error.to_string(), ""))
        }
    }

    /// Drops a snapshot that was asked for.
    ///
    /// # Errors
    /// `snapshot_not_found`, `bad_request` for one that the session keeps by itself, `session_closed`.
    pub fn drop_snapshot(&self, snapshot: &str) -> Submitted<()> {
        self.submit(|reply| Command::DropSnapshot { snapshot: snapshot.to_owned(), reply })
    }

    /// Stops what runs, cancels what waits, and returns to a snapshot or a savepoint. Later ones are gone; this one
    /// stays usable.
    ///
    /// # Errors
    /// `snapshot_not_found`, `no_transaction`, `session_lost`, `session_closed`.
    pub fn rollback_to(&self, snapshot: &str, transaction: Option<&str>) -> Submitted<RolledBack> {
        let (snapshot, transaction) = (snapshot.to_owned(), transaction.map(str::to_owned));
        self.operate(|reply| Operation::RollbackTo { snapshot, transaction, reply })
    }

    /// Undoes the last execution that has ended, as far as the session was started with `undo`. Waits its turn.
    ///
    /// # Errors
    /// `nothing_to_undo`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub fn undo(&self) -> Submitted<RolledBack> {
        self.operate(|reply| Operation::Undo { reply })
    }

    /// Returns to what the last undo left, if nothing was executed since. Waits its turn.
    ///
    /// # Errors
    /// `nothing_to_redo`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub fn redo(&self) -> Submitted<RolledBack> {
        self.operate(|reply| Operation::Redo { reply })
    }

    /// Splits the session: new sessions with a common past, sharing memory copy-on-write. This one goes on. Waits its
    /// turn.
    ///
    /// # Errors
    /// `bad_request`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub fn branch(
        &self,
        count: u32,
        random: RandomState,
    ) -> impl Future<Output = Result<Vec<Session>, Failure>> + Send + 'static + use<> {
        let made = self.operate(|reply| Operation::Branch { count, random, reply });
        async move { Ok(made.await?.into_iter().map(Session::new).collect()) }
    }

    /// Undoes the open transaction, if there is one, and drops every snapshot: who has the session next finds none.
    pub(crate) fn settle(&self) -> Submitted<()> {
        self.operate(|reply| Operation::Settle { reply })
    }
}
