//! Output pipes: how much they hold, and text from bytes that are cut anywhere.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;

/// Bytes read at a time while output streams, and the size to which a pipe grows then.
const STREAMING: usize = 1 << 20;
/// Bytes read at a time otherwise: the size that Linux gives a pipe.
const RESTING: usize = 64 << 10;

/// The reading end of an output pipe, and the bytes of a character whose end has not come yet.
///
/// It is watched only while somebody waits for it. A watched pipe wakes the engine at every write, even when the
/// engine has decided to let some more come first.
#[derive(Debug)]
pub(crate) struct Output {
    fd: OwnedFd,
    /// Another descriptor of the same pipe, which the runtime watches.
    watch: Option<Receiver>,
    tail: Vec<u8>,
    size: usize,
    pub(crate) ended: bool,
    /// It could not be watched when that was last tried: it is to be tried again.
    pub(crate) unheard: bool,
}

/// What came through a pipe: text, and the exact bytes where they were not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) text: String,
    pub(crate) bytes: Option<Vec<u8>>,
}

/// A pipe for one output stream: the engine's end, and the end to hand to a process.
pub(crate) fn output_pipe() -> io::Result<(Output, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((Output::on(read)?, write))
}

/// Reads some bytes from a pipe that is not watched. It may be silent for `limit`. 0 at its end, and where it is empty and the socket beside it is closed, by
/// either side: others may have the pipe and never write.
pub(crate) fn read_beside(
    pipe: &OwnedFd,
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    limit: Duration,
) -> io::Result<usize> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    loop {
        let mut fds = [PollFd::new(pipe, PollFlags::IN), PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) if fds[0].revents().is_empty() => return Ok(0),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::read(pipe, &mut *into) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

impl Output {
    /// On the reading end of a pipe, this process's or one that another supervisor had.
    pub(crate) fn on(fd: OwnedFd) -> io::Result<Output> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Output { fd, watch: None, tail: Vec::new(), size: RESTING, ended: false, unheard: false })
    }

    /// A duplicate of this end, for session init to keep.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// From now on [`Output::readable`] can be waited for.
    pub(crate) fn watch(&mut self) {
        if self.watch.is_none() && !self.ended {
            match self.fd.try_clone().and_then(Receiver::from_owned_fd_unchecked) {
                Ok(watch) => (self.watch, self.unheard) = (Some(watch), false),
                Err(error) => {
                    tracing::error!(%error, "an output pipe cannot be watched");
                    self.unheard = true;
                }
            }
        }
    }

    /// Writes no longer wake the engine.
    pub(crate) fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Waits until something can be read; for ever where it is not watched.
    pub(crate) async fn readable(&self) {
        match &self.watch {
            Some(watch) => _ = watch.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads once without waiting. None when nothing is there, or only the start of a character.
    pub(crate) fn read(
        &mut self,
        take: impl FnMut(BorrowedFd<'_>, usize, &mut Vec<u8>) -> io::Result<usize>,
    ) -> Option<Chunk> {
        let held = self.held().max(1);
        self.read_at_most(held.min(self.size), true, take).1
    }

    /// What another supervisor has taken out of the pipe and not told comes before what is in it.
    pub(crate) fn resume(&mut self, mut taken: Vec<u8>) -> Option<Chunk> {
        self.tail = incomplete_tail(&mut taken);
        (!taken.is_empty()).then(|| decode(taken))
    }

    /// Reads exactly what the pipe holds now: everything that was written before the frame that is about to be told.
    pub(crate) fn drain(
        &mut self,
        mut take: impl FnMut(BorrowedFd<'_>, usize, &mut Vec<u8>) -> io::Result<usize>,
        mut deliver: impl FnMut(Chunk),
    ) {
        let mut left = self.held();
        while left > 0 {
            // Past the runtime, which may not have heard yet that something is there.
            let (count, chunk) = self.read_at_most(left.min(STREAMING), false, &mut take);
            if let Some(chunk) = chunk {
                deliver(chunk);
            }
            if count == 0 {
                return;
            }
            left = left.saturating_sub(count);
        }
    }

    /// Bytes that the pipe holds.
    fn held(&self) -> usize {
        rustix::io::ioctl_fionread(&self.fd).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// How many bytes were read, and what text they make with those that were held back. `take(pipe, limit, into)` reads.
    fn read_at_most(
        &mut self,
        limit: usize,
        awaited: bool,
        mut take: impl FnMut(BorrowedFd<'_>, usize, &mut Vec<u8>) -> io::Result<usize>,
    ) -> (usize, Option<Chunk>) {
        let mut buffer = Vec::with_capacity(limit + self.tail.len());
        buffer.append(&mut self.tail);
        let read = match &self.watch {
            // So that a pipe that is empty is waited for again.
            Some(watch) if awaited => watch.try_io(|| take(self.fd.as_fd(), limit, &mut buffer)),
            _ => take(self.fd.as_fd(), limit, &mut buffer),
        };
        let count = match read {
            Ok(count) => count,
            Err(error) => {
                self.ended |= error.kind() != io::ErrorKind::WouldBlock
                    && error.raw_os_error() != Some(Errno::INTR.raw_os_error());
                self.tail = buffer;
                return (0, None);
            }
        };
        self.ended |= count == 0;
        if count >= RESTING && self.size == RESTING {
            self.grow();
        }
        self.tail = incomplete_tail(&mut buffer);
        (count, (!buffer.is_empty()).then(|| decode(buffer)))
    }

    /// What is left of a character that was never finished. Called when an execution ends.
    pub(crate) fn finish(&mut self) -> Option<Chunk> {
        self.rest();
        let tail = std::mem::take(&mut self.tail);
        (!tail.is_empty()).then(|| decode(tail))
    }

    /// An unprivileged user has 64 MiB of pipe buffers in all, so a pipe is large only while it streams.
    fn grow(&mut self) {
        if rustix::pipe::fcntl_setpipe_size(&self.fd, STREAMING).is_ok() {
            self.size = STREAMING;
        } else {
            // Not again: the limit is reached.
            self.size = RESTING + 1;
        }
    }

    fn rest(&mut self) {
        if self.size > RESTING {
            // Refused while the pipe holds more: then it stays large until the next end.
            if self.size == RESTING + 1 || rustix::pipe::fcntl_setpipe_size(&self.fd, RESTING).is_ok() {
                self.size = RESTING;
            }
        }
    }
}

/// Takes the bytes of a character that is not whole yet off the end (at most three).
fn incomplete_tail(buffer: &mut Vec<u8>) -> Vec<u8> {
    let len = buffer.len();
    for back in 1..=len.min(3) {
        let byte = buffer[len - back];
        if byte & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        let need = match byte {
            0b1100_0010..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0100 => 4,
            _ => 1,
        };
        // A start that can still become a character: its bytes so far must be the beginning of a valid one.
        let starts = match std::str::from_utf8(&buffer[len - back..]) {
            Ok(_) => false,
            Err(error) => error.error_len().is_none(),
        };
        return if need > back && starts { buffer.split_off(len - back) } else { Vec::new() };
    }
    Vec::new()
}

fn decode(bytes: Vec<u8>) -> Chunk {
    match String::from_utf8(bytes) {
        Ok(text) => Chunk { text, bytes: None },
        Err(error) => {
            let bytes = error.into_bytes();
            Chunk { text: String::from_utf8_lossy(&bytes).into_owned(), bytes: Some(bytes) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(pieces: &[Vec<u8>]) -> (Vec<u8>, String) {
        let (mut exact, mut text, mut tail) = (Vec::new(), String::new(), Vec::new());
        let mut take = |chunk: Chunk| {
            exact.extend_from_slice(chunk.bytes.as_deref().unwrap_or(chunk.text.as_bytes()));
            text.push_str(&chunk.text);
        };
        for piece in pieces {
            let mut buffer: Vec<u8> = std::mem::take(&mut tail);
            buffer.extend_from_slice(piece);
            tail = incomplete_tail(&mut buffer);
            take(decode(buffer));
        }
        take(decode(tail));
        (exact, text)
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_comes_whole(text in "\\PC{0,60}", cuts in proptest::collection::vec(1usize..7, 0..40)) {
            let bytes = text.as_bytes();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = (at + cut).min(bytes.len());
                pieces.push(bytes[at..end].to_vec());
                at = end;
            }
            pieces.push(bytes[at..].to_vec());
            let (exact, seen) = through(&pieces);
            prop_assert_eq!(exact, bytes);
            prop_assert_eq!(seen, text);
        }

        #[test]
        fn any_bytes_come_exactly(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let whole = pieces.concat();
            prop_assert_eq!(through(&pieces).0, whole);
        }
    }
}
