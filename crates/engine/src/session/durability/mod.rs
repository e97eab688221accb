//! How a session outlives its process: checkpoints that are being made, the one that comes back, when the session saves
//! itself, and which executions came after its last checkpoint. `autosave` says when, and is pure.

mod autosave;
mod requests;
mod savings;

pub(crate) use requests::{CheckpointRequest, RestoreRequest, Stored, Trigger};
pub(crate) use savings::{Durability, DurabilityNote, NOTING, Recovery, SavingJob};
