//! The supervisor's side of a saver: reads what it says, and writes its blobs into the store, whole and unread.

use super::allowance::{Allowance, Exceeded, Limits};
use super::stop::StopHandle;
use super::{CheckpointStore, Progress, ProgressSender, SessionMetadata, failure};
use crate::process::{Process, connected_pair, read_beside, receive_with_peer, send_blocking};
use pyrepl3_protocol::frame::{Decoder, encode};
use pyrepl3_protocol::saver::{Part, SaveBase, SaveRequest, SaverEvent};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{CheckpointId, LineageId, Manifest, Meta, Writer};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// How long a saver may take to say that it is there.
const HELLO_LIMIT: Duration = Duration::from_secs(30);
/// The largest frame of its, and the largest description.
const FRAME: usize = 64 << 10;
const BODY: u64 = 256 << 20;
/// Buffers that are remembered for the next checkpoint.
const BUFFERS: usize = 4096;
/// Bytes that are read at a time: what the store likes to get.
const PIECE: usize = 1 << 20;
/// Bytes that a pipe may hold on their way.
const IN_FLIGHT: usize = 1 << 20;
/// Progress is told at most so often.
const PACE: Duration = Duration::from_millis(50);

/// Gives up a checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Canceller(Arc<tokio::sync::Notify>);

impl Canceller {
    pub(crate) fn cancel(&self) {
        self.0.notify_one();
    }
}

/// A channel to a process that is about to write a state down.
#[derive(Debug)]
pub(crate) struct Saver {
    stream: UnixStream,
    /// Whether it is the session's worker, which goes on afterwards.
    is_worker: bool,
}

/// What is to be made of it.
#[derive(Debug)]
pub(crate) struct SaverTask {
    pub(crate) store: Arc<CheckpointStore>,
    pub(crate) lineage: LineageId,
    pub(crate) meta: Meta,
    pub(crate) extra: SessionMetadata,
    /// Whether the process was frozen for this checkpoint.
    pub(crate) tracked: bool,
    pub(crate) base: Option<Arc<Base>>,
    /// What earlier processes ended over.
    pub(crate) leave_out: Vec<Part>,
    pub(crate) progress: Option<ProgressSender>,
    pub(crate) canceller: Canceller,
}

/// Why there is no checkpoint. `over`: what the process was at when it ended, if that is why.
#[derive(Debug)]
pub(crate) struct SaveError {
    pub(crate) failure: Failure,
    pub(crate) over: Vec<Part>,
}

impl From<Failure> for SaveError {
    fn from(failure: Failure) -> Self {
        SaveError { failure, over: Vec::new() }
    }
}

/// A checkpoint that is on disk.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) manifest: Manifest,
    pub(crate) base: Option<Arc<Base>>,
}

/// Large memory that a checkpoint has, and the moment from which the worker knows what is written to it.
#[derive(Debug)]
pub(crate) struct Base {
    checkpoint: CheckpointId,
    generation: String,
    /// Address, size and blob.
    buffers: Vec<(u64, u64, u32)>,
}

impl Saver {
    /// A channel, and the end to hand to the process.
    pub(crate) fn new() -> io::Result<(Saver, OwnedFd)> {
        let (stream, theirs) = connected_pair()?;
        Ok((Saver { stream, is_worker: false }, theirs))
    }

    /// The same for the worker of a session.
    pub(crate) fn of_worker() -> io::Result<(Saver, OwnedFd)> {
        let (saver, theirs) = Saver::new()?;
        Ok((Saver { is_worker: true, ..saver }, theirs))
    }

