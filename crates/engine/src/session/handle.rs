//! What a program holds of a session.

use super::actor::{Command, Query};
use super::execution::Execution;
use super::outbox::Outbox;
use crate::checkpoint::CheckpointStore;
use pyrepl3_protocol::id::{self, Kind};
use pyrepl3_protocol::message::{Message, PythonInfo, SessionOptions, TransactionPolicy};
use pyrepl3_protocol::{Code, Failure, JsonText};
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// A request to run code. Made from a text, or field by field.
#[derive(Debug, Clone)]
pub struct ExecuteRequest {
    /// The execution's id; one is made without it.
    pub id: Option<String>,
    /// What to run.
    pub source: Source,
    /// Name of the source in tracebacks; `<execution N>` without it.
    pub file: Option<String>,
    /// The explicit transaction that it belongs to: refused unless that is the open one.
    pub transaction: Option<String>,
    /// What becomes of the state when it ends.
    pub policy: Option<TransactionPolicy>,
    /// Wall time, waits for input included.
    pub timeout: Option<Duration>,
    /// Answers to its prompts; when used up, end-of-file. None: prompts wait for an answer.
    pub inputs: Option<Vec<JsonText>>,
    /// When it fails, executions queued behind it are cancelled.
    pub stop_on_error: bool,
    /// A repeated key does not run the code again but ends as the first did.
    pub idempotency_key: Option<String>,
    /// Names whose values are carried out of a failed state into the one before, under a policy that undoes. A process
    /// that was killed leaves nothing to carry.
    pub salvage: Vec<String>,
}

/// Python source.
#[derive(Debug, Clone)]
pub enum Source {
    /// Text.
    Text(JsonText),
    /// The bytes of a file: Python finds out their encoding.
    Bytes(Vec<u8>),
}

impl<T: Into<JsonText>> From<T> for ExecuteRequest {
    fn from(code: T) -> Self {
        ExecuteRequest::new(Source::Text(code.into()))
    }
}

impl ExecuteRequest {
    /// A request with everything else left out.
    pub fn new(source: Source) -> Self {
        ExecuteRequest {
            id: None,
            source,
            file: None,
            transaction: None,
            policy: None,
            timeout: None,
            inputs: None,
            stop_on_error: false,
            idempotency_key: None,
            salvage: Vec::new(),
        }
    }
}

/// How a session that runs a script differs from one at a prompt.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// `sys.argv`; `['']` when empty.
    pub argv: Vec<String>,
    /// `sys.path[0]`.
    pub path0: String,
    /// `__main__.__file__`.
    pub file: Option<String>,
    /// Whether the script gets this process's standard input as its own. Prompts then come on its standard output.
    pub inherit_stdin: bool,
    /// Whether matplotlib is left alone; else its figures become displays.
    pub no_figures: bool,
    /// Whether the last value is kept in `_`, as at Python's prompt.
    pub underscore: bool,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// Its process is being made.
    Starting,
    /// Nothing runs.
    Idle,
    /// Something runs.
    Running,
    /// What runs is being stopped.
    Stopping,
    /// It has ended, or is about to.
    Closed,
}

/// A prompt that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PendingInput {
    /// What `input_response` names.
    pub id: String,
    /// The prompt.
    pub prompt: String,
    /// Whether the answer should not be shown.
    pub password: bool,
    /// The execution that was running when it was asked.
    pub execution_id: Option<String>,
}

/// The state of a session.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// Its id.
    pub session_id: String,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it is doing.
    pub state: StatusState,
    /// The execution that runs.
    pub running: Option<String>,
    /// Executions that wait.
    pub queued: Vec<String>,
    /// The explicit transaction that is open.
    pub transaction: Option<String>,
    /// Frozen processes that the session keeps.
    pub snapshots: usize,
    /// Prompts that wait.
    pub inputs: Vec<PendingInput>,
    /// Executions so far.
    pub execution_count: u64,
    /// How many worker processes it has had: one more after each return to an earlier state, and after each loss of it.
    pub incarnation: u32,
    /// The worker's process id.
    pub pid: Option<i32>,
    /// Its interpreter.
    pub python: Option<PythonInfo>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) options: SessionOptions,
    pub(crate) events: Arc<Outbox>,
    pub(crate) room: Arc<Notify>,
    pub(crate) python: Mutex<Option<PythonInfo>>,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) shelf: Arc<CheckpointStore>,
}

/// Where a branch comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Lineage {
    /// The session that it was branched from.
    pub parent: String,
    /// Executions of the parent until then.
    pub branched_at: u64,
}

/// A handle to a session. Clones share it; the session ends when the last is dropped.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Set when the pool that lent this handle has the session back.
    revoked: Arc<AtomicBool>,
}

