//! Unix sockets that carry frames, descriptors and credentials.

use pyrepl3_protocol::frame;
use pyrepl3_protocol::worker::MAX_FRAME_FDS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::path::Path;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Who wrote on a channel, as the kernel says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) pid: rustix::process::Pid,
}

/// A connected pair: the engine's end, which tells who writes on the other, and the end to hand to a process.
pub(crate) fn connected_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::sockopt::set_socket_passcred(&ours, true)?;
    Ok((stream(ours)?, theirs))
}

/// A stream on a descriptor that another process may have used before.
pub(crate) fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Whether the other end is closed, whatever is left to be read.
pub(crate) fn is_closed(stream: &UnixStream) -> bool {
    let mut wanted = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut wanted, Some(&now)).is_ok_and(|count| count > 0)
}

/// Connects to a Unix socket, whatever the length of its path. It tells who writes on the other end.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (folder, name) = in_folder(path)?;
    let stream = UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).await?;
    rustix::net::sockopt::set_socket_passcred(&stream, true)?;
    Ok(stream)
}

/// Binds a Unix socket and listens, whatever the length of its path. One that is there is replaced.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let (folder, name) = in_folder(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    Ok(listener.into())
}

/// A path has 108 bytes at most in an address; a descriptor of its folder makes it short.
fn in_folder(path: &Path) -> io::Result<(OwnedFd, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(folder), Some(name)) = (path.parent(), name) else { return Err(io::ErrorKind::InvalidInput.into()) };
    Ok((std::fs::File::open(folder)?.into(), name))
}

/// Sends once, with descriptors on the first byte: how many bytes the socket took.
fn send_some(stream: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FRAME_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | flags)?)
}

/// Sends a JSON text as a frame, with descriptors on its first byte.
pub(crate) async fn send_with_fds(stream: &UnixStream, json: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let frame = frame::encode(json).map_err(io::Error::other)?;
    send_raw(stream, &frame, fds).await
}

pub(crate) async fn send_raw(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        stream.writable().await?;
        let now = stream.try_io(Interest::WRITABLE, || {
            send_some(stream, &bytes[sent..], if sent == 0 { fds } else { &[] }, SendFlags::DONTWAIT)
        });
        match now {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends a few bytes with descriptors at once, to a process that only waits, so that there is room for them.
///
/// # Errors
/// The socket is broken, or there is no room.
pub(crate) fn send_now(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let sent = send_some(stream, bytes, fds, SendFlags::DONTWAIT)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("it does not read what it is sent")) }
}

/// The same, on a stream that waits.
pub(crate) fn send_blocking(
    mut stream: &std::os::unix::net::UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let sent = send_some(stream, bytes, fds, SendFlags::empty())?;
    io::Write::write_all(&mut stream, &bytes[sent..])
}

/// Reads once without waiting, and says who wrote. None at `WouldBlock`; an empty read is end-of-file.
///
/// `awaited`: the stream was waited for. Else this asks the system, as the runtime may not have heard yet that something
/// is there.
pub(crate) fn receive_with_peer(
    stream: &UnixStream,
    buffer: &mut [u8],
    awaited: bool,
) -> Option<io::Result<(usize, Option<Peer>)>> {
    // Descriptors that a worker sends are closed here, by dropping them.
    receive(stream, buffer, awaited).map(|received| received.map(|(count, peer, _)| (count, peer)))
}

/// How many bytes came, who wrote them, and the descriptors that came with them.
pub(crate) type Received = (usize, Option<Peer>, Vec<OwnedFd>);

/// The same, with the descriptors that came.
pub(crate) fn receive(stream: &UnixStream, buffer: &mut [u8], awaited: bool) -> Option<io::Result<Received>> {
    let mut receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        let (mut peer, mut fds) = (None, Vec::new());
        for ancillary in control.drain() {
            match ancillary {
                RecvAncillaryMessage::ScmCredentials(credentials) => peer = Some(Peer { pid: credentials.pid }),
                RecvAncillaryMessage::ScmRights(given) => fds.extend(given),
                _ => {}
            }
        }
        Ok((message.bytes, peer, fds))
    };
    let received: io::Result<_> = if awaited { stream.try_io(Interest::READABLE, receive) } else { receive() };
    match received {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => Some(Ok((0, None, Vec::new()))),
        other => Some(other),
    }
}

/// Looks at what has come without taking it, where that is enough: how many bytes there are, and who wrote them. None where
/// it is not. At the end of the stream it says what there is, enough or not.
pub(crate) fn peek(
    stream: &UnixStream,
    buffer: &mut [u8],
    awaited: bool,
    is_enough: impl Fn(&[u8]) -> bool,
) -> Option<io::Result<(usize, Option<Peer>)>> {
    let mut look = || {
        // Before the look: after the end nothing more comes.
        let ended = is_hung_up(stream)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC | RecvFlags::PEEK;
        let message = rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        let peer = control.drain().find_map(|ancillary| match ancillary {
            RecvAncillaryMessage::ScmCredentials(credentials) => Some(Peer { pid: credentials.pid }),
            _ => None,
        });
        if !ended && message.bytes > 0 && !is_enough(&buffer[..message.bytes]) {
            // So that more is waited for.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok((message.bytes, peer))
    };
    let seen: io::Result<_> = if awaited { stream.try_io(Interest::READABLE, look) } else { look() };
    match seen {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => Some(Ok((0, None))),
        other => Some(other),
    }
}

/// Whether the other side has closed.
fn is_hung_up(stream: &UnixStream) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now))?;
    Ok(!fds[0].revents().is_empty())
}

