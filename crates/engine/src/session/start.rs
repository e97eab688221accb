//! Starting a session from a process that serves forks.

use super::context::{Identity, Origin, Setup};
use super::handle::Session;
use super::request::Script;
use super::spare::{Forked, Spare};
use super::task::{OnEnd, Outliving, assemble, spawn};
use crate::zygote::ForkServer;
use pyrepl3_protocol::message::{Autosave, Isolation, SessionOptions};
use pyrepl3_protocol::worker::Mode;
use pyrepl3_protocol::{Code, Failure};
use std::sync::Arc;

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

/// Starts a session and waits until its worker is ready. `spare`: takes processes that stand ready for it, once it is known
/// that it begins.
pub(crate) async fn start(
    server: Arc<ForkServer>,
    mut origin: Origin,
    identity: Identity,
    options: SessionOptions,
    script: &Script,
    on_end: Option<OnEnd>,
    spare: impl FnOnce() -> Option<Spare>,
) -> Result<Session, Failure> {
    check(&options)?;
    let os = |error: std::io::Error| Failure::os("the session could not be started", &error);
    let stdin = if script.inherit_stdin { rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).ok() } else { None };
    let setup = Setup { mode: mode(script), stdin, options };
    // Before anything is made for it: the one that is there goes on with what it has.
    origin.registry.check_free(&identity.id)?;
    origin.server = Some(server.clone());
    // The loan of a pooled session ends with its supervisor, and so does what has this process's standard input.
    if on_end.is_some() || setup.stdin.is_some() {
        (origin.linger, origin.journalling) = (None, None);
    }
    let journal = origin.open_journal(&identity.id, None).await.map_err(os)?;
    let is_plain = setup.stdin.is_none() && on_end.is_none();
    let claimed = match if is_plain { spare() } else { None } {
        Some(spare) => {
            let data = origin.linger.as_ref().map(|linger| linger.data.as_path());
            // Where it cannot be had, another is forked.
            spare.claim(data, &identity.id).await.ok()
        }
        None => None,
    };
    let mut forked = match claimed {
        Some(forked) => forked,
        None => {
            let stdin = setup.stdin.as_ref().map(std::os::fd::AsFd::as_fd);
            Forked::make(&server, origin.linger.as_ref(), &identity.id, stdin).await.map_err(os)?
        }
    };
    forked.ask(&setup).map_err(os)?;
    let Forked { lingering, init, worker } = forked;
    let (attachment, task, is_ready) =
        assemble(identity, setup, origin, None, init, worker, Outliving { lingering, journal })?;
    let session = Session::new(attachment);
    // Who goes away before it is ready has started none, also where it would live on without a client.
    let abandoned = Abandoned::new(&session);
    spawn(task, on_end);
    match is_ready.await {
        Ok(Ok(())) => {
            abandoned.taken();
            Ok(session)
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::new(Code::Internal, "the session could not be started", "its task ended", "")),
    }
}

/// Ends a session that nobody has got.
pub(crate) struct Abandoned(Option<Session>);

impl Abandoned {
    pub(crate) fn new(session: &Session) -> Self {
        Abandoned(Some(session.clone()))
    }

    /// Somebody has it.
    pub(crate) fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.end();
        }
    }
}
