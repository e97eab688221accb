//! Starting a session from a process that serves forks.

use super::actor::{Actor, Place};
use super::handle::{Lineage, Script, Session, Shared};
use super::link::{InitLink, WorkerLink};
use super::outbox::Outbox;
use super::roster::Roster;
use crate::checkpoint::Shelf;
use crate::zygote::ForkServer;
use pyrepl3_protocol::id::{self, Kind};
use pyrepl3_protocol::message::{Autosave, Isolation, SessionOptions};
use pyrepl3_protocol::worker::{Cell, Mode, Request};
use pyrepl3_protocol::{Code, Failure};
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc, oneshot};

/// What every worker of a session is set up with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) options: SessionOptions,
    pub(crate) mode: Mode,
    /// Standard input of its own, if it is not the protocol.
    pub(crate) stdin: Option<OwnedFd>,
}

impl Setup {
    /// The first request of a worker.
    pub(crate) fn request(&self) -> Request<'_> {
        let limits = &self.options.limits;
        let mut rlimits = BTreeMap::new();
        for (name, value) in [("DATA", limits.memory), ("NOFILE", limits.open_files), ("FSIZE", limits.file_size)] {
            if let Some(value) = value {
                rlimits.insert(name, value);
            }
        }
        Request::Setup { cwd: self.options.cwd.as_deref(), env: &self.options.env, rlimits, mode: &self.mode }
    }
}

/// Where a session comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) server: Arc<ForkServer>,
    pub(crate) alive: Arc<Roster>,
    pub(crate) shelf: Arc<Shelf>,
}

fn mode(script: &Script) -> Mode {
    Mode {
        argv: if script.argv.is_empty() { vec![String::new()] } else { script.argv.clone() },
        path0: script.path0.clone(),
        file: script.file.clone(),
        real_stdin: script.inherit_stdin,
        figures: !script.no_figures,
        underscore: script.underscore,
    }
}

/// Refuses what this version cannot do, before anything is started.
pub(crate) fn check(options: &SessionOptions) -> Result<(), Failure> {
    match options.isolation.as_ref() {
        None | Some(Isolation::None) => {}
        Some(known @ (Isolation::Strict | Isolation::Standard | Isolation::Network)) => {
            return Err(Failure::new(
                Code::Unsupported,
                format!("isolation {:?} is not available", known.name()),
                "this version has no cells yet: code runs with all rights of your user",
                "use isolation \"none\", for code that you trust",
            ));
        }
        Some(other) => {
            return Err(Failure::new(
                Code::BadRequest,
                format!("there is no isolation called {:?}", other.name()),
                "",
                "use \"none\"; \"strict\", \"standard\" and \"network\" come with a later version",
            ));
        }
    }
    if let Some(grace) = options.limits.interrupt_grace
        && !(grace.is_finite() && (0.0..=86400.0).contains(&grace))
    {
        return Err(Failure::new(
            Code::BadRequest,
            "the limit interrupt_grace cannot be used",
            format!("it is {grace}"),
            "give seconds from 0 to 86400",
        ));
    }
    if let Some(seconds) = options.transaction_timeout
        && !(seconds.is_finite() && seconds > 0.0 && seconds <= 1e9)
    {
        return Err(Failure::new(
            Code::BadRequest,
            "transaction_timeout cannot be used",
            format!("it is {seconds}"),
            "give seconds above 0",
        ));
    }
    options.autosave.as_ref().map_or(Ok(()), check_autosave)
}

/// A session that is to save itself, and never would, is refused: that would be noticed after a crash.
fn check_autosave(autosave: &Autosave) -> Result<(), Failure> {
    let refuse = |why: String| {
        Err(Failure::new(
            Code::BadRequest,
            "autosave cannot be used",
            why,
            "give executions from 1 on, or seconds or idle above 0; and keep from 1 on",
        ))
    };
    if autosave.executions.is_none() && autosave.seconds.is_none() && autosave.idle.is_none() {
        return refuse("it does not say when to save".to_owned());
    }
    for (name, count) in [("executions", autosave.executions), ("keep", autosave.keep)] {
        if count == Some(0) {
            return refuse(format!("{name} is 0"));
        }
    }
    for (name, seconds) in [("seconds", autosave.seconds), ("idle", autosave.idle)] {
        if let Some(seconds) = seconds
            && !(seconds.is_finite() && seconds > 0.0 && seconds <= 1e9)
        {
            return refuse(format!("{name} is {seconds}"));
        }
    }
    Ok(())
}

/// Runs a session's task.
pub(crate) fn run_actor(actor: Actor, alive: Arc<Roster>, on_end: Option<OnEnd>) {
    alive.begun();
    let id = actor.id();
    tokio::spawn(async move {
        actor.run().await;
        alive.ended(&id);
        if let Some(on_end) = on_end {
            on_end();
        }
    });
}

/// Called when a session has ended, however.
pub(crate) type OnEnd = Box<dyn FnOnce() + Send>;

/// Starts a session and waits until its worker is ready.
pub(crate) async fn start(
    origin: Origin,
    options: SessionOptions,
    script: &Script,
    on_end: Option<OnEnd>,
) -> Result<Session, Failure> {
    check(&options)?;
    let os = |error: std::io::Error| Failure::os("the session could not be started", &error);
    let stdin = if script.inherit_stdin { rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).ok() } else { None };
    let setup = Setup { mode: mode(script), stdin, options };
    let (init, init_fd) = InitLink::new().map_err(os)?;
    let stdin = setup.stdin.as_ref().map(std::os::fd::AsFd::as_fd);
    let (worker, fds) = WorkerLink::new(&setup.request(), stdin).map_err(os)?;
    origin.server.session(Cell::None, &init_fd, &fds).await.map_err(os)?;
    drop((init_fd, fds));
    let alive = origin.alive.clone();
    let (session, actor, is_ready) = assemble(setup, origin, None, init, worker);
    run_actor(actor, alive, on_end);
    match is_ready.await {
        Ok(Ok(())) => Ok(session),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::new(Code::Internal, "the session could not be started", "its task ended", "")),
    }
}

/// A session around a worker, known to its engine: what programs hold of it, its task, and its first word.
pub(super) fn assemble(
    setup: Setup,
    origin: Origin,
    lineage: Option<Lineage>,
    init: InitLink,
    worker: WorkerLink,
) -> (Session, Actor, oneshot::Receiver<Result<(), Failure>>) {
    let room = Arc::new(Notify::new());
    let shared = Arc::new(Shared {
        id: id::new(Kind::Session),
        options: setup.options.clone(),
        events: Arc::new(Outbox::new(room.clone())),
        room,
        python: Mutex::default(),
        lineage,
        shelf: origin.shelf.clone(),
    });
    let (commands, inbox) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let session = Session::new(shared.clone(), commands);
    origin.alive.remember(&session);
    let actor = Actor::new(Place { setup, origin, shared }, init, worker, inbox, ready);
    (session, actor, is_ready)
}
