//! Sessions. A program holds a `handle`, which puts requests into a `mailbox`; the `task` takes them, one after the other.
//!
//! ```text
//! handle ─► mailbox ─► task ─► life          what happens next; `timeline`: which snapshots there are. Both pure
//!                       ├───► tickets        what is pending: executions, questions, operations, prompts, keys
//!                       ├───► incarnation    the worker and session init: channels, and a pure machine
//!                       ├───► snapshots      frozen processes, and the way back to one
//!                       └───► durability     checkpoints, and when the session saves itself
//! ```
//!
//! The parts do not know the task, nor each other. Everything that clients are told goes through the log.

mod adopt;
mod answerer;
mod answers;
mod applied;
mod context;
mod durability;
mod end_message;
mod execution;
mod failures;
mod handle;
mod handle_checkpoints;
mod handle_state;
mod incarnation;
mod life;
mod linger;
mod mailbox;
mod note;
mod request;
mod salvage;
mod shared;
mod snapshots;
mod spare;
mod start;
mod task;
mod tickets;
mod timeline;

#[cfg(test)]
mod whole_life_tests;

pub(crate) use adopt::{adopt, end_spares, is_orphan};
pub use answers::{Answered, PendingInput, Status, StatusState, Submitted};
pub(crate) use context::{Identity, Origin};
pub use execution::{Execution, ExecutionError};
pub use handle::{Events, Session};
pub use handle_checkpoints::{CheckpointNote, Checkpointing};
pub(crate) use incarnation::{FIRST_WORKER, WorkerFds};
pub(crate) use linger::Linger;
pub(crate) use mailbox::{Attachment, Command, Mailbox};
pub use request::{ExecuteRequest, Script, Source};
pub use shared::Lineage;
pub(crate) use spare::{Spare, place as place_of_spares};
pub(crate) use start::{Abandoned, check, start};
