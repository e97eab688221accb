//! What the end of a script means: its exit status, and what people are told.

use crate::exit;
use pyrepl3_engine::Failure;
use pyrepl3_engine::protocol::message::{EndStatus, ErrorMessage, Message};
use std::time::Duration;

/// The end of the script's execution: its last message, or why it never ran.
pub(crate) type LastMessage = Result<Message, Failure>;

/// How a script ended, for its exit status and for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: u8,
    /// As Python prints it.
    pub(crate) traceback: String,
    /// What Python does not say.
    pub(crate) note: String,
    /// Whether the script's process is there to leave as Python programs do, and if so, whether its threads are waited
    /// for.
    pub(crate) leave: Option<bool>,
}

/// How the engine words an interrupted execution that raised something of its own in the end.
const OWN_EXIT: &str = "interrupted; the code ended with SystemExit: ";

impl Outcome {
    pub(crate) fn of(last: LastMessage, timeout: Option<Duration>) -> Outcome {
        match last {
            Ok(Message::ErrorMessage(error)) => Outcome::of_error(&error, timeout),
            Ok(_) => {
                Outcome { status: exit::SUCCESS, traceback: String::new(), note: String::new(), leave: Some(true) }
            }
            Err(failure) => Outcome {
                leave: None,
                traceback: String::new(),
                ..Outcome::new(exit::of_failure(&failure), say(&failure))
            },
        }
    }

    fn new(status: u8, note: String) -> Outcome {
        Outcome { status, traceback: String::new(), note, leave: None }
    }

    fn of_error(error: &ErrorMessage, timeout: Option<Duration>) -> Outcome {
        if let Some(code) = own_exit(error) {
            // A text that it asked to print was printed where it was raised.
            return Outcome { leave: Some(true), ..Outcome::new(exit::of_code(code), String::new()) };
        }
        let leave = |join: bool| (!error.session_lost).then_some(join);
        match error.status {
            EndStatus::Failed => {
                let interrupted = error.ename == "KeyboardInterrupt";
                let status = if interrupted { exit::INTERRUPTED } else { exit::FAILED };
                Outcome {
                    // A hook that the script has set stands in for it, as in Python.
                    traceback: if error.shown { String::new() } else { error.traceback.clone() },
                    leave: leave(true),
                    ..Outcome::new(status, String::new())
                }
            }
            EndStatus::Interrupted => {
                let traceback = if error.session_lost { String::new() } else { error.traceback.clone() };
                Outcome { traceback, leave: leave(true), ..Outcome::new(exit::INTERRUPTED, String::new()) }
            }
            EndStatus::TimedOut => {
                let limit = timeout.map_or_else(String::new, |limit| format!(" of {} s", limit.as_secs_f64()));
                let traceback = if error.frames.is_empty() { String::new() } else { error.traceback.clone() };
                let note = format!("pyrepl3: the script was stopped: it exceeded the time limit{limit} (--timeout)\n");
                // Its threads get no more time either.
                Outcome { traceback, leave: leave(false), ..Outcome::new(exit::TIMED_OUT, note) }
            }
            EndStatus::Crashed => Outcome::of_crash(error),
            EndStatus::Cancelled => {
                Outcome::new(exit::ENVIRONMENT, format!("pyrepl3: the script did not run: {}\n", error.evalue))
            }
        }
    }

    fn of_crash(error: &ErrorMessage) -> Outcome {
        match error.exit.as_ref().map(|exit| (exit.code, exit.signal, exit)) {
            // `os._exit`: a program's way to leave, and nothing to remark on.
            Some((Some(code), _, _)) => Outcome::new(exit::of_code(code), String::new()),
            Some((None, Some(signal), exit)) => {
                // A shell says this of a program that a signal ended; of us it will not, since we exit.
                let note = match signal {
                    2 | 13 => String::new(),
                    _ => format!("pyrepl3: the script {exit}\n"),
                };
                Outcome::new(exit::of_signal(signal), note)
            }
            _ => Outcome::new(exit::ENVIRONMENT, format!("pyrepl3: {}\n", error.evalue)),
        }
    }
}

/// The status that the script asked for, also in answer to an interrupt.
fn own_exit(error: &ErrorMessage) -> Option<i32> {
    if error.exit_code.is_some() || error.status != EndStatus::Interrupted {
        return error.exit_code;
    }
    // The engine counts it as interrupted and keeps the status in words only.
    let code = error.evalue.strip_prefix(OWN_EXIT)?;
    match code {
        "" | "None" => Some(0),
        _ => Some(code.parse().unwrap_or(i32::from(exit::FAILED))),
    }
}

fn say(failure: &Failure) -> String {
    format!("pyrepl3: {failure}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> ErrorMessage {
        let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
        let defaults = serde_json::json!({
            "ename": "X", "evalue": "", "error": "", "traceback": "trace\n", "rolled_back": false, "duration": 0.0,
            "execution_count": 1,
        });
        for (key, default) in defaults.as_object().unwrap() {
            value.as_object_mut().unwrap().entry(key).or_insert_with(|| default.clone());
        }
        serde_json::from_value(value).unwrap()
    }

    fn status(json: &str) -> u8 {
        Outcome::of_error(&error(json), None).status
    }

    #[test]
    fn every_end_has_its_status() {
        for (json, expected) in [
            (r#"{"status": "failed"}"#, 1),
            (r#"{"status": "failed", "ename": "SystemExit", "exit_code": 7}"#, 7),
            (r#"{"status": "failed", "ename": "SystemExit", "exit_code": 0}"#, 0),
            (r#"{"status": "failed", "ename": "KeyboardInterrupt"}"#, 130),
            (r#"{"status": "interrupted"}"#, 130),
            (r#"{"status": "interrupted", "evalue": "interrupted; the code ended with SystemExit: 5"}"#, 5),
            (r#"{"status": "interrupted", "evalue": "interrupted; the code ended with SystemExit: "}"#, 0),
            (r#"{"status": "interrupted", "evalue": "interrupted; the code ended with SystemExit: bye"}"#, 1),
            (r#"{"status": "interrupted", "evalue": "interrupted; the code ended with ValueError: 5"}"#, 130),
            (r#"{"status": "timed_out"}"#, 124),
            (r#"{"status": "crashed", "session_lost": true, "exit": {"code": 9}}"#, 9),
            (r#"{"status": "crashed", "session_lost": true, "exit": {"signal": 11}}"#, 139),
            (r#"{"status": "crashed", "session_lost": true}"#, 3),
            (r#"{"status": "cancelled"}"#, 3),
        ] {
            assert_eq!(status(json), expected, "{json}");
        }
    }

    #[test]
    fn only_a_live_process_can_leave() {
        let crashed =
            Outcome::of_error(&error(r#"{"status": "crashed", "session_lost": true, "exit": {"code": 9}}"#), None);
        assert_eq!((crashed.leave, crashed.traceback.as_str(), crashed.note.as_str()), (None, "", ""));
        let failed = Outcome::of_error(&error(r#"{"status": "failed"}"#), None);
        assert_eq!((failed.leave, failed.traceback.as_str()), (Some(true), "trace\n"));
        let late = Outcome::of_error(&error(r#"{"status": "timed_out"}"#), Some(Duration::from_secs(2)));
        assert_eq!(late.leave, Some(false));
        assert!(late.note.contains("2 s"));
    }
}
