//! One session of the service.

use super::executions::Executions;
use super::records::Record;
use pyrepl3_engine::Session;
use pyrepl3_engine::protocol::message::RolledBack;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A session, what it was made with, and what ran in it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) session: Session,
    pub(crate) record: Record,
    pub(crate) executions: Executions,
    used: Mutex<Instant>,
    /// Whether all is known that it had said when this server got it.
    caught_up: watch::Sender<bool>,
}

impl Served {
    pub(crate) fn new(session: Session, record: Record) -> Served {
        let (used, caught_up) = (Mutex::new(Instant::now()), watch::Sender::new(false));
        Served { session, record, executions: Executions::default(), used, caught_up }
    }

    /// All is known that it had said when this server got it.
    pub(super) fn set_caught_up(&self) {
        self.caught_up.send_if_modified(|known| !std::mem::replace(known, true));
    }

    /// Waits for that: a retry of what was asked of an earlier server is known then.
    pub(super) async fn caught_up(&self) {
        // The sender is this session's own.
        _ = self.caught_up.subscribe().wait_for(|known| *known).await;
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
