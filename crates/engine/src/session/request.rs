//! What a program asks a session to run.

use pyrepl3_protocol::frame::MAX_FRAME;
use pyrepl3_protocol::message::TransactionPolicy;
use pyrepl3_protocol::{Code, Failure, JsonText};
use std::time::Duration;

/// Bytes of source, or of an answer, that fit into a request to a worker with all that stands beside them.
const LARGEST: usize = MAX_FRAME - (1 << 20);

/// A request to run code. Made from a text, or from a source and then field by field.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
    /// What whoever asks knows the request by: it is told with `accepted`, where the session has a journal.
    pub fingerprint: Option<String>,
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

impl Source {
    /// Bytes that it takes in a request.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Source::Text(text) => text.literal().len(),
            Source::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }
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
            fingerprint: None,
            salvage: Vec::new(),
        }
    }

    /// With an id for the execution.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With a time limit.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Under a policy.
    #[must_use]
    pub fn with_policy(mut self, policy: TransactionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// In an explicit transaction.
    #[must_use]
    pub fn with_transaction(mut self, transaction: impl Into<String>) -> Self {
        self.transaction = Some(transaction.into());
        self
    }

    /// With answers to its prompts.
    #[must_use]
    pub fn with_inputs(mut self, inputs: impl IntoIterator<Item = JsonText>) -> Self {
        self.inputs = Some(inputs.into_iter().collect());
        self
    }

    /// With a key that makes a retry safe.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// With names to carry out of a failure.
    #[must_use]
    pub fn with_salvage<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.salvage = names.into_iter().map(Into::into).collect();
        self
    }

    /// Cancels what waits behind it when it fails.
    #[must_use]
    pub fn stopping_on_error(mut self) -> Self {
        self.stop_on_error = true;
        self
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

/// Refuses what no frame can carry: sent, it would break the channel, and cost the session's state.
pub(crate) fn check_size(what: &str, bytes: usize) -> Result<(), Failure> {
    if bytes <= LARGEST {
        return Ok(());
    }
    Err(Failure::new(
        Code::BadRequest,
        format!("{what} is too large"),
        format!("it has {bytes} bytes; {LARGEST} can be sent at most"),
        "put large data into a file, and read it in the session",
    ))
}
