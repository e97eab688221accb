//! What a session has that outlives its supervisor: its lease, where its init listens, and what the next supervisor is to
//! know. docs/design/adoption.md says how it goes from one to the next.

use super::life::Token;
use crate::clock::Time;
use crate::process::listen;
use pyrepl3_protocol::worker;
use pyrepl3_store::{INIT_SOCKET, Lease};
use rustix::fd::OwnedFd;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How many numbers of events are reserved at a time. The next supervisor begins after them: no number is used twice.
const RESERVED: u64 = 1 << 16;
/// So many are left when more are reserved: more than one turn can use.
const MARGIN: u64 = 1 << 12;

/// How the sessions of an engine outlive it.
#[derive(Debug, Clone)]
pub(crate) struct Linger {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// How long a session waits for another supervisor.
    pub(crate) grace: Duration,
}

/// One session's.
#[derive(Debug)]
pub(crate) struct Lingering {
    lease: Lease,
    /// What was written down last.
    noted: String,
    /// Events have numbers up to this.
    pub(crate) reserved: u64,
    /// Whether something may have happened since it was written down.
    pub(crate) changed: bool,
    /// Whether a frame stays in the worker's channel, as session init does not have what follows from it yet.
    pub(crate) unconsumed: bool,
    /// The number of the request by which the worker was given what it does.
    pub(crate) given: u64,
    /// The number of this branch; 0 for a session that is none.
    pub(crate) member: u32,
    /// Whether it is anybody's: a branch is not before whoever asked for it was told.
    pub(crate) claimed: bool,
    /// Why this supervisor is not the session's any more.
    pub(crate) released: Option<Released>,
    /// What the end of a channel waits for that another supervisor had: until when the worker must have fetched the next.
    pub(crate) renewal: Option<Time>,
    /// What the worker waits for that the supervisor before was asked, once frames up to a number have been taken.
    pub(crate) unanswered: Option<(u64, Vec<u64>)>,
    /// Executions whose code was too much to be written down.
    pub(crate) unwritten: Vec<Token>,
    /// The channel that a frozen process may have got that may have been woken.
    pub(crate) held: Option<OwnedFd>,
    /// Another that the worker from before that return has fetched meanwhile. Nobody reads it: what it says is undone.
    pub(crate) aside: Option<OwnedFd>,
    /// Held where others share the session init, who may not be known here.
    pub(crate) family: Option<Arc<()>>,
}

/// Why a supervisor lets a session go on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// It was asked to.
    HandedOver,
    /// Another one has taken over.
    Superseded,
}

impl Lingering {
    /// For a session that begins, where its engine's outlive it. Also what session init is told of it, and the socket where
    /// it is to listen.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) async fn begin(
        linger: Option<&Linger>,
        session: &str,
        member: u32,
    ) -> io::Result<(Option<Lingering>, Option<(worker::Linger, OwnedFd)>)> {
        let Some(Linger { data, grace }) = linger.cloned() else { return Ok((None, None)) };
        let session = session.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let lease = Lease::begin(&data, &session)?;
            let listener = listen(&lease.directory().join(INIT_SOCKET))?;
            io::Result::Ok((lease, listener))
        });
        let (lease, listener) = made.await.map_err(io::Error::other)??;
        let terms = worker::Linger { grace: grace.as_secs_f64(), epoch: lease.epoch() };
        let lingering = Lingering { member, claimed: member == 0, ..Lingering::with(lease) };
        Ok((Some(lingering), Some((terms, listener))))
    }

    /// Gives its directory the name of a session.
    ///
    /// # Errors
    /// The file system's; another has the name.
    pub(super) async fn rename(&mut self, data: &Path, session: &str) -> io::Result<()> {
        self.lease.rename(data, session)
    }

    /// For a session that is taken over.
    pub(crate) fn with(lease: Lease) -> Lingering {
        Lingering {
            lease,
            noted: String::new(),
            reserved: RESERVED,
            changed: true,
            unconsumed: false,
            given: 0,
            member: 0,
            claimed: true,
            released: None,
            renewal: None,
            unanswered: None,
            unwritten: Vec::new(),
            held: None,
            aside: None,
            family: None,
        }
    }

    /// Whether this supervisor may still act for the session.
    pub(crate) fn may_act(&mut self) -> bool {
        if self.released.is_none() && !self.lease.counts().unwrap_or(false) {
            self.released = Some(Released::Superseded);
        }
        self.released.is_none()
    }

    /// Sees to it that there are numbers for the events of a turn.
    pub(crate) fn reserve(&mut self, last: u64) {
        if last.saturating_add(MARGIN) > self.reserved {
            self.reserved = last.saturating_add(RESERVED);
            self.changed = true;
        }
    }

    /// Whether this text says something else than what was written down last. It is taken for written down then.
    pub(crate) fn is_news(&mut self, text: &str) -> bool {
        let news = self.noted != text;
        if news {
            text.clone_into(&mut self.noted);
        }
        news
    }

    /// It could not be: the same text is news again.
    pub(crate) fn was_not_written(&mut self) {
        self.noted.clear();
        self.changed = true;
    }

    /// The session has ended: its directory goes.
    pub(crate) async fn end(self) {
        remove(self.lease).await;
    }
}

/// Removes the directory of a session that has ended.
pub(crate) async fn remove(lease: Lease) {
    let removing = tokio::task::spawn_blocking(move || {
        let directory = lease.directory().to_owned();
        if let Err(error) = lease.end() {
            tracing::warn!(%error, directory = %directory.display(), "a session's directory could not be removed");
        }
    });
    _ = removing.await;
}
