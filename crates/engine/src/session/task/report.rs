//! What jobs tell the session's task.

use crate::checkpoint::{SaveError, Saved};
use crate::process::Process;
use crate::session::durability::{RestoreRequest, SavingJob};
use crate::session::life::Token;
use crate::session::mailbox::{Attachment, Operation, Query};
use crate::session::tickets::PendingExecution;
use pyrepl3_protocol::worker::Linger;
use pyrepl3_protocol::{Failure, Message};
use pyrepl3_store::Manifest;
use rustix::fd::OwnedFd;
use std::io;
use tokio::sync::oneshot;

/// What a job found, or came to.
#[derive(Debug)]
pub(super) enum Report {
    /// Whether a frozen process is there.
    Frozen { number: u64, found: io::Result<Process> },
    /// It has not said that it is there, and should have.
    FrozenLate,
    /// A saver says who it is.
    SaverBorn { saving: u64, pidfd: OwnedFd },
    /// A saver has done what it could.
    SaverEnded(Box<SaverEnd>),
    /// A process that answers a question says who it is.
    AnswererBorn(NewAnswerer),
    /// It has answered, or the question could not be asked of it.
    AnswererEnded { number: u64, unasked: Option<Query> },
    /// The checkpoint that a client wants back.
    Found(Result<Manifest, Failure>),
    /// The checkpoint that comes back by itself.
    RecoveryFound(Result<Manifest, Failure>),
    /// A checkpoint could not be brought back, and nobody gives it to the worker any more.
    NotRestored { request: Box<RestoreRequest>, operation: Operation, failure: Failure },
    /// The beginning of an execution is noted, and its end can be told.
    Noted { last: Box<Message>, execution: Box<PendingExecution> },
    /// A branch is to join the family.
    Member(Box<NewMember>),
    /// The branches are there, or could not be made.
    Split { token: Token, made: Result<Vec<Attachment>, Failure> },
}

/// A branch that is to join the family.
#[derive(Debug)]
pub(super) struct NewMember {
    /// Its channel to session init.
    pub(super) channel: OwnedFd,
    /// Its worker.
    pub(super) pidfd: OwnedFd,
    /// Its number.
    pub(super) number: u32,
    /// How it outlives its supervisor, and where it listens for another.
    pub(super) linger: Option<(Linger, OwnedFd)>,
}

/// A process that answers a question, and waits for that.
#[derive(Debug)]
pub(super) struct NewAnswerer {
    /// Its place.
    pub(super) number: u64,
    pub(super) pidfd: OwnedFd,
    /// Told that it can be asked.
    pub(super) go_on: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(super) struct SaverEnd {
    pub(super) saving: u64,
    pub(super) job: SavingJob,
    pub(super) result: Result<Saved, SaveError>,
    /// The last execution in the state.
    pub(super) count: u64,
}
