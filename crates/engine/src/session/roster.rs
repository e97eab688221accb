//! The sessions of an engine: how many have processes, how to reach them, and how many frozen processes they keep.

use super::actor::Command;
use super::handle::Session;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::mpsc::WeakUnboundedSender;

#[derive(Debug)]
struct Entry {
    commands: WeakUnboundedSender<Command>,
    frozen: usize,
}

/// The sessions of an engine, those that are ending included.
#[derive(Debug)]
pub(crate) struct Roster {
    count: AtomicUsize,
    fewer: Notify,
    entries: Mutex<HashMap<String, Entry>>,
    /// Frozen processes of all sessions together. Above it, the session that has most gives one up.
    limit: usize,
    branches: AtomicU32,
}

impl Roster {
    pub(crate) fn new(limit: usize) -> Self {
        Roster {
            count: AtomicUsize::new(0),
            fewer: Notify::new(),
            entries: Mutex::default(),
            limit,
            branches: AtomicU32::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a branch, from 1: unique among those that there may be at once.
    pub(crate) fn branch_number(&self) -> u32 {
        self.branches.fetch_add(1, Ordering::Relaxed) % (1 << 18) + 1
    }

    /// A session's task has begun.
    pub(crate) fn begun(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// A session's task has ended, and all its processes.
    pub(crate) fn ended(&self, id: &str) {
        self.lock().remove(id);
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.fewer.notify_waiters();
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            fewer.await;
        }
    }

    pub(crate) fn remember(&self, session: &Session) {
        self.lock().insert(session.id().to_owned(), Entry { commands: session.commands.downgrade(), frozen: 0 });
    }

    /// Ways to reach the sessions.
    pub(crate) fn all(&self) -> Vec<WeakUnboundedSender<Command>> {
        self.lock().values().map(|entry| entry.commands.clone()).collect()
    }

    /// A session has more frozen processes, or fewer. Where there are too many in all, the session with the most is
    /// asked to give one up.
    pub(crate) fn add_frozen(&self, id: &str, change: isize) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(id) {
            entry.frozen = entry.frozen.saturating_add_signed(change);
        }
        if change > 0
            && entries.values().map(|entry| entry.frozen).sum::<usize>() > self.limit
            && let Some(most) = entries.values().max_by_key(|entry| entry.frozen)
            && let Some(commands) = most.commands.upgrade()
        {
            // Whoever is ending gives all of them up anyway.
            _ = commands.send(Command::MakeRoom);
        }
    }
}