    /// Waits until the process has said that it is there. `born` is told its pidfd.
    pub(crate) async fn save(self, task: SaverTask, born: impl FnOnce(OwnedFd)) -> Result<Saved, SaveError> {
        let cancelled = || Failure::new(Code::Interrupted, "the checkpoint was given up", "a client cancelled it", "");
        let canceller = task.canceller.clone();
        let is_worker = self.is_worker;
        let died = |why: &str| if is_worker { worker_did_not(why) } else { died(why) };
        let hello = tokio::time::timeout(HELLO_LIMIT, self.hello());
        let process = tokio::select! {
            process = hello => match process {
                Ok(Ok(process)) => process,
                Ok(Err(error)) => return Err(died(&error.to_string()).into()),
                Err(_) => return Err(died("it did not answer in time").into()),
            },
            () = canceller.0.notified() => return Err(cancelled().into()),
        };
        if !is_worker {
            born(process.pidfd().map_err(|error| died(&error.to_string()))?);
        }
        let stream = self.stream.into_std().map_err(|error| died(&error.to_string()))?;
        let stop = StopHandle::of(&stream).map_err(|error| died(&error.to_string()))?;
        let ending = stop.clone();
        let work = tokio::task::spawn_blocking(move || task.take_in(stream, &ending, Limits::default()));
        tokio::pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            () = canceller.0.notified() => {
                if !is_worker {
                    process.kill();
                }
                // The thread ends at once, also where a process that was forked meanwhile has the channel; what it wrote goes with it.
                stop.stop();
                return match work.await {
                    Ok(Ok(saved)) => Ok(saved),
                    _ => Err(cancelled().into()),
                };
            }
        };
        if !is_worker {
            // It has nothing more to do, whatever it thinks.
            process.kill();
        }
        let done = done.map_err(|error| {
            Failure::new(Code::Internal, "the checkpoint could not be stored", error.to_string(), "")
        })?;
        match done {
            Err(mut unsaved) if is_worker && !unsaved.over.is_empty() => {
                unsaved.failure.how = WORKER_ENDED.into();
                Err(unsaved)
            }
            done => done,
        }
    }

    async fn hello(&self) -> io::Result<Process> {
        let (mut decoder, mut process) = (Decoder::new(FRAME), None);
        // Only the hello comes before it is asked for more.
        let mut buffer = [0; 256];
        loop {
            if let Some(json) = decoder.next_frame().map_err(io::Error::other)? {
                return match serde_json::from_slice(json)? {
                    SaverEvent::Hello {} => process.ok_or_else(|| io::Error::other("it cannot be told who it is")),
                    SaverEvent::Failed { why } => Err(io::Error::other(why)),
                    _ => Err(io::Error::other("it began without a hello")),
                };
            }
            self.stream.readable().await?;
            match receive_with_peer(&self.stream, &mut buffer, true) {
                None => {}
                Some(Ok((0, _))) => return Err(io::Error::other("it ended at once")),
                Some(Ok((count, peer))) => {
                    if let (None, Some(peer)) = (&process, peer) {
                        process = Some(Process::open(peer)?);
                    }
                    decoder.feed(&buffer[..count]);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

fn died(why: &str) -> Failure {
    Failure::new(
        Code::CheckpointFailed,
        "the checkpoint could not be made",
        format!("the process that was to write the state down: {why}"),
        "the session goes on as it was; try again",
    )
}

/// What is to be said where the session's own process has ended over it.
const WORKER_ENDED: &str = "the session could not be frozen, so its state is lost with its process";

fn worker_did_not(why: &str) -> Failure {
    Failure::new(
        Code::CheckpointFailed,
        "the checkpoint could not be made",
        format!("the session's process, which cannot be frozen, was to write its state down: {why}"),
        "if it has as many files open as it may, close some",
    )
}

impl SaverTask {
    /// Reads all that a saver says, within limits, and stores it. Ends when it is stopped.
    pub(super) fn take_in(mut self, stream: Blocking, stop: &StopHandle, limits: Limits) -> Result<Saved, SaveError> {
        let mut intake = SaverReader {
            stream,
            stop: stop.clone(),
            silence: limits.silence,
            allowance: Allowance::new(limits, Instant::now()),
            piece: Vec::new(),
            progress: Progress::default(),
            watcher: self.progress.take(),
            told: None,
            base: None,
            buffers: Vec::new(),
            generation: None,
            over: Vec::new(),
            is_silent: false,
            pipe: None,
        };
        self.store(&mut intake)
            .map_err(|failure| SaveError { failure, over: if intake.is_silent { intake.over } else { Vec::new() } })
    }

    fn store(self, intake: &mut SaverReader) -> Result<Saved, Failure> {
        let io = |error: io::Error| died(&error.to_string());
        intake.stream.set_nonblocking(false).map_err(io)?;
        intake.stream.set_read_timeout(Some(intake.silence)).map_err(io)?;
        intake.stream.set_write_timeout(Some(intake.silence)).map_err(io)?;
        let store = self.store.open()?;
        let full = |error: pyrepl3_store::Error| failure(&error);
        let request = |base: Option<&Base>| {
            let base = base.map(|base| SaveBase { generation: &base.generation, buffers: &base.buffers });
            let request = SaveRequest { tracked: self.tracked, base, leave_out: &self.leave_out };
            let request = serde_json::to_vec(&request).map_err(|error| died(&error.to_string()))?;
            encode(&request).map_err(|error| died(&error.to_string()))
        };
        let theirs = intake.open_pipe();
        let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let known = self.base.is_some();
        if !known {
            // It begins while the directories of a new lineage are made to last, which takes several turns of the disk.
            send_blocking(&intake.stream, &request(None)?, &fds).map_err(io)?;
        }
        let mut writer = store.begin(&self.lineage, self.meta).map_err(full)?;
        if known {
            // It cannot go away any more: the writer has its lineage locked.
            intake.base = self.base.filter(|base| store.find(base.checkpoint.as_str(), Some(&self.lineage)).is_ok());
            send_blocking(&intake.stream, &request(intake.base.as_deref())?, &fds).map_err(io)?;
        }
        // Else its end would not be seen.
        drop(theirs);
        let body = intake.blobs(&mut writer)?;
        let body = self.extra.put_into(&body).map_err(|error| died(&error.to_string()))?;
        let manifest = writer.commit(body).map_err(full)?;
        let (buffers, checkpoint) = (std::mem::take(&mut intake.buffers), manifest.id.clone());
        let base = intake.generation.take().map(|generation| Arc::new(Base { checkpoint, generation, buffers }));
        Ok(Saved { manifest, base })
    }
}

struct SaverReader {
    stream: Blocking,
    stop: StopHandle,
    silence: Duration,
    allowance: Allowance,
    piece: Vec<u8>,
    progress: Progress,
    watcher: Option<ProgressSender>,
    told: Option<Instant>,
    base: Option<Arc<Base>>,
    buffers: Vec<(u64, u64, u32)>,
    generation: Option<String>,
    /// What it is at.
    over: Vec<Part>,
    /// Whether it ended, or said nothing for too long.
    is_silent: bool,
    /// Where large memory comes from.
    pipe: Option<OwnedFd>,
}

impl SaverReader {
    /// Until the description has come.
    fn blobs(&mut self, writer: &mut Writer) -> Result<String, Failure> {
        loop {
            match self.event()? {
                SaverEvent::Stream {} => {
                    let mut blob = writer.stream();
                    loop {
                        match self.event()? {
                            SaverEvent::Data { n } => self.copy(n, |bytes| blob.write(bytes))?,
                            SaverEvent::End {} => break,
                            other => self.aside(other)?,
                        }
                    }
                    blob.finish().map_err(|error| failure(&error))?;
                }
                SaverEvent::Buffer { n, at, spliced } => {
                    let mut blob = writer.buffer();
                    let from = if spliced { Self::read_pipe } else { Self::read };
                    self.copy_from(from, n, |bytes| blob.write(bytes))?;
                    if spliced {
                        self.stream.write_all(&[1]).map_err(|error| died(&error.to_string()))?;
                    }
                    let blob = blob.finish().map_err(|error| failure(&error))?;
                    self.know(at, n, blob);
                }
                SaverEvent::Reuse { n, at, blob, patches } => {
                    let blob = self.patch(writer, blob, &patches)?;
                    self.know(at, n, blob);
                }
                SaverEvent::Body { n, generation } if n <= BODY => {
                    self.generation = generation.filter(|name| name.len() <= 100);
                    let mut body = vec![0; usize::try_from(n).unwrap_or(0)];
                    self.read(&mut body)?;
                    return String::from_utf8(body).map_err(|_| died("its description is not UTF-8"));
                }
                SaverEvent::Body { n, .. } => return Err(died(&format!("its description has {n} bytes"))),
                other => self.aside(other)?,
            }
        }
    }

    fn know(&mut self, at: u64, size: u64, blob: u32) {
        if at != 0 && self.buffers.len() < BUFFERS {
            self.buffers.push((at, size, blob));
        }
    }

    /// A blob of the checkpoint before, with what was written since.
    fn patch(&mut self, writer: &mut Writer, blob: u32, patches: &[(u64, u64)]) -> Result<u32, Failure> {
        let base = self.base.clone().ok_or_else(|| died("it refers to a checkpoint that it was not told of"))?;
        let mut patch = writer.patch((&base.checkpoint, blob)).map_err(|error| failure(&error))?;
        for &(offset, length) in patches {
            // Pieces are multiples of the store's chunks, all but the last one of a blob.
            let mut at = offset;
            self.copy(length, |bytes| {
                let here = at;
                at += bytes.len() as u64;
                patch.replace(here, bytes)
            })?;
        }
        patch.finish().map_err(|error| failure(&error))
    }

    fn aside(&mut self, event: SaverEvent) -> Result<(), Failure> {
        match event {
            SaverEvent::Progress { done, total, name } => {
                (self.progress.done, self.progress.total) = (done, total);
                self.progress.name = name.chars().filter(|c| !c.is_control()).take(200).collect();
                self.over = vec![Part("name".into(), name)];
                self.tell(done == total);
                Ok(())
            }
            SaverEvent::Busy { parts } => {
                self.over = parts;
                Ok(())
            }
            SaverEvent::Failed { why } => Err(died(&why.chars().take(1000).collect::<String>())),
            _ => Err(died("it spoke out of turn")),
        }
    }

    fn tell(&mut self, now: bool) {
        if let Some(watcher) = &self.watcher
            && (now || self.told.is_none_or(|at| at.elapsed() >= PACE))
        {
            self.told = Some(Instant::now());
            watcher.tell(&self.progress);
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        self.read_whole(into, |this, into| this.stream.read(into))
    }

    fn read_pipe(&mut self, into: &mut [u8]) -> Result<(), Failure> {
        self.read_whole(into, |this, into| match &this.pipe {
            Some(pipe) => read_beside(pipe, this.stream.as_fd(), into, this.silence),
            None => Err(io::Error::other("it sends memory through a pipe that it was not given")),
        })
    }

    /// Reads exactly so many bytes. What comes drop by drop is held against the allowance at each drop.
    fn read_whole(
        &mut self,
        mut into: &mut [u8],
        read: impl Fn(&mut Self, &mut [u8]) -> io::Result<usize>,
    ) -> Result<(), Failure> {
        while !into.is_empty() {
            let count = match read(self, into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                read => read,
            };
            if self.stop.is_stopped() {
                return Err(died("it was stopped"));
            }
            let count = count.map_err(|error| {
                self.is_silent = true;
                silent(&error, self.silence, self.over.first().map_or("", |part| &part.1))
            })?;
            self.allowance.came(count as u64, Instant::now()).map_err(|exceeded| self.exceeded(exceeded))?;
            into = &mut into[count..];
        }
        Ok(())
    }

    fn exceeded(&self, exceeded: Exceeded) -> Failure {
        died(&format!("{exceeded}{}", at(self.over.first().map_or("", |part| &part.1))))
    }

    /// A pipe for large memory, and the saver's end. What cannot be had is done without.
    fn open_pipe(&mut self) -> Option<OwnedFd> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).ok()?;
        // What a user may have in pipes is limited: then fewer pages are on their way at once.
        _ = rustix::pipe::fcntl_setpipe_size(&ours, IN_FLIGHT);
        self.pipe = Some(ours);
        Some(theirs)
    }

    fn event(&mut self) -> Result<SaverEvent, Failure> {
        self.allowance.frame().map_err(|exceeded| self.exceeded(exceeded))?;
        let mut head = [0; 4];
        self.read(&mut head)?;
        let size = u32::from_be_bytes(head) as usize;
        if size > FRAME {
            return Err(died("it announces a frame that is too large"));
        }
        let mut json = vec![0; size];
        self.read(&mut json)?;
        serde_json::from_slice(&json).map_err(|error| died(&format!("it said what makes no sense: {error}")))
    }

    fn copy(&mut self, count: u64, write: impl FnMut(&[u8]) -> pyrepl3_store::Result<()>) -> Result<(), Failure> {
        self.copy_from(Self::read, count, write)
    }

    fn copy_from(
        &mut self,
        from: fn(&mut Self, &mut [u8]) -> Result<(), Failure>,
        count: u64,
        mut write: impl FnMut(&[u8]) -> pyrepl3_store::Result<()>,
    ) -> Result<(), Failure> {
        let mut left = count;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            if self.piece.len() < size {
                self.piece.resize(size, 0);
            }
            let mut piece = std::mem::take(&mut self.piece);
            from(self, &mut piece[..size])?;
            self.piece = piece;
            write(&self.piece[..size]).map_err(|error| failure(&error))?;
            left -= size as u64;
            self.progress.bytes += size as u64;
            self.tell(false);
        }
        Ok(())
    }
}

/// Why a saver is not heard any more. `name` is what it was busy with, as far as it said.
fn silent(error: &io::Error, limit: Duration, name: &str) -> Failure {
    let over = at(name);
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            died(&format!("it said nothing for {} s{over}", limit.as_secs()))
        }
        io::ErrorKind::UnexpectedEof => died(&format!("it ended before it was done{over}")),
        _ => died(&error.to_string()),
    }
}

/// What it was at, as errors say it.
fn at(name: &str) -> String {
    let name: String = name.chars().take(200).collect();
    if name.is_empty() { String::new() } else { format!(", perhaps over {name:?}: see how that is pickled") }
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
