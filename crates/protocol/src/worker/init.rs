//! What the engine and a session init say to each other.

use super::Linger;
use serde::{Deserialize, Serialize};

/// The largest note, in bytes.
pub const MAX_NOTE: usize = 1 << 20;
/// The largest frame of a session init: a note, all of it escaped.
pub const MAX_INIT_FRAME: usize = 8 << 20;

/// What the engine asks of a session init.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InitRequest<'a> {
    /// Kill what is left of the last worker and fork a new one. Descriptors: channel, stdout, stderr, standard input.
    /// Answered by `spawned`.
    Spawn {
        /// The number of the new one.
        worker: u64,
    },
    /// Kill all, and end.
    End {},
    /// Frozen processes that stay at the `rolled` that comes next, where there are more than go with one frame.
    /// Descriptors: their pidfds.
    Staying {},
    /// A frozen process was woken and is the worker now: end what is younger than it, the worker before included.
    /// Descriptors: its pidfd, then those of frozen processes and savers that stay.
    Rolled {
        /// The number of the worker that it is now.
        worker: u64,
        /// How many stay, those of `staying` included. Where init has not got them all it ends nobody.
        keep: u32,
    },
    /// A frozen process has not said in time that it is there: let those go on that somebody has stopped.
    Resume {},
    /// A branch of this session joins the family. Descriptors: its channel to session init, and its worker's pidfd.
    Member {
        /// The number of its worker.
        worker: u64,
        /// Its number among the branches: by it session init knows its processes.
        number: u32,
        /// Whether it outlives its supervisor, as only a family can that was started so. One more descriptor then: its
        /// listening socket.
        #[serde(skip_serializing_if = "Option::is_none")]
        linger: Option<Linger>,
    },
    /// Hold a descriptor for the next supervisor, in the place of one with the same name. Descriptor: that.
    Keep {
        /// At most 64 characters. `control` is the supervisor's end of the worker's channel.
        name: &'a str,
    },
    /// Let go of what is held under these names.
    Release {
        /// Unknown ones are no error.
        names: &'a [&'a str],
    },
    /// What the next supervisor is to know, in the place of what was noted before.
    Note {
        /// At most [`MAX_NOTE`] bytes.
        text: &'a str,
    },
    /// The first word of one that connects to take over.
    Adopt {
        /// Above that of the supervisor before.
        epoch: u64,
    },
    /// Tell how a process ended.
    Wait {
        /// Number that the answer repeats.
        number: u64,
        /// The process, as the worker calls it. Nothing else than this question is to be done with it.
        pid: i32,
        /// Whether to answer at once.
        nohang: bool,
    },
}

/// What a session init says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum InitEvent {
    /// It is there.
    Up {},
    /// A worker was forked. Descriptor: its pidfd; none where it could not be, which its channel says.
    Spawned {
        /// Its number.
        worker: u64,
        /// How many descriptors come with it: 1, or 0.
        fds: u8,
    },
    /// A worker ended.
    Exit {
        /// Its number.
        worker: u64,
        /// Exit code, if it left by itself.
        #[serde(default)]
        code: Option<i32>,
        /// Signal, if one killed it.
        #[serde(default)]
        signal: Option<i32>,
    },
    /// What was younger than a woken process has ended.
    Swept {
        /// Names of the processes that user code had started.
        ended: Vec<String>,
    },
    /// How a process ended.
    Status {
        /// The question's number.
        number: u64,
        /// `running`, `unknown`, or its wait status.
        status: String,
    },
    /// The first word to a supervisor that has taken over. As many `held`, `frozen` and `channel` follow as it says, and
    /// before them `spawned`, if the worker lives.
    Adopted {
        /// The number of the worker.
        worker: u64,
        /// The supervisor's epoch, which is known from now on.
        epoch: u64,
        /// What was noted last.
        note: String,
        /// Names of descriptors.
        held: Vec<String>,
        /// Marks of frozen processes that have asked already.
        frozen: Vec<u64>,
        /// How many processes have fetched a channel, and wait.
        channels: u32,
        /// How the worker ended, if it has.
        #[serde(default)]
        exit: Option<Ending>,
    },
    /// A descriptor that the supervisor before had kept.
    Held {
        /// Its name.
        name: String,
        /// Of `control_before`: the `kept` of the channel after it.
        #[serde(default)]
        kept: Option<u64>,
        /// 1.
        fds: u8,
    },
    /// A frozen process whose channel has ended waits on. Descriptors: another channel, on which it says that it waits, and
    /// its pidfd.
    Frozen {
        /// Its mark.
        mark: u64,
        /// 2.
        fds: u8,
    },
    /// A worker whose channel has ended goes on. Descriptors: another channel, of which init holds a duplicate as `control`
    /// (and of the one before as `control_before`), and its pidfd.
    Channel(FreshChannel),
    /// Something that it was asked for and does not do.
    Refused {
        /// What: the request's `op`.
        op: String,
        /// Why.
        why: String,
    },
    /// Nothing of the session is left.
    Ended {
        /// Whether session init ends, too: the session was the last of its family.
        last: bool,
    },
}

impl InitEvent {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        match self {
            InitEvent::Spawned { fds, .. } | InitEvent::Held { fds, .. } | InitEvent::Frozen { fds, .. } => {
                (*fds).into()
            }
            InitEvent::Channel(fresh) => fresh.fds.into(),
            _ => 0,
        }
    }
}

/// How a worker ended; empty where nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Ending {
    /// Exit code, if it left by itself.
    #[serde(default)]
    pub code: Option<i32>,
    /// Signal, if one killed it.
    #[serde(default)]
    pub signal: Option<i32>,
}

/// A worker has fetched another channel.
#[derive(Debug, Clone, Deserialize)]
pub struct FreshChannel {
    /// The number of the worker. None for a process that is none yet: it was woken, and init has not been told; or it is a
    /// branch that has not joined.
    #[serde(default)]
    pub worker: Option<u64>,
    /// The mark of the frozen process that it was.
    #[serde(default)]
    pub mark: Option<u64>,
    /// The number of the branch that has not joined.
    #[serde(default)]
    pub branch: Option<u32>,
    /// The number of the last request that it has.
    pub request: u64,
    /// The number of the last frame that it has said.
    pub seq: u64,
    /// The first frame that it says again: that one and all after it come on the new channel.
    #[serde(default)]
    pub kept: Option<u64>,
    /// Prompts, and other questions, that wait for an answer.
    pub waiting: Vec<u64>,
    /// 2.
    pub fds: u8,
}
