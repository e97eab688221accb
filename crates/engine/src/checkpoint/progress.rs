//! How far a checkpoint is: the latest state of it, for whoever looks. What nobody looked at is replaced, so that a saver that tells without end costs nothing.

use tokio::sync::watch;

/// How far a checkpoint is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) name: String,
}

/// The telling end. Clones tell the same watcher.
#[derive(Debug, Clone)]
pub(crate) struct ProgressSender(watch::Sender<Progress>);

/// The watching end.
#[derive(Debug)]
pub(crate) struct ProgressReceiver(watch::Receiver<Progress>);

/// A way to watch one checkpoint.
pub(crate) fn progress() -> (ProgressSender, ProgressReceiver) {
    let (sender, receiver) = watch::channel(Progress::default());
    (ProgressSender(sender), ProgressReceiver(receiver))
}

impl ProgressSender {
    pub(crate) fn tell(&self, progress: &Progress) {
        // Nobody may be watching any more.
        _ = self.0.send_replace(progress.clone());
    }
}

impl ProgressReceiver {
    /// The latest that was not seen yet; waits where there is none. `None` when nobody tells any more, and the last was seen.
    pub(crate) async fn next(&mut self) -> Option<Progress> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_is_seen_also_after_the_end() {
        let (sender, mut receiver) = progress();
        for done in 0..1000 {
            sender.tell(&Progress { done, total: 1000, ..Progress::default() });
        }
        drop(sender);
        assert_eq!(receiver.next().await.map(|one| one.done), Some(999));
        assert_eq!(receiver.next().await, None);
    }
}
