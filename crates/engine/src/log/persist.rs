//! The log's events on their way to its journal, where it has one.

use super::event_log::{EventLog, Inner};
use super::journal::{Journal, Told};
use pyrepl3_protocol::Message;
use pyrepl3_protocol::message::Stream;
use pyrepl3_store::Error;
use pyrepl3_store::journal::Limits;
use rustix::fd::BorrowedFd;
use std::io;
use std::sync::Arc;

impl EventLog {
    /// Bytes of events and output that retention has taken away; None where there is no journal.
    pub(crate) fn lost_bytes(&self) -> Option<u64> {
        self.lock().journal.as_ref().map(|journal| journal.cut().bytes)
    }

    /// How much is kept on disk from now on, where anything is.
    pub(crate) fn keep_at_most(&self, limits: Limits) -> Result<(), Error> {
        self.lock().journal.as_mut().map_or(Ok(()), |journal| journal.keep_at_most(limits))
    }

    /// Whether events are kept on disk.
    pub(crate) fn is_journalled(&self) -> bool {
        self.lock().journal.is_some()
    }

    /// Whether something could not be written down when it was last tried.
    pub(crate) fn is_troubled(&self) -> bool {
        let inner = self.lock();
        inner.troubled || inner.journal.is_some() && !inner.unwritten.is_empty()
    }

    /// Whether a prompt was told by the supervisor before this one, and the worker's words have not been read again so far; any,
    /// without an id.
    pub(crate) fn awaits_prompt(&self, id: Option<&str>) -> bool {
        self.lock().journal.as_ref().is_some_and(|journal| journal.awaits_prompt(id))
    }

    /// What the next supervisor is to know of what was told; None where there is no journal.
    pub(crate) fn told(&self) -> Option<Told> {
        self.lock().journal.as_ref().map(Journal::told)
    }

    /// Executions that the supervisor before this one has told to be taken, and that have no end: their ids, once.
    pub(crate) fn accepted_before(&self) -> Vec<String> {
        self.lock().journal.as_mut().map(Journal::accepted_before).unwrap_or_default()
    }

    /// Takes what a pipe has, at most so many bytes, and adds it to `into`: how many, 0 at its end. Where there is a journal it is kept
    /// before it is out of the pipe. Where that is not to be had now, the pipe keeps it.
    pub(crate) fn take_output(
        &self,
        pipe: BorrowedFd<'_>,
        stream: Stream,
        limit: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut inner = self.lock();
        let Some(journal) = &mut inner.journal else {
            drop(inner);
            into.reserve(limit);
            return Ok(rustix::io::read(pipe, rustix::buffer::spare_capacity(into))?);
        };
        match journal.take(pipe, stream, limit) {
            Ok(Some(bytes)) => {
                into.extend_from_slice(&bytes);
                Ok(bytes.len())
            }
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => {
                tracing::error!(session = %self.session, %error, "output cannot be kept");
                inner.troubled = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// What the supervisor before this one has taken out of a pipe and not told; at most so many bytes.
    pub(crate) fn untold_output(&self, stream: Stream, limit: u64) -> Option<Result<Vec<u8>, Error>> {
        Some(self.lock().journal.as_ref()?.untold(stream, limit))
    }

    /// Gives a message that the supervisor before this one has told the id that it had: clients know it by that.
    pub(crate) fn recall(&self, message: &mut Message) -> bool {
        let mut inner = self.lock();
        let Some(told) = inner.journal.as_mut().and_then(|journal| journal.recall(message)) else { return false };
        *message = told;
        true
    }

    /// Tries again to write down what could not be. False where it cannot yet, and nothing may be promised.
    pub(crate) fn is_written(self: &Arc<Self>) -> bool {
        let mut inner = self.lock();
        if inner.journal.is_none() {
            return true;
        }
        let written = inner.write();
        inner.troubled = false;
        self.sync(&mut inner);
        drop(inner);
        if let Err(error) = &written {
            tracing::error!(session = %self.session, %error, "events cannot be written down");
        }
        written.is_ok()
    }

    /// Has a thread bring onto the disk what somebody waits for, unless one is at it.
    pub(super) fn sync(self: &Arc<Self>, inner: &mut Inner) {
        let Some(begun) = inner.journal.as_mut().and_then(Journal::begin_sync) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.synced(inner, None);
        };
        let log = self.clone();
        runtime.spawn_blocking(move || {
            let done = begun.and_then(|sync| sync.files.sync().map(|()| sync.last));
            if let Err(error) = &done {
                tracing::error!(session = %log.session, %error, "events cannot be brought onto the disk");
            }
            let mut inner = log.lock();
            log.synced(&mut inner, done.ok());
        });
    }

    fn synced(self: &Arc<Self>, inner: &mut Inner, last: Option<u64>) {
        if let Some(journal) = &mut inner.journal {
            journal.end_sync(last);
        }
        if last.is_some() {
            for cursor in inner.cursors.values() {
                cursor.arrived.notify_one();
            }
            self.sync(inner);
        }
    }
}
