//! What is asked, and what comes of it.

use crate::checkpoint::{Canceller, ProgressSender};
use pyrepl3_protocol::message::CheckpointCreated;
use pyrepl3_store::Manifest;
use std::sync::Arc;

/// Why a checkpoint is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A client asked.
    Client,
    /// The session saves itself.
    Autosave,
    /// To be compared with another; then it is deleted.
    Comparison,
}

/// A checkpoint that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointRequest {
    pub(crate) name: Option<String>,
    pub(crate) trigger: Trigger,
    pub(crate) progress: Option<ProgressSender>,
    pub(crate) canceller: Canceller,
}

/// A checkpoint that is to be brought back.
#[derive(Debug, Clone)]
pub(crate) struct RestoreRequest {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) partial: bool,
    /// Why, as the message says.
    pub(crate) reason: String,
    /// Whether nobody asked for it.
    pub(crate) automatic: bool,
    /// Executions of an earlier session that are known not to be in it.
    pub(crate) missing: Vec<u64>,
}

/// A checkpoint that is on disk.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: CheckpointCreated,
    pub(crate) manifest: Manifest,
}
