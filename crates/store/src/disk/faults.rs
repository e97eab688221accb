//! A disk that fails, or loses its power, at the n-th operation.
//!
//! What was not synced when the power goes may be on the disk or not, each by itself: the kernel writes in what order it likes. So every subset of it is a
//! state that a machine may come back with, but for those that cannot be, as a change to a name whose earlier change is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Step;

/// What happens at the operation that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and the next ones do not.
    Error(ErrorKind),
    /// The process dies there: it fails, and so do all that follow.
    Death,
    /// From there on no file can be made or written.
    Full,
}

/// Holds up whoever opens what is below a directory, until it is told to let go.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) below: PathBuf,
    pub(crate) come: Sender<()>,
    pub(crate) go: Receiver<()>,
}

/// Of how many changes that are not on the disk all subsets are tried. Of more, those in which one is lost or one is kept, and the beginnings.
const ALL_SUBSETS: usize = 5;

#[derive(Debug)]
pub(crate) struct Faults {
    state: Mutex<State>,
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug)]
struct State {
    at: u64,
    fault: Fault,
    count: u64,
    dead: bool,
    /// Files with bytes that the disk need not have.
    unsynced: BTreeSet<PathBuf>,
    /// How many bytes of a file the disk has for certain.
    synced: BTreeMap<PathBuf, u64>,
    /// What was done in directories that were not synced since, the oldest first.
    changes: Vec<Change>,
}

/// A change of a directory that the disk need not have.
#[derive(Clone)]
enum Change {
    Created(PathBuf),
    CreatedDirectory(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf, Vec<u8>),
    RemovedDirectory(PathBuf),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Change::Created(_) => "created",
            Change::CreatedDirectory(_) => "created directory",
            Change::Renamed(..) => "renamed",
            Change::Removed(..) => "removed",
            Change::RemovedDirectory(_) => "removed directory",
        };
        write!(out, "{name} {:?}", self.paths())
    }
}

impl Change {
    fn paths(&self) -> Vec<&Path> {
        match self {
            Change::Renamed(from, to) => vec![from, to],
            Change::Created(path)
            | Change::CreatedDirectory(path)
            | Change::Removed(path, _)
            | Change::RemovedDirectory(path) => vec![path],
        }
    }

    fn directory(&self) -> &Path {
        let path = *self.paths().last().unwrap();
        path.parent().unwrap_or(path)
    }

    /// Whether it cannot have happened where the earlier one has not: it changes the same name, or one in a directory that would not be there.
    fn needs(&self, earlier: &Change) -> bool {
        let within =
            |path: &Path| earlier.paths().iter().any(|other| path.starts_with(other) || other.starts_with(path));
        self.paths().into_iter().any(within)
    }
}

/// One state that a machine may come back with.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    /// Files that have half of the bytes that were not synced, with how many were.
    torn: Vec<(PathBuf, u64)>,
    /// Changes that did not happen, the newest first.
    lost: Vec<Change>,
}

impl Loss {
    /// Makes a copy of the files at `data`, taken when the power went, what it comes back as at `copy`.
    pub(crate) fn strike(&self, data: &Path, copy: &Path) {
        let there = |path: &Path| copy.join(path.strip_prefix(data).unwrap_or(path));
        for (path, synced) in &self.torn {
            if let Ok(file) = OpenOptions::new().write(true).open(there(path)) {
                let length = file.metadata().unwrap().len();
                file.set_len(synced + length.saturating_sub(*synced) / 2).unwrap();
            }
        }
        for change in &self.lost {
            match change {
                Change::Created(path) => drop(fs::remove_file(there(path))),
                Change::CreatedDirectory(path) => drop(fs::remove_dir_all(there(path))),
                Change::Renamed(from, to) => drop(fs::rename(there(to), there(from))),
                Change::Removed(path, bytes) => drop(fs::write(there(path), bytes)),
                Change::RemovedDirectory(path) => drop(fs::create_dir(there(path))),
            }
        }
    }
}

impl Faults {
    pub(crate) fn new(at: u64, fault: Fault) -> Faults {
        let (unsynced, synced, changes) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let state = Mutex::new(State { at, fault, count: 0, dead: false, unsynced, synced, changes });
        Faults { state, gate: Mutex::default() }
    }

