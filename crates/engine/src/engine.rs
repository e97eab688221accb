//! The engine: zygotes, sessions and pools of one program.

use crate::checkpoint::Shelf;
use crate::pool::Pool;
use crate::session::{Origin, Roster, Script, Session, start};
use crate::zygote::{Environment, Zygotes};
use pyrepl3_protocol::message::{PoolOptions, SessionOptions};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_worker::{FindError, SearchPath};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::WeakUnboundedSender;

/// What an engine is made with.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Interpreter, or virtual environment, of sessions that name none; the first suitable one on the search path
    /// without it.
    pub python: Option<PathBuf>,
    /// Where to look for interpreters.
    pub search: SearchPath,
    /// Frozen processes (snapshots, of whatever kind) of all sessions together; 1,000 without it. Above it, the session
    /// that has most gives one up.
    pub snapshots: Option<usize>,
    /// Where checkpoints are kept; none can be made without it. Several engines may share it.
    pub data: Option<PathBuf>,
    /// Bytes that all checkpoints there may take together; as many as the disk has without it.
    pub checkpoint_bytes: Option<u64>,
    /// Soft limit of open descriptors (`RLIMIT_NOFILE`) that sessions begin with; this process's own without it. A
    /// program that raised its own says what it was: code that calls `select`, or walks over all descriptors, relies
    /// on the usual one.
    pub open_files: Option<u64>,
}

impl EngineConfig {
    /// A configuration that looks for an interpreter.
    pub fn new(search: SearchPath) -> Self {
        EngineConfig { search, ..EngineConfig::default() }
    }
}

/// Frozen processes of one engine, without a limit of its own.
const SNAPSHOTS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Inner {
    config: EngineConfig,
    found: tokio::sync::Mutex<Option<PathBuf>>,
    pub(crate) zygotes: Zygotes,
    pub(crate) alive: Arc<Roster>,
    pub(crate) shelf: Arc<Shelf>,
}

/// Runs Python sessions. Clones share it. Needs a tokio runtime with I/O and time.
///
/// It starts interpreters on demand, forks sessions from them, and leaves nothing behind: what is alive when the engine
/// is dropped, or its process dies, ends by itself.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// An engine that has started nothing yet.
    pub fn new(config: EngineConfig) -> Self {
        let alive = Arc::new(Roster::new(config.snapshots.unwrap_or(SNAPSHOTS)));
        let shelf = Shelf::new(config.data.clone(), config.checkpoint_bytes);
        let inner = Inner { config, found: tokio::sync::Mutex::default(), zygotes: Zygotes::default(), alive, shelf };
        Engine { inner: Arc::new(inner) }
    }

    /// Starts a session and waits until it is ready.
    ///
    /// # Errors
    /// `python_not_found`, `environment_failed`, `unsupported`, `bad_request`, `internal`.
    pub async fn start(&self, options: SessionOptions) -> Result<Session, Failure> {
        self.start_script(options, &Script::default()).await
    }

    /// Starts a session that is to run a script, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_script(&self, options: SessionOptions, script: &Script) -> Result<Session, Failure> {
        crate::session::check(&options)?;
        let environment = self.inner.environment(&options).await?;
        // A zygote that dies between two sessions is noticed by the second: once more then, with a new one.
        let mut attempt = 0;
        loop {
            let server = self.inner.zygotes.get(&environment).await?;
            let origin =
                Origin { server: server.clone(), alive: self.inner.alive.clone(), shelf: self.inner.shelf.clone() };
            match start(origin, options.clone(), script, None).await {
                Ok(session) => return self.begin_with(session).await,
                Err(_) if attempt == 0 && !server.is_alive() => attempt += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The state that a session's options ask it to begin with.
    async fn begin_with(&self, session: Session) -> Result<Session, Failure> {
        let asked = session.options().from_checkpoint.clone();
        let begun = match asked {
            Some(asked) => session.begin_from(&asked).await,
            None => session.resume().await,
        };
        match begun {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.shutdown().await;
                Err(failure)
            }
        }
    }

    /// Starts a pool: runs its warm-up code, then waits until its first sessions are ready.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn pool(&self, options: PoolOptions) -> Result<Pool, Failure> {
        crate::session::check(&options.session)?;
        let environment = self.inner.environment(&options.session).await?;
        Pool::start(self.inner.clone(), environment, options).await
    }

    /// Ends all sessions, and the zygotes. Returns when no process is left.
    pub async fn shutdown(&self) {
        let mut closing = Vec::new();
        for commands in self.inner.alive.all().iter().filter_map(WeakUnboundedSender::upgrade) {
            let (reply, closed) = tokio::sync::oneshot::channel();
            let close = crate::session::Command::Close { exit: Some((0, false)), reply: Some(reply) };
            if commands.send(close).is_ok() {
                closing.push(closed);
            }
        }
        for closed in closing {
            _ = closed.await;
        }
        // Those whose handles were dropped are ending by themselves.
        self.inner.alive.none().await;
        self.inner.zygotes.end().await;
    }
}

impl Engine {
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.inner.shelf
    }
}

impl Inner {
    /// The environment that options ask for.
    async fn environment(&self, options: &SessionOptions) -> Result<Environment, Failure> {
        let asked = options.python.as_deref().map(Path::new).or(self.config.python.as_deref());
        let python = match asked {
            Some(path) if path.components().count() > 1 => {
                pyrepl3_worker::find::program(path).map_err(|error| not_found(&error))?
            }
            asked => {
                let mut found = self.found.lock().await;
                match (&*found, asked) {
                    (Some(found), None) => found.clone(),
                    _ => {
                        let search = self.config.search.clone();
                        let asked = asked.map(Path::to_path_buf);
                        let bare = asked.is_some();
                        // Interpreters are run to ask what they are.
                        let one = tokio::task::spawn_blocking(move || pyrepl3_worker::find(asked.as_deref(), &search))
                            .await
                            .map_err(|error| {
                                Failure::new(
                                    Code::Internal,
                                    "the look for an interpreter failed",
                                    error.to_string(),
                                    "",
                                )
                            })?
                            .map_err(|error| not_found(&error))?;
                        let path =
                            if one.info.executable.is_empty() { one.path } else { PathBuf::from(one.info.executable) };
                        if !bare {
                            *found = Some(path.clone());
                        }
                        path
                    }
                }
            }
        };
        Ok(Environment { python, preload: options.preload.clone(), open_files: self.config.open_files })
    }
}

fn not_found(error: &FindError) -> Failure {
    Failure::new(
        Code::PythonNotFound,
        "no suitable Python interpreter",
        error.to_string(),
        "install CPython 3.10 or later, or name one (or a virtual environment) with --python; `pyrepl3 doctor` lists what is there",
    )
}
