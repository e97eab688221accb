//! The server: begun, run, ended.

use crate::app::App;
use crate::claim::Claim;
use crate::http::body::Room;
use crate::http::connection::{Listener, serve};
use crate::http::guard::guard;
use crate::http::log::log;
use crate::limits::Limits;
use crate::routes;
use crate::sessions::records::Records;
use crate::sessions::retention::Retention;
use crate::sessions::table::Table;
use crate::token::Token;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use futures_util::{StreamExt, stream};
use pyrepl3_engine::{
    Code, Durability, Engine, EngineConfig, Failure, JournalConfig, JournalLimits, SearchPath, SessionOptions,
    StatusState,
};
use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Sessions that are taken over at once.
const ADOPTING: usize = 32;
/// How often it is looked at whether code still runs, before the end.
const LOOK: Duration = Duration::from_millis(50);
/// How long connections have to end once the sessions have.
const CONNECTIONS: Duration = Duration::from_secs(5);

/// What a server is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The data directory: the token, checkpoints, sessions that outlive a server.
    pub data: PathBuf,
    /// The address to listen on; port 0 for any. None: only the Unix socket.
    pub listen: Option<SocketAddr>,
    /// A Unix socket to listen on.
    pub unix: Option<PathBuf>,
    /// Whether to listen on an address that is not of this machine alone. What is sent is not encrypted.
    pub insecure_public: bool,
    /// The token that clients show; that of the data directory without it.
    pub token: Option<Token>,
    /// Names that the server answers to, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Origins of pages in browsers that may use the server, beside its own: `https://app.example`.
    pub origins: Vec<String>,
    /// Interpreter, or virtual environment, of sessions that name none.
    pub python: Option<PathBuf>,
    /// Where to look for interpreters.
    pub search: SearchPath,
    /// Soft limit of descriptors that sessions begin with.
    pub open_files: Option<u64>,
    /// Processes that stand ready for sessions to come, of each environment that was asked for lately.
    pub spares: usize,
    /// How long sessions wait for another server when this one's process has died.
    pub linger: Duration,
    /// What an event that was told survives: this process, or the machine.
    pub durability: Durability,
    /// How much of each session's events and output is kept.
    pub journal: JournalLimits,
    /// Bytes that the events and output of all sessions may take together.
    pub journal_total: u64,
    /// How long the events of a session that has ended are kept.
    pub journal_age: Duration,
    /// How long running executions have to end when the server is told to stop.
    pub drain: Duration,
    /// Whether sessions are left to the next server when this one is told to stop.
    pub keep_sessions: bool,
    /// Whether a server that has the data directory is replaced: it leaves its sessions to this one.
    pub takeover: bool,
    /// What clients may ask.
    pub limits: Limits,
}

impl Config {
    /// A server on 127.0.0.1:8787 with its state in a data directory.
    pub fn new(data: impl Into<PathBuf>, search: SearchPath) -> Config {
        Config {
            data: data.into(),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8787))),
            unix: None,
            insecure_public: false,
            token: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            python: None,
            search,
            open_files: None,
            spares: 2,
            linger: Duration::from_secs(300),
            durability: Durability::default(),
            journal: JournalLimits::default(),
            journal_total: 16 << 30,
            journal_age: Duration::from_secs(30 * 86_400),
            drain: Duration::from_secs(10),
            keep_sessions: false,
            takeover: false,
            limits: Limits::default(),
        }
    }
}

/// How a server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What runs has a time to end; then the sessions end, or are left to the next server, as it was configured.
    Drain,
    /// Another server waits for the data directory: the sessions are left to it at once. What runs goes on.
    HandOver,
}

/// A server that takes requests. Dropped, it stops without waiting for anything.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    url: String,
    closing: watch::Sender<bool>,
    listening: JoinSet<()>,
    /// The Unix socket's file, to be removed.
    socket: Option<PathBuf>,
    drain: Duration,
    keep_sessions: bool,
    /// Looks after what is kept of events.
    keeping: AbortHandle,
    /// Let go of last: the next server begins then.
    claim: Claim,
}

