//! Unix sockets that carry frames, descriptors and credentials.

use pyrepl3_protocol::frame;
use pyrepl3_protocol::worker::MAX_FRAME_FDS;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
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
    let ours = std::os::unix::net::UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
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
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FRAME_FDS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if sent == 0 && !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(io::Error::other("too many descriptors in one message"));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(&bytes[sent..])], &mut control, flags)?)
        });
        match now {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same, on a stream that waits.
pub(crate) fn send_blocking(
    mut stream: &std::os::unix::net::UnixStream,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
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

/// Frames on their way to a process that may be slow to read them.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    rest: Vec<u8>,
    written: usize,
    /// Descriptors, and the byte that they go with: the first of their frame.
    fds: VecDeque<(usize, Vec<OwnedFd>)>,
}

impl FrameWriter {
    /// Sends a frame as far as the socket takes it now, and keeps the rest.
    pub(crate) fn send(&mut self, stream: &UnixStream, json: &[u8]) -> io::Result<()> {
        frame::encode_into(json, &mut self.rest).map_err(io::Error::other)?;
        self.flush(stream)
    }

    /// The same, with descriptors.
    pub(crate) fn send_with(&mut self, stream: &UnixStream, json: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
        self.fds.push_back((self.rest.len(), fds));
        self.send(stream, json)
    }

    /// Whether something waits for the socket to take more.
    pub(crate) fn is_waiting(&self) -> bool {
        self.written < self.rest.len()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        while self.is_waiting() {
            match self.write_some(stream) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.fds.clear();
        if self.rest.capacity() > 64 << 10 {
            self.rest = Vec::new();
        }
        self.rest.clear();
        Ok(())
    }

    /// Writes as far as the next descriptors, which go with the first byte of their frame.
    fn write_some(&mut self, stream: &UnixStream) -> io::Result<usize> {
        let end = self.fds.iter().map(|(at, _)| *at).find(|at| *at > self.written).unwrap_or(self.rest.len());
        let bytes = &self.rest[self.written..end];
        let Some((_, fds)) = self.fds.front().filter(|(at, _)| *at == self.written) else {
            return stream.try_write(bytes);
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let sent = stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(io::Error::other("too many descriptors in one message"));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(bytes)], &mut control, flags)?)
        })?;
        self.fds.pop_front();
        Ok(sent)
    }
}
