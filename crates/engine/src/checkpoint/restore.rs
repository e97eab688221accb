//! Gives a checkpoint to a worker that restores it: blob by blob, as bytes or as files to map.
//!
//! The worker runs the session's own code meanwhile. A process that this forks keeps the worker's end open, and need not answer or read; so each wait has a limit,
//! and whoever asked for the service ends it when the worker has said how the restore went.

use super::stop::StopHandle;
use super::{CheckpointStore, failure};
use crate::process::send_blocking;
use pyrepl3_protocol::frame::encode;
use pyrepl3_protocol::saver::{LoaderAnswer, LoaderRequest};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{Error, Extent, Location, Manifest, Reader};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Blobs below this are copied: a mapping costs more.
const WORTH_MAPPING: u64 = 1 << 20;
/// Files that one answer carries; what is in others is copied.
const FILES: usize = 64;
/// To send less takes less time than to begin a thread for it.
const WORTH_A_THREAD: u64 = 4 << 20;
/// The largest request.
const REQUEST: usize = 4096;
/// Requests for each blob, and beside them: a worker asks once, and once more where mapping did not work.
const REQUESTS: (u64, u64) = (4, 64);
/// Bytes that are written at a time, so that a limit is looked at in between.
const PIECE: usize = 256 << 10;

/// How long a worker may leave its end alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Before the next request: it makes objects of what it got, which may take as long as the session's own code likes.
    pub(super) request: Duration,
    /// While it takes an answer without reading any of it, and within a request.
    pub(super) answer: Duration,
    /// How many bytes of an answer it must take for each second beyond that.
    pub(super) bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let answer = Duration::from_secs(60);
        Limits { request: Duration::from_secs(3600), answer, bytes_per_second: 1 << 20 }
    }
}

/// A checkpoint that is being given to a worker, by a thread of its own. While it lives, nothing of the checkpoint's lineage is removed.
///
/// It ends when the worker closes its end, when a limit is met, or when it is stopped. Dropping it stops it. The thread ends then as soon as the disk has answered
/// what it is being asked, whoever else has the worker's end.
#[derive(Debug)]
pub(crate) struct RestoreService {
    stop: StopHandle,
    serving: JoinHandle<Result<(), Failure>>,
}

impl RestoreService {
    /// Begins, and answers the end to hand to the worker. `partial`: a blob that cannot be read is refused by itself, and the worker goes on without what needs it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn start(
        store: &Arc<CheckpointStore>,
        manifest: Arc<Manifest>,
        partial: bool,
    ) -> io::Result<(RestoreService, OwnedFd)> {
        RestoreService::start_within(store, manifest, partial, Limits::default())
    }

    pub(super) fn start_within(
        store: &Arc<CheckpointStore>,
        manifest: Arc<Manifest>,
        partial: bool,
        limits: Limits,
    ) -> io::Result<(RestoreService, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        let stop = StopHandle::of(&ours)?;
        let (store, stopped) = (store.clone(), stop.clone());
        let serving = tokio::task::spawn_blocking(move || {
            let served = store.open().and_then(|store| {
                let reader = store.reader(&manifest);
                reader
                    .and_then(|reader| serve(&ours, &stopped, &reader, partial, limits))
                    .map_err(|error| failure(&error))
            });
            // The worker must not wait for more.
            stopped.stop();
            served
        });
        Ok((RestoreService { stop, serving }, theirs.into()))
    }

    /// Ends it at once, without waiting for that.
    pub(crate) fn stop(&self) {
        self.stop.stop();
    }

    /// Ends it, and waits until nothing of the store is held any more: the disk's own time at most. To be called when the worker has answered, or is gone.
    /// Dropped before, it ends all the same.
    ///
    /// # Errors
    /// What the store said, where that is why the worker could not go on. That the worker went, or broke the rules, is none: it tells by itself how that ended.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.stop();
        (&mut self.serving)
            .await
            .map_err(|error| Failure::new(Code::Internal, "the checkpoint was not given", error.to_string(), ""))?
    }
}

