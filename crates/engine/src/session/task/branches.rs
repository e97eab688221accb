//! Splitting the session: a fork of the worker forks the branches, each of which becomes the worker of a new session.

use super::report::{NewMember, Report};
use super::spawn::{Outliving, Ready, assemble, spawn};
use super::state::{SessionTask, Then};
use crate::process::send_raw;
use crate::session::applied::Applied;
use crate::session::context::{Identity, Origin, Setup};
use crate::session::incarnation::{FIRST_WORKER, InitLink, WorkerLink};
use crate::session::life::{Event, Token};
use crate::session::linger::Lingering;
use crate::session::mailbox::{Attachment, Command, Operation};
use crate::session::shared::Lineage;
use crate::session::snapshots::{Awaited, Frozen};
use crate::session::tickets::Ticket;
use pyrepl3_native::wake;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{RandomState, SessionOptions};
use pyrepl3_protocol::worker::{InitEvent, Mode, Request};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::LineageId;
use rustix::fd::{AsFd, OwnedFd};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Branches of one request at most.
pub(super) const BRANCHES: u32 = 256;
/// How long the process that makes branches may take to read a request.
const SPLITTER_LIMIT: Duration = Duration::from_secs(10);
/// How long a branch may take to be there.
const LIMIT: Duration = Duration::from_secs(60);
/// How long session init may take to take one in.
const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// What branches begin with.
struct Seed {
    options: SessionOptions,
    mode: Mode,
    origin: Origin,
    lineage: Lineage,
    count: u64,
    applied: Applied,
    store_lineage: LineageId,
    checkpoint: Option<String>,
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::new(Code::SnapshotRefused, "the session could not be branched", why.into(), "see the session's limits")
}

fn os(error: &io::Error) -> Failure {
    failed(error.to_string())
}

impl SessionTask {
    /// Asks the worker for a fork that makes the branches.
    pub(super) fn ask_for_splitter(&mut self, token: Token) {
        match Frozen::new(self.applied.clone(), None) {
            Ok((frozen, theirs)) => {
                self.await_frozen(crate::session::snapshots::Snapshots::set_splitter, frozen);
                self.gives_next_request();
                if !self.write_down() {
                    return;
                }
                let operation = self.tickets.operation_mut(token).map(|pending| &pending.operation);
                let splits = matches!(operation, Some(Operation::Branch { random: RandomState::Split, .. }));
                let request = Request::Branch { id: token, fds: 1, splits };
                // It has no mark: it is of use to this supervisor only.
                if let Err(error) = self.worker.control.send(&request, None, vec![theirs]) {
                    self.lost_touch(&error);
                }
            }
            Err(error) => self.unfrozen(token, &error.to_string(), ""),
        }
    }

    /// The worker says that the fork is there. It says so itself, too.
    pub(super) fn split(&mut self, token: Token) {
        self.snapshots.wait(Awaited::Split(Then::Split(token)));
        self.go_on_with_snapshots();
    }

    /// Has the branches made. What waits in this session goes on when that is done.
    pub(super) fn split_confirmed(&mut self, token: Token) {
        let (count, random) = match self.tickets.operation_mut(token).map(|pending| &pending.operation) {
            Some(Operation::Branch { count, random, .. }) => (*count, *random),
            // Who asked is gone with a supervisor, and so is the process that was to make them.
            _ => return self.later.push_back(Event::Split { token }),
        };
        let splitter = self.snapshots.take_splitter();
        let seed = Seed {
            options: self.context.setup.options.clone(),
            mode: self.context.setup.mode.clone(),
            origin: self.context.origin.clone(),
            lineage: Lineage { parent: self.id().to_owned(), branched_at: self.count },
            count: self.count,
            applied: self.applied.clone(),
            store_lineage: self.durability.lineage.clone(),
            checkpoint: self.durability.parent.clone(),
        };
        let reporter = self.reporter.clone();
        self.job(async move {
            let made = match splitter.filter(|splitter| splitter.process().is_some()) {
                Some(splitter) => make(splitter, count, random, &seed, &reporter).await,
                None => Err(failed("the process that was to make them has ended")),
            };
            Report::Split { token, made }
        });
    }

    /// A branch joins the family.
    pub(super) fn take_in(&mut self, member: NewMember) {
        let NewMember { channel, pidfd, number, linger } = member;
        if let Err(error) = self.init.member(channel, FIRST_WORKER, pidfd, number, linger) {
            // The branch is told: its channel closes.
            tracing::warn!(%error, "session init could not be told of a branch");
        }
    }

    pub(super) fn split_done(&mut self, token: Token, made: Result<Vec<Attachment>, Failure>) {
        let unwanted = match self.tickets.remove(token) {
            Some(Ticket::Operate(pending)) => match pending.operation {
                Operation::Branch { reply, .. } => reply.send(made).err(),
                _ => Some(made),
            },
            _ => Some(made),
        };
        // Where nobody waits for them any more, they end, also those that would live on without a client.
        for branch in unwanted.into_iter().flatten().flatten() {
            branch.mailbox().end();
        }
        self.feed(Event::Split { token });
    }
}

