//! What a session knows of its checkpoints.

use super::autosave::AutosaveClock;
use super::requests::{CheckpointRequest, Stored};
use crate::checkpoint::{Base, Canceller, Journal, SaverCrashes};
use crate::clock::Time;
use crate::session::answers::Reply;
use crate::session::timeline::Mark;
use pyrepl3_protocol::message::Autosave;
use pyrepl3_store::LineageId;
use rustix::fd::OwnedFd;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the end of an execution, or of the session, waits until what is noted is written.
pub(crate) const NOTING: Duration = Duration::from_secs(1);

/// A saver at work.
#[derive(Debug)]
struct Saving {
    pidfd: Option<OwnedFd>,
    canceller: Canceller,
}

/// A checkpoint on its way. Of a snapshot it may take several savers: the session's own code, which they run, can end them.
#[derive(Debug)]
pub(crate) struct SavingJob {
    /// What it is made of; None: of the session as it is, by its worker.
    pub(crate) mark: Option<Mark>,
    pub(crate) request: CheckpointRequest,
    pub(crate) reply: Reply<Stored>,
    pub(crate) asked: Instant,
    pub(crate) pause: Duration,
    /// Whether the process was frozen for this checkpoint.
    pub(crate) tracked: bool,
    pub(crate) deaths: SaverCrashes,
}

/// Whether a fresh worker is to get the last checkpoint back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Recovery {
    #[default]
    None,
    /// Once it is there.
    Planned,
    /// The checkpoint is being looked for; nothing runs before.
    LookingUp,
}

/// Checkpoints of a session.
#[derive(Debug)]
pub(crate) struct Durability {
    savings: HashMap<u64, Saving>,
    next: u64,
    /// What the session's checkpoints share chunks with, and the last one that it was saved to or came from.
    pub(crate) lineage: LineageId,
    pub(crate) parent: Option<String>,
    /// What of large memory needs no saving again where it was not written.
    pub(crate) base: Option<Arc<Base>>,
    pub(crate) clock: AutosaveClock,
    /// What has begun since the last checkpoint, where the session may be started again by its name.
    pub(crate) journal: Option<Journal>,
    pub(crate) recovery: Recovery,
}

/// What another supervisor is to know. What is being saved is not: nobody reads what the saver says any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DurabilityNote {
    lineage: LineageId,
    parent: Option<String>,
    clock: AutosaveClock,
    recovery: Recovery,
}

impl Durability {
    pub(crate) fn note(&self) -> DurabilityNote {
        let Durability { lineage, parent, clock, recovery, .. } = self;
        let (lineage, parent, clock) = (lineage.clone(), parent.clone(), clock.clone());
        DurabilityNote { lineage, parent, clock, recovery: *recovery }
    }

    pub(crate) fn recall(note: DurabilityNote) -> Durability {
        let DurabilityNote { lineage, parent, mut clock, recovery } = note;
        if clock.is_saving() {
            clock.ended(false, Time::now());
        }
        let recovery = if recovery == Recovery::None { Recovery::None } else { Recovery::Planned };
        Durability { lineage, parent, clock, recovery, ..Durability::new(None) }
    }

    pub(crate) fn new(autosave: Option<&Autosave>) -> Self {
        Durability {
            savings: HashMap::new(),
            next: 0,
            lineage: LineageId::new(),
            parent: None,
            base: None,
            clock: AutosaveClock::new(autosave),
            journal: None,
            recovery: Recovery::None,
        }
    }

    /// A saver is asked for. Returns its number.
    pub(crate) fn begin(&mut self, canceller: Canceller) -> u64 {
        self.next += 1;
        self.savings.insert(self.next, Saving { pidfd: None, canceller });
        self.next
    }

    /// It says who it is.
    pub(crate) fn born(&mut self, saving: u64, pidfd: OwnedFd) {
        if let Some(saving) = self.savings.get_mut(&saving) {
            saving.pidfd = Some(pidfd);
        }
    }

    pub(crate) fn ended(&mut self, saving: u64) {
        self.savings.remove(&saving);
    }

    /// The savers: they outlive a rollback.
    pub(crate) fn saver_pidfds(&self) -> impl Iterator<Item = OwnedFd> + '_ {
        self.savings.values().filter_map(|saving| saving.pidfd.as_ref()?.try_clone().ok())
    }

    /// The session ends: what is being saved is given up.
    pub(crate) fn give_up(&self) {
        for saving in self.savings.values() {
            saving.canceller.cancel();
        }
    }

    /// The session ends. What it leaves unsaved is told to whoever starts it again; where the disk does not answer, later.
    pub(crate) async fn close_journal(&mut self) {
        if let Some(journal) = self.journal.take() {
            _ = tokio::time::timeout(NOTING, journal.close()).await;
        }
    }
}
