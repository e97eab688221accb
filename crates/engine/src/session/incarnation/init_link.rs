//! The engine's side of a session init. User code may stop that process, so nothing here waits for it.

use super::worker_link::WorkerFds;
use crate::clock::Time;
use crate::process::{FrameWriter, Process, connected_pair, receive};
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::worker::{InitEvent, InitRequest, MAX_FRAME_FDS};
use rustix::fd::OwnedFd;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::net::UnixStream;

/// Bytes that it may leave unread.
const UNREAD: usize = 256 << 10;
/// How long it may leave something unread.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// The channel to a session init.
#[derive(Debug)]
pub(crate) struct InitLink {
    control: UnixStream,
    decoder: Decoder,
    writer: FrameWriter,
    process: Option<Process>,
    /// Descriptors of frames that have not been taken.
    fds: VecDeque<OwnedFd>,
    /// Since when something waits for it to read.
    stalled: Option<Time>,
    /// Nothing more will be said.
    pub(crate) gone: bool,
}

impl InitLink {
    pub(crate) fn new() -> io::Result<(InitLink, OwnedFd)> {
        let (control, theirs) = connected_pair()?;
        let link = InitLink {
            control,
            decoder: Decoder::new(64 << 10),
            writer: FrameWriter::new(UNREAD),
            process: None,
            fds: VecDeque::new(),
            stalled: None,
            gone: false,
        };
        Ok((link, theirs))
    }

    /// Waits until it has said something. Cancel-safe.
    pub(crate) async fn readable(&self) {
        if self.control.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it reads again.
    pub(crate) async fn writable(&self) {
        if self.control.writable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The next thing that it has said, and the pidfd that came with it, without waiting; [`InitLink::gone`] when nothing
    /// more will come.
    pub(crate) fn next(&mut self) -> Option<(InitEvent, Option<OwnedFd>)> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(json)) => match serde_json::from_slice(json) {
                    Ok(event) => {
                        let comes = matches!(event, InitEvent::Spawned { fds: 1.., .. });
                        let fd = if comes { self.fds.pop_front() } else { None };
                        return Some((event, fd));
                    }
                    Err(_) => self.gone = true,
                },
                Ok(None) => {}
                Err(_) => self.gone = true,
            }
            if self.gone {
                return None;
            }
            let mut buffer = [0; 1024];
            match receive(&self.control, &mut buffer, true) {
                None => return None,
                Some(Ok((0, ..)) | Err(_)) => self.gone = true,
                Some(Ok((count, peer, fds))) => {
                    self.fds.extend(fds);
                    self.gone |= self.fds.len() > MAX_FRAME_FDS;
                    if let (None, Some(peer)) = (&self.process, peer) {
                        self.process = Process::open(peer).ok();
                    }
                    self.decoder.feed(&buffer[..count]);
                }
            }
        }
    }

    /// Asks for another worker.
    pub(crate) fn spawn(&mut self, worker: u64, fds: WorkerFds) -> io::Result<()> {
        self.send(&InitRequest::Spawn { worker }, fds.into_all())
    }

    /// Asks it to kill all and to end.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.send(&InitRequest::End {}, Vec::new())
    }

    /// A frozen process is the worker now. The pidfds: its own, then those of processes that stay.
    pub(crate) fn rolled(&mut self, worker: u64, mut pidfds: Vec<OwnedFd>) -> io::Result<()> {
        let keep = u32::try_from(pidfds.len()).unwrap_or(u32::MAX).saturating_sub(1);
        while pidfds.len() > MAX_FRAME_FDS {
            let rest = pidfds.split_off(pidfds.len() - MAX_FRAME_FDS);
            self.send(&InitRequest::Staying {}, rest)?;
        }
        self.send(&InitRequest::Rolled { worker, keep }, pidfds)
    }

    /// A branch joins the family: its own channel, and its worker.
    pub(crate) fn member(&mut self, channel: OwnedFd, worker: u64, pidfd: OwnedFd, number: u32) -> io::Result<()> {
        self.send(&InitRequest::Member { worker, number, linger: None }, vec![channel, pidfd])
    }

    /// Asks how a process ended.
    pub(crate) fn ask_status(&mut self, number: u64, pid: i32, nohang: bool) -> io::Result<()> {
        self.send(&InitRequest::Wait { number, pid, nohang }, Vec::new())
    }

    /// Sends a request, now or as soon as it reads.
    fn send(&mut self, request: &InitRequest<'_>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        let sent = self.writer.send(&self.control, &json, fds);
        self.note_stall();
        sent
    }

    /// Whether [`InitLink::flush`] has something to do once the channel is writable.
    pub(crate) fn is_waiting(&self) -> bool {
        self.writer.is_waiting()
    }

    pub(crate) fn flush(&mut self) {
        if self.writer.flush(&self.control).is_err() {
            self.gone = true;
        }
        self.note_stall();
    }

    fn note_stall(&mut self) {
        if self.writer.is_waiting() {
            if self.stalled.is_none() {
                // User code may have stopped it.
                self.resume();
                self.stalled = Some(Time::now());
            }
        } else {
            self.stalled = None;
        }
    }

    /// When its patience is over who waits for it to read.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.stalled.map(|since| since.after(STALL_LIMIT))
    }

    /// It does not read: nothing more is said to it.
    pub(crate) fn give_up(&mut self) {
        self.kill();
        (self.gone, self.stalled) = (true, None);
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