/// Bytes of buffer that a writer keeps while nothing waits: there are two for each session.
const RESTING: usize = 4 << 10;

/// Frames on their way to a process that may be slow to read them. What waits is bounded: who does not read at all must
/// not fill the memory.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    rest: Vec<u8>,
    written: usize,
    /// Descriptors, and the byte that they go with: the first of their frame.
    fds: VecDeque<(usize, Vec<OwnedFd>)>,
    /// Bytes that may wait already when a frame is added.
    limit: usize,
}

impl FrameWriter {
    /// One that takes no more frames while more than so many bytes wait.
    pub(crate) fn new(limit: usize) -> Self {
        FrameWriter { rest: Vec::new(), written: 0, fds: VecDeque::new(), limit }
    }

    /// Sends a frame as far as the socket takes it now, and keeps the rest.
    ///
    /// # Errors
    /// It is too large, or too much waits already: then nothing of it is sent, nor are its descriptors. Or the socket
    /// is broken.
    pub(crate) fn send(&mut self, stream: &UnixStream, json: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
        if self.rest.len() - self.written > self.limit {
            return Err(io::Error::other("the process does not read what it is sent"));
        }
        let at = self.rest.len();
        frame::encode_into(json, &mut self.rest).map_err(io::Error::other)?;
        if !fds.is_empty() {
            self.fds.push_back((at, fds));
        }
        self.flush(stream)
    }

    /// Whether something waits for the socket to take more.
    pub(crate) fn is_waiting(&self) -> bool {
        self.written < self.rest.len()
    }

    /// Sends what waits, as far as the socket takes it. Where the socket is broken, nothing waits any more.
    pub(crate) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        let mut flushed = Ok(());
        while flushed.is_ok() && self.is_waiting() {
            match self.write_some(stream) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => flushed = Err(error),
            }
        }
        self.written = 0;
        self.fds.clear();
        self.rest.clear();
        self.rest.shrink_to(RESTING);
        flushed
    }

    /// Writes as far as the next descriptors, which go with the first byte of their frame.
    fn write_some(&mut self, stream: &UnixStream) -> io::Result<usize> {
        let end = self.fds.iter().map(|(at, _)| *at).find(|at| *at > self.written).unwrap_or(self.rest.len());
        let bytes = &self.rest[self.written..end];
        let with = self.fds.front().filter(|(at, _)| *at == self.written);
        let fds: Vec<BorrowedFd<'_>> = with.iter().flat_map(|(_, fds)| fds.iter().map(AsFd::as_fd)).collect();
        let send = || send_some(stream, bytes, &fds, SendFlags::DONTWAIT);
        // First past the runtime, which may not have heard yet that there is room; then through it, so that it waits for
        // room where there is none.
        let sent = match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.try_io(Interest::WRITABLE, send)?,
            sent => sent?,
        };
        if with.is_some() {
            self.fds.pop_front();
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[tokio::test]
    async fn descriptors_of_a_frame_that_is_not_sent_go_with_no_other() {
        let (ours, theirs) = connected_pair().unwrap();
        let mut writer = FrameWriter::new(1 << 20);
        let large = vec![b' '; frame::MAX_FRAME + 1];
        writer.send(&ours, &large, vec![descriptor()]).unwrap_err();
        assert!(!writer.is_waiting() && writer.fds.is_empty());
        writer.send(&ours, b"{}", Vec::new()).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0; 64];
        let slices = &mut [IoSliceMut::new(&mut buffer)];
        let got = rustix::net::recvmsg(&theirs, slices, &mut control, RecvFlags::empty()).unwrap();
        assert_eq!((got.bytes, &buffer[..6]), (6, &b"\0\0\0\x02{}"[..]));
        assert_eq!(control.drain().filter(|one| matches!(one, RecvAncillaryMessage::ScmRights(_))).count(), 0);
    }

    #[tokio::test]
    async fn what_waits_for_a_process_that_does_not_read_is_bounded() {
        let (ours, theirs) = connected_pair().unwrap();
        let mut writer = FrameWriter::new(1 << 20);
        let piece = vec![b'x'; 64 << 10];
        let sent = (0..1000).take_while(|_| writer.send(&ours, &piece, Vec::new()).is_ok()).count();
        assert!(sent < 100, "{sent} pieces were taken");
        assert!(writer.rest.len() < 2 << 20);
        // What was taken comes whole.
        let mut theirs = std::os::unix::net::UnixStream::from(theirs);
        let mut all = vec![0; sent * (piece.len() + 4)];
        let reading = tokio::task::spawn_blocking(move || theirs.read_exact(&mut all).map(|()| all));
        while writer.is_waiting() {
            ours.writable().await.unwrap();
            writer.flush(&ours).unwrap();
        }
        assert_eq!(reading.await.unwrap().unwrap().len(), sent * (piece.len() + 4));
    }
}
