//! The engine's side of one worker incarnation, and of the session init above it.

use crate::process::{FrameWriter, Output, Peer, Process, connected_pair, output_pipe, receive, receive_with_peer};
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::worker::{Event, InitEvent, InitRequest, MAX_FRAME_FDS, MAX_WORKER_FRAME, Request};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::collections::VecDeque;
use std::io;
use tokio::net::UnixStream;

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

    pub(crate) fn borrow(&self) -> [BorrowedFd<'_>; 4] {
        [self.control.as_fd(), self.stdout.as_fd(), self.stderr.as_fd(), self.stdin.as_fd()]
    }
}

impl WorkerLink {
    /// A link to a worker that is about to be made from the descriptors. Its first request waits for it already.
    pub(crate) fn new(setup: &Request<'_>, stdin: Option<BorrowedFd<'_>>) -> io::Result<(WorkerLink, WorkerFds)> {
        let (mut link, fds) = WorkerLink::unasked(stdin)?;
        link.send(setup)?;
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
            writer: FrameWriter::default(),
            seq: 0,
            stdout,
            stderr,
            process: None,
            closed: false,
            buffer: vec![0; 16 << 10].into(),
        };
        Ok((link, WorkerFds { control: theirs, stdout: stdout_fd, stderr: stderr_fd, stdin }))
    }

    /// Sends a request, now or as soon as the worker reads.
    pub(crate) fn send(&mut self, request: &Request<'_>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        self.writer.send(&self.control, &json)
    }

    /// Sends a request with descriptors.
    pub(crate) fn send_with(&mut self, request: &Request<'_>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        self.writer.send_with(&self.control, &json, fds)
    }

    /// From now on another process is the worker: a frozen one that is being woken. The pipes stay. Returns the end of
    /// the new channel that it is to have.
    pub(crate) fn reincarnate(&mut self) -> io::Result<OwnedFd> {
        let (control, theirs) = connected_pair()?;
        self.control = control;
        self.decoder = Decoder::new(MAX_WORKER_FRAME);
        self.writer = FrameWriter::default();
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

    /// Reads once without waiting. Notes the end of the channel. `awaited`: it was waited for. False when nothing was
    /// there.
    pub(crate) fn read(&mut self, awaited: bool) -> Result<bool, String> {
        self.read_with_peer(awaited).map(|(something, _)| something)
    }

    /// The same, and takes hold of the process that writes: the first word of a branch.
    pub(crate) fn read_from_branch(&mut self) -> Result<bool, String> {
        let (something, peer) = self.read_with_peer(true)?;
        if let (None, Some(peer)) = (&self.process, peer) {
            match Process::open(peer) {
                Ok(process) => self.take(process),
                // It has said why it cannot begin, and is gone.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(format!("no pidfd for the worker: {error}")),
            }
        }
        Ok(something)
    }

    fn read_with_peer(&mut self, awaited: bool) -> Result<(bool, Option<Peer>), String> {
        if self.closed {
            return Ok((false, None));
        }
        let (count, peer) = if self.process.is_none() || !awaited {
            match receive_with_peer(&self.control, &mut self.buffer, awaited) {
                None => return Ok((false, None)),
                Some(Ok(received)) => received,
                Some(Err(error)) => return Err(error.to_string()),
            }
        } else {
            match self.control.try_read(&mut self.buffer) {
                Ok(count) => (count, None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((false, None)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (0, None),
                Err(error) => return Err(error.to_string()),
            }
        };
        if count == 0 {
            self.closed = true;
            return Ok((false, None));
        }
        self.decoder.feed(&self.buffer[..count]);
        Ok((true, peer))
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

/// The channel to a session init.
#[derive(Debug)]
pub(crate) struct InitLink {
    control: UnixStream,
    decoder: Decoder,
    process: Option<Process>,
    /// Descriptors of frames that have not been taken.
    fds: VecDeque<OwnedFd>,
}

impl InitLink {
    pub(crate) fn new() -> io::Result<(InitLink, OwnedFd)> {
        let (control, theirs) = connected_pair()?;
        Ok((InitLink { control, decoder: Decoder::new(64 << 10), process: None, fds: VecDeque::new() }, theirs))
    }

    /// The next thing that it says, and the pidfd that came with it; None when it is gone.
    pub(crate) async fn next(&mut self) -> Option<(InitEvent, Option<OwnedFd>)> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(json)) => {
                    let event = serde_json::from_slice(json).ok()?;
                    let comes = matches!(event, InitEvent::Spawned { fds: 1.., .. });
                    let fd = if comes { self.fds.pop_front() } else { None };
                    return Some((event, fd));
                }
                Ok(None) => {}
                Err(_) => return None,
            }
            self.control.readable().await.ok()?;
            let mut buffer = [0; 1024];
            match receive(&self.control, &mut buffer, true) {
                None => {}
                Some(Ok((0, ..)) | Err(_)) => return None,
                Some(Ok((count, peer, fds))) => {
                    if let (None, Some(peer)) = (&self.process, peer) {
                        self.process = Process::open(peer).ok();
                    }
                    self.fds.extend(fds);
                    if self.fds.len() > MAX_FRAME_FDS {
                        return None;
                    }
                    self.decoder.feed(&buffer[..count]);
                }
            }
        }
    }

    /// Asks for another worker.
    pub(crate) async fn spawn(&self, worker: u64, fds: &WorkerFds) -> Result<(), Failure> {
        self.send(&InitRequest::Spawn { worker }, &fds.borrow()).await
    }

    /// Asks it to kill all and to end.
    pub(crate) async fn end(&self) -> Result<(), Failure> {
        self.send(&InitRequest::End {}, &[]).await
    }

    /// A frozen process is the worker now. The pidfds: its own, then those of processes that stay.
    pub(crate) async fn rolled(&self, worker: u64, pidfds: &[OwnedFd]) -> Result<(), Failure> {
        let pidfds: Vec<_> = pidfds.iter().map(AsFd::as_fd).collect();
        let (last, before) = pidfds.split_at(pidfds.len().min(MAX_FRAME_FDS));
        for piece in before.chunks(MAX_FRAME_FDS) {
            self.send(&InitRequest::Staying {}, piece).await?;
        }
        let keep = u32::try_from(pidfds.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.send(&InitRequest::Rolled { worker, keep }, last).await
    }

    /// A branch joins the family: its own channel, and its worker.
    pub(crate) async fn member(
        &self,
        channel: &OwnedFd,
        worker: u64,
        pidfd: &OwnedFd,
        number: u32,
    ) -> Result<(), Failure> {
        self.send(&InitRequest::Member { worker, number, linger: None }, &[channel.as_fd(), pidfd.as_fd()]).await
    }

    /// Asks how a process ended.
    pub(crate) async fn ask_status(&self, number: u64, pid: i32, nohang: bool) -> Result<(), Failure> {
        self.send(&InitRequest::Wait { number, pid, nohang }, &[]).await
    }

    async fn send(&self, request: &InitRequest<'_>, fds: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let refused = |error: io::Error| Failure::os("session init could not be reached", &error);
        let json = serde_json::to_vec(request).map_err(|error| refused(error.into()))?;
        crate::process::send_with_fds(&self.control, &json, fds).await.map_err(refused)
    }

    /// Lets it go on, if it was stopped.
    pub(crate) fn resume(&self) {
        if let Some(process) = &self.process {
            process.resume();
        }
    }

    /// SIGKILL: it did not do what it was asked in time.
    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }
}
