//! The engine's side of one worker: its control channel and its output pipes.

use crate::process::{FrameWriter, Output, Peer, Process, connected_pair, output_pipe, receive_with_peer};
use pyrepl3_protocol::frame::{Decoder, MAX_FRAME};
use pyrepl3_protocol::worker::{Event, MAX_WORKER_FRAME, Request};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io;
use tokio::net::UnixStream;

/// Bytes that a worker may leave unread. One request may be as large as a frame can be, and waits for the worker to
/// come to it; what is small must not pile up behind it without end.
const UNREAD: usize = MAX_FRAME + (16 << 20);

/// The number of a session's first worker; those after it count up. A worker's number is that of its incarnation.
pub(crate) const FIRST_WORKER: u64 = 1;

/// The channel and the pipes of one worker.
#[derive(Debug)]
pub(crate) struct WorkerLink {
    control: UnixStream,
    decoder: Decoder,
    writer: FrameWriter,
    seq: u64,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// Known once session init has handed it over; a branch's, once it has spoken.
    pub(crate) process: Option<Process>,
    /// The channel has closed: nothing more will be said.
    pub(crate) closed: bool,
    buffer: Box<[u8]>,
}

/// The descriptors that make a worker: its channel, stdout, stderr, standard input.
#[derive(Debug)]
pub(crate) struct WorkerFds {
    control: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    stdin: OwnedFd,
}

impl WorkerFds {
    pub(crate) fn into_all(self) -> Vec<OwnedFd> {
        vec![self.control, self.stdout, self.stderr, self.stdin]
    }
}

impl WorkerLink {
    /// A link to a worker that is about to be made from the descriptors. Its first request waits for it already.
    pub(crate) fn new(setup: &Request<'_>, stdin: Option<BorrowedFd<'_>>) -> io::Result<(WorkerLink, WorkerFds)> {
        let (mut link, fds) = WorkerLink::unasked(stdin)?;
        link.send(setup, Vec::new())?;
        Ok((link, fds))
    }

    /// A link to a worker that is about to be made and needs no setting up: a branch.
    pub(crate) fn unasked(stdin: Option<BorrowedFd<'_>>) -> io::Result<(WorkerLink, WorkerFds)> {
        let (control, theirs) = connected_pair()?;
        let (stdout, stdout_fd) = output_pipe()?;
        let (stderr, stderr_fd) = output_pipe()?;
        let stdin = match stdin {
            Some(fd) => fd.try_clone_to_owned()?,
            None => std::fs::File::open("/dev/null")?.into(),
        };
        let link = WorkerLink {
            control,
            decoder: Decoder::new(MAX_WORKER_FRAME),
            writer: FrameWriter::new(UNREAD),
            seq: 0,
            stdout,
            stderr,
            process: None,
            closed: false,
            buffer: vec![0; 16 << 10].into(),
        };
        Ok((link, WorkerFds { control: theirs, stdout: stdout_fd, stderr: stderr_fd, stdin }))
    }

    /// Sends a request with its descriptors, now or as soon as the worker reads.
    ///
    /// # Errors
    /// The channel is broken, or the worker has left too much unread.
    pub(crate) fn send(&mut self, request: &Request<'_>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        self.writer.send(&self.control, &json, fds)
    }

    /// From now on another process is the worker: a frozen one that is being woken. The pipes stay. Returns the end of
    /// the new channel that it is to have.
    pub(crate) fn reincarnate(&mut self) -> io::Result<OwnedFd> {
        let (control, theirs) = connected_pair()?;
        self.control = control;
        self.decoder = Decoder::new(MAX_WORKER_FRAME);
        self.writer = FrameWriter::new(UNREAD);
        self.seq = 0;
        self.process = None;
        self.closed = false;
        Ok(theirs)
    }

    /// Whether [`WorkerLink::flush`] has something to do once the channel is writable.
    pub(crate) fn is_waiting(&self) -> bool {
        self.writer.is_waiting()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush(&self.control)
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.control.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.control.writable().await
    }

    /// Bytes that have come and were not read.
    pub(crate) fn held(&self) -> usize {
        rustix::io::ioctl_fionread(&self.control).map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Reads once without waiting. Notes the end of the channel. `awaited`: it was waited for. How many bytes came.
    pub(crate) fn read(&mut self, awaited: bool) -> Result<usize, String> {
        self.read_with_peer(awaited).map(|(count, _)| count)
    }

    /// The same, and takes hold of the process that writes: the first word of a branch.
    pub(crate) fn read_from_branch(&mut self) -> Result<usize, String> {
        let (count, peer) = self.read_with_peer(true)?;
        if let (None, Some(peer)) = (&self.process, peer) {
            match Process::open(peer) {
                Ok(process) => self.take(process),
                // It has said why it cannot begin, and is gone.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(format!("no pidfd for the worker: {error}")),
            }
        }
        Ok(count)
    }

    fn read_with_peer(&mut self, awaited: bool) -> Result<(usize, Option<Peer>), String> {
        if self.closed {
            return Ok((0, None));
        }
        let (count, peer) = if self.process.is_none() || !awaited {
            match receive_with_peer(&self.control, &mut self.buffer, awaited) {
                None => return Ok((0, None)),
                Some(Ok(received)) => received,
                Some(Err(error)) => return Err(error.to_string()),
            }
        } else {
            match self.control.try_read(&mut self.buffer) {
                Ok(count) => (count, None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((0, None)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (0, None),
                Err(error) => return Err(error.to_string()),
            }
        };
        if count == 0 {
            self.closed = true;
            return Ok((0, None));
        }
        self.decoder.feed(&self.buffer[..count]);
        Ok((count, peer))
    }

    /// This process is the worker.
    pub(crate) fn take(&mut self, process: Process) {
        self.process = Some(process);
        // From now on frames are read without asking who wrote them.
        _ = rustix::net::sockopt::set_socket_passcred(&self.control, false);
    }

    /// The next frame that has come whole, its order checked.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, String> {
        let Some(json) = self.decoder.next_frame().map_err(|error| error.to_string())? else { return Ok(None) };
        let (seq, event) = Event::from_json(json).map_err(|error| error.to_string())?;
        if seq != self.seq + 1 {
            return Err(format!("frame {seq} came where frame {} was due", self.seq + 1));
        }
        self.seq = seq;
        Ok(Some(event))
    }

    /// Whether frames wait to be taken.
    pub(crate) fn has_pending(&self) -> bool {
        self.decoder.pending() > 0
    }
}
