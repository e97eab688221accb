//! Why a request was not done, in words.

use super::life::{State, Why};
use pyrepl3_protocol::{Code, Failure};

/// The session is no more.
pub(crate) fn closed(id: &str) -> Failure {
    Failure::new(
        Code::SessionClosed,
        format!("session {id} has ended"),
        "it was shut down, or its processes ended",
        "start another session",
    )
}

/// What a session has after its worker died.
pub(crate) fn goes_on(state: State) -> &'static str {
    if state == State::Undone {
        "the session is back in an earlier state"
    } else {
        "the session goes on with a fresh namespace"
    }
}

/// A return to a snapshot, or a restore, has stopped what was being done.
pub(crate) fn stopped() -> Failure {
    Failure::new(
        Code::Interrupted,
        "it was stopped before it was done",
        "a return to a snapshot, or a restore, was asked for and stops what runs",
        "ask again: the session goes on",
    )
}

/// A worker died before it had done what was asked of it. `why`: how it ended.
pub(crate) fn died(what: &str, why: String, state: State) -> Failure {
    let how = goes_on(state);
    let how = if state == State::Undone { format!("{how}; ask again") } else { how.to_owned() };
    Failure::new(Code::SessionLost, what, why, how)
}

/// Why a task did not happen when its turn had come. `unfrozen`: what the worker said.
pub(crate) fn refused(why: Why, unfrozen: Option<(String, String)>) -> Failure {
    match why {
        Why::NoTransaction => Failure::new(
            Code::NoTransaction,
            "no such transaction is open",
            "none was begun, or it was committed or rolled back, by whom ever, by its time limit, or by a crash",
            "begin one, or leave the transaction out",
        ),
        Why::TransactionOpen => Failure::new(
            Code::TransactionOpen,
            "a transaction is open already",
            "a session has one explicit transaction at a time",
            "commit it or roll it back first; use savepoints inside it",
        ),
        Why::NoSnapshot => Failure::new(
            Code::SnapshotNotFound,
            "there is no such snapshot",
            "it never was, or it was dropped, discarded by a return to an earlier one, or evicted",
            "list the snapshots to see which there are",
        ),
        Why::NothingToUndo => Failure::new(
            Code::NothingToUndo,
            "there is nothing to undo",
            "no execution that has ended left a snapshot from before it, or all of them are undone",
            "start the session with `undo` set to the number of steps to keep",
        ),
        Why::NothingToRedo => Failure::new(
            Code::NothingToRedo,
            "there is nothing to redo",
            "nothing was undone, or something else was executed since",
            "",
        ),
        Why::NoRoom => Failure::new(
            Code::TooMany,
            "there is no room for another snapshot",
            "the session has as many as its limit allows, and every one is needed",
            "drop snapshots, end the transaction, or raise the limit `snapshots`",
        ),
        Why::Unfrozen => {
            let (why, how) = unfrozen.unwrap_or_default();
            Failure::new(Code::SnapshotRefused, "no snapshot could be taken, so nothing was done", why, how)
        }
        Why::SnapshotDied => Failure::new(
            Code::SnapshotNotFound,
            "the snapshot cannot be returned to",
            "its process has ended, or does not answer: something killed or stopped it",
            "return to an earlier one; the session is as it was",
        ),
    }
}
