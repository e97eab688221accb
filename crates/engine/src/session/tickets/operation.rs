//! An operation that was taken and has not ended.

use crate::session::mailbox::Operation;
use crate::session::timeline::Mark;
use pyrepl3_protocol::worker::Recovered;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct PendingOperation {
    pub(crate) operation: Operation,
    pub(crate) asked: Instant,
    /// When its snapshot was asked of the worker.
    pub(crate) sent: Option<Instant>,
    pub(crate) mark: Option<Mark>,
    pub(crate) warnings: Vec<String>,
    pub(crate) restoring: Restoring,
}

/// What is known of a restore on its way.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    /// Who gives the checkpoint to the worker.
    pub(crate) serving: Option<crate::checkpoint::RestoreService>,
    pub(crate) recovered: Option<Recovered>,
    pub(crate) why: Option<(String, String)>,
}

impl PendingOperation {
    pub(crate) fn new(operation: Operation) -> Self {
        PendingOperation {
            operation,
            asked: Instant::now(),
            sent: None,
            mark: None,
            warnings: Vec::new(),
            restoring: Restoring::default(),
        }
    }
}
