//! How much a client was sent and has not acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Bytes that may be sent beyond what was acknowledged.
const WINDOW: u64 = 4 << 20;

/// The window of one execution, or of what belongs to none.
#[derive(Debug, Default)]
pub(super) struct Flow {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    open: AtomicBool,
    ended: AtomicBool,
    moved: Notify,
}

impl Flow {
    /// Waits until more may be sent.
    pub(super) async fn room(&self) {
        self.wait_for(|flow| {
            let sent = flow.sent.load(Ordering::Acquire);
            flow.open.load(Ordering::Acquire) || sent.saturating_sub(flow.acknowledged.load(Ordering::Acquire)) < WINDOW
        })
        .await;
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

    /// The code is being stopped: what it has written is sent without being waited for.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// The last message was sent.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Waits until the last message was sent.
    pub(super) async fn ended(&self) {
        self.wait_for(|flow| flow.ended.load(Ordering::Acquire)).await;
    }

    async fn wait_for(&self, is_so: impl Fn(&Flow) -> bool) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the look, so that nothing is missed between the two.
            moved.as_mut().enable();
            if is_so(self) {
                return;
            }
            moved.await;
        }
    }
}
