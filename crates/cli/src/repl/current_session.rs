//! The session, as the editor's thread sees it: it asks, and waits a little, so that a key press never hangs.

use pyrepl3_engine::Session;
use pyrepl3_engine::protocol::message::{Completeness, Completions};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a key press may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The session that the terminal is connected to; `%reset` puts another in its place.
#[derive(Debug)]
pub(crate) struct CurrentSession {
    session: RwLock<Session>,
    runtime: Handle,
}

impl CurrentSession {
    pub(crate) fn new(session: Session, runtime: Handle) -> Arc<CurrentSession> {
        Arc::new(CurrentSession { session: RwLock::new(session), runtime })
    }

    pub(crate) fn session(&self) -> Session {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace(&self, session: Session) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Completions at the end of some code; none in time is none. For the editor's thread only: it blocks.
    pub(crate) fn complete(&self, code: &str) -> Option<Completions> {
        let session = self.session();
        self.ask(&session, session.complete(code, None)).map(|found| found.data)
    }

    /// Whether code is complete. For the editor's thread only: it blocks.
    pub(crate) fn is_complete(&self, code: &str) -> Option<Completeness> {
        let session = self.session();
        self.ask(&session, session.is_complete(code))
    }

    /// Names of checkpoints, the newest first. For the editor's thread only: it blocks.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        let session = self.session();
        let known = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, session.checkpoints()).await });
        let mut names: Vec<String> = Vec::new();
        for one in known.ok().and_then(Result::ok).unwrap_or_default() {
            // Only the newest of a name can be meant by it.
            if let Some(name) = one.name.filter(|name| !names.contains(name)) {
                names.push(name);
            }
        }
        names
    }

    fn ask<T, E>(&self, session: &Session, question: impl Future<Output = Result<T, E>>) -> Option<T> {
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, question).await;
            if answer.is_err() {
                // A property or a `__dir__` of the user's takes too long: the next line must not wait for it.
                let session = session.clone();
                tokio::spawn(async move { session.interrupt().await });
            }
            answer.ok()?.ok()
        })
    }
}
