//! The sessions of an engine, by their ids: it owns them. Also how many frozen processes they keep.

use crate::session::{Command, Mailbox};
use pyrepl3_protocol::{Code, Failure};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Descriptors of a session here, and of a frozen process; and what is left for all else.
const OF_A_SESSION: usize = 9;
const OF_A_FROZEN: usize = 2;
const RESERVE: usize = 64;

#[derive(Debug)]
struct Entry {
    mailbox: Mailbox,
    /// A pool has it, and lends it.
    pooled: bool,
    frozen: usize,
}

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<String, Entry>,
    /// Frozen processes of all of them.
    frozen: usize,
    /// Nothing is started any more.
    closed: bool,
}

/// The sessions of an engine, those that are ending included.
#[derive(Debug)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
    fewer: Notify,
    /// Frozen processes of all sessions together. Above it, the session that has most gives one up.
    limit: usize,
    /// Descriptors that this process may have.
    descriptors: usize,
}

impl Registry {
    pub(crate) fn new(limit: usize) -> Self {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Registry {
            entries: Mutex::default(),
            fewer: Notify::new(),
            limit,
            descriptors: descriptors.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// The engine was shut down.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        if self.lock().closed { Err(engine_closed()) } else { Ok(()) }
    }

    /// # Errors
    /// The engine was shut down, or has a session of this id, which may be ending.
    pub(crate) fn check_free(&self, id: &str) -> Result<(), Failure> {
        let entries = self.lock();
        if entries.closed {
            return Err(engine_closed());
        }
        if entries.sessions.contains_key(id) { Err(id_taken(id)) } else { Ok(()) }
    }

    /// Takes a session in. It is to be removed when its task has ended.
    ///
    /// # Errors
    /// The engine was shut down, or has a session of this id.
    pub(crate) fn insert(&self, mailbox: &Mailbox) -> Result<(), Failure> {
        let mut entries = self.lock();
        if entries.closed {
            return Err(engine_closed());
        }
        if entries.sessions.contains_key(mailbox.id()) {
            return Err(id_taken(mailbox.id()));
        }
        entries.sessions.insert(mailbox.id().to_owned(), Entry { mailbox: mailbox.clone(), pooled: false, frozen: 0 });
        Ok(())
    }

    /// A session's task has ended, and all its processes.
    pub(crate) fn remove(&self, id: &str) {
        let mut entries = self.lock();
        if let Some(entry) = entries.sessions.remove(id) {
            entries.frozen = entries.frozen.saturating_sub(entry.frozen);
        }
        drop(entries);
        self.fewer.notify_waiters();
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        loop {
            let fewer = self.fewer.notified();
            tokio::pin!(fewer);
            // Registered before the look, so that nothing is missed between the two.
            fewer.as_mut().enable();
            if self.lock().sessions.is_empty() {
                return;
            }
            fewer.await;
        }
    }

    /// The way to a session that is no pool's.
    pub(crate) fn get(&self, id: &str) -> Option<Mailbox> {
        let entries = self.lock();
        entries.sessions.get(id).filter(|entry| !entry.pooled).map(|entry| entry.mailbox.clone())
    }

    /// A pool has this session: nobody gets it but from there.
    pub(crate) fn set_pooled(&self, id: &str) {
        if let Some(entry) = self.lock().sessions.get_mut(id) {
            entry.pooled = true;
        }
    }

    /// The ways to all sessions.
    pub(crate) fn all(&self) -> Vec<Mailbox> {
        self.lock().sessions.values().map(|entry| entry.mailbox.clone()).collect()
    }

    /// Nothing is started from now on. Returns the ways to what is there.
    pub(crate) fn close(&self) -> Vec<Mailbox> {
        self.lock().closed = true;
        self.all()
    }

    /// A session has more frozen processes, or fewer. Where there are too many in all, the session with the most is
    /// asked to give one up.
    pub(crate) fn add_frozen(&self, id: &str, change: isize) {
        let mut entries = self.lock();
        if let Some(entry) = entries.sessions.get_mut(id) {
            entry.frozen = entry.frozen.saturating_add_signed(change);
            entries.frozen = entries.frozen.saturating_add_signed(change);
        }
        // Snapshots go before the descriptors do: without those nothing works any more.
        let descriptors = RESERVE + entries.sessions.len() * OF_A_SESSION + entries.frozen * OF_A_FROZEN;
        if change > 0
            && (entries.frozen > self.limit || descriptors > self.descriptors)
            && let Some(most) = entries.sessions.values().max_by_key(|entry| entry.frozen)
        {
            // Whoever is ending gives all of them up anyway.
            _ = most.mailbox.send(Command::MakeRoom);
        }
    }
}

fn id_taken(id: &str) -> Failure {
    Failure::new(
        Code::DuplicateId,
        format!("there is a session {id} already"),
        "it is running, or about to end",
        "use it, choose another id, or wait until it has ended",
    )
}

fn engine_closed() -> Failure {
    Failure::new(Code::SessionClosed, "the engine was shut down", "it starts nothing any more", "make another engine")
}
