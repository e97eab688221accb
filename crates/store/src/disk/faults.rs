//! A disk that fails, or loses its power, at the n-th operation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Step;

/// What happens at the operation that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and the next ones do not.
    Error(ErrorKind),
    /// The process dies there: it fails, and so do all that follow.
    Death,
}

#[derive(Debug)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug)]
struct State {
    at: u64,
    fault: Fault,
    count: u64,
    dead: bool,
    /// Files with bytes that the disk need not have.
    unsynced: BTreeSet<PathBuf>,
    /// What was done in directories that were not synced since, the oldest first.
    entries: BTreeMap<PathBuf, Vec<Entry>>,
}

#[derive(Debug)]
enum Entry {
    Created(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf, Vec<u8>),
}

impl Faults {
    pub(crate) fn new(at: u64, fault: Fault) -> Faults {
        let (unsynced, entries) = (BTreeSet::new(), BTreeMap::new());
        Faults(Mutex::new(State { at, fault, count: 0, dead: false, unsynced, entries }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operation that is chosen was come to.
    pub(crate) fn happened(&self) -> bool {
        let state = self.state();
        state.count >= state.at
    }

    pub(crate) fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.count += 1;
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        if state.count == state.at {
            return Err(match state.fault {
                Fault::Error(kind) => kind.into(),
                Fault::Death => {
                    state.dead = true;
                    io::Error::other("the process dies")
                }
            });
        }
        let directory = path.parent().unwrap_or(path).to_owned();
        match step {
            Step::Create if path.extension().is_some() => {
                state.entries.entry(directory).or_default().push(Entry::Created(path.to_owned()));
            }
            Step::Write => {
                state.unsynced.insert(path.to_owned());
            }
            Step::Sync => {
                state.unsynced.remove(path);
            }
            Step::SyncDirectory => {
                state.entries.remove(path);
            }
            Step::Remove if path.is_file() => {
                let entry = Entry::Removed(path.to_owned(), fs::read(path)?);
                state.entries.entry(directory).or_default().push(entry);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.state();
        if state.unsynced.remove(from) {
            state.unsynced.insert(to.to_owned());
        }
        let directory = to.parent().unwrap_or(to).to_owned();
        state.entries.entry(directory).or_default().push(Entry::Renamed(from.to_owned(), to.to_owned()));
    }

    /// A write that fails has written some of it.
    pub(crate) fn tear(&self, mut file: &File, bytes: &[u8]) {
        let state = self.state();
        if !state.dead && state.count + 1 == state.at {
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        }
    }

    /// The power goes: what was not synced is not there, or half there.
    pub(crate) fn power_loss(&self) {
        let mut state = self.state();
        for path in std::mem::take(&mut state.unsynced) {
            if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                let length = file.metadata().unwrap().len();
                file.set_len(length / 2).unwrap();
            }
        }
        for (_, entries) in std::mem::take(&mut state.entries) {
            for entry in entries.into_iter().rev() {
                match entry {
                    Entry::Created(path) => drop(fs::remove_file(path)),
                    Entry::Renamed(from, to) => drop(fs::rename(to, from)),
                    Entry::Removed(path, bytes) => drop(fs::write(path, bytes)),
                }
            }
        }
    }
}
