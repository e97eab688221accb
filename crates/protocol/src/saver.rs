//! The private protocol between the engine and a process that writes a state down, or a worker that brings one back:
//! frames, with raw bytes behind those that announce some.

use serde::{Deserialize, Serialize};

/// A part of a session: its kind (`name`, `unit` for a definition, `context`), and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part(pub String, pub String);

/// What the engine tells a process that writes the state down.
#[derive(Debug, Clone, Serialize)]
pub struct SaveRequest<'a> {
    /// Whether the frozen process was made for a checkpoint, so that what it knows of written memory is up to date.
    pub tracked: bool,
    /// What the checkpoint before has of large memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<SaveBase<'a>>,
    /// What to leave out, and to name as lost: earlier processes ended over it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub leave_out: &'a [Part],
}

/// Large memory that a checkpoint has already.
#[derive(Debug, Clone, Serialize)]
pub struct SaveBase<'a> {
    /// The moment that it was saved at, as the worker calls it.
    pub generation: &'a str,
    /// Address, size and blob of each buffer.
    pub buffers: &'a [(u64, u64, u32)],
}

/// What a process says that writes the state down. Those with `n` are followed by that many raw bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum SaverEvent {
    /// It is there.
    Hello {},
    /// A blob of pickled bytes begins.
    Stream {},
    /// Bytes of it.
    Data {
        /// How many.
        n: u64,
    },
    /// It ends.
    End {},
    /// A blob of memory, whole.
    Buffer {
        /// Its size.
        n: u64,
        /// Where it is in the session's memory; 0 where that does not matter.
        #[serde(default)]
        at: u64,
        /// Whether its bytes come on the pipe that was sent with the request, and are to be acknowledged by a byte: it
        /// is the memory itself that is in the pipe, not a copy.
        #[serde(default)]
        spliced: bool,
    },
    /// A blob of memory that is that of the checkpoint before, but for some ranges, whose bytes follow.
    Reuse {
        /// Its size.
        n: u64,
        /// Where it is in the session's memory.
        at: u64,
        /// The blob in the checkpoint before.
        blob: u32,
        /// Offset and length of each range.
        patches: Vec<(u64, u64)>,
    },
    /// How far it is.
    Progress {
        /// Groups done.
        done: u64,
        /// Of so many.
        total: u64,
        /// The name that comes next.
        name: String,
    },
    /// What it is about to do may run the session's own code, or that of its libraries.
    Busy {
        /// What would have to be left out if it ended there.
        parts: Vec<Part>,
    },
    /// The description of everything; the last it says.
    Body {
        /// Its size.
        n: u64,
        /// The moment that was saved, as the worker calls it, if it will tell what is written from then on.
        #[serde(default)]
        generation: Option<String>,
    },
    /// It gives up.
    Failed {
        /// Why.
        why: String,
    },
}

/// What a worker asks for that restores.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub enum LoaderRequest {
    /// A blob's bytes.
    Get {
        /// Its number.
        get: u32,
    },
    /// A blob as memory: where to map it from, and what cannot be mapped.
    Map {
        /// Its number.
        map: u32,
    },
}

/// What the engine answers a worker that restores. Followed by raw bytes: `n`, or the sum of `rest`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum LoaderAnswer {
    /// The first: the description of the checkpoint.
    Body {
        /// Its size.
        n: u64,
        /// Whether to go on without what needs packages that are missing, or bytes that are damaged.
        partial: bool,
    },
    /// A blob.
    Blob {
        /// Its size.
        n: u64,
    },
    /// A blob, in parts. Descriptors: the files to map from.
    Parts {
        /// Its size.
        n: u64,
        /// Offset, length, which descriptor, and offset in that file.
        parts: Vec<(u64, u64, usize, u64)>,
        /// Offset and length of what follows as raw bytes.
        rest: Vec<(u64, u64)>,
    },
    /// It cannot be had.
    Error {
        /// Why.
        error: String,
    },
}
