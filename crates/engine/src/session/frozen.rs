//! The engine's side of one frozen process: a channel on which it waits, and what is known of it.

use crate::process::{FrameWriter, Process, connected_pair, receive_with_peer};
use crate::session::past::Past;
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::id::{self, Kind};
use pyrepl3_protocol::worker::{FrozenEvent, FrozenRequest};
use rustix::fd::OwnedFd;
use std::io;
use std::time::{Duration, SystemTime};
use tokio::net::UnixStream;

/// How long a frozen process may take to say that it is there.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// A frozen process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Frozen {
    control: UnixStream,
    decoder: Decoder,
    writer: FrameWriter,
    process: Option<Process>,
    /// Public id of the snapshot.
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) created: SystemTime,
    /// Whether a client asked for it, so that its end is to be told.
    pub(crate) asked_for: bool,
    /// Whether undo left it.
    pub(crate) redo: bool,
    /// The executions before it.
    pub(crate) past: Past,
}

impl Frozen {
    /// A channel to a process that is about to be frozen, and the end to hand to it.
    pub(crate) fn new(past: Past, name: Option<String>) -> io::Result<(Frozen, OwnedFd)> {
        let (control, theirs) = connected_pair()?;
        let frozen = Frozen {
            control,
            decoder: Decoder::new(64 << 10),
            writer: FrameWriter::default(),
            process: None,
            id: id::new(Kind::Snapshot),
            name,
            created: SystemTime::now(),
            asked_for: false,
            redo: false,
            past,
        };
        Ok((frozen, theirs))
    }

    /// Waits until it has said that it is there.
    ///
    /// # Errors
    /// It has ended, or did not answer in time.
    pub(crate) async fn confirm(&mut self) -> io::Result<()> {
        if self.process.is_none() {
            tokio::time::timeout(CONFIRM_LIMIT, self.hello())
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"))??;
        }
        let process = self.process.as_ref().filter(|process| process.is_alive());
        process.map(drop).ok_or_else(|| io::Error::other("it has ended"))
    }

    /// A descriptor of it to hand to session init, once it has said that it is there.
    pub(crate) fn pidfd(&self) -> Option<OwnedFd> {
        self.process.as_ref()?.pidfd().ok()
    }

    /// The process, which is a worker from now on.
    pub(crate) fn into_process(self) -> Option<Process> {
        self.process
    }

    async fn hello(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(json) = self.decoder.next_frame().map_err(io::Error::other)? {
                let FrozenEvent::Frozen {} = serde_json::from_slice(json)?;
                return Ok(());
            }
            self.control.readable().await?;
            match receive_with_peer(&self.control, &mut buffer, true) {
                None => {}
                Some(Ok((0, _))) => return Err(io::Error::other("it has ended")),
                Some(Ok((count, peer))) => {
                    if let (None, Some(peer)) = (&self.process, peer) {
                        self.process = Some(Process::open(peer)?);
                    }
                    self.decoder.feed(&buffer[..count]);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Lets it go on, if it was stopped.
    pub(crate) fn resume(&self) {
        if let Some(process) = &self.process {
            process.resume();
        }
    }

    /// Waits until it has ended, after it was asked to; it is killed where it takes too long.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        if !process.ended(CONFIRM_LIMIT).await? {
            process.kill();
            process.ended(CONFIRM_LIMIT).await?;
        }
        Ok(())
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        match (&self.name, self.past.last()) {
            (Some(name), _) => name.clone(),
            (None, Some(count)) => format!("the snapshot after execution {count}"),
            (None, None) => "the snapshot of the beginning".to_owned(),
        }
    }

    /// Its pid, once it has said that it is there.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Asks it to do something, with descriptors.
    pub(crate) async fn send(&mut self, request: FrozenRequest, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(&request)?;
        self.writer.send_with(&self.control, &json, fds)?;
        while self.writer.is_waiting() {
            self.control.writable().await?;
            self.writer.flush(&self.control)?;
        }
        Ok(())
    }
}

/// Bytes that a process holds alone, and those of its page tables. None where the system does not say.
pub(crate) fn memory_of(pid: i32) -> Option<u64> {
    let kilobytes = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
    };
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let alone = kilobytes(&smaps, "Private_Clean:")? + kilobytes(&smaps, "Private_Dirty:")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((alone + kilobytes(&status, "VmPTE:").unwrap_or(0)) * 1024)
}
