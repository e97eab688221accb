//! Gives a checkpoint to a worker that restores it: blob by blob, as bytes or as files to map.

use pyrepl3_protocol::frame::encode;
use pyrepl3_protocol::saver::{LoaderAnswer, LoaderRequest};
use pyrepl3_store::{Error, Extent, Place, Reader};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Blobs below this are copied: a mapping costs more.
const WORTH_MAPPING: u64 = 1 << 20;
/// Files that one answer carries; what is in others is copied.
const FILES: usize = 64;
/// The largest request.
const REQUEST: usize = 4096;

/// Serves until the worker closes its end.
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

    fn copy(&mut self, blob: u32, offset: u64, length: u64) -> Result<(), Ended> {
        let mut bytes = self.reader.read_range(blob, offset, length)?;
        while let Some(part) = bytes.part()? {
            self.stream.write_all(part)?;
        }
        Ok(())
    }

    fn answer(&mut self, answer: &LoaderAnswer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let json = serde_json::to_vec(answer)?;
        let frame = encode(&json).map_err(io::Error::other)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("too many files in one answer"));
        }
        let sent =
            rustix::net::sendmsg(self.stream.as_fd(), &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)?;
        self.stream.write_all(&frame[sent..])
    }
}
