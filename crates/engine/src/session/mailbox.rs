//! What a session can be asked, and the way in. A request is in the mailbox when the call that makes it returns: the order
//! of calls is the order of effects.

use super::answers::{Answered, Reply, Status};
use super::durability::{CheckpointRequest, RestoreRequest, Stored};
use super::failures::closed;
use super::life::Token;
use super::request::ExecuteRequest;
use super::shared::Shared;
use crate::log::ReaderId;
use pyrepl3_protocol::message::{
    Completeness, Completions, Inspection, RandomState, Restored, RolledBack, Snapshot, SnapshotCreated, VariableInfo,
};
use pyrepl3_protocol::worker::Request;
use pyrepl3_protocol::{Code, Failure, JsonText};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A request to a session's task.
#[derive(Debug)]
pub(crate) enum Command {
    Execute {
        request: ExecuteRequest,
        /// Its id.
        id: String,
        /// Whether a client chose it.
        chosen: bool,
        /// Who reads it.
        reader: ReaderId,
        refuse: oneshot::Sender<Failure>,
    },
    Query(Query),
    Operate(Operation),
    /// Stops what runs and brings a checkpoint back, once it was found.
    Restore {
        checkpoint: String,
        partial: bool,
        reply: Reply<Restored>,
    },
    Answer {
        input_id: String,
        value: Option<JsonText>,
        reply: Reply<()>,
    },
    Interrupt {
        reply: Reply<()>,
    },
    Cancel {
        execution_id: String,
        reply: Reply<()>,
    },
    Status {
        reply: Reply<Status>,
    },
    /// The pid tells where memory can be asked.
    Snapshots {
        reply: Reply<Vec<(Snapshot, Option<i32>)>>,
    },
    DropSnapshot {
        snapshot: String,
        reply: Reply<()>,
    },
    /// The engine has too many frozen processes: one of this session's is to go.
    MakeRoom,
    /// A branch is somebody's from now on. The reply comes when another supervisor would know that.
    Claim {
        reply: oneshot::Sender<()>,
    },
    /// Another supervisor is to have the session, where it outlives this one; else it ends.
    HandOver,
    /// `exit`: let the worker leave by itself first, with a code, joining its threads or not.
    Close {
        exit: Option<(i32, bool)>,
        reply: Option<Reply<()>>,
    },
}

/// What can be asked of a worker beside execution. Each waits its turn, or is answered by a fork of a frozen process.
#[derive(Debug)]
pub(crate) enum Query {
    Variables(Reply<Answered<Vec<VariableInfo>>>),
    Complete { code: JsonText, cursor: Option<u32>, reply: Reply<Answered<Completions>> },
    Inspect { name: String, reply: Reply<Answered<Inspection>> },
    IsComplete { code: JsonText, reply: Reply<Completeness> },
}

/// Something to do with the session's state. Each waits its turn. `Save`: a checkpoint that the worker
/// itself writes; who reads that answers.
#[derive(Debug)]
pub(crate) enum Operation {
    Begin { timeout: Option<Duration>, reply: Reply<String> },
    Commit { transaction: Option<String>, reply: Reply<()> },
    Rollback { transaction: Option<String>, reply: Reply<RolledBack> },
    Savepoint { transaction: Option<String>, reply: Reply<SnapshotCreated> },
    Snapshot { name: Option<String>, reply: Reply<SnapshotCreated> },
    RollbackTo { snapshot: String, transaction: Option<String>, reply: Reply<RolledBack> },
    Undo { reply: Reply<RolledBack> },
    Redo { reply: Reply<RolledBack> },
    Branch { count: u32, random: RandomState, reply: Reply<Vec<Attachment>> },
    Checkpoint { request: CheckpointRequest, reply: Reply<Stored> },
    Save,
    Restore { request: RestoreRequest, reply: Reply<Restored> },
    Settle { reply: Reply<()> },
}

impl Query {
    /// Says why there is no answer.
    pub(crate) fn refuse(self, failure: Failure) {
        match self {
            Query::Variables(reply) => _ = reply.send(Err(failure)),
            Query::Complete { reply, .. } => _ = reply.send(Err(failure)),
            Query::Inspect { reply, .. } => _ = reply.send(Err(failure)),
            Query::IsComplete { reply, .. } => _ = reply.send(Err(failure)),
        }
    }