impl Server {
    /// Starts to listen, takes over the sessions that wait in the data directory, and returns when requests are taken.
    ///
    /// # Errors
    /// `bad_request` for a configuration that makes no sense or is not safe, `busy` where another server has the data directory, `internal`
    /// where the operating system refuses.
    pub async fn start(config: Config) -> Result<Server, Failure> {
        check(&config)?;
        make_private(&config.data)
            .map_err(|error| refused("the data directory cannot be used", &config.data, &error))?;
        let token = match config.token {
            Some(token) => token,
            None => Token::of_data(&config.data)
                .map_err(|error| refused("the token cannot be kept", &config.data.join("token"), &error))?,
        };
        let claim = Claim::take(&config.data, config.takeover).await?;
        let mut listeners = Vec::new();
        let mut url = String::new();
        if let Some(path) = &config.unix {
            let listener = listen_unix(path).await.map_err(|error| refused("no socket can be had", path, &error))?;
            listeners.push(Listener::Unix(listener));
            url = format!("unix:{}", path.display());
        }
        if let Some(address) = config.listen {
            let failure = |error: io::Error| {
                let how = "choose another with --listen; port 0 takes any that is free";
                Failure::new(Code::Internal, format!("{address} cannot be listened on"), error.to_string(), how)
            };
            let listener = TcpListener::bind(address).await.map_err(failure)?;
            url = format!("http://{}", listener.local_addr().map_err(failure)?);
            listeners.push(Listener::Tcp(listener));
        }
        let engine = Engine::new(EngineConfig {
            python: config.python,
            data: Some(config.data.clone()),
            linger: Some(config.linger),
            journal: Some(JournalConfig { durability: config.durability, limits: config.journal }),
            open_files: config.open_files,
            spares: config.spares,
            ..EngineConfig::new(config.search)
        });
        let records = Records::open(&config.data)
            .map_err(|error| refused("the data directory cannot be used", &config.data, &error))?;
        let app = Arc::new(App {
            sessions: Table::new(engine.clone(), records, config.limits.sessions),
            engine,
            data: config.data.clone(),
            room: Room::new(config.limits.bodies),
            limits: config.limits,
            token,
            hosts: config.hosts,
            origins: config.origins,
            draining: watch::Sender::new(false),
            ready: watch::Sender::new(false),
        });
        let (closing, closed) = watch::channel(false);
        let room = Arc::new(Semaphore::new(app.limits.connections));
        let mut listening = JoinSet::new();
        for listener in listeners {
            let (router, app) = (router(&app), app.clone());
            listening.spawn(serve(listener, router, app, room.clone(), closed.clone(), CONNECTIONS));
        }
        adopt(&app, &config.data).await;
        let retention = Retention {
            data: config.data,
            limits: config.journal,
            total: config.journal_total,
            age: config.journal_age,
        };
        let keeping = tokio::spawn(retention.keep(Arc::downgrade(&app.sessions))).abort_handle();
        claim.tell(&url)?;
        if config.spares > 0 {
            let engine = app.engine.clone();
            tokio::spawn(async move {
                // Whoever asks for a session hears what is wrong.
                if let Err(failure) = engine.prepare(&SessionOptions::default()).await {
                    tracing::warn!(why = %failure, "no process stands ready for sessions");
                }
            });
        }
        app.ready.send_replace(true);
        let (drain, keep_sessions) = (config.drain, config.keep_sessions);
        Ok(Server { app, url, closing, listening, socket: config.unix, drain, keep_sessions, keeping, claim })
    }

    /// Where it is: `http://ADDRESS:PORT`, or `unix:PATH`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token that clients show.
    pub fn token(&self) -> &Token {
        &self.app.token
    }

    /// Takes requests until told to stop, and how. Then nothing new is taken on. `at_once`: the time for what runs is over. Returns when all is
    /// done.
    pub async fn run(mut self, stop: impl Future<Output = Stop>, at_once: impl Future<Output = ()>) {
        let stop = stop.await;
        tracing::info!(?stop, "stopping: nothing new is taken on");
        self.app.draining.send_replace(true);
        if stop == Stop::Drain {
            tokio::select! {
                () = quiet(&self.app) => {}
                () = tokio::time::sleep(self.drain) => tracing::warn!("the time for what runs is over"),
                () = at_once => tracing::warn!("stopping at once"),
            }
        }
        if self.keep_sessions || stop == Stop::HandOver {
            self.app.engine.hand_over().await;
        } else {
            self.app.engine.shutdown().await;
            // What is known of them is removed as they end: else the next server takes them for lost.
            self.app.sessions.ended_all(CONNECTIONS).await;
        }
        self.keeping.abort();
        self.closing.send_replace(true);
        while self.listening.join_next().await.is_some() {}
        if let Some(socket) = &self.socket {
            _ = std::fs::remove_file(socket);
        }
        drop(self.claim);
        tracing::info!("stopped");
    }
}

fn router(app: &Arc<App>) -> Router {
    let (router, _) = routes::routes();
    router
        .fallback(routes::not_found)
        .method_not_allowed_fallback(routes::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(from_fn(log))
        .with_state(app.clone())
}

fn check(config: &Config) -> Result<(), Failure> {
    if config.listen.is_none() && config.unix.is_none() {
        let how = "give --listen ADDRESS or --unix PATH";
        return Err(Failure::new(Code::BadRequest, "there is nothing to listen on", "", how));
    }
    if let Some(address) = config.listen.filter(|address| !address.ip().is_loopback())
        && !config.insecure_public
    {
        return Err(Failure::new(
            Code::BadRequest,
            format!("{address} is not listened on"),
            "others than this machine could reach it; what is sent there is not encrypted, the token included, and code that \
             clients send has all rights of your user",
            "listen on 127.0.0.1 or on a Unix socket, behind a proxy that encrypts; or give --insecure-public, where you \
             trust everybody on that network",
        ));
    }
    Ok(())
}

fn refused(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Internal, what, format!("{}: {error}", path.display()), "choose another place, or mend that one")
}

/// Makes a directory for its owner alone. One that is there keeps its rights.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Listens on a Unix socket that only its owner can use. One that nobody listens on any more is replaced.
async fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // Between the two, who connects needs the token all the same.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes over the sessions that wait for a server.
async fn adopt(app: &App, data: &Path) {
    let orphans = match app.engine.orphans().await {
        Ok(orphans) => orphans,
        Err(failure) => {
            tracing::error!(why = %failure, "sessions that wait for a server cannot be found");
            return;
        }
    };
    let found = orphans.len();
    let adopting = stream::iter(orphans).map(|id| async move {
        match app.engine.adopt(&id).await {
            Ok(session) => {
                app.sessions.adopted(session).await;
                1
            }
            Err(failure) => {
                tracing::warn!(session = id, why = %failure, "a session could not be taken over");
                0
            }
        }
    });
    let adopted: usize = adopting.buffer_unordered(ADOPTING).fold(0, async |sum, one| sum + one).await;
    if found > 0 {
        tracing::info!(found, adopted, "sessions were taken over");
    }
    app.sessions.settle_lost(data).await;
}

/// Returns when no session runs anything.
async fn quiet(app: &App) {
    loop {
        let mut runs = false;
        for served in app.sessions.live() {
            if let Ok(status) = served.session.status().await {
                let rests = matches!(status.state, StatusState::Idle | StatusState::Closed) && status.queued.is_empty();
                runs |= !rests;
            }
        }
        if !runs {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
