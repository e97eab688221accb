//! Processes that serve forks: zygotes, one per environment, and the templates of pools.

use crate::process::{connected_pair, receive_with_peer, send_with_fds};
use crate::session::{FIRST_WORKER, WorkerFds};
use pyrepl3_protocol::frame::{self, Decoder};
use pyrepl3_protocol::worker::{Cell, Linger, ZygoteEvent, ZygoteRequest};
use pyrepl3_protocol::{Code, Failure};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// How long an environment may take to import what it preloads.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long a pool's warm-up code may take.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1800);
/// How long a process that serves forks may leave a frame unread. It reads the next one after a fork, or after a sweep.
const SEND_LIMIT: Duration = Duration::from_secs(60);

/// What makes an environment: sessions of one environment are forks of one zygote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Environment {
    pub(crate) python: PathBuf,
    pub(crate) preload: Vec<String>,
    /// Soft limit of open descriptors, where it is not this process's own.
    pub(crate) open_files: Option<u64>,
}

/// A process that serves forks.
#[derive(Debug)]
pub(crate) struct ForkServer {
    control: Arc<UnixStream>,
    /// One frame at a time goes out. Never held while a session starts.
    sending: Arc<Mutex<()>>,
    gone: Arc<AtomicBool>,
    /// The zygote's own process; a template's is its zygote's child.
    child: Mutex<Option<Child>>,
}

impl ForkServer {
    fn on(control: UnixStream) -> ForkServer {
        let (control, sending) = (Arc::new(control), Arc::default());
        ForkServer { control, sending, gone: Arc::default(), child: Mutex::new(None) }
    }

    /// Starts a zygote and waits until it serves.
    /// `data`: the engine's directory.
    async fn start(environment: &Environment, data: &Path) -> Result<ForkServer, Failure> {
        let os = |error: io::Error| Failure::os("the environment could not be started", &error);
        let (control, theirs) = connected_pair().map_err(os)?;
        let mut bootstrap = pyrepl3_worker::BOOTSTRAP.as_bytes().to_vec();
        bootstrap.resize(BOOTSTRAP_BLOCK, b'\n');
        // It waits in the socket until the interpreter reads it: the first block is the program.
        crate::process::send_raw(&control, &bootstrap, &[]).await.map_err(os)?;
        let mut child = Command::new(&environment.python)
            .args(["-c", &format!("import os; exec(os.read(0, {BOOTSTRAP_BLOCK}))  # pyrepl3 zygote")])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| not_python(environment, &error.to_string()))?;
        let mut stderr = child.stderr.take();
        let server = ForkServer::on(control);
        let complaint = tokio::spawn(async move {
            match &mut stderr {
                Some(stderr) => complaint(stderr).await,
                None => String::new(),
            }
        });
        let cwd = std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let begin = async {
            // It waits for its source, so it has run nothing of anybody's yet.
            if let Some((limit, pid)) = environment.open_files.zip(pid) {
                limit_open_files(pid, limit)?;
            }
            crate::process::send_raw(&server.control, &pyrepl3_worker::handoff(), &[]).await?;
            // Without the helper there are sessions, and no snapshots: what asks for one is told why.
            let (helper, no_helper) = match pyrepl3_worker::helper(data) {
                Ok(Some(helper)) => (vec![helper], None),
                Ok(None) => (Vec::new(), Some("there is none for this processor".to_owned())),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            let request = ZygoteRequest::Environment { preload: &environment.preload, cwd: &cwd, no_helper };
            server.send(&request, helper).await?;
            server.first_event().await
        };
        match tokio::time::timeout(START_LIMIT, begin).await {
            Ok(Ok(ZygoteEvent::Ready { .. })) => {
                server.watch_child(child).await;
                Ok(server)
            }
            Ok(Ok(ZygoteEvent::Failed { stage, what, detail })) => {
                _ = child.wait().await;
                Err(failed(environment, &stage, &what, &detail))
            }
            Ok(Err(error)) => {
                _ = child.start_kill();
                let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
                let text = complaint.await.unwrap_or_default();
                let why = if text.trim().is_empty() { format!("{error}; {status}") } else { text.trim().to_owned() };
                Err(not_python(environment, &why))
            }
            Err(_) => {
                _ = child.kill().await;
                Err(Failure::new(
                    Code::EnvironmentFailed,
                    "the environment did not become ready",
                    format!("its imports took longer than {} s", START_LIMIT.as_secs()),
                    "preload less, or look at what the modules do when they are imported",
                ))
            }
        }
    }