    /// The question, as a worker is asked it.
    pub(crate) fn request(&self, id: Token) -> Request<'_> {
        match self {
            Query::Variables(_) => Request::Variables { id },
            Query::Complete { code, cursor, .. } => Request::Complete { id, code, cursor: *cursor },
            Query::Inspect { name, .. } => Request::Inspect { id, name },
            Query::IsComplete { code, .. } => Request::IsComplete { id, code },
        }
    }

    /// Answers with what the worker says: data, or that the question could not be answered. `as_of`: the last execution in the
    /// state that it shows, where that is not the present one.
    pub(crate) fn answer(self, data: &str, as_of: Option<u64>) {
        #[derive(serde::Deserialize)]
        struct Failed {
            error: String,
        }
        if let Ok(failed) = serde_json::from_str::<Failed>(data) {
            return self.refuse(unanswered(failed.error, "ask again"));
        }
        match self {
            Query::Variables(reply) => _ = reply.send(read(data).map(|data| Answered { data, as_of })),
            Query::Complete { reply, .. } => _ = reply.send(read(data).map(|data| Answered { data, as_of })),
            Query::Inspect { reply, .. } => _ = reply.send(read(data).map(|data| Answered { data, as_of })),
            Query::IsComplete { reply, .. } => _ = reply.send(read(data)),
        }
    }
}

/// A question has no answer.
pub(crate) fn unanswered(why: impl Into<String>, how: &str) -> Failure {
    Failure::new(Code::Interrupted, "the question could not be answered", why, how)
}

fn read<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data).map_err(|error| {
        Failure::new(
            Code::ProtocolError,
            "the worker's answer makes no sense",
            error.to_string(),
            "code in the session may have tampered with its worker: start another session",
        )
    })
}

impl Operation {
    /// Says why it was not done.
    pub(crate) fn refuse(self, failure: Failure) {
        match self {
            Operation::Begin { reply, .. } => _ = reply.send(Err(failure)),
            Operation::Commit { reply, .. } | Operation::Settle { reply } => _ = reply.send(Err(failure)),
            Operation::Rollback { reply, .. }
            | Operation::RollbackTo { reply, .. }
            | Operation::Undo { reply }
            | Operation::Redo { reply } => _ = reply.send(Err(failure)),
            Operation::Savepoint { reply, .. } | Operation::Snapshot { reply, .. } => _ = reply.send(Err(failure)),
            Operation::Branch { reply, .. } => _ = reply.send(Err(failure)),
            Operation::Checkpoint { reply, .. } => _ = reply.send(Err(failure)),
            Operation::Restore { reply, .. } => _ = reply.send(Err(failure)),
            Operation::Save => {}
        }
    }
}

/// The way to a session's task.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    pub(crate) shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Mailbox {
    pub(crate) fn new(shared: Arc<Shared>) -> (Mailbox, mpsc::UnboundedReceiver<Command>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        (Mailbox { shared, commands }, inbox)
    }

    pub(crate) fn id(&self) -> &str {
        &self.shared.id
    }

    /// # Errors
    /// `session_closed`.
    pub(crate) fn send(&self, command: Command) -> Result<(), Failure> {
        self.commands.send(command).map_err(|_| closed(self.id()))
    }

    /// Has the session end, without waiting for that. It may have ended already, or be about to.
    pub(crate) fn end(&self) {
        _ = self.send(Command::Close { exit: Some((0, false)), reply: None });
    }

    /// Whether the session's task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }
}

/// A client's hold on a session. When the last one goes, the session ends, unless it was made to live on without.
#[derive(Debug)]
pub(crate) struct Attachment {
    mailbox: Mailbox,
}

impl Attachment {
    pub(crate) fn new(mailbox: Mailbox) -> Attachment {
        mailbox.shared.attached.fetch_add(1, Ordering::AcqRel);
        Attachment { mailbox }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let shared = &self.mailbox.shared;
        if shared.attached.fetch_sub(1, Ordering::AcqRel) == 1 && !shared.options.detached {
            self.mailbox.end();
        }
    }
}