    /// From now on something waits.
    pub(crate) fn hold_up(&self, gate: Gate) {
        *self.gate.lock().unwrap() = Some(gate);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operation that is chosen was come to.
    pub(crate) fn happened(&self) -> bool {
        let state = self.state();
        state.count >= state.at
    }

    /// Another process goes on from here, on the same machine: nothing fails any more, and what is not on the disk is not on it yet.
    pub(crate) fn next_process(&self) {
        let mut state = self.state();
        (state.dead, state.at) = (false, u64::MAX);
    }

    /// The files that were synced, in their order by name.
    pub(crate) fn synced(&self) -> Vec<PathBuf> {
        self.state().synced.keys().cloned().collect()
    }

    pub(crate) fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        let held_up = |gate: &mut Gate| step == Step::Open && path.starts_with(&gate.below);
        let gate = self.gate.lock().unwrap().take_if(held_up);
        if let Some(gate) = gate {
            gate.come.send(()).unwrap();
            gate.go.recv().unwrap();
        }
        let mut state = self.state();
        state.count += 1;
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        if state.fault == Fault::Full {
            if state.count >= state.at && matches!(step, Step::Create | Step::CreateDirectory | Step::Write) {
                return Err(ErrorKind::StorageFull.into());
            }
        } else if state.count == state.at {
            return Err(match state.fault {
                Fault::Error(kind) => kind.into(),
                Fault::Full => unreachable!("it was looked at before"),
                Fault::Death => {
                    state.dead = true;
                    io::Error::other("the process dies")
                }
            });
        }
        match step {
            Step::Create => state.changes.push(Change::Created(path.to_owned())),
            Step::CreateDirectory => state.changes.push(Change::CreatedDirectory(path.to_owned())),
            Step::Write => {
                state.unsynced.insert(path.to_owned());
            }
            Step::Sync => {
                state.unsynced.remove(path);
                state.synced.insert(path.to_owned(), fs::metadata(path)?.len());
            }
            Step::SyncDirectory => state.changes.retain(|change| change.directory() != path),
            Step::Remove if path.is_file() => {
                state.unsynced.remove(path);
                state.synced.remove(path);
                state.changes.push(Change::Removed(path.to_owned(), fs::read(path)?));
            }
            Step::Remove if fs::read_dir(path).is_ok_and(|mut names| names.next().is_none()) => {
                state.changes.push(Change::RemovedDirectory(path.to_owned()));
            }
            Step::Remove | Step::Rename | Step::Open => {}
        }
        Ok(())
    }

    pub(crate) fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.state();
        if state.unsynced.remove(from) {
            state.unsynced.insert(to.to_owned());
        }
        if let Some(synced) = state.synced.remove(from) {
            state.synced.insert(to.to_owned(), synced);
        }
        state.changes.push(Change::Renamed(from.to_owned(), to.to_owned()));
    }

    /// A write that fails has written some of it.
    pub(crate) fn tear(&self, mut file: &File, bytes: &[u8]) {
        let state = self.state();
        if !state.dead && state.count + 1 == state.at {
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        }
    }

    /// The same, at a place.
    pub(crate) fn tear_at(&self, file: &File, bytes: &[u8], at: u64) {
        let state = self.state();
        if !state.dead && state.count + 1 == state.at {
            file.write_all_at(&bytes[..bytes.len() / 2], at).unwrap();
        }
    }

    /// The power goes: what the machine may come back with.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let state = self.state();
        let count = state.changes.len();
        let subsets: Vec<Vec<bool>> = if count <= ALL_SUBSETS {
            (0..1u32 << count).map(|bits| (0..count).map(|one| bits >> one & 1 == 1).collect()).collect()
        } else {
            let one = |at: usize, kept: bool| (0..count).map(|other| (other == at) == kept).collect();
            let beginning = |end: usize| (0..count).map(|at| at < end).collect();
            let singles = (0..count).flat_map(|at| [one(at, true), one(at, false)]);
            singles.chain((0..=count).map(beginning)).collect()
        };
        let mut losses = Vec::new();
        for kept in subsets {
            let lost: Vec<&Change> =
                state.changes.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(change, _)| change).collect();
            let impossible = state.changes.iter().enumerate().any(|(at, change)| {
                kept[at] && state.changes[..at].iter().zip(&kept).any(|(earlier, kept)| !kept && change.needs(earlier))
            });
            if impossible {
                continue;
            }
            let lost: Vec<Change> = lost.into_iter().rev().cloned().collect();
            let synced = |path: &PathBuf| state.synced.get(path).copied().unwrap_or(0);
            let torn: Vec<(PathBuf, u64)> = state.unsynced.iter().map(|path| (path.clone(), synced(path))).collect();
            if !torn.is_empty() {
                losses.push(Loss { torn: Vec::new(), lost: lost.clone() });
            }
            losses.push(Loss { torn, lost });
        }
        losses
    }
}
