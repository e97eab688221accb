//! Standard output and standard error, written by a thread of their own.
//!
//! A reader may be slow, or stand still. Then the thread waits, and not the tasks that watch for signals and times.

use pyrepl3_engine::protocol::message::Stream;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Pieces of output that may wait. The session has bounds of its own for what waits behind them.
const WAITING: usize = 8;

/// Writes both streams in the order of arrival.
#[derive(Debug)]
pub(crate) struct Writer {
    pieces: Option<mpsc::Sender<(Stream, Vec<u8>)>>,
    /// None while all is well, then why standard output cannot be written any more; closed when the thread has ended.
    trouble: watch::Receiver<Option<Errno>>,
}

/// Standard output cannot be written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trouble(Errno);

impl Trouble {
    /// Whether whoever read it has gone: the usual end of a pipeline, and nothing to complain of.
    pub(crate) fn is_broken_pipe(self) -> bool {
        self.0 == Errno::PIPE
    }

    pub(crate) fn reason(self) -> String {
        io::Error::from(self.0).to_string()
    }
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn new() -> io::Result<Writer> {
        let (pieces, mut inbox) = mpsc::channel::<(Stream, Vec<u8>)>(WAITING);
        let (tell, trouble) = watch::channel(None);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut errors = true;
            while let Some((stream, bytes)) = inbox.blocking_recv() {
                match stream {
                    Stream::Stdout => {
                        if let Err(error) = write_all(rustix::stdio::stdout(), &bytes) {
                            _ = tell.send(Some(error));
                            return;
                        }
                    }
                    // What nobody can read is not worth ending the script for.
                    Stream::Stderr => errors = errors && write_all(rustix::stdio::stderr(), &bytes).is_ok(),
                }
            }
        })?;
        Ok(Writer { pieces: Some(pieces), trouble })
    }

    /// Hands bytes to the thread; waits while too much waits there.
    pub(crate) async fn write(&self, stream: Stream, bytes: Vec<u8>) {
        if let Some(pieces) = self.pieces.as_ref().filter(|_| !bytes.is_empty()) {
            // That the thread is gone is told by `broken`.
            _ = pieces.send((stream, bytes)).await;
        }
    }

    /// Returns when standard output cannot be written any more.
    pub(crate) async fn broken(&self) -> Trouble {
        let mut trouble = self.trouble.clone();
        loop {
            let now = *trouble.borrow_and_update();
            if let Some(error) = now {
                return Trouble(error);
            }
            if trouble.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until everything is written, within a limit if there is one.
    pub(crate) async fn finish(&mut self, limit: Option<Duration>) -> Result<(), Trouble> {
        self.pieces = None;
        let written =
            async { while self.trouble.borrow_and_update().is_none() && self.trouble.changed().await.is_ok() {} };
        match limit {
            Some(limit) => _ = tokio::time::timeout(limit, written).await,
            None => written.await,
        }
        let trouble = *self.trouble.borrow();
        trouble.map_or(Ok(()), |error| Err(Trouble(error)))
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Another program that shares the file made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut ready = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::OUT)];
                match rustix::event::poll(&mut ready, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
