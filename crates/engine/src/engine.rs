//! The engine: zygotes, sessions and pools of one program.

use crate::checkpoint::CheckpointStore;
use crate::config::EngineConfig;
use crate::host::Host;
use crate::pool::Pool;
use crate::registry::Registry;
use crate::session::{
    Abandoned, Attachment, Command, Identity, Mailbox, Script, Session, adopt, end_spares, is_orphan, place_of_spares,
    start,
};
use pyrepl3_protocol::message::{PoolOptions, SessionOptions};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{kept_sessions, session_directory};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Frozen processes of one engine, without a limit of its own.
const SNAPSHOTS: usize = 1000;

/// Runs Python sessions. Clones share it. Needs a tokio runtime with I/O and time.
///
/// It starts interpreters on demand, forks sessions from them, and leaves nothing behind: what is alive when the engine
/// is dropped, or its process dies, ends by itself.
#[derive(Debug, Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// Ends what no client holds, when the last engine is dropped.
#[derive(Debug)]
struct Owner {
    host: Arc<Host>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        for mailbox in self.host.registry.close() {
            if mailbox.shared.options.detached {
                mailbox.end();
            }
        }
    }
}

impl Engine {
    /// An engine that has started nothing yet.
    pub fn new(config: EngineConfig) -> Self {
        let registry = Registry::new(config.snapshots.unwrap_or(SNAPSHOTS));
        let checkpoint_store = CheckpointStore::new(config.data.clone(), config.checkpoint_bytes);
        let host = Arc::new(Host::new(config, registry, checkpoint_store));
        Engine { owner: Arc::new(Owner { host }) }
    }

    fn host(&self) -> &Arc<Host> {
        &self.owner.host
    }

    pub(crate) fn checkpoint_store(&self) -> &Arc<CheckpointStore> {
        &self.host().checkpoint_store
    }

    /// Starts a session and waits until it is ready. A caller that goes away before has started none.
    ///
    /// # Errors
    /// `python_not_found`, `environment_failed`, `unsupported`, `bad_request`, `session_closed` after
    /// [`Engine::shutdown`], `internal`.
    pub async fn start(&self, options: SessionOptions) -> Result<Session, Failure> {
        self.start_script(options, &Script::default()).await
    }

    /// Starts a session with an id that its client has chosen: 1 to 100 of `a-z`, `0-9`, `_` and `-`. Its events have
    /// numbers above `last_event`, so that they go on where a session of this id has ended.
    ///
    /// # Errors
    /// As [`Engine::start`]; `bad_request` for an id that cannot be used, `duplicate_id` where there is such a session,
    /// or one of this id is ending.
    pub async fn start_as(&self, id: &str, last_event: u64, options: SessionOptions) -> Result<Session, Failure> {
        if let Err(error) = session_directory(Path::new("."), id) {
            let how = "choose 1 to 100 of the characters a-z, 0-9, _ and -";
            return Err(Failure::new(Code::BadRequest, "no session can have this id", error.to_string(), how));
        }
        let identity = Identity { id: id.to_owned(), last_event };
        self.start_with(Some(identity), options, &Script::default()).await
    }

