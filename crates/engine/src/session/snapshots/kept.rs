//! The frozen processes of a session, by their marks, and what waits for one of them to say that it is there. No turn of
//! the session's task waits for that: what needs a process is kept here until it is known.

use super::frozen::{Frozen, FrozenNote};
use super::reverted::{Reverted, Reverting};
use crate::process::Process;
use crate::session::timeline::Mark;
use pyrepl3_protocol::message::SnapshotKind;
use rustix::fd::OwnedFd;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;

/// A return that was decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RevertPlan {
    pub(crate) mark: Mark,
    /// Whether the mark stays usable.
    pub(crate) keep: bool,
    /// Marks that are gone with it.
    pub(crate) discard: Vec<Mark>,
}

/// What waits for a frozen process.
#[derive(Debug)]
pub(crate) enum Awaited<T> {
    /// A return to it.
    Revert(RevertPlan),
    /// What is to be done once it is known whether the process of a mark is there.
    Confirm(Mark, T),
    /// The process that makes branches.
    Split(T),
    /// What is younger than a process that another supervisor has woken is to end.
    Sweep(OwnedFd),
}

/// The frozen processes.
#[derive(Debug)]
pub(crate) struct Snapshots<T> {
    frozen: HashMap<Mark, (u64, Frozen)>,
    /// A fork that makes branches.
    splitter: Option<(u64, Frozen)>,
    next: u64,
    waiting: Vec<Awaited<T>>,
    /// The return that is under way: the one that was decided, and what is known of it.
    pub(crate) reverting: Option<(RevertPlan, Reverting)>,
    /// The last that is complete.
    pub(crate) last: Option<Reverted>,
    /// Snapshots that are gone with a return that failed: told with the next.
    pub(crate) untold: Vec<String>,
}

impl<T> Default for Snapshots<T> {
    fn default() -> Self {
        Snapshots {
            frozen: HashMap::new(),
            splitter: None,
            next: 1,
            waiting: Vec::new(),
            reverting: None,
            last: None,
            untold: Vec::new(),
        }
    }
}

impl<T> Snapshots<T> {
    /// Takes a process in that is about to be frozen. Returns the number under which it is confirmed.
    pub(crate) fn insert(&mut self, mark: Mark, frozen: Frozen) -> u64 {
        let number = self.number();
        self.frozen.insert(mark, (number, frozen));
        number
    }

    /// The same, for one that is to make branches.
    pub(crate) fn set_splitter(&mut self, frozen: Frozen) -> u64 {
        let number = self.number();
        self.splitter = Some((number, frozen));
        number
    }

    pub(crate) fn take_splitter(&mut self) -> Option<Frozen> {
        self.splitter.take().map(|(_, frozen)| frozen)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn get(&self, mark: Mark) -> Option<&Frozen> {
        self.frozen.get(&mark).map(|(_, frozen)| frozen)
    }

    pub(crate) fn get_mut(&mut self, mark: Mark) -> Option<&mut Frozen> {
        self.frozen.get_mut(&mark).map(|(_, frozen)| frozen)
    }

    pub(crate) fn remove(&mut self, mark: Mark) -> Option<Frozen> {
        self.frozen.remove(&mark).map(|(_, frozen)| frozen)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Frozen> {
        self.frozen.values().map(|(_, frozen)| frozen)
    }

    /// The mark of a snapshot that clients know by its id.
    pub(crate) fn mark_of(&self, id: &str) -> Option<Mark> {
        self.frozen.iter().find(|(_, (_, frozen))| frozen.id == id).map(|(mark, _)| *mark)
    }

    /// It is known whether a process is there.
    pub(crate) fn confirmed(&mut self, number: u64, found: io::Result<Process>) {
        let all = self.frozen.values_mut().chain(&mut self.splitter);
        if let Some((_, frozen)) = all.into_iter().find(|(one, frozen)| *one == number && frozen.is_awaited()) {
            frozen.confirmed(found);
        }
    }

    /// Has something wait.
    pub(crate) fn wait(&mut self, awaited: Awaited<T>) {
        self.waiting.push(awaited);
    }

    /// What waits no longer: what it needs to know is known.
    pub(crate) fn take_ready(&mut self) -> Option<Awaited<T>> {
        let at = self.waiting.iter().position(|awaited| self.is_known(awaited))?;
        Some(self.waiting.remove(at))
    }

    fn is_known(&self, awaited: &Awaited<T>) -> bool {
        let known = |mark: Mark| self.get(mark).is_none_or(|frozen| !frozen.is_awaited());
        match awaited {
            Awaited::Confirm(mark, _) => known(*mark),
            Awaited::Split(_) => self.splitter.as_ref().is_none_or(|(_, frozen)| !frozen.is_awaited()),
            // Session init has to be told of all that stay, or it would end them with what is younger.
            Awaited::Revert(plan) => self.frozen.keys().all(|mark| plan.discard.contains(mark) || known(*mark)),
            Awaited::Sweep(_) => self.frozen.keys().all(|mark| known(*mark)),
        }
    }

    /// The return to a mark, if that waits.
    pub(crate) fn take_plan(&mut self, mark: Mark) -> Option<RevertPlan> {
        let is_it = |awaited: &Awaited<T>| matches!(awaited, Awaited::Revert(plan) if plan.mark == mark);
        match self.waiting.remove(self.waiting.iter().position(is_it)?) {
            Awaited::Revert(plan) => Some(plan),
            Awaited::Confirm(..) | Awaited::Split(_) | Awaited::Sweep(_) => None,
        }
    }

    /// Everything that waits, to be told that nothing comes of it.
    pub(crate) fn take_waiting(&mut self) -> Vec<Awaited<T>> {
        std::mem::take(&mut self.waiting)
    }
}

/// What another supervisor is to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotsNote {
    frozen: Vec<(Mark, FrozenNote)>,
    /// A return that waits for frozen processes to say that they are there.
    pub(crate) planned: Option<RevertPlan>,
    pub(crate) reverting: Option<(RevertPlan, Reverting)>,
    last: Option<Reverted>,
    pub(crate) untold: Vec<String>,
}

impl<T> Snapshots<T> {
    pub(crate) fn note(&self) -> SnapshotsNote {
        let planned = self.waiting.iter().find_map(|awaited| match awaited {
            Awaited::Revert(plan) => Some(plan.clone()),
            Awaited::Confirm(..) | Awaited::Split(_) | Awaited::Sweep(_) => None,
        });
        SnapshotsNote {
            frozen: self.frozen.iter().map(|(mark, (_, frozen))| (*mark, frozen.note())).collect(),
            planned,
            reverting: self.reverting.clone(),
            last: self.last.clone(),
            untold: self.untold.clone(),
        }
    }

    /// As they were noted, but for the returns that were under way. The numbers under which each is confirmed.
    pub(crate) fn recall(&mut self, note: &SnapshotsNote) -> Vec<u64> {
        self.last.clone_from(&note.last);
        self.untold.clone_from(&note.untold);
        note.frozen.iter().map(|(mark, one)| self.insert(*mark, Frozen::remembered(one.clone()))).collect()
    }
}

/// What an eviction says of a frozen process.
pub(crate) fn kind_when_evicted(frozen: &Frozen) -> SnapshotKind {
    match frozen {
        Frozen { asked_for: true, .. } => SnapshotKind::Named,
        Frozen { redo: true, .. } => SnapshotKind::Redo,
        _ => SnapshotKind::Undo,
    }
}
