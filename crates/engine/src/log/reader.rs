//! A cursor on a log.

use super::event::Event;
use super::event_log::{EventLog, Filter, Origin, ReaderId};
use std::sync::Arc;
use tokio::sync::Notify;

/// Reads a log at its own pace. Dropped, it holds nobody up.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<EventLog>,
    id: u64,
    arrived: Arc<Notify>,
}

impl Reader {
    pub(crate) fn new(log: &Arc<EventLog>, filter: Filter, from: Origin) -> Reader {
        let (id, arrived) = log.attach(filter, from);
        Reader { log: log.clone(), id, arrived }
    }

    /// A reader of an execution that is about to be asked for. Its number is what the log accepts or refuses it by.
    pub(crate) fn pending(log: &Arc<EventLog>, execution: &str) -> Reader {
        let (id, arrived) = log.attach_pending(execution);
        Reader { log: log.clone(), id, arrived }
    }

    pub(crate) fn id(&self) -> ReaderId {
        self.id
    }

    /// The next event; None after the last one. Cancel-safe: an event is taken when it is returned.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            if let Some(next) = self.log.take(self.id) {
                return next;
            }
            self.arrived.notified().await;
        }
    }

    /// The next event if one is there: None when there is none, `Some(None)` after the last one.
    pub(crate) fn try_next(&self) -> Option<Option<Event>> {
        self.log.take(self.id)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.detach(self.id);
    }
}
