//! What the machine is told and what it says.

use crate::session::timeline::Mark;
use pyrepl3_protocol::message::TransactionPolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Names a task to the machine.
pub(crate) type Token = u64;

/// What a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TaskKind {
    /// Runs code; ends with a result or an error.
    Execute,
    /// Asks the worker; ends with a reply.
    Query,
    /// Takes a snapshot.
    Freeze(SnapshotPurpose),
    /// Has the worker itself write its state down, as it cannot be frozen; ends with a reply.
    Save,
    /// Brings a checkpoint back; ends with a reply, or is undone.
    Restore,
    /// Splits the session.
    Branch,
    /// Keeps the effects of the open transaction.
    Commit,
    /// Undoes the open transaction.
    Rollback,
    /// Returns to a mark.
    RollbackTo(Mark),
    /// Returns to the state before the last execution.
    Undo,
    /// Returns to what undo left.
    Redo,
    /// Undoes the open transaction, if there is one, and drops every mark.
    Settle,
}

/// What a snapshot that a client asks for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotPurpose {
    Named,
    Savepoint,
    Begin(Option<Duration>),
    Checkpoint,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) token: Token,
    pub(crate) kind: TaskKind,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop_on_error: bool,
    pub(crate) policy: TransactionPolicy,
    /// The explicit transaction that it belongs to, if it says so.
    pub(crate) transaction: Option<u64>,
}

impl Task {
    pub(crate) fn new(token: Token, kind: TaskKind) -> Self {
        Task {
            token,
            kind,
            timeout: None,
            stop_on_error: false,
            policy: TransactionPolicy::CommitAlways,
            transaction: None,
        }
    }
}

/// How the worker says that a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    Result,
    Error,
    Reply,
    /// It could not be frozen, so what asked for it did not happen.
    Unfrozen,
    /// The checkpoint could not be brought back.
    Unrestored,
}

/// What happened.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The worker said hello.
    Up,
    /// The worker could not be started.
    Failed,
    /// The worker says that a task ended.
    Ended { token: Token, said: Said },
    /// The mark of the task that runs could not be made, and the task runs without it.
    Unmarked { token: Token },
    /// What the worker was to do did not arrive, and will not be sent again.
    Undelivered { token: Token },
    /// The branches have been made, or could not be.
    Split { token: Token },
    /// The worker's process ended; all that it said was told before.
    Exited,
    /// The worker broke the protocol, or its session init is gone.
    Violation,
    /// The return to a mark is complete.
    Reverted,
    /// The frozen process could not be woken. `dead`: the worker that was live before is gone, too.
    RevertFailed { dead: bool },
    /// A client interrupts what runs.
    Interrupt,
    /// A client cancels a task.
    Cancel(Token),
    /// A client drops a mark.
    DropMark(Mark),
    /// A checkpoint begins to be made of a mark.
    Hold(Mark),
    /// The checkpoint has been made, or given up.
    Release(Mark),
    /// Another session needs room: a mark that can go is to go.
    MakeRoom,
    /// A time that [`Machine::deadline`] named has come.
    Timer,
    /// The session is to end.
    Close,
    /// Nothing of the session is left.
    Gone,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Give a task to the worker; first freeze the present as a mark, if there is one.
    Send(Token, Option<Mark>),
    /// Ask the worker for a fork that makes branches.
    Branch(Token),
    /// It is there: have it make them.
    Split(Token),
    /// Wake the frozen process of a mark in place of the worker, which ends. `keep`: the mark stays usable. The marks
    /// that are discarded end with it.
    Revert { mark: Mark, keep: bool, discard: Vec<Mark> },
    /// End the frozen processes of these marks.
    Drop(Vec<Mark>),
    /// The same, for want of room: tell clients.
    Evict(Vec<Mark>),
    /// Tell the worker which task is meant, and send SIGINT.
    Interrupt(Token),
    /// Send SIGKILL to the worker.
    Kill,
    /// A task has ended; tell its client how, and what became of the state.
    End(Token, Verdict, State),
    /// What is sent leaves no step of undo, for want of room.
    NoUndo,
    /// The worker died while nothing ran, and the session is back at a mark; or its transaction's time was up.
    CameBack(Cause),
    /// The worker died: tell that the state is lost.
    Lost { running: bool },
    /// Start another worker in the same session.
    Respawn,
    /// End every process of the session.
    Teardown,
}

/// Why a session went back without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    Died,
    Expired,
}

/// What became of the session's state when a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// As the task left it.
    Kept,
    /// As it was at a mark.
    Undone,
    /// As the task left it, although it should have been undone: its snapshot was gone.
    Stuck,
    /// Gone with the process.
    Lost,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// As the worker said.
    Reported,
    /// The worker said so after SIGINT that a client asked for.
    Interrupted,
    /// The worker said so after SIGINT, or at all, when its time had passed.
    TimedOut,
    /// The process died while it was being stopped.
    Killed {
        /// Whether its time had passed; else a client asked.
        timed_out: bool,
    },
    /// The process died by itself.
    Crashed,
    /// It never ran.
    Cancelled,
    /// It never ran, because one before it failed and asked for that.
    CancelledByError,
    /// The session ended.
    Closed,
    /// The worker broke the protocol.
    Violation,
    /// It was done.
    Done,
    /// It began the explicit transaction with this number.
    Begun(u64),
    /// It never ran: why.
    Refused(Why),
}

/// Why a task was refused when its turn had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    NoTransaction,
    TransactionOpen,
    NoSnapshot,
    NothingToUndo,
    NothingToRedo,
    NoRoom,
    /// The worker said why.
    Unfrozen,
    /// The frozen process has died.
    SnapshotDied,
}

/// Why a task is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The session has ended or is about to.
    Closed,
    /// Too many wait.
    Full,
    /// The worker died while nothing ran; said once, so that no code runs unwittingly on a fresh namespace.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Respawning,
    Closing,
    Closed,
}

/// What a return is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum For {
    /// An execution is undone.
    Execution { token: Token, verdict: Verdict, stops: bool },
    /// A client asked.
    Operation(Token),
    /// A pool has the session back.
    Settle(Token),
    /// The worker died while nothing ran. `lossy`: executions that ended before are gone.
    Death { lossy: bool },
    /// The transaction's time is up.
    Expiry,
}

/// A return that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingRevert {
    pub(super) mark: Mark,
    pub(super) discard: Vec<Mark>,
    pub(super) purpose: For,
}

impl PendingRevert {
    pub(super) fn token(&self) -> Option<Token> {
        match self.purpose {
            For::Execution { token, .. } | For::Operation(token) | For::Settle(token) => Some(token),
            For::Death { .. } | For::Expiry => None,
        }
    }
}

pub(super) fn drop_marks(marks: Vec<Mark>, actions: &mut Vec<Action>) {
    if !marks.is_empty() {
        actions.push(Action::Drop(marks));
    }
}
