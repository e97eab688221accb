//! Gives a checkpoint to a worker that restores it: blob by blob, as bytes or as files to map.

use crate::process::send_blocking;
use pyrepl3_protocol::frame::encode;
use pyrepl3_protocol::saver::{LoaderAnswer, LoaderRequest};
use pyrepl3_store::{Error, Extent, Place, Reader};
use rustix::fd::{AsFd, BorrowedFd};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

/// Blobs below this are copied: a mapping costs more.
const WORTH_MAPPING: u64 = 1 << 20;
/// Files that one answer carries; what is in others is copied.
const FILES: usize = 64;
/// To send less takes less time than to begin a thread for it.
const WORTH_A_THREAD: u64 = 4 << 20;
/// The largest request.
const REQUEST: usize = 4096;

/// Serves until the worker closes its end. `partial`: a blob that cannot be read is refused by itself, and the worker
/// goes on without what needs it.
///
/// # Errors
/// What the store said, where that is why the worker cannot go on.
pub(crate) fn serve(mut stream: UnixStream, reader: &Reader, partial: bool) -> Result<(), Error> {
    let served = Serving { stream: &mut stream, reader }.run(partial);
    // The worker must not wait for more.
    _ = stream.shutdown(std::net::Shutdown::Both);
    match served {
        Err(Ended::Store(error)) => Err(error),
        // The worker went, or broke the rules: it tells by itself how that ended.
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
        if large && reader.extents(blob)?.iter().any(|extent| matches!(extent.place, Place::Raw { .. })) {
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
    stream: &'a mut UnixStream,
    reader: &'a Reader,
}

impl Serving<'_> {
    fn run(&mut self, partial: bool) -> Result<(), Ended> {
        let reader = self.reader;
        let body = reader.manifest().body().get().as_bytes();
        self.answer(&LoaderAnswer::Body { n: body.len() as u64, partial }, &[])?;
        self.stream.write_all(body)?;
        while let Some(request) = self.request()? {
            let (LoaderRequest::Get { get: blob } | LoaderRequest::Map { map: blob }) = request;
            let Some((_, size)) = reader.manifest().blob(blob) else {
                self.answer(&LoaderAnswer::Error { error: format!("the checkpoint has no blob {blob}") }, &[])?;
                continue;
            };
            // Before a word of it is given: what has begun cannot be refused any more.
            if partial && let Err(error) = reader.check(blob) {
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

    fn request(&mut self) -> Result<Option<LoaderRequest>, Ended> {
        let mut head = [0; 4];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let size = u32::from_be_bytes(head) as usize;
        if size > REQUEST {
            return Err(Ended::Worker(io::Error::other("its request is too large")));
        }
        let mut json = vec![0; size];
        self.stream.read_exact(&mut json)?;
        Ok(Some(serde_json::from_slice(&json).map_err(io::Error::other)?))
    }

    fn map(&mut self, blob: u32, size: u64) -> Result<(), Ended> {
        if size < WORTH_MAPPING {
            self.answer(&LoaderAnswer::Parts { n: size, parts: Vec::new(), rest: vec![(0, size)] }, &[])?;
            return self.copy(blob, 0, size);
        }
        let extents = self.reader.extents(blob)?;
        let mut files: Vec<Arc<File>> = Vec::new();
        let (mut parts, mut rest): (Vec<_>, Vec<(u64, u64)>) = (Vec::new(), Vec::new());
        for Extent { offset, length, place } in extents {
            let known = match &place {
                Place::Zeros => continue,
                Place::Packed => None,
                Place::Raw { file, .. } => match files.iter().position(|one| Arc::ptr_eq(one, file)) {
                    None if files.len() < FILES => {
                        files.push(file.clone());
                        Some(files.len() - 1)
                    }
                    known => known,
                },
            };
            match (known, place) {
                (Some(number), Place::Raw { at, .. }) => parts.push((offset, length, number, at)),
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
    fn copy(&mut self, blob: u32, offset: u64, length: u64) -> Result<(), Ended> {
        let mut bytes = self.reader.read_range(blob, offset, length)?;
        if length < WORTH_A_THREAD {
            while let Some(part) = bytes.part()? {
                self.stream.write_all(part)?;
            }
            return Ok(());
        }
        let (parts, sending) = sync_channel::<(Vec<u8>, Range<usize>)>(1);
        let (back, empty) = channel();
        let stream = &mut *self.stream;
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                for (buffer, part) in sending {
                    stream.write_all(&buffer[part])?;
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

    fn answer(&mut self, answer: &LoaderAnswer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let json = serde_json::to_vec(answer)?;
        let frame = encode(&json).map_err(io::Error::other)?;
        send_blocking(self.stream, &frame, fds)
    }
}