impl Drop for RestoreService {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn serve(stream: &UnixStream, stop: &StopHandle, reader: &Reader, partial: bool, limits: Limits) -> Result<(), Error> {
    match (Serving { stream, stop, reader, limits }).run(partial) {
        Err(Ended::Store(error)) => Err(error),
        Err(Ended::Worker(error)) => {
            tracing::debug!(%error, "a worker that restored is gone");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The blobs of which a worker maps something. All else is checked when it is read.
pub(crate) fn mapped(reader: &Reader) -> Result<Vec<u32>, Error> {
    let mut found = Vec::new();
    for blob in 0..reader.manifest().blobs() {
        let large = reader.manifest().blob(blob).is_some_and(|(_, size)| size >= WORTH_MAPPING);
        if large && reader.extents(blob)?.iter().any(|extent| matches!(extent.location, Location::Raw { .. })) {
            found.push(blob);
        }
    }
    Ok(found)
}

enum Ended {
    Store(Error),
    Worker(io::Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Store(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Worker(error)
    }
}

struct Serving<'a> {
    stream: &'a UnixStream,
    stop: &'a StopHandle,
    reader: &'a Reader,
    limits: Limits,
}

impl Serving<'_> {
    fn run(&self, partial: bool) -> Result<(), Ended> {
        let reader = self.reader;
        self.stream.set_write_timeout(Some(self.limits.answer))?;
        let body = reader.manifest().body().get().as_bytes();
        self.answer(&LoaderAnswer::Body { n: body.len() as u64, partial }, &[])?;
        self.send(body)?;
        let mut left = REQUESTS.0 * u64::from(reader.manifest().blobs()) + REQUESTS.1;
        while let Some(request) = self.request()? {
            left = left.checked_sub(1).ok_or_else(|| io::Error::other("it asks for more than there is"))?;
            let (LoaderRequest::Get { get: blob } | LoaderRequest::Map { map: blob }) = request;
            let Some((_, size)) = reader.manifest().blob(blob) else {
                self.answer(&LoaderAnswer::Error { error: format!("the checkpoint has no blob {blob}") }, &[])?;
                continue;
            };
            // Before a word of it is given: what has begun cannot be refused any more.
            if partial && let Err(error) = self.check(blob) {
                self.answer(&LoaderAnswer::Error { error: error.to_string() }, &[])?;
                continue;
            }
            match request {
                LoaderRequest::Get { .. } => {
                    self.answer(&LoaderAnswer::Blob { n: size }, &[])?;
                    self.copy(blob, 0, size)?;
                }
                LoaderRequest::Map { .. } => self.map(blob, size)?,
            }
        }
        Ok(())
    }

    fn request(&self) -> Result<Option<LoaderRequest>, Ended> {
        let (mut head, mut stream) = ([0; 4], self.stream);
        self.stream.set_read_timeout(Some(self.limits.request))?;
        let count = loop {
            match stream.read(&mut head) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if count == 0 {
            return Ok(None);
        }
        self.stream.set_read_timeout(Some(self.limits.answer))?;
        stream.read_exact(&mut head[count..])?;
        let size = u32::from_be_bytes(head) as usize;
        if size > REQUEST {
            return Err(Ended::Worker(io::Error::other("its request is too large")));
        }
        let mut json = vec![0; size];
        stream.read_exact(&mut json)?;
        Ok(Some(serde_json::from_slice(&json).map_err(io::Error::other)?))
    }

    /// Reads a blob, to know that all of it is good.
    fn check(&self, blob: u32) -> Result<(), Error> {
        let mut bytes = self.reader.read(blob)?;
        while !self.stop.is_stopped() && bytes.part()?.is_some() {}
        Ok(())
    }

    fn map(&self, blob: u32, size: u64) -> Result<(), Ended> {
        if size < WORTH_MAPPING {
            self.answer(&LoaderAnswer::Parts { n: size, parts: Vec::new(), rest: vec![(0, size)] }, &[])?;
            return self.copy(blob, 0, size);
        }
        let extents = self.reader.extents(blob)?;
        let mut files: Vec<Arc<File>> = Vec::new();
        let (mut parts, mut rest): (Vec<_>, Vec<(u64, u64)>) = (Vec::new(), Vec::new());
        for Extent { offset, length, location } in extents {
            let known = match &location {
                Location::Zeros => continue,
                Location::Packed => None,
                Location::Raw { file, .. } => match files.iter().position(|one| Arc::ptr_eq(one, file)) {
                    None if files.len() < FILES => {
                        files.push(file.clone());
                        Some(files.len() - 1)
                    }
                    known => known,
                },
            };
            match (known, location) {
                (Some(number), Location::Raw { at, .. }) => parts.push((offset, length, number, at)),
                _ => rest.push((offset, length)),
            }
        }
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
        let copied = rest.clone();
        self.answer(&LoaderAnswer::Parts { n: size, parts, rest }, &fds)?;
        for (offset, length) in copied {
            self.copy(blob, offset, length)?;
        }
        Ok(())
    }

    /// Sends a range. A part of it is on its way while the next one is unpacked.
    fn copy(&self, blob: u32, offset: u64, length: u64) -> Result<(), Ended> {
        let mut bytes = self.reader.read_range(blob, offset, length)?;
        if length < WORTH_A_THREAD {
            while let Some(part) = bytes.part()? {
                self.send(part)?;
            }
            return Ok(());
        }
        let (parts, sending) = sync_channel::<(Vec<u8>, Range<usize>)>(1);
        let (back, empty) = channel();
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                for (buffer, part) in sending {
                    self.send(&buffer[part])?;
                    // Nobody takes the last ones back.
                    _ = back.send(buffer);
                }
                Ok::<_, io::Error>(())
            });
            let unpacked = (|| {
                let mut buffer = Vec::new();
                while let Some(part) = bytes.exchange(&mut buffer)? {
                    if parts.send((std::mem::take(&mut buffer), part)).is_err() {
                        break; // it has ended, and says why
                    }
                    buffer = empty.try_recv().unwrap_or_default();
                }
                Ok::<_, Error>(())
            })();
            drop(parts);
            sender.join().unwrap_or_else(|_| Err(io::Error::other("the thread that sends has panicked")))?;
            Ok(unpacked?)
        })
    }

    /// Writes all, in pieces: a worker that takes it drop by drop takes too long in the end.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let (mut stream, mut sent, begun) = (self.stream, 0u64, Instant::now());
        for piece in bytes.chunks(PIECE) {
            stream.write_all(piece)?;
            sent += piece.len() as u64;
            let limit = self.limits.answer + Duration::from_secs(sent / self.limits.bytes_per_second.max(1));
            if begun.elapsed() > limit {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long to read"));
            }
        }
        Ok(())
    }

    fn answer(&self, answer: &LoaderAnswer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let json = serde_json::to_vec(answer)?;
        let frame = encode(&json).map_err(io::Error::other)?;
        send_blocking(self.stream, &frame, fds)
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
