//! Frozen processes, and the way back to one of them. `frozen` is the engine's side of one, `kept` are those of a session
//! and what waits for them to say that they are there, `reverted` tells what a return to one restored.

mod frozen;
mod kept;
mod reverted;

pub(crate) use frozen::{CONFIRM_LIMIT, Frozen, confirm, dismiss, memory_of};
pub(crate) use kept::{Awaited, RevertPlan, Snapshots, SnapshotsNote, kind_when_evicted};
pub(crate) use reverted::{Reverted, Reverting, bounded};