pub(crate) fn closed(id: &str) -> Failure {
    Failure::new(
        Code::SessionClosed,
        format!("session {id} has ended"),
        "it was shut down, or its processes ended",
        "start another session",
    )
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, commands: mpsc::UnboundedSender<Command>) -> Self {
        Session { shared, commands, revoked: Arc::default() }
    }

    /// A handle that a pool can take back.
    pub(crate) fn for_one_loan(&self) -> Self {
        Session { revoked: Arc::default(), ..self.clone() }
    }

    /// Makes this handle, and its clones, of no use: the session is another's now.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// What it was started with.
    pub fn options(&self) -> &SessionOptions {
        &self.shared.options
    }

    /// Its interpreter.
    pub fn python(&self) -> Option<PythonInfo> {
        self.shared.python.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs code. Sends at once: the order of calls is the order of execution.
    ///
    /// # Errors
    /// Codes `bad_request`, `unsupported`, `session_closed`. What the session finds out later (`session_lost`,
    /// `duplicate_id`, `idempotency_mismatch`, `too_many`) is the execution's [`Execution::refusal`].
    pub fn execute(&self, request: impl Into<ExecuteRequest>) -> Result<Execution, Failure> {
        let mut request = request.into();
        if let Some(id) = &request.id {
            id::check(id).map_err(|why| {
                Failure::new(
                    Code::BadRequest,
                    "the execution's id cannot be used",
                    why.to_string(),
                    "choose another, or none",
                )
            })?;
        }
        if request.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Failure::new(
                Code::BadRequest,
                "the timeout is not positive",
                "",
                "give seconds above 0, or none",
            ));
        }
        self.check_salvage(&request)?;
        let chosen = request.id.is_some();
        let id = request.id.get_or_insert_with(|| id::new(Kind::Execution)).clone();
        let outbox = Arc::new(Outbox::new(self.shared.room.clone()));
        outbox.attach();
        let (refuse, refusal) = oneshot::channel();
        let execution = Execution::new(id, outbox.clone(), refusal, self.clone());
        self.send(Command::Execute { request, chosen, outbox, refuse })?;
        Ok(execution)
    }

    pub(super) fn send(&self, command: Command) -> Result<(), Failure> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Failure::new(
                Code::SessionClosed,
                format!("session {} was released to its pool", self.shared.id),
                "who releases a session cannot use it any more",
                "acquire another",
            ));
        }
        self.commands.send(command).map_err(|_| closed(&self.shared.id))
    }

    pub(super) async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Command,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(make(reply))?;
        answer.await.unwrap_or_else(|_| Err(closed(&self.shared.id)))
    }

    /// Answers a prompt; None is end-of-file.
    ///
    /// # Errors
    /// `unknown_input` when it does not wait, `session_closed`.
    pub async fn input_response(&self, input_id: &str, value: Option<JsonText>) -> Result<(), Failure> {
        self.ask(|reply| Command::Answer { input_id: input_id.to_owned(), value, reply }).await
    }

    /// Stops what runs by the ladder, and returns when it has ended; at once when nothing runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub async fn interrupt(&self) -> Result<(), Failure> {
        self.ask(|reply| Command::Interrupt { reply }).await
    }

    /// Cancels an execution: not started, it never runs; running, it is interrupted. Returns when it has ended.
    ///
    /// # Errors
    /// `unknown_execution`, `session_closed`.
    pub async fn cancel(&self, execution_id: &str) -> Result<(), Failure> {
        self.ask(|reply| Command::Cancel { execution_id: execution_id.to_owned(), reply }).await
    }

    /// The variables, as JSON (see `docs/protocol.md`); waits its turn.
    ///
    /// # Errors
    /// `session_lost`, `session_closed`, `interrupted`.
    pub async fn variables(&self) -> Result<Box<RawValue>, Failure> {
        self.query(Query::Variables).await
    }

    /// Completions at a cursor, in code points; waits its turn.
    ///
    /// # Errors
    /// `session_lost`, `session_closed`, `interrupted`.
    pub async fn complete(&self, code: impl Into<JsonText>, cursor: Option<u32>) -> Result<Box<RawValue>, Failure> {
        self.query(Query::Complete { code: code.into(), cursor }).await
    }

    /// What a name or a dotted path is; waits its turn.
    ///
    /// # Errors
    /// `session_lost`, `session_closed`, `interrupted`.
    pub async fn inspect(&self, name: &str) -> Result<Box<RawValue>, Failure> {
        self.query(Query::Inspect { name: name.to_owned() }).await
    }

    /// Whether code is complete; waits its turn.
    ///
    /// # Errors
    /// `session_lost`, `session_closed`, `interrupted`.
    pub async fn is_complete(&self, code: impl Into<JsonText>) -> Result<Box<RawValue>, Failure> {
        self.query(Query::IsComplete { code: code.into() }).await
    }

    async fn query(&self, query: Query) -> Result<Box<RawValue>, Failure> {
        self.ask(|reply| Command::Query { query, reply }).await
    }

    /// The state of the session, whatever runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub async fn status(&self) -> Result<Status, Failure> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// What happens in the session outside executions: output and displays of threads and tasks that user code left
    /// running, their prompts, `session_lost`. One listener at a time gets each message.
    pub fn events(&self) -> SessionEvents {
        self.shared.events.attach();
        SessionEvents { outbox: self.shared.events.clone() }
    }

    /// Lets the worker leave as a Python program does (`atexit`, files), then ends every process of the session.
    /// Returns when none is left. `join`: wait for threads that are no daemons, without a limit.
    pub async fn leave(&self, exit_code: i32, join: bool) {
        _ = self.ask(|reply| Command::Close { exit: Some((exit_code, join)), reply: Some(reply) }).await;
    }

    /// Ends the session and every process of it. Returns when none is left.
    pub async fn shutdown(&self) {
        _ = self.ask(|reply| Command::Close { exit: Some((0, false)), reply: Some(reply) }).await;
    }

    /// Whether it has ended, or is about to.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed() || self.revoked.load(Ordering::Acquire)
    }
}

/// The messages of a session that belong to no execution.
#[derive(Debug)]
pub struct SessionEvents {
    outbox: Arc<Outbox>,
}

impl SessionEvents {
    /// The next one; None when the session has ended.
    pub async fn next(&mut self) -> Option<Message> {
        self.outbox.next().await
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        self.outbox.detach();
    }
}
