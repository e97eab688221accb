//! The private protocol between the engine and a worker. What comes from a worker is hostile: user code shares its
//! process and can write on its channel. Everything here is bounded by [`crate::frame`], and its order is checked by
//! the session's state machine.

use crate::frame::FrameError;
use crate::message::{Bundle, Changes, Frame, Lost, PackageDifference, PythonInfo, RandomState, Variable};
use crate::text::JsonText;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The largest frame that a worker may send, in bytes.
pub const MAX_WORKER_FRAME: usize = 32 << 20;

/// What the engine asks of a worker.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request<'a> {
    /// The first frame of an incarnation: how to set the process up.
    Setup {
        /// Working directory.
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<&'a str>,
        /// Environment variables to set or, where null, to remove.
        env: &'a BTreeMap<String, Option<String>>,
        /// Resource limits by name: `DATA`, `NOFILE`, `FSIZE`.
        rlimits: BTreeMap<&'static str, u64>,
        /// How it behaves.
        mode: &'a Mode,
    },
    /// Run code.
    Execute {
        /// Token that the end repeats.
        id: u64,
        /// Number of the execution.
        count: u64,
        /// Name of its source.
        file: &'a str,
        /// Source.
        code: Source<'a>,
        /// Descriptors that come with it: the channel of a snapshot that is to be taken first; with `salvage` also a
        /// file for what is carried out of a failure.
        #[serde(skip_serializing_if = "Option::is_none")]
        fds: Option<u8>,
        /// Names whose values are written to that file if the execution fails.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        salvage: &'a [String],
        /// Whether to run the code even when that snapshot cannot be taken.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        optional: bool,
    },
    /// Take a snapshot. Descriptor: its channel. Answered by a reply with `warnings`, or by `unfrozen`.
    Freeze {
        /// Token that the reply repeats.
        id: u64,
        /// 1.
        fds: u8,
        /// Whether it is for a checkpoint: note which large memory was written since the last one.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        track: bool,
    },
    /// Take a snapshot that is to be asked for branches. As `freeze`.
    Branch {
        /// Token that the reply repeats.
        id: u64,
        /// 1.
        fds: u8,
    },
    /// Take a snapshot, then bring a checkpoint back. Descriptors: the snapshot's channel, and a socket from which the
    /// worker takes the checkpoint. Answered by a reply, by `unrestored`, or by `unfrozen`.
    Restore {
        /// Token that the reply repeats.
        id: u64,
        /// 2.
        fds: u8,
    },
    /// SIGINT comes next, and is meant for this execution.
    Interrupt {
        /// The execution's token.
        id: u64,
    },
    /// Answer a prompt.
    Answer {
        /// The worker's number of the prompt.
        input: u64,
        /// The answer; null is end-of-file.
        value: Option<&'a JsonText>,
    },
    /// List the variables.
    Variables {
        /// Token that the reply repeats.
        id: u64,
    },
    /// Complete.
    Complete {
        /// Token that the reply repeats.
        id: u64,
        /// Source.
        code: &'a JsonText,
        /// Cursor in code points.
        cursor: Option<u32>,
    },
    /// Inspect.
    Inspect {
        /// Token that the reply repeats.
        id: u64,
        /// Name or dotted path.
        name: &'a str,
    },
    /// Tell whether code is complete.
    IsComplete {
        /// Token that the reply repeats.
        id: u64,
        /// Source.
        code: &'a JsonText,
    },
    /// Leave as a Python program does: join threads if asked, run `atexit`, close files.
    Exit {
        /// Exit code.
        code: i32,
        /// Whether to wait for threads that are no daemons.
        join: bool,
    },
}

/// Source as text, or as bytes whose encoding Python finds out.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Source<'a> {
    /// Text.
    Text(&'a JsonText),
    /// Bytes, base64.
    Bytes {
        /// Base64.
        base64: String,
    },
}

