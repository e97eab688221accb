//! The engine's side of a session init. User code may stop that process, so nothing here waits for it.

use super::worker_link::{CONTROL, CONTROL_BEFORE, STDERR, STDOUT, WorkerFds, WorkerLink};
use crate::clock::Time;
use crate::process::{FrameWriter, Process, connect, connected_pair, receive};
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::worker::{InitEvent, InitRequest, Linger, MAX_FRAME_FDS, MAX_INIT_FRAME};
use rustix::fd::OwnedFd;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// The largest thing that it says to a supervisor that has not taken over from another.
const MAX_EVENT: usize = 64 << 10;
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
    /// It has said that it ends now.
    pub(crate) is_ending: bool,
}

impl InitLink {
    /// A channel, and the end of the session init that is about to be made.
    pub(crate) fn new() -> io::Result<(InitLink, OwnedFd)> {
        let (control, theirs) = connected_pair()?;
        Ok((InitLink::on(control, MAX_EVENT), theirs))
    }

    /// A channel to one that waits for another supervisor, at its socket. Nothing was said yet.
    ///
    /// # Errors
    /// `ConnectionRefused` and `NotFound`: nobody is there.
    pub(crate) async fn connect(socket: &Path) -> io::Result<InitLink> {
        Ok(InitLink::on(connect(socket).await?, MAX_INIT_FRAME))
    }

    fn on(control: UnixStream, largest: usize) -> InitLink {
        InitLink {
            control,
            decoder: Decoder::new(largest),
            writer: FrameWriter::new(UNREAD),
            process: None,
            fds: VecDeque::new(),
            stalled: None,
            gone: false,
            is_ending: false,
        }
    }

    /// Whether it has closed its channel. What it has said stays there.
    pub(crate) fn has_ended(&self) -> bool {
        crate::process::is_closed(&self.control)
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

    /// The next thing that it has said, and the descriptors that came with it, without waiting; [`InitLink::gone`] when
    /// nothing more will come.
    pub(crate) fn next(&mut self) -> Option<(InitEvent, Vec<OwnedFd>)> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(json)) => match serde_json::from_slice::<InitEvent>(json) {
                    Ok(event) => {
                        let count = event.descriptors().min(self.fds.len());
                        let fds = self.fds.drain(..count).collect();
                        return Some((event, fds));
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

    /// Waits for the next thing that it says; None when nothing more will come. Cancel-safe.
    pub(crate) async fn said(&mut self) -> Option<(InitEvent, Vec<OwnedFd>)> {
        loop {
            match self.next() {
                None if !self.gone => self.readable().await,
                said => return said,
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

    /// A branch joins the family: its own channel, its worker, and where it listens for another supervisor if it lingers.
    pub(crate) fn member(
        &mut self,
        channel: OwnedFd,
        worker: u64,
        pidfd: OwnedFd,
        number: u32,
        linger: Option<(Linger, OwnedFd)>,
    ) -> io::Result<()> {
        let mut fds = vec![channel, pidfd];
        let linger = linger.map(|(linger, listener)| {
            fds.push(listener);
            linger
        });
        self.send(&InitRequest::Member { worker, number, linger }, fds)
    }

    /// Has it hold the engine's ends of a new worker's channel and pipes.
    pub(crate) fn keep_worker(&mut self, worker: &WorkerLink) -> io::Result<()> {
        self.keep_control(worker.control.duplicate()?)?;
        self.keep(STDOUT, worker.stdout.duplicate()?)?;
        self.keep(STDERR, worker.stderr.duplicate()?)
    }

    /// Has it hold the engine's end of the channel of a new worker, and none of the worker before.
    pub(crate) fn keep_control(&mut self, control: OwnedFd) -> io::Result<()> {
        self.release_control_before()?;
        self.keep(CONTROL, control)
    }

    /// Has it hold a descriptor for the next supervisor.
    fn keep(&mut self, name: &str, fd: OwnedFd) -> io::Result<()> {
        self.send(&InitRequest::Keep { name }, vec![fd])
    }

    /// What the worker said on the channel that it had before its present one is read.
    pub(crate) fn release_control_before(&mut self) -> io::Result<()> {
        self.send(&InitRequest::Release { names: &[CONTROL_BEFORE] }, Vec::new())
    }

    /// What the next supervisor is to know.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.send(&InitRequest::Note { text }, Vec::new())
    }

    /// The first word of a supervisor that takes over.
    pub(crate) fn adopt(&mut self, epoch: u64) -> io::Result<()> {
        self.send(&InitRequest::Adopt { epoch }, Vec::new())
    }

    /// Whether its process lives: where its channel has ended all the same, another supervisor has taken over.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_alive)
    }

    /// Waits until its process is no more, where it has said that it ends.
    pub(crate) async fn end_of_process(&self) {
        if let Some(process) = self.process.as_ref().filter(|_| self.is_ending) {
            process.end().await;
        }
    }

    /// Has frozen processes go on that somebody has stopped.
    pub(crate) fn resume_frozen(&mut self) -> io::Result<()> {
        self.send(&InitRequest::Resume {}, Vec::new())
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
        if let Err(error) = self.writer.flush(&self.control) {
            // It may have said something before it closed: who reads that sees the end, too.
            tracing::debug!(%error, "session init has closed its channel");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream as Blocking;

    /// Else it would wait for its end until its patience is over, and kill a session init that others have, too.
    #[tokio::test]
    async fn what_it_said_before_it_closed_is_heard_also_where_it_cannot_be_told_anything_any_more() {
        let (mut link, theirs) = InitLink::new().unwrap();
        let mut theirs = Blocking::from(theirs);
        theirs.write_all(&pyrepl3_protocol::frame::encode(br#"{"t":"ended","last":true}"#).unwrap()).unwrap();
        drop(theirs);
        assert!(link.note("x").is_err());
        link.flush();
        assert!(!link.is_waiting() && link.deadline().is_none());
        link.readable().await;
        assert!(matches!(link.next(), Some((InitEvent::Ended { .. }, _))));
        assert!(link.next().is_none() && link.gone);
    }
}
