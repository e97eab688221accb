//! A checkpoint that nobody waits for any more is given up.

/// Calls a canceller when it is dropped; nothing happens to a checkpoint that is complete by then.
pub(crate) struct CancelOnDrop<F: Fn()>(F);

impl<F: Fn()> CancelOnDrop<F> {
    pub(crate) fn new(cancel: F) -> Self {
        CancelOnDrop(cancel)
    }

    /// Gives it up now.
    pub(crate) fn cancel(&self) {
        (self.0)();
    }
}

impl<F: Fn()> Drop for CancelOnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
