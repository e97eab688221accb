//! A supervisor in a process of its own, which can be killed at any moment: this test program, run once more, does what it
//! is told on its standard input, and says on its standard output what came of it.

use crate::common::{LIMIT, surroundings};
use pyrepl3_engine::protocol::message::{RandomState, TransactionPolicy};
use pyrepl3_engine::{
    Durability, Engine, EngineConfig, ExecuteRequest, JournalConfig, JournalLimits, SearchPath, Session, SessionOptions,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The test that is such a process, and how it is told the data directory.
const PROGRAM: &str = "a_supervisor";
const DATA: &str = "PYREPL3_TEST_SUPERVISOR";
/// Seconds that sessions wait for another supervisor.
pub(crate) const GRACE: u64 = 60;

/// Whether the supervisor keeps events, as its environment says.
const JOURNAL: &str = "PYREPL3_TEST_JOURNAL";

/// An engine whose sessions outlive it.
pub(crate) fn engine(data: &Path, grace: Duration) -> Engine {
    Engine::new(config(data, grace))
}

/// The same, which keeps what its sessions say.
pub(crate) fn keeping_engine(data: &Path) -> Engine {
    let limits = JournalLimits { file: 256 << 10, ..JournalLimits::default() };
    let journal = Some(JournalConfig { durability: Durability::Process, limits });
    Engine::new(EngineConfig { journal, ..config(data, Duration::from_secs(GRACE)) })
}

pub(crate) fn config(data: &Path, grace: Duration) -> EngineConfig {
    surroundings::tidy();
    let mut config = EngineConfig::new(SearchPath::from_env());
    (config.data, config.linger) = (Some(data.to_owned()), Some(grace));
    config
}

/// What was told that is no answer, and the process that tells it.
pub(crate) struct Supervisor {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Events of the session, as they came.
    pub(crate) events: Vec<Value>,
}

impl Supervisor {
    pub(crate) fn new(data: &Path) -> Supervisor {
        Supervisor::begin(data, "0")
    }

    /// One that keeps what its sessions say.
    pub(crate) fn keeping(data: &Path) -> Supervisor {
        Supervisor::begin(data, "1")
    }

    fn begin(data: &Path, journal: &str) -> Supervisor {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", PROGRAM, "--ignored", "--nocapture"])
            .env(DATA, data)
            .env(JOURNAL, journal)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Supervisor { stdin: child.stdin.take().unwrap(), child, lines, events: Vec::new() }
    }

    /// Has it do something, without waiting for that.
    pub(crate) async fn tell(&mut self, request: Value) {
        self.stdin.write_all(format!("{request}\n").as_bytes()).await.unwrap();
    }

    /// Has it do something; what came of it.
    pub(crate) async fn ask(&mut self, request: Value) -> Value {
        self.tell(request).await;
        self.answer().await
    }

    /// What it answers next.
    pub(crate) async fn answer(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("an answer");
            match line.get("event") {
                Some(event) => self.events.push(event.clone()),
                None => return line,
            }
        }
    }

    /// The next event that fits.
    pub(crate) async fn event(&mut self, mut fits: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let line = self.line().await.expect("an event");
            let event = line.get("event").expect("an event, no answer").clone();
            self.events.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    async fn line(&mut self) -> Option<Value> {
        loop {
            let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no word within the limit, after {:?}", self.events));
            let line = line.unwrap()?;
            // The test program says some words of its own.
            if let Some(json) = line.split_once("\u{1}").map(|(_, json)| json) {
                // Killed while it spoke, it says half a line at last.
                return serde_json::from_str(json).ok();
            }
        }
    }

    /// SIGKILL. What it had said until then.
    pub(crate) async fn kill(mut self) -> Vec<Value> {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
        while let Some(line) = self.line().await {
            match line.get("event") {
                Some(event) => self.events.push(event.clone()),
                None => self.events.push(line),
            }
        }
        self.events
    }
}

fn say(what: &Value) {
    use std::io::Write;
    // In one piece, before anything else is done: what it says it has done.
    let line = format!("\u{1}{what}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// The process itself. Does nothing in another.
pub(crate) async fn run() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let keeps = std::env::var_os(JOURNAL).is_some_and(|keeps| keeps == "1");
    let data = Path::new(&data);
    let engine = if keeps { keeping_engine(data) } else { engine(data, Duration::from_secs(GRACE)) };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut session = None;
    while let Some(line) = lines.next_line().await.unwrap() {
        let request: Value = serde_json::from_str(&line).unwrap();
        let answer = perform(&engine, &mut session, &request).await;
        if !answer.is_null() {
            say(&answer);
        }
    }
}

async fn perform(engine: &Engine, had: &mut Option<Session>, request: &Value) -> Value {
    let text = |name: &str| request[name].as_str().map(str::to_owned);
    let begun = match request["do"].as_str().unwrap() {
        "start" => {
            let mut options: SessionOptions = serde_json::from_value(request["options"].clone()).unwrap_or_default();
            options.detached = true;
            Some(engine.start(options).await)
        }
        "adopt" => Some(engine.adopt(&text("id").unwrap()).await),
        _ => None,
    };
    match begun {
        Some(Ok(session)) => {
            let mut events = session.follow(Some(session.event_numbers().0 - 1)).unwrap();
            tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    let json: Value = serde_json::from_slice(&event.into_message().to_json().unwrap()).unwrap();
                    say(&json!({"event": json}));
                }
            });
            let id = session.id().to_owned();
            *had = Some(session);
            return json!({"session": id});
        }
        Some(Err(failure)) => return json!({"failure": failure}),
        None => {}
    }
    let session = had.as_ref().unwrap();
    let answer = match request["do"].as_str().unwrap() {
        "execute" => {
            let mut execution = ExecuteRequest::from(text("code").unwrap().as_str());
            execution.id = text("id");
            execution.timeout = request["timeout"].as_f64().map(Duration::from_secs_f64);
            execution.policy = serde_json::from_value::<Option<TransactionPolicy>>(request["policy"].clone()).unwrap();
            execution.idempotency_key = text("key");
            // Its events are all that is of interest.
            tokio::spawn({
                let execution = session.execute(execution).unwrap();
                async move { _ = execution.result().await }
            });
            return Value::Null;
        }
        "value" => {
            let result = session.execute(text("code").unwrap().as_str()).unwrap().result().await;
            result.map(|result| json!({"value": result.repr})).map_err(|error| error.to_string())
        }
        "answer" => {
            let answer = session.input_response(&text("input").unwrap(), text("value").map(Into::into)).await;
            answer.map(|()| json!({})).map_err(|failure| failure.to_string())
        }
        "begin" => answer(session.begin(None).await),
        "commit" => answer(session.commit(None).await),
        "rollback" => answer(session.rollback(None).await),
        "undo" => answer(session.undo().await),
        "redo" => answer(session.redo().await),
        "snapshot" => answer(session.snapshot(text("name").as_deref()).await),
        "rollback_to" => answer(session.rollback_to(&text("id").unwrap(), None).await),
        "savepoint" => answer(session.savepoint(None).await),
        "checkpoint" => answer(session.checkpoint(None).await),
        "restore" => answer(session.restore(&text("id").unwrap(), false).await),
        "status" => answer(session.status().await),
        "variables" => answer(session.variables().await.map(|found| found.data)),
        "branch" => {
            let branches = session.branch(request["count"].as_u64().unwrap() as u32, RandomState::default()).await;
            let ids = |branches: Vec<Session>| {
                let ids: Vec<String> = branches.iter().map(|branch| branch.id().to_owned()).collect();
                json!({ "branches": ids })
            };
            branches.map(ids).map_err(|failure| failure.to_string())
        }
        "end_orphans" => {
            for id in engine.orphans().await.unwrap() {
                // One that was being made ends by being taken over.
                match engine.adopt(&id).await {
                    Ok(orphan) => orphan.shutdown().await,
                    Err(failure) => eprintln!("an orphan: {failure}"),
                }
            }
            Ok(json!({}))
        }
        other => panic!("{other}"),
    };
    answer.unwrap_or_else(|error| json!({ "failure": error }))
}

fn answer<T: serde::Serialize>(result: Result<T, pyrepl3_engine::Failure>) -> Result<Value, String> {
    result.map(|value| json!({ "answer": value })).map_err(|failure| failure.to_string())
}

/// Whether a message tells the end of an execution.
pub(crate) fn ends(event: &Value, execution: &str) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    matches!(kind, "result" | "error") && event["execution_id"] == execution
}

/// The type of a message, as `Message` names it.
pub(crate) fn is_of_type(event: &Value, name: &str) -> bool {
    event["type"].as_str() == Some(name)
}
