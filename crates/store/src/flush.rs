//! Has the disk write while the next bytes are still being hashed, so that little is left to wait for at the end.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// How much is written before the disk is told. Less costs more calls and gains nothing; more leaves more for the end.
const EACH: usize = 32 << 20;

/// A thread that flushes a file while it grows. There is none before [`EACH`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    since: usize,
    thread: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl Flusher {
    /// Tells that so many bytes more are in the file.
    ///
    /// The kernel tells of a failed flush only once. So where the thread ended early, this is where its error is told.
    pub(crate) fn wrote(&mut self, file: &Arc<File>, bytes: usize) -> io::Result<()> {
        self.since += bytes;
        if self.since < EACH {
            return Ok(());
        }
        self.since = 0;
        let (wake, _) = self.thread.get_or_insert_with(|| {
            let (wake, woken) = sync_channel::<()>(1);
            let file = Arc::clone(file);
            let work = move || {
                while woken.recv().is_ok() {
                    file.sync_data()?;
                }
                Ok(())
            };
            (wake, std::thread::spawn(work))
        });
        match wake.try_send(()) {
            Err(std::sync::mpsc::TrySendError::Disconnected(())) => self.finish(),
            // Full: it is busy with earlier bytes and will take these with the next ones.
            _ => Ok(()),
        }
    }

    /// Waits for the thread to end.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some((wake, thread)) = self.thread.take() else { return Ok(()) };
        drop(wake);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes the file has panicked")))
    }
}
