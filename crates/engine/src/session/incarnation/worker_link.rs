//! The engine's side of one worker: its control channel and its output pipes.

use super::control_channel::{ControlChannel, Read};
use crate::process::{Output, Process, output_pipe};
use pyrepl3_protocol::worker::Request;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io;

/// The number of a session's first worker; those after it count up. A worker's number is that of its incarnation.
pub(crate) const FIRST_WORKER: u64 = 1;

/// Names under which session init keeps the engine's ends. The channel before the present one is one that a worker has
/// replaced, and whose last words may not have been read.
pub(crate) const CONTROL: &str = "control";
pub(crate) const CONTROL_BEFORE: &str = "control_before";
pub(crate) const STDOUT: &str = "stdout";
pub(crate) const STDERR: &str = "stderr";

/// The channel and the pipes of one worker.
#[derive(Debug)]
pub(crate) struct WorkerLink {
    pub(crate) control: ControlChannel,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// Known once session init has handed it over; a branch's, once it has spoken.
    pub(crate) process: Option<Process>,
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
    pub(crate) fn new(
        setup: &Request<'_>,
        stdin: Option<BorrowedFd<'_>>,
        lingers: bool,
    ) -> io::Result<(WorkerLink, WorkerFds)> {
        let (mut link, fds) = WorkerLink::unasked(stdin, lingers)?;
        link.ask(setup)?;
        Ok((link, fds))
    }

    /// A link to a worker that is about to be made. One that is no branch is told with [`WorkerLink::ask`] what it is to be.
    pub(crate) fn unasked(stdin: Option<BorrowedFd<'_>>, lingers: bool) -> io::Result<(WorkerLink, WorkerFds)> {
        let (control, theirs) = ControlChannel::new(lingers)?;
        let (stdout, stdout_fd) = output_pipe()?;
        let (stderr, stderr_fd) = output_pipe()?;
        let stdin = match stdin {
            Some(fd) => fd.try_clone_to_owned()?,
            None => std::fs::File::open("/dev/null")?.into(),
        };
        let link = WorkerLink { control, stdout, stderr, process: None };
        Ok((link, WorkerFds { control: theirs, stdout: stdout_fd, stderr: stderr_fd, stdin }))
    }

    /// Says what a worker that was forked is to be.
    pub(crate) fn ask(&mut self, setup: &Request<'_>) -> io::Result<()> {
        self.control.send(setup, None, Vec::new()).map(drop)
    }

    /// From now on another process is the worker: a frozen one that is being woken. The pipes stay. Returns the end of
    /// the new channel that it is to have, and the channel of the worker before.
    pub(crate) fn reincarnate(&mut self) -> io::Result<(OwnedFd, ControlChannel)> {
        self.process = None;
        self.control.begin_anew()
    }

    /// Reads once without waiting. Notes the end of the channel. `awaited`: it was waited for.
    pub(crate) fn read(&mut self, awaited: bool) -> Result<Read, String> {
        self.control.read(awaited, self.process.is_none())
    }

    /// The same, and takes hold of the process that writes: the first word of a branch.
    pub(crate) fn read_from_branch(&mut self) -> Result<Read, String> {
        let read = self.control.read(true, true)?;
        if let (None, Some(peer)) = (&self.process, self.control.peer) {
            match Process::open(peer) {
                Ok(process) => self.take(process),
                // It has said why it cannot begin, and is gone.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(format!("no pidfd for the worker: {error}")),
            }
        }
        Ok(read)
    }

    /// This process is the worker.
    pub(crate) fn take(&mut self, process: Process) {
        self.process = Some(process);
        self.control.trust_peer();
    }
}
