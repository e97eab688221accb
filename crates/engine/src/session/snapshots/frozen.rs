//! The engine's side of one frozen process: a channel on which it waits, and what is known of it.

use crate::process::{Process, connected_pair, receive_with_peer, send_now};
use crate::session::applied::Applied;
use pyrepl3_native::wake;
use pyrepl3_protocol::id::{self, IdKind};
use rustix::fd::{AsFd, OwnedFd};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::UnixStream;

/// How long a frozen process may take to say that it is there.
pub(crate) const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// After so long its word is late.
const LATE: Duration = Duration::from_millis(250);

/// Whether it has said that it is there.
#[derive(Debug)]
enum Presence {
    Awaited,
    There(Process),
    /// It has ended, or did not answer in time.
    Failed,
}

/// A frozen process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// None until it has asked for a supervisor, as it does when the one before is gone.
    control: Option<Arc<UnixStream>>,
    presence: Presence,
    /// Public id of the snapshot.
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) created: SystemTime,
    /// Whether a client asked for it, so that its end is to be told.
    pub(crate) asked_for: bool,
    /// Whether undo left it.
    pub(crate) redo: bool,
    /// The executions before it.
    pub(crate) applied: Applied,
}

/// What another supervisor is to know of a frozen process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FrozenNote {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    /// Unix time in seconds.
    pub(crate) created: f64,
    pub(crate) asked_for: bool,
    pub(crate) redo: bool,
    pub(crate) applied: Applied,
}

impl Frozen {
    /// A channel to a process that is about to be frozen, and the end to hand to it.
    pub(crate) fn new(applied: Applied, name: Option<String>) -> io::Result<(Frozen, OwnedFd)> {
        let (control, theirs) = connected_pair()?;
        let frozen = Frozen {
            control: Some(Arc::new(control)),
            presence: Presence::Awaited,
            id: id::new(IdKind::Snapshot),
            name,
            created: SystemTime::now(),
            asked_for: false,
            redo: false,
            applied,
        };
        Ok((frozen, theirs))
    }

    /// One that another supervisor had. It is awaited until it has asked for this one.
    pub(crate) fn remembered(note: FrozenNote) -> Frozen {
        Frozen {
            control: None,
            presence: Presence::Awaited,
            id: note.id,
            name: note.name,
            created: UNIX_EPOCH + Duration::try_from_secs_f64(note.created).unwrap_or_default(),
            asked_for: note.asked_for,
            redo: note.redo,
            applied: note.applied,
        }
    }

    /// What another supervisor is to know of it.
    pub(crate) fn note(&self) -> FrozenNote {
        FrozenNote {
            id: self.id.clone(),
            name: self.name.clone(),
            created: self.created_at(),
            asked_for: self.asked_for,
            redo: self.redo,
            applied: self.applied.clone(),
        }
    }

    /// It has asked for this supervisor: its channel, and its process.
    pub(crate) fn taken_over(&mut self, channel: UnixStream, process: Process) {
        self.control = Some(Arc::new(channel));
        self.presence = Presence::There(process);
    }

    /// The channel, for [`confirm`] to wait on.
    pub(crate) fn channel(&self) -> io::Result<Arc<UnixStream>> {
        self.control.clone().ok_or_else(|| io::Error::other("it has not asked for this supervisor yet"))
    }

    /// What [`confirm`] found.
    pub(crate) fn confirmed(&mut self, found: io::Result<Process>) {
        self.presence = match found {
            Ok(process) => Presence::There(process),
            Err(error) => {
                tracing::debug!(%error, "a frozen process is not there");
                Presence::Failed
            }
        };
    }

    /// Whether it is not known yet if it is there.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.presence, Presence::Awaited)
    }

    /// Its process, while it is there.
    pub(crate) fn process(&self) -> Option<&Process> {
        match &self.presence {
            Presence::There(process) if process.is_alive() => Some(process),
            _ => None,
        }
    }

    /// Lets it go on, if it was stopped.
    pub(crate) fn resume(&self) {
        if let Presence::There(process) = &self.presence {
            process.resume();
        }
    }

    /// Takes its process out.
    pub(crate) fn into_process(self) -> Option<Process> {
        match self.presence {
            Presence::There(process) => Some(process),
            _ => None,
        }
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        match (&self.name, self.applied.last()) {
            (Some(name), _) => name.clone(),
            (None, Some(count)) => format!("the snapshot after execution {count}"),
            (None, None) => "the snapshot of the beginning".to_owned(),
        }
    }

    /// When it was taken: Unix time in seconds.
    pub(crate) fn created_at(&self) -> f64 {
        self.created.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
    }

    /// Asks it to do something, with descriptors. It only waits, so that there is room for a request.
    ///
    /// # Errors
    /// It has ended, or does not read.
    pub(crate) fn send(&self, request: wake::Request, fds: &[OwnedFd]) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        send_now(&*self.channel()?, &request.encode(), &fds)
    }
}

/// Has a frozen process end that is kept for nothing any more. It only waits, so that there is room for a word.
pub(crate) fn dismiss(channel: &UnixStream) {
    _ = send_now(channel, &wake::Request::Leave.encode(), &[]);
}

/// Waits until a frozen process has said that it is there. `late` is called now and then where that takes long: user code may have stopped it
/// before its word.
///
/// # Errors
/// It has ended, or did not answer in time.
pub(crate) async fn confirm(channel: &UnixStream, late: impl Fn()) -> io::Result<Process> {
    let mut hello = std::pin::pin!(hello(channel));
    let mut waited = Duration::ZERO;
    while waited < CONFIRM_LIMIT {
        match tokio::time::timeout(LATE, &mut hello).await {
            Ok(found) => return found,
            Err(_) => late(),
        }
        waited += LATE;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"))
}

async fn hello(channel: &UnixStream) -> io::Result<Process> {
    let mut process = None;
    let (mut frame, mut have) = ([0; wake::SIZE], 0);
    while have < wake::SIZE {
        channel.readable().await?;
        match receive_with_peer(channel, &mut frame[have..], true) {
            None => {}
            Some(Ok((0, _))) => return Err(io::Error::other("it has ended")),
            Some(Ok((count, peer))) => {
                if let (None, Some(peer)) = (&process, peer) {
                    process = Some(Process::open(peer)?);
                }
                have += count;
            }
            Some(Err(error)) => return Err(error),
        }
    }
    match wake::Event::decode(&frame) {
        Some(wake::Event::Frozen) => process.ok_or_else(|| io::Error::other("it cannot be told who it is")),
        None => Err(io::Error::other("what it says is not understood")),
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