    /// Forks a template from this zygote and waits until its warm-up code has run.
    pub(crate) async fn template(&self, code: &str) -> Result<ForkServer, Failure> {
        let os = |error: io::Error| Failure::os("the pool's template could not be started", &error);
        let (control, theirs) = connected_pair().map_err(os)?;
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| os(error.into()))?;
        let mut stderr = tokio::net::unix::pipe::Receiver::from_owned_fd(read).map_err(os)?;
        self.send(&ZygoteRequest::Template { code }, vec![theirs, write]).await.map_err(os)?;
        let complaint = tokio::spawn(async move { complaint(&mut stderr).await });
        let template = ForkServer::on(control);
        match tokio::time::timeout(WARM_UP_LIMIT, template.first_event()).await {
            Err(_) => Err(Failure::new(
                Code::EnvironmentFailed,
                "the pool's warm-up code did not end",
                format!("it ran for {} s", WARM_UP_LIMIT.as_secs()),
                "do less in it, or run the code in a session to see where it waits",
            )),
            Ok(Ok(ZygoteEvent::Ready { .. })) => Ok(template),
            Ok(Ok(ZygoteEvent::Failed { what, detail, .. })) => Err(Failure::new(
                Code::EnvironmentFailed,
                "the pool's warm-up code failed",
                format!("{what}\n{detail}").trim().to_owned(),
                "run the code in a session to see what is wrong with it",
            )),
            Ok(Err(_)) => Err(Failure::new(
                Code::EnvironmentFailed,
                "the pool's template died while it ran the warm-up code",
                complaint.await.unwrap_or_default().trim().to_owned(),
                "run the code in a session to see what is wrong with it",
            )),
        }
    }

    /// Asks for a session. That it could not be forked is said on the worker's own channel.
    /// `linger`: how it outlives its supervisor, and where its init listens for another.
    pub(crate) async fn session(
        &self,
        cell: Cell,
        init: OwnedFd,
        worker: WorkerFds,
        linger: Option<(Linger, OwnedFd)>,
    ) -> io::Result<()> {
        let mut fds = vec![init];
        fds.extend(worker.into_all());
        let (linger, listener) = linger.unzip();
        fds.extend(listener);
        self.send(&ZygoteRequest::Session { cell, worker: FIRST_WORKER, linger }, fds).await
    }

    /// Kills what became orphans when a session init was killed.
    pub(crate) async fn sweep(&self) {
        _ = self.send(&ZygoteRequest::Sweep {}, Vec::new()).await;
    }

    /// Sends a frame, whole: also where who asked goes away meanwhile, as half of one would break the channel for all
    /// others.
    async fn send(&self, request: &ZygoteRequest<'_>, fds: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(request)?;
        let (control, sending, gone) = (self.control.clone(), self.sending.clone(), self.gone.clone());
        let sending = tokio::spawn(async move {
            let _one_at_a_time = sending.lock().await;
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let sent = tokio::time::timeout(SEND_LIMIT, send_with_fds(&control, &json, &fds)).await;
            let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            if sent.is_err() {
                gone.store(true, Ordering::Release);
            }
            sent
        });
        sending.await.map_err(io::Error::other)?
    }

    async fn first_event(&self) -> io::Result<ZygoteEvent> {
        let mut decoder = Decoder::new(frame::MAX_FRAME);
        let mut buffer = [0; 4096];
        loop {
            if let Some(json) = decoder.next_frame().map_err(io::Error::other)? {
                return Ok(serde_json::from_slice(json)?);
            }
            self.control.readable().await?;
            match receive_with_peer(&self.control, &mut buffer, true) {
                None => {}
                Some(Ok((0, _))) => return Err(io::Error::other("it ended")),
                Some(Ok((count, _))) => decoder.feed(&buffer[..count]),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    async fn watch_child(&self, child: Child) {
        *self.child.lock().await = Some(child);
    }

    /// Whether it still serves: its channel is open.
    pub(crate) fn is_alive(&self) -> bool {
        let mut buffer = [0; 16];
        let closed = matches!(receive_with_peer(&self.control, &mut buffer, false), Some(Ok((0, _)) | Err(_)));
        if closed {
            self.gone.store(true, Ordering::Release);
        }
        !self.gone.load(Ordering::Acquire)
    }

    /// Closes its channel and waits until its process is gone.
    pub(crate) async fn end(&self) {
        _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both);
        self.gone.store(true, Ordering::Release);
        if let Some(mut child) = self.child.lock().await.take()
            && tokio::time::timeout(Duration::from_secs(2), child.wait()).await.is_err()
        {
            _ = child.kill().await;
        }
    }
}

/// Sets the soft limit of open descriptors of a child that was not waited for yet, as far as its hard limit allows.
fn limit_open_files(pid: Pid, limit: u64) -> io::Result<()> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let current = Some(hard.map_or(limit, |hard| limit.min(hard)));
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum: hard })?;
    Ok(())
}

