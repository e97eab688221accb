//! What a session's task and its handles both know.

use crate::checkpoint::CheckpointStore;
use crate::log::{EventLog, Journal, Retention};
use crate::messages;
use pyrepl3_protocol::message::{Message, PythonInfo, SessionOptions};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a branch comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Lineage {
    /// The session that it was branched from.
    pub parent: String,
    /// Executions of the parent until then.
    pub branched_at: u64,
}

/// What a session's task and its handles both know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) options: SessionOptions,
    pub(crate) log: Arc<EventLog>,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) checkpoint_store: Arc<CheckpointStore>,
    /// How many clients have it.
    pub(crate) attached: AtomicUsize,
    python: Mutex<Option<PythonInfo>>,
}

impl Shared {
    /// `last_event`: the number after which its events begin, where there is no journal.
    pub(crate) fn new(
        id: String,
        options: SessionOptions,
        lineage: Option<Lineage>,
        checkpoint_store: Arc<CheckpointStore>,
        last_event: u64,
        journal: Option<Journal>,
    ) -> Arc<Shared> {
        let log = EventLog::new(&id, options.overflow, Retention::default(), last_event, journal);
        Arc::new(Shared {
            id,
            options,
            log,
            lineage,
            checkpoint_store,
            attached: AtomicUsize::new(0),
            python: Mutex::default(),
        })
    }

    /// Warns whoever reads what belongs to no execution.
    pub(crate) fn warn(&self, text: String) {
        self.log.append(Message::Warning(messages::warning(&self.id, text)));
    }

    /// The interpreter of its worker, once that has said hello.
    pub(crate) fn python(&self) -> Option<PythonInfo> {
        self.python.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_python(&self, python: PythonInfo) {
        *self.python.lock().unwrap_or_else(PoisonError::into_inner) = Some(python);
    }
}
