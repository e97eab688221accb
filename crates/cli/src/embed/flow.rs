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
    closed: AtomicBool,
    moved: Notify,
}

impl Flow {
    /// The client has let go of the session: nothing more is sent.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.moved.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until nothing more is to be sent.
    pub(super) async fn closed(&self) {
        self.wait_for(Flow::is_closed).await;
    }

    /// Waits until more may be sent, or nothing more is to be.
    pub(super) async fn room(&self) {
        self.wait_for(|flow| {
            if flow.is_closed() {
                return true;
            }
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
