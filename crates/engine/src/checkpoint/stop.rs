//! A way to end a thread that waits for another process: its socket is shut down, so that whatever read or write it is in returns, whoever else has the other end.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends what goes over one socket. Clones end the same.
#[derive(Debug, Clone)]
pub(crate) struct StopHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stopped: AtomicBool,
    socket: UnixStream,
}

impl StopHandle {
    /// For a socket that a thread is about to read and write.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn of(socket: &UnixStream) -> io::Result<StopHandle> {
        Ok(StopHandle(Arc::new(Inner { stopped: AtomicBool::new(false), socket: socket.try_clone()? })))
    }

    /// Ends it at once. What has ended is none the worse for it.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        // One that is not connected any more has ended.
        _ = self.0.socket.shutdown(Shutdown::Both);
    }

    /// Whether it was ended so.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }
}
