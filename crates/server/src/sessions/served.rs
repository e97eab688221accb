//! One session of the service.

use super::executions::Executions;
use super::records::Record;
use pyrepl3_engine::Session;
use pyrepl3_engine::protocol::message::RolledBack;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// A session, what it was made with, and what ran in it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) session: Session,
    pub(crate) record: Record,
    pub(crate) executions: Executions,
    used: Mutex<Instant>,
}

impl Served {
    pub(crate) fn new(session: Session, record: Record) -> Served {
        Served { session, record, executions: Executions::default(), used: Mutex::new(Instant::now()) }
    }

    /// Somebody asks something of it, or it says something.
    pub(crate) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long nobody did.
    pub(crate) fn idle(&self) -> Duration {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// It went back, or forth.
    pub(crate) fn note_return(&self, rolled_back: &RolledBack) {
        self.executions.note_return(&rolled_back.undone, &rolled_back.redone);
    }
}