async fn make(
    splitter: Frozen,
    count: u32,
    random: RandomState,
    seed: &Seed,
    parent: &mpsc::UnboundedSender<Report>,
) -> Result<Vec<Attachment>, Failure> {
    let mut workers = Vec::new();
    for index in 0..count {
        let (worker, fds) = WorkerLink::unasked(None, seed.origin.linger.is_some()).map_err(|error| os(&error))?;
        let member = branch_number();
        let split = random == RandomState::Split;
        ask(&splitter, wake::Request::Branch { index, member, split }, &fds.into_all()).await?;
        workers.push((worker, member));
    }
    let mut branches = Vec::new();
    for (worker, member) in workers {
        let begun = tokio::time::timeout(LIMIT, begin(worker, member, seed, parent));
        branches.push(begun.await.map_err(|_| failed("a branch did not answer in time"))??);
    }
    ask(&splitter, wake::Request::Leave, &[]).await?;
    // Also where user code has stopped it.
    splitter.resume();
    let mut made = Vec::new();
    for (branch, ready) in branches {
        ready.await.map_err(|_| failed("a branch ended at once"))??;
        made.push(branch);
    }
    // From now on they are somebody's, also where this supervisor dies at the moment at which it tells them.
    for branch in &made {
        let (reply, claimed) = oneshot::channel();
        branch.mailbox().send(Command::Claim { reply })?;
        claimed.await.map_err(|_| failed("a branch ended at once"))?;
    }
    Ok(made)
}

/// A number for a branch, by which session init tells its processes from others of the family: from 1, and of 18 bits. It is drawn,
/// as other engines may have other sessions of the family, and nobody knows theirs; session init refuses one that is there.
fn branch_number() -> u32 {
    let hash = blake3::hash(id::new(IdKind::Session).as_bytes());
    let drawn = hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    drawn % (1 << 18) + 1
}

async fn ask(splitter: &Frozen, request: wake::Request, fds: &[OwnedFd]) -> Result<(), Failure> {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let channel = splitter.channel().map_err(|error| os(&error))?;
    tokio::time::timeout(SPLITTER_LIMIT, send_raw(&channel, &request.encode(), &fds))
        .await
        .map_err(|_| failed("the process that makes them does not read what it is sent"))?
        .map_err(|error| os(&error))
}

/// Makes a session of a branch's worker.
async fn begin(
    mut worker: WorkerLink,
    number: u32,
    seed: &Seed,
    parent: &mpsc::UnboundedSender<Report>,
) -> Result<(Attachment, Ready), Failure> {
    let os = |error: io::Error| Failure::os("a branch could not be taken over", &error);
    while worker.process.is_none() {
        worker.control.readable().await.map_err(os)?;
        worker.read_from_branch().map_err(|why| os(io::Error::other(why)))?;
        if worker.control.closed {
            return Err(os(io::Error::other("it ended at once")));
        }
    }
    let Some(process) = &worker.process else { return Err(os(io::Error::other("it ended at once"))) };
    let pidfd = process.pidfd().map_err(os)?;
    let (mut init, channel) = InitLink::new().map_err(os)?;
    let identity = Identity::new();
    let journal = seed.origin.open_journal(&identity.id, None).await.map_err(os)?;
    let (lingering, linger) = Lingering::begin(seed.origin.linger.as_ref(), &identity.id, number).await.map_err(os)?;
    if lingering.is_some() {
        init.keep_worker(&worker).map_err(os)?;
    }
    let member = NewMember { channel, pidfd, number, linger };
    parent.send(Report::Member(Box::new(member))).map_err(|_| failed("the session has ended meanwhile"))?;
    // Before it has joined, its parent's end would be its own: nobody else would be known to have it.
    if !matches!(tokio::time::timeout(JOIN_LIMIT, joined(&mut init)).await, Ok(true)) {
        return Err(os(io::Error::other("session init did not take it in")));
    }
    let setup = Setup { options: seed.options.clone(), mode: seed.mode.clone(), stdin: None };
    let (attachment, mut task, is_ready) = assemble(
        identity,
        setup,
        seed.origin.clone(),
        Some(seed.lineage.clone()),
        init,
        worker,
        Outliving { lingering, journal },
    )?;
    task.count = seed.count;
    task.applied = seed.applied.clone();
    task.durability.lineage = seed.store_lineage.clone();
    task.durability.parent.clone_from(&seed.checkpoint);
    spawn(task, None);
    Ok((attachment, is_ready))
}

/// Whether session init says that it has taken a branch in.
async fn joined(init: &mut InitLink) -> bool {
    matches!(init.said().await, Some((InitEvent::Up {}, _)))
}
