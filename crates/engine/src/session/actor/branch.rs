//! Splitting the session: a fork of the worker forks the branches, each of which becomes the worker of a new session.

use super::Actor;
use crate::session::frozen::Frozen;
use crate::session::handle::{Lineage, Session};
use crate::session::link::{FIRST_WORKER, InitLink, WorkerFds, WorkerLink};
use crate::session::machine::Token;
use crate::session::start::{Setup, assemble, run_actor};
use pyrepl3_protocol::message::RandomState;
use pyrepl3_protocol::worker::{FrozenRequest, InitEvent, Request};
use pyrepl3_protocol::{Code, Failure};
use std::time::Duration;
use tokio::sync::oneshot;

/// Branches of one request at most.
pub(super) const BRANCHES: u32 = 256;
/// How long a branch may take to be there.
const LIMIT: Duration = Duration::from_secs(60);
/// How long session init may take to take one in.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

impl Actor {
    /// Asks the worker for a fork that makes the branches.
    pub(super) fn ask_for_branches(&mut self, token: Token) {
        match Frozen::new(self.past.clone(), None) {
            Ok((frozen, theirs)) => {
                self.brancher = Some(frozen);
                if self.worker.send_with(&Request::Branch { id: token, fds: 1 }, vec![theirs]).is_err() {
                    self.worker.closed = true;
                }
            }
            Err(error) => self.unfrozen(token, &error.to_string(), ""),
        }
    }

    /// Has the branches made. What runs in this session waits meanwhile: the fork of the worker is done, so it is short.
    pub(super) async fn branch(&mut self, count: u32, random: RandomState) -> Result<Vec<Session>, Failure> {
        let failed = |why: String| {
            Failure::new(Code::SnapshotRefused, "the session could not be branched", why, "see the session's limits")
        };
        let os = |error: std::io::Error| failed(error.to_string());
        let Some(mut brancher) = self.brancher.take() else { return Err(failed("nothing was forked".into())) };
        brancher.confirm().await.map_err(os)?;
        let mut workers = Vec::new();
        for index in 0..count {
            let (worker, fds): (WorkerLink, WorkerFds) = WorkerLink::unasked(None).map_err(os)?;
            let member = self.place.origin.alive.branch_number();
            brancher.send(FrozenRequest::Branch { index, random, member }, fds.into_all()).await.map_err(os)?;
            workers.push((worker, member));
        }
        let mut branches = Vec::new();
        for (worker, member) in workers {
            let begun = tokio::time::timeout(LIMIT, self.adopt_branch(worker, member));
            branches.push(begun.await.map_err(|_| failed("a branch did not answer in time".into()))??);
        }
        // Session init knows them by now, so they can become its children; and they must be, before they lose any.
        brancher.send(FrozenRequest::Leave {}, Vec::new()).await.map_err(os)?;
        brancher.ended().await.map_err(os)?;
        let mut sessions = Vec::new();
        for (session, ready) in branches {
            ready.await.map_err(|_| failed("a branch ended at once".into()))??;
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// Makes a session of a branch's worker.
    async fn adopt_branch(
        &self,
        mut worker: WorkerLink,
        number: u32,
    ) -> Result<(Session, oneshot::Receiver<Result<(), Failure>>), Failure> {
        let os = |error: std::io::Error| Failure::os("a branch could not be taken over", &error);
        while worker.process.is_none() {
            worker.readable().await.map_err(os)?;
            worker.read_from_branch().map_err(|why| os(std::io::Error::other(why)))?;
            if worker.closed {
                return Err(os(std::io::Error::other("it ended at once")));
            }
        }
        let Some(process) = &worker.process else { return Err(os(std::io::Error::other("it ended at once"))) };
        let pidfd = process.pidfd().map_err(os)?;
        let (mut init, init_fd) = InitLink::new().map_err(os)?;
        self.init.member(&init_fd, FIRST_WORKER, &pidfd, number).await?;
        drop((init_fd, pidfd));
        // Before it has joined, its parent's end would be its own: nobody else would be known to have it.
        match tokio::time::timeout(JOIN_LIMIT, init.next()).await {
            Ok(Some((InitEvent::Up {}, _))) => {}
            _ => return Err(os(std::io::Error::other("session init did not take it in"))),
        }
        let setup =
            Setup { options: self.place.setup.options.clone(), mode: self.place.setup.mode.clone(), stdin: None };
        let lineage = Lineage { parent: self.place.shared.id.clone(), branched_at: self.count };
        let (session, mut actor, is_ready) = assemble(setup, self.place.origin.clone(), Some(lineage), init, worker);
        actor.count = self.count;
        actor.past = self.past.clone();
        actor.store_lineage = self.store_lineage.clone();
        actor.parent.clone_from(&self.parent);
        run_actor(actor, self.place.origin.alive.clone(), None);
        Ok((session, is_ready))
    }
}
