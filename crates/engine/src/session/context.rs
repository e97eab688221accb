//! What a session is made with: the same for its whole life.

use super::linger::Linger;
use super::shared::Shared;
use crate::checkpoint::CheckpointStore;
use crate::log::{Journal, Journalling, Told};
use crate::oom::OomWatch;
use crate::registry::Registry;
use crate::zygote::ForkServer;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::SessionOptions;
use pyrepl3_protocol::worker::{Mode, Request};
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Which session it is that begins.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) id: String,
    /// The number after which its events begin.
    pub(crate) last_event: u64,
}

impl Identity {
    /// One that was never there.
    pub(crate) fn new() -> Identity {
        Identity { id: id::new(IdKind::Session), last_event: 0 }
    }
}

/// What every worker of a session is set up with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) options: SessionOptions,
    pub(crate) mode: Mode,
    /// Standard input of its own, if it is not the protocol.
    pub(crate) stdin: Option<OwnedFd>,
}

impl Setup {
    /// The first request of a worker.
    pub(crate) fn request(&self) -> Request<'_> {
        let limits = &self.options.limits;
        let mut rlimits = BTreeMap::new();
        for (name, value) in [("DATA", limits.memory), ("NOFILE", limits.open_files), ("FSIZE", limits.file_size)] {
            if let Some(value) = value {
                rlimits.insert(name, value);
            }
        }
        Request::Setup { cwd: self.options.cwd.as_deref(), env: &self.options.env, rlimits, mode: &self.mode }
    }
}

/// Where a session comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// None for a session that another supervisor has started.
    pub(crate) server: Option<Arc<ForkServer>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) checkpoint_store: Arc<CheckpointStore>,
    pub(crate) oom: Arc<OomWatch>,
    /// Whether its sessions outlive their supervisor.
    pub(crate) linger: Option<Linger>,
    /// How its sessions keep their events; None: not beyond this process.
    pub(crate) journalling: Option<Journalling>,
    /// Held by each session that shares the session init of this one: those that were branched from one.
    pub(crate) family: Arc<()>,
}

impl Origin {
    /// Opens the journal of one of its sessions, or begins it; None where they have none. `told` as of [`Journalling::open`].
    ///
    /// # Errors
    /// The file system's.
    pub(crate) async fn open_journal(&self, session: &str, told: Option<Told>) -> io::Result<Option<Journal>> {
        let Some(journalling) = &self.journalling else { return Ok(None) };
        journalling.open(session, told).await.map(Some)
    }
}

/// What the session's task is told at its start.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) setup: Setup,
    pub(crate) origin: Origin,
    pub(crate) shared: Arc<Shared>,
}