/// The bootstrap is padded to this, so that one read takes it whole.
const BOOTSTRAP_BLOCK: usize = 4096;
/// Bytes kept of what an environment prints to its stderr.
const COMPLAINT: usize = 64 << 10;

/// What a process prints to its stderr. Read to the end, so that it never blocks; kept within a bound.
async fn complaint(stderr: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..count.min(COMPLAINT.saturating_sub(text.len()))]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn not_python(environment: &Environment, why: &str) -> Failure {
    Failure::new(
        Code::PythonNotFound,
        format!("{} could not be started as a Python interpreter", environment.python.display()),
        why,
        "name a CPython 3.10 or later, or a virtual environment, with --python",
    )
}

fn failed(environment: &Environment, stage: &str, what: &str, detail: &str) -> Failure {
    match stage {
        "version" => Failure::new(
            Code::PythonNotFound,
            format!("{} cannot be used", environment.python.display()),
            format!("it is {what}; CPython 3.10 or later is needed"),
            "name another interpreter, or a virtual environment made with one, with --python",
        ),
        _ => Failure::new(
            Code::EnvironmentFailed,
            format!("a module could not be preloaded: {what}"),
            detail.trim(),
            format!("install it for {} or leave it out of the preload list", environment.python.display()),
        ),
    }
}

/// Where an environment's zygote is, or will be.
type Slot = Arc<Mutex<Option<Arc<ForkServer>>>>;

/// The zygotes of an engine: started on demand, started again when they died.
#[derive(Debug)]
pub(crate) struct Zygotes {
    /// Where a file may be made, if need be.
    data: PathBuf,
    // The outer lock is held for a look-up only, an environment's own while its zygote starts: others wait for the
    // same zygote then, which is the purpose.
    known: std::sync::Mutex<HashMap<Environment, Slot>>,
    closed: AtomicBool,
}

impl Zygotes {
    /// `data`: where a file may be made, if need be.
    pub(crate) fn new(data: PathBuf) -> Zygotes {
        Zygotes { data, known: std::sync::Mutex::default(), closed: AtomicBool::default() }
    }

    /// The zygote of an environment.
    pub(crate) async fn get(&self, environment: &Environment) -> Result<Arc<ForkServer>, Failure> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            known.entry(environment.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(server) = slot.as_ref() {
            if server.is_alive() {
                return Ok(server.clone());
            }
            server.end().await;
        }
        let server = Arc::new(ForkServer::start(environment, &self.data).await?);
        if self.closed.load(Ordering::Acquire) {
            // The engine was shut down meanwhile: nobody would end this one.
            server.end().await;
            let how = "make another engine";
            return Err(Failure::new(
                Code::SessionClosed,
                "the engine was shut down",
                "it starts nothing any more",
                how,
            ));
        }
        *slot = Some(server.clone());
        Ok(server)
    }

    /// Ends all of them, and starts none any more.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all: Vec<_> = {
            let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            known.drain().map(|(_, slot)| slot).collect()
        };
        for slot in all {
            let server = slot.lock().await.take();
            if let Some(server) = server {
                server.end().await;
            }
        }
    }
}
