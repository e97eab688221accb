//! How much a client was sent and has not acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Bytes that may be sent beyond what was acknowledged.
const WINDOW: u64 = 4 << 20;

/// The window of one execution, or of what belongs to none.
#[derive(Debug, Default)]
pub(super) struct Flow {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    moved: Notify,
}

impl Flow {
    /// Waits until more may be sent.
    pub(super) async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            let open = self.sent.load(Ordering::Acquire).saturating_sub(self.acknowledged.load(Ordering::Acquire));
            if open < WINDOW {
                return;
            }
            moved.await;
        }
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The client has taken so many bytes; more than it was sent counts for nothing.
    pub(super) fn acknowledge(&self, bytes: u64) {
        let sent = self.sent.load(Ordering::Acquire);
        _ = self
            .acknowledged
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(old.saturating_add(bytes).min(sent)));
        self.moved.notify_waiters();
    }

    /// Nobody is there to acknowledge any more, or the code is being stopped.
    pub(super) fn open(&self) {
        self.acknowledge(u64::MAX);
    }
}
