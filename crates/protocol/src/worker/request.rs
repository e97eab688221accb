//! What the engine asks of a worker.

use crate::text::JsonText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
        /// Whether the branches' random generators are to go ways of their own.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        splits: bool,
    },
    /// Take a snapshot, then bring a checkpoint back. Descriptors: the snapshot's channel, and a socket from which the
    /// worker takes the checkpoint. Answered by a reply, by `unrestored`, or by `unfrozen`.
    Restore {
        /// Token that the reply repeats.
        id: u64,
        /// 2.
        fds: u8,
    },
    /// Write the state down, in this very process, which cannot be frozen. Descriptor: the channel to who stores it.
    /// Answered by a reply when that is done, or could not be.
    Save {
        /// Token that the reply repeats.
        id: u64,
        /// 1.
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
    /// Frames up to this one have been read and written down. Only where the session lingers: of frames above
    /// [`LARGE_FRAME`], and of what was said again.
    Ack {
        /// The frame's number.
        seq: u64,
    },
    /// Leave as a Python program does: join threads if asked, run `atexit`, close files.
    Exit {
        /// Exit code.
        code: i32,
        /// Whether to wait for threads that are no daemons.
        join: bool,
    },
}

/// A frame above this, in bytes of JSON, is kept by the worker of a session that lingers until it is acknowledged, and so
/// is all that it says after that; smaller ones are to be peeked at, written down, and only then read.
pub const LARGE_FRAME: usize = 64 << 10;

/// A request to the worker of a session that lingers, from the request's JSON: with its number, which counts up from 1 in
/// each incarnation. The worker drops one whose number it knows: a supervisor that takes over says again what may not have
/// been read. `mark`: of the frozen process, where the request asks for one that is to outlive its supervisor.
pub fn numbered(request: &[u8], n: u64, mark: Option<u64>) -> Vec<u8> {
    let mark = mark.map(|mark| format!(",\"mark\":{mark}")).unwrap_or_default();
    let mut json = format!("{{\"n\":{n}{mark}").into_bytes();
    let fields = request.strip_prefix(b"{").unwrap_or_default();
    if fields != b"}" {
        json.push(b',');
    }
    json.extend_from_slice(fields);
    json
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_a_number_is_that_request_and_a_number() {
        let code: JsonText = serde_json::from_str(r#""'\\ud800'""#).unwrap();
        let plain = serde_json::to_string(&Request::Complete { id: 7, code: &code, cursor: None }).unwrap();
        let with = |n, mark| String::from_utf8(numbered(plain.as_bytes(), n, mark)).unwrap();
        assert_eq!(with(3, None), plain.replacen('{', r#"{"n":3,"#, 1));
        assert_eq!(with(3, Some(9)), plain.replacen('{', r#"{"n":3,"mark":9,"#, 1));
    }
}
