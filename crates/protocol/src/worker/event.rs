//! What a worker says.

use crate::frame::FrameError;
use crate::message::{Bundle, Changes, Frame, Lost, PackageDifference, PythonInfo, Variable};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A frame from a worker.
#[derive(Debug, Clone)]
pub enum Event {
    /// It is ready.
    Hello(Hello),
    /// It could not be started.
    Refused(Refused),
    /// User code waits for input.
    Input(Prompt),
    /// A prompt is no longer waited for: user code was interrupted.
    InputClosed(PromptClosed),
    /// Something to show.
    Display(Display),
    /// The execution completed.
    Result(Done),
    /// The execution raised.
    Error(Raised),
    /// The answer to a query.
    Reply(Answer),
    /// A snapshot was taken before the execution, with something to say about it.
    Frozen(Frozen),
    /// No snapshot could be taken; what asked for it does not happen, unless the snapshot was optional.
    Unfrozen(Unfrozen),
    /// The checkpoint could not be brought back.
    Unrestored(Unrestored),
    /// A frozen process was woken, and is ready.
    Awake(Awake),
    /// User code waits for a child of the process that this one was rolled back from.
    Wait(Wait),
}

/// A snapshot was taken.
#[derive(Debug, Clone, Deserialize)]
pub struct Frozen {
    /// The execution's token.
    pub id: u64,
    /// What a rollback will not restore, in words.
    pub warnings: Vec<String>,
}

/// No snapshot could be taken.
#[derive(Debug, Clone, Deserialize)]
pub struct Unfrozen {
    /// The token of what asked for it.
    pub id: u64,
    /// Why.
    pub why: String,
    /// What to do.
    #[serde(default)]
    pub how: String,
    /// Whether the code that it was optional for runs.
    #[serde(default)]
    pub goes_on: bool,
}

/// A checkpoint could not be brought back; the state is to be undone.
#[derive(Debug, Clone, Deserialize)]
pub struct Unrestored {
    /// The restore's token.
    pub id: u64,
    /// Why.
    pub why: String,
    /// What to do.
    #[serde(default)]
    pub how: String,
}

/// A frozen process was woken.
#[derive(Debug, Clone, Deserialize)]
pub struct Awake {
    /// Its interpreter.
    pub python: PythonInfo,
    /// What it could not keep, in words.
    #[serde(default)]
    pub lost: Vec<String>,
    /// What came out of the failed execution with it.
    #[serde(default)]
    pub salvaged: Option<Recovered>,
}

/// What came back from where it was written down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recovered {
    /// Names, with how they were kept.
    pub restored: Vec<Variable>,
    /// What did not come back.
    pub lost: Vec<Lost>,
    /// Packages that are missing, or there in another version.
    #[serde(default)]
    pub packages: Vec<PackageDifference>,
}

/// User code waits for a process.
#[derive(Debug, Clone, Deserialize)]
pub struct Wait {
    /// The worker's number of the question; the answer is `running`, `unknown` or a wait status.
    pub input: u64,
    /// The process, as user code calls it: passed on to session init as it is, and used for nothing else.
    pub pid: i32,
    /// Whether to answer at once.
    #[serde(default)]
    pub nohang: bool,
}

/// The worker is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    /// Its interpreter.
    pub python: PythonInfo,
}

/// The worker could not be started.
#[derive(Debug, Clone, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: String,
}

/// User code waits for input.
#[derive(Debug, Clone, Deserialize)]
pub struct Prompt {
    /// The worker's number of the prompt.
    pub input: u64,
    /// The execution's token, if one runs.
    #[serde(default)]
    pub id: Option<u64>,
    /// The prompt.
    pub prompt: String,
    /// Whether it is a password.
    #[serde(default)]
    pub password: bool,
}

/// A prompt is no longer waited for.
#[derive(Debug, Clone, Deserialize)]
pub struct PromptClosed {
    /// The worker's number of the prompt.
    pub input: u64,
}