/// How a worker behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// `sys.argv`.
    pub argv: Vec<String>,
    /// `sys.path[0]`.
    pub path0: String,
    /// `__main__.__file__`, if it is a script.
    pub file: Option<String>,
    /// Whether standard input is a descriptor of its own, not the protocol.
    pub real_stdin: bool,
    /// Whether matplotlib's figures become displays.
    pub figures: bool,
    /// Whether the last value is kept in `builtins._`.
    pub underscore: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Mode {
            argv: vec![String::new()],
            path0: String::new(),
            file: None,
            real_stdin: false,
            figures: true,
            underscore: false,
        }
    }
}

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
#[derive(Debug, Clone, Default, Deserialize)]
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
    /// The process.
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
#[derive(Debug, Clone, Deserialize)]
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
    /// Wall time in seconds.
    pub duration: f64,
    /// Change of resident memory in bytes.
    pub memory_delta: i64,
    /// Names that changed.
    #[serde(default)]
    pub changes: Changes,
}

/// The execution raised.
#[derive(Debug, Clone, Deserialize)]
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

/// What the engine asks of a zygote or a template.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ZygoteRequest<'a> {
    /// First frame: what to import.
    Environment {
        /// Modules to import.
        preload: &'a [String],
        /// Working directory for the imports.
        cwd: &'a str,
    },
    /// Fork a session. Descriptors: session init's channel, the worker's channel, stdout, stderr, standard input.
    Session {},
    /// Fork a template. Descriptors: its channel, its stderr.
    Template {
        /// Warm-up code.
        code: &'a str,
    },
    /// Kill what became an orphan of a session whose init was killed.
    Sweep {},
}

/// What a zygote or a template says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ZygoteEvent {
    /// It serves.
    Ready {
        /// Its interpreter.
        python: PythonInfo,
    },
    /// It cannot serve.
    Failed {
        /// What it was doing: `version`, `preload`, `warmup`.
        stage: String,
        /// What happened.
        what: String,
        /// Details, such as a traceback.
        #[serde(default)]
        detail: String,
    },
}

/// What the engine asks of a session init.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum InitRequest<'a> {
    /// Kill what is left of the last worker and fork a new one. Descriptors: channel, stdout, stderr, standard input.
    Spawn {},
    /// Kill all, and end.
    End {},
    /// A frozen process was woken and is the worker now: end what is younger than it, the worker before included.
    Rolled {
        /// The frozen process.
        worker: i32,
        /// Frozen processes that stay.
        keep: &'a [i32],
    },
    /// A branch of this session joins the family. Descriptor: its channel.
    Member {
        /// Its worker.
        worker: i32,
        /// Its number among the branches: by it session init knows its processes.
        number: u32,
    },
    /// Tell how a process ended.
    Wait {
        /// Number that the answer repeats.
        number: u64,
        /// The process.
        pid: i32,
        /// Whether to answer at once.
        nohang: bool,
    },
}

/// What the engine asks of a frozen process.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum FrozenRequest {
    /// Become the live worker. Descriptors: control channel and, to keep it usable, its replacement's channel.
    Wake {
        /// Whether it stays usable: it forks its replacement first.
        keep: bool,
        /// The process that was live before, and has ended or is about to.
        before: Option<i32>,
        /// Whether one more descriptor is a file with values to take over.
        salvage: bool,
    },
    /// Fork a process that writes the state down. Descriptor: the channel on which it does.
    Save {},
    /// Fork a session of its own. Descriptors: control channel, stdout, stderr, standard input.
    Branch {
        /// Number of the branch.
        index: u32,
        /// What becomes of random state.
        random: RandomState,
        /// The number by which session init knows its processes.
        member: u32,
    },
    /// End.
    Leave {},
}

/// What a frozen process says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum FrozenEvent {
    /// It waits.
    Frozen {},
}

/// What a session init says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum InitEvent {
    /// It is there.
    Up {},
    /// The worker ended.
    Exit {
        /// Which.
        pid: i32,
        /// Exit code, if it left by itself.
        #[serde(default)]
        code: Option<i32>,
        /// Signal, if one killed it.
        #[serde(default)]
        signal: Option<i32>,
    },
    /// What was younger than a woken process has ended.
    Swept {
        /// Names of the processes that user code had started.
        ended: Vec<String>,
    },
    /// How a process ended.
    Status {
        /// The question's number.
        number: u64,
        /// `running`, `unknown`, or its wait status.
        status: String,
    },
    /// Nothing of the session is left but init itself, which ends now.
    Ended {},
}
