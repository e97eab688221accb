//! What the behaviour tests share: an engine, a session, code run to its end, and a look at the process table.
#![allow(dead_code, unreachable_pub)]

pub mod surroundings;

use pyrepl3_engine::protocol::message::{DisplayMessage, ErrorMessage, InputMessage, Message, ResultMessage, Stream};
use pyrepl3_engine::{
    Engine, EngineConfig, Events, ExecuteRequest, Execution, Limits, SearchPath, Session, SessionOptions,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A generous limit: a test that hangs fails with it, and no assertion depends on it.
pub const LIMIT: Duration = Duration::from_secs(60);

pub fn engine() -> Engine {
    surroundings::tidy();
    Engine::new(EngineConfig::new(SearchPath::from_env()))
}

pub async fn session() -> (Engine, Session) {
    session_with(SessionOptions::default()).await
}

pub async fn session_with(options: SessionOptions) -> (Engine, Session) {
    let engine = engine();
    let session = engine.start(options).await.expect("a session starts");
    (engine, session)
}

/// A session that is killed soon after SIGINT fails.
pub fn impatient() -> SessionOptions {
    SessionOptions { limits: Limits { interrupt_grace: Some(0.3), ..Limits::default() }, ..SessionOptions::default() }
}

/// What an execution said.
#[derive(Debug, Default)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub stdout_bytes: Vec<u8>,
    pub inputs: Vec<InputMessage>,
    pub displays: Vec<DisplayMessage>,
    pub result: Option<ResultMessage>,
    pub error: Option<ErrorMessage>,
}

impl Ran {
    pub fn take(&mut self, message: Message) {
        match message {
            Message::OutputMessage(output) if output.stream == Stream::Stdout => {
                self.stdout.push_str(&output.data);
                match &output.bytes {
                    Some(bytes) => self.stdout_bytes.extend(base64(bytes)),
                    None => self.stdout_bytes.extend_from_slice(output.data.as_bytes()),
                }
            }
            Message::OutputMessage(output) => self.stderr.push_str(&output.data),
            Message::InputMessage(input) => self.inputs.push(input),
            Message::DisplayMessage(display) => self.displays.push(display),
            Message::ResultMessage(result) => self.result = Some(result),
            Message::ErrorMessage(error) => self.error = Some(error),
            Message::Accepted(_) => {}
            other => panic!("unexpected {}", other.type_name()),
        }
    }

    #[track_caller]
    pub fn ok(&self) -> &ResultMessage {
        match (&self.result, &self.error) {
            (Some(result), None) => result,
            (_, error) => panic!("no result, but {error:#?}; on stderr: {}", self.stderr),
        }
    }

    #[track_caller]
    pub fn err(&self) -> &ErrorMessage {
        self.error.as_ref().expect("an error")
    }

    #[track_caller]
    pub fn repr(&self) -> &str {
        self.ok().repr.as_deref().unwrap_or("None")
    }

    #[track_caller]
    pub fn value(&self) -> &str {
        self.ok().value.as_ref().map_or("null", |value| value.get())
    }
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Runs code to its end.
pub async fn run(session: &Session, code: impl Into<ExecuteRequest>) -> Ran {
    finish(session.execute(code).expect("accepted")).await
}

/// Runs an execution to its end.
pub async fn finish(mut execution: Execution) -> Ran {
    let mut ran = Ran::default();
    tokio::time::timeout(LIMIT, async {
        while let Some(event) = execution.next().await {
            ran.take(event.into_message());
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no end within {LIMIT:?}; so far {ran:#?}"));
    assert!(execution.refusal().is_none(), "refused: {:?}", execution.refusal());
    ran
}

/// The next event of a session that fits.
pub async fn event(events: &mut Events, mut fits: impl FnMut(&Message) -> bool) -> Message {
    tokio::time::timeout(LIMIT, async {
        loop {
            let message = events.next().await.expect("another event").into_message();
            if fits(&message) {
                return message;
            }
        }
    })
    .await
    .expect("the event within the limit")
}

/// Takes messages until one fits.
pub async fn until(execution: &mut Execution, mut fits: impl FnMut(&Message) -> bool) -> Message {
    tokio::time::timeout(LIMIT, async {
        loop {
            let message = execution.next().await.expect("another message").into_message();
            if fits(&message) {
                return message;
            }
        }
    })
    .await
    .expect("the message within the limit")
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there (a zombie is not).
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Pids of processes whose environment names this marker.
pub fn marked(marker: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.windows(marker.len()).any(|window| window == marker.as_bytes()) && is_alive(*pid)
        })
        .collect()
}

/// Every CPython from 3.10 on that this machine has: on `PATH`, and where version managers put them.
pub fn interpreters() -> Vec<PathBuf> {
    let mut search = SearchPath::from_env();
    let managed = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")))
        .map(|root| root.join("versions"));
    let mut path: Vec<PathBuf> = search.path.iter().flat_map(std::env::split_paths).collect();
    for version in managed.iter().filter_map(|root| std::fs::read_dir(root).ok()).flatten().flatten() {
        path.push(version.path().join("bin"));
    }
    search.path = std::env::join_paths(path).ok();
    search.virtual_env = None;
    let mut seen = std::collections::BTreeSet::new();
    pyrepl3_worker::list(&search)
        .into_iter()
        .flatten()
        .filter(pyrepl3_worker::Found::is_suitable)
        .filter(|found| seen.insert(found.info.version.clone()))
        .map(|found| PathBuf::from(found.info.executable))
        .collect()
}
