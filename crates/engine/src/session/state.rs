//! What a program does with a session's state: transactions, snapshots, undo, branches.

use super::actor::{Command, Operation, Outcome};
use super::frozen::memory_of;
use super::handle::{Lineage, Session};
use pyrepl3_protocol::message::{RandomState, RolledBack, Snapshot, SnapshotCreated};
use pyrepl3_protocol::{Code, Failure};
use std::time::Duration;

impl Session {
    async fn operate(&self, operation: Operation) -> Result<Outcome, Failure> {
        self.ask(|reply| Command::Operate { operation, reply }).await
    }

    async fn created(&self, operation: Operation) -> Result<SnapshotCreated, Failure> {
        match self.operate(operation).await? {
            Outcome::Created(created) => Ok(*created),
            _ => Err(unexpected()),
        }
    }

    async fn returned(&self, operation: Operation) -> Result<RolledBack, Failure> {
        match self.operate(operation).await? {
            Outcome::RolledBack(back) => Ok(*back),
            _ => Err(unexpected()),
        }
    }

    /// Begins an explicit transaction: nothing that happens in it counts until it is committed. Waits its turn. Returns
    /// the transaction's id. `timeout`: without anything happening in it, it rolls back; the session's own limit
    /// without it.
    ///
    /// # Errors
    /// `transaction_open`, `snapshot_refused`, `too_many`, `session_lost`, `session_closed`.
    pub async fn begin(&self, timeout: Option<Duration>) -> Result<String, Failure> {
        match self.operate(Operation::Begin { timeout }).await? {
            Outcome::Begun(id) => Ok(id),
            _ => Err(unexpected()),
        }
    }

    /// Keeps the effects of the open transaction; `transaction` says which, and whichever is open without it. Waits its
    /// turn.
    ///
    /// # Errors
    /// `no_transaction`, `session_lost`, `session_closed`.
    pub async fn commit(&self, transaction: Option<&str>) -> Result<(), Failure> {
        self.operate(Operation::Commit { transaction: transaction.map(str::to_owned) }).await.map(drop)
    }

    /// Undoes the open transaction. Waits its turn.
    ///
    /// # Errors
    /// `no_transaction`, `snapshot_not_found`, `session_lost`, `session_closed`.
    pub async fn rollback(&self, transaction: Option<&str>) -> Result<RolledBack, Failure> {
        self.returned(Operation::Rollback { transaction: transaction.map(str::to_owned) }).await
    }

    /// Takes a snapshot inside the open transaction, which ends with it. Waits its turn.
    ///
    /// # Errors
    /// `no_transaction`, `too_many`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub async fn savepoint(&self, transaction: Option<&str>) -> Result<SnapshotCreated, Failure> {
        self.created(Operation::Savepoint { transaction: transaction.map(str::to_owned) }).await
    }

    /// Takes a snapshot: the whole state of the process, whatever objects it holds. Waits its turn.
    ///
    /// # Errors
    /// `bad_request`, `too_many`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub async fn snapshot(&self, name: Option<&str>) -> Result<SnapshotCreated, Failure> {
        self.created(Operation::Snapshot { name: name.map(str::to_owned) }).await
    }

    /// The snapshots, oldest first, with what each holds alone; whatever runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, Failure> {
        let listed = self.ask(|reply| Command::Snapshots { reply }).await?;
        // The kernel walks the pages to tell.
        tokio::task::spawn_blocking(move || {
            let measure = |(mut snapshot, pid): (Snapshot, Option<i32>)| {
                snapshot.memory = pid.and_then(memory_of);
                snapshot
            };
            listed.into_iter().map(measure).collect()
        })
        .await
        .map_err(|_| unexpected())
    }

    /// Drops a snapshot that was asked for.
    ///
    /// # Errors
    /// `snapshot_not_found`, `bad_request` for one that the session keeps by itself, `session_closed`.
    pub async fn drop_snapshot(&self, snapshot: &str) -> Result<(), Failure> {
        self.ask(|reply| Command::DropSnapshot { snapshot: snapshot.to_owned(), reply }).await
    }

    /// Stops what runs, cancels what waits, and returns to a snapshot or a savepoint. Later ones are gone; this one
    /// stays usable.
    ///
    /// # Errors
    /// `snapshot_not_found`, `no_transaction`, `session_lost`, `session_closed`.
    pub async fn rollback_to(&self, snapshot: &str, transaction: Option<&str>) -> Result<RolledBack, Failure> {
        let operation =
            Operation::ReturnTo { snapshot: snapshot.to_owned(), transaction: transaction.map(str::to_owned) };
        self.returned(operation).await
    }

    /// Undoes the last execution that has ended, as far as the session was started with `undo`. Waits its turn.
    ///
    /// # Errors
    /// `nothing_to_undo`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub async fn undo(&self) -> Result<RolledBack, Failure> {
        self.returned(Operation::Undo).await
    }

    /// Returns to what the last undo left, if nothing was executed since. Waits its turn.
    ///
    /// # Errors
    /// `nothing_to_redo`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub async fn redo(&self) -> Result<RolledBack, Failure> {
        self.returned(Operation::Redo).await
    }

    /// Splits the session: new sessions with a common past, sharing memory copy-on-write. This one goes on. Waits its
    /// turn.
    ///
    /// # Errors
    /// `bad_request`, `snapshot_refused`, `session_lost`, `session_closed`.
    pub async fn branch(&self, count: u32, random: RandomState) -> Result<Vec<Session>, Failure> {
        match self.operate(Operation::Branch { count, random }).await? {
            Outcome::Branches(sessions) => Ok(sessions),
            _ => Err(unexpected()),
        }
    }

    /// Where it was branched off, if it is a branch.
    pub fn lineage(&self) -> Option<&Lineage> {
        self.shared.lineage.as_ref()
    }

    /// Undoes the open transaction, if there is one, and drops every snapshot: who has the session next finds none.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        self.operate(Operation::Settle).await.map(drop)
    }
}

fn unexpected() -> Failure {
    Failure::new(Code::Internal, "the session answered something else", "", "")
}