    /// Starts a session that is to run a script, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_script(&self, options: SessionOptions, script: &Script) -> Result<Session, Failure> {
        self.start_with(None, options, script).await
    }

    async fn start_with(
        &self,
        identity: Option<Identity>,
        options: SessionOptions,
        script: &Script,
    ) -> Result<Session, Failure> {
        crate::session::check(&options)?;
        let host = self.host();
        host.registry.check_open()?;
        host.check_linger(&options)?;
        let environment = host.environment(&options).await?;
        // A zygote that dies between two sessions is noticed by the second: once more then, with a new one.
        let mut attempt = 0;
        loop {
            let server = host.zygotes.get(&environment).await?;
            let identity = identity.clone().unwrap_or_else(Identity::new);
            let spare = || host.spares.take(&environment, &server);
            match start(server.clone(), host.origin(), identity, options.clone(), script, None, spare).await {
                Ok(session) => return self.begin_with(session).await,
                Err(_) if attempt == 0 && !server.is_alive() => attempt += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The state that a session's options ask it to begin with.
    async fn begin_with(&self, session: Session) -> Result<Session, Failure> {
        let abandoned = Abandoned::new(&session);
        let asked = session.options().from_checkpoint.clone();
        let begun = match asked {
            Some(asked) => session.begin_from(&asked).await,
            None => session.resume().await,
        };
        match begun {
            Ok(()) => {
                abandoned.taken();
                Ok(session)
            }
            Err(failure) => {
                session.shutdown().await;
                Err(failure)
            }
        }
    }

    /// Another hold on a session of this engine, by its id. None when there is no such session, or not any more.
    pub fn session(&self, id: &str) -> Option<Session> {
        self.host().registry.get(id).map(|mailbox| Session::new(Attachment::new(mailbox)))
    }

    /// The ids of the sessions that there are, those that are ending included, in the order in which they were started.
    pub fn session_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.host().registry.all().iter().map(|mailbox| mailbox.shared.id.clone()).collect();
        // They begin with the time.
        ids.sort_unstable();
        ids
    }

    /// The ids of sessions in the data directory that have outlived their engine, and that no other engine has taken over,
    /// in the order in which they were started. What is left there of sessions that have ended is removed.
    ///
    /// # Errors
    /// `internal` where the data directory cannot be read.
    pub async fn orphans(&self) -> Result<Vec<String>, Failure> {
        let Some(data) = self.host().data().map(Path::to_owned) else { return Ok(Vec::new()) };
        end_spares(&place_of_spares(&data)).await;
        let kept = tokio::task::spawn_blocking({
            let data = data.clone();
            move || kept_sessions(&data)
        });
        let os = |error: io::Error| Failure::os("the sessions in the data directory could not be listed", &error);
        let mut orphans = Vec::new();
        for id in kept.await.map_err(|error| os(io::Error::other(error)))?.map_err(os)? {
            if is_orphan(&data, &id).await {
                orphans.push(id);
            }
        }
        Ok(orphans)
    }

    /// Takes over a session whose engine is gone ([`Engine::orphans`]). Its code has not noticed, its prompts wait on, its
    /// snapshots and its open transaction are there; executions that waited are run. Its events go on with higher numbers:
    /// those that nobody had got are gone. What had been asked of it beside executions (snapshots, checkpoints, questions)
    /// and was not done is not done. Not cancel-safe: who goes away in the middle may leave the session to wait for another
    /// engine, as the one before did.
    ///
    /// # Errors
    /// `busy` where another engine has it, `session_closed` where there is none of this id or it has ended, `unsupported`
    /// where another version has started it, `bad_request` where this engine was made without `linger`.
    pub async fn adopt(&self, id: &str) -> Result<Session, Failure> {
        let host = self.host();
        host.registry.check_open()?;
        host.check_linger(&SessionOptions::default())?;
        adopt(host, id).await
    }

    /// Starts a pool: runs its warm-up code, then waits until its first sessions are ready.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn pool(&self, options: PoolOptions) -> Result<Pool, Failure> {
        crate::session::check(&options.session)?;
        let host = self.host();
        host.registry.check_open()?;
        let environment = host.environment(&options.session).await?;
        Pool::start(host.clone(), environment, options).await
    }

    /// Starts what sessions of these options are forked from, and processes that stand ready for them ([`EngineConfig::spares`]), before any is
    /// asked for.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn prepare(&self, options: &SessionOptions) -> Result<(), Failure> {
        let host = self.host();
        host.registry.check_open()?;
        let environment = host.environment(options).await?;
        let server = host.zygotes.get(&environment).await?;
        if let Some(spare) = host.spares.take(&environment, &server) {
            spare.end().await;
        }
        Ok(())
    }

    /// Leaves the sessions that can outlive this engine to another one, ends all others, and the zygotes, and starts nothing
    /// any more. Returns when another engine can take them over.
    pub async fn hand_over(&self) {
        self.close(|mailbox| _ = mailbox.send(Command::HandOver)).await;
    }

    /// Ends all sessions, and the zygotes, and starts nothing any more. Returns when no process is left.
    pub async fn shutdown(&self) {
        self.close(Mailbox::end).await;
    }

    /// Starts nothing any more, and waits until no session is left here.
    async fn close(&self, part_with: impl Fn(&Mailbox)) {
        let host = self.host();
        host.registry.close().iter().for_each(part_with);
        host.registry.none().await;
        host.spares.close().await;
        host.zygotes.close().await;
    }
}
