//! A session init and its worker, forked before anybody asks for a session: it becomes one's without the fork being waited for.
//!
//! ```text
//! <data>/spares/sessions/<name>   its lease and socket, until it is a session's
//! ```

use super::context::Setup;
use super::incarnation::{InitLink, WorkerLink};
use super::linger::{Linger, Lingering};
use crate::zygote::ForkServer;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::worker::Cell;
use rustix::fd::BorrowedFd;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Where spares are while nobody has them.
pub(crate) fn place(data: &Path) -> PathBuf {
    data.join("spares")
}

/// The processes of a session, which have not been told anything, or only what the session is to be.
#[derive(Debug)]
pub(super) struct Forked {
    pub(super) lingering: Option<Lingering>,
    pub(super) init: InitLink,
    pub(super) worker: WorkerLink,
}

impl Forked {
    /// Forks a session. `stdin`: what it reads, where that is this process's own.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn make(
        server: &ForkServer,
        linger: Option<&Linger>,
        session: &str,
        stdin: Option<BorrowedFd<'_>>,
    ) -> io::Result<Forked> {
        let (lingering, terms) = Lingering::begin(linger, session, 0).await?;
        let (mut init, init_fd) = InitLink::new()?;
        let (worker, fds) = WorkerLink::unasked(stdin, lingering.is_some())?;
        if lingering.is_some() {
            init.keep_worker(&worker)?;
        }
        if let Err(error) = server.session(Cell::None, init_fd, fds, terms).await {
            if let Some(lingering) = lingering {
                lingering.end().await;
            }
            return Err(error);
        }
        Ok(Forked { lingering, init, worker })
    }

    /// Ends it. Returns when no process of it is left.
    async fn end(mut self) {
        _ = self.init.end();
        let ending = async { while self.init.said().await.is_some() {} };
        if tokio::time::timeout(END_LIMIT, ending).await.is_err() {
            tracing::warn!("a process that stood ready for a session did not end in time");
        }
        if let Some(lingering) = self.lingering {
            lingering.end().await;
        }
    }

    /// Says what the session is to be.
    pub(super) fn ask(&mut self, setup: &Setup) -> io::Result<()> {
        self.worker.ask(&setup.request())
    }
}

/// One that nobody has. It ends where it is let go of: else it would wait for the next supervisor.
#[derive(Debug)]
pub(crate) struct Spare(Option<Forked>);

impl Drop for Spare {
    fn drop(&mut self) {
        if let (Some(forked), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(forked.end());
        }
    }
}

impl Spare {
    /// Forks one.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn make(server: &Arc<ForkServer>, linger: Option<&Linger>) -> io::Result<Spare> {
        let linger = linger.map(|linger| Linger { data: place(&linger.data), ..linger.clone() });
        Forked::make(server, linger.as_ref(), &id::new(IdKind::Session), None).await.map(|forked| Spare(Some(forked)))
    }

    /// Makes it a session's: its directory gets that one's name.
    ///
    /// # Errors
    /// It has ended, or the directory cannot be had; then it is ended.
    pub(super) async fn claim(mut self, data: Option<&Path>, session: &str) -> io::Result<Forked> {
        let Some(forked) = self.0.as_mut().filter(|forked| !forked.init.has_ended()) else {
            self.end().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        if let (Some(lingering), Some(data)) = (&mut forked.lingering, data)
            && let Err(error) = lingering.rename(data, session).await
        {
            self.end().await;
            return Err(error);
        }
        self.0.take().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Ends it. Returns when no process of it is left.
    pub(crate) async fn end(mut self) {
        if let Some(forked) = self.0.take() {
            forked.end().await;
        }
    }
}