/// Something to show.
#[derive(Debug, Clone, Deserialize)]
pub struct Display {
    /// The execution's token, if one runs.
    #[serde(default)]
    pub id: Option<u64>,
    /// MIME bundle.
    pub data: Bundle,
    /// Metadata.
    #[serde(default)]
    pub metadata: Bundle,
    /// Names the display.
    #[serde(default)]
    pub display_id: Option<String>,
    /// Whether it replaces an earlier one.
    #[serde(default)]
    pub update: bool,
    /// The worker waits for an `answer` to this number before it goes on, so that what it prints next comes next.
    #[serde(default)]
    pub input: Option<u64>,
}

/// The execution completed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// The execution's token.
    pub id: u64,
    /// The value.
    #[serde(default)]
    pub value: Option<Box<RawValue>>,
    /// Its `repr`.
    #[serde(default)]
    pub repr: Option<String>,
    /// Its type.
    #[serde(default)]
    pub value_type: Option<String>,
    /// Its MIME bundle.
    #[serde(default)]
    pub data: Bundle,
    /// Whether a hook of the session's has shown it.
    #[serde(default)]
    pub shown: bool,
    /// Wall time in seconds.
    pub duration: f64,
    /// Change of resident memory in bytes.
    pub memory_delta: i64,
    /// Names that changed.
    #[serde(default)]
    pub changes: Changes,
}

/// The execution raised.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Raised {
    /// The execution's token.
    pub id: u64,
    /// Type of the exception.
    pub ename: String,
    /// Text of the exception.
    pub evalue: String,
    /// Traceback.
    pub traceback: String,
    /// Frames.
    #[serde(default)]
    pub frames: Vec<Frame>,
    /// Whether a hook of the session's has shown it.
    #[serde(default)]
    pub shown: bool,
    /// Exit status that a `SystemExit` asks for.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Wall time in seconds.
    pub duration: f64,
    /// Names that changed.
    #[serde(default)]
    pub changes: Changes,
    /// Why nothing could be carried out of the failure.
    #[serde(default)]
    pub unsalvaged: Option<String>,
}

/// The answer to a query.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// The query's token.
    pub id: u64,
    /// What was asked for.
    pub data: Box<RawValue>,
}

impl Event {
    /// A frame from its JSON, whose nesting was checked, with its sequence number.
    ///
    /// # Errors
    /// [`FrameError::UnknownType`] or [`FrameError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<(u64, Event), FrameError> {
        #[derive(Deserialize)]
        struct Head<'a> {
            seq: u64,
            #[serde(borrow)]
            t: std::borrow::Cow<'a, str>,
        }
        let malformed = |error: serde_json::Error| FrameError::Malformed(error.to_string());
        let head: Head<'_> = serde_json::from_slice(json).map_err(malformed)?;
        let event = match &*head.t {
            "hello" => serde_json::from_slice(json).map(Event::Hello),
            "refused" => serde_json::from_slice(json).map(Event::Refused),
            "input" => serde_json::from_slice(json).map(Event::Input),
            "input_closed" => serde_json::from_slice(json).map(Event::InputClosed),
            "display" => serde_json::from_slice(json).map(Event::Display),
            "result" => serde_json::from_slice(json).map(Event::Result),
            "error" => serde_json::from_slice(json).map(Event::Error),
            "reply" => serde_json::from_slice(json).map(Event::Reply),
            "frozen" => serde_json::from_slice(json).map(Event::Frozen),
            "unfrozen" => serde_json::from_slice(json).map(Event::Unfrozen),
            "unrestored" => serde_json::from_slice(json).map(Event::Unrestored),
            "awake" => serde_json::from_slice(json).map(Event::Awake),
            "wait" => serde_json::from_slice(json).map(Event::Wait),
            other => return Err(FrameError::UnknownType(other.chars().take(80).collect())),
        };
        Ok((head.seq, event.map_err(malformed)?))
    }
}
