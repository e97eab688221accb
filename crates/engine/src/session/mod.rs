//! Sessions. `machine` decides, `actor` performs, `link` speaks to the processes, `outbox` carries messages to whoever
//! listens, `handle` and `execution` are what a program holds.

mod actor;
mod checkpoints;
mod ends;
mod execution;
mod frozen;
mod handle;
mod keys;
pub(crate) mod link;
mod machine;
mod messages;
mod outbox;
mod past;
mod roster;
mod start;
mod state;
mod timeline;

pub(crate) use actor::Command;
pub use checkpoints::{CheckpointNote, Checkpointing};
pub use execution::{Execution, ExecutionError};
pub use handle::{ExecuteRequest, Lineage, PendingInput, Script, Session, SessionEvents, Source, Status, StatusState};
pub(crate) use roster::Roster;
pub(crate) use start::{Origin, check, start};
