//! The last message of an execution, from what the machine decided and what the worker said.

use super::failures::goes_on;
use super::life::{State, Verdict};
use crate::messages::{self, error};
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{EndStatus, ErrorMessage, Message, ProcessExit, ResultMessage, StopStep};
use pyrepl3_protocol::worker::{Done, Raised};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the worker said of an execution's end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) enum EndReport {
    Done(Box<Done>),
    Raised(Box<Raised>),
    /// Nothing: its process died, or it never ran.
    #[default]
    None,
    /// Something that was too large to be written down when its supervisor died.
    Unwritten,
}

impl EndReport {
    /// A copy to be written down, as far as it is small enough.
    pub(crate) fn to_be_written(&self, fits: impl FnOnce(usize) -> bool) -> EndReport {
        if matches!(self, EndReport::None) {
            return EndReport::None;
        }
        let json = serde_json::to_string(self).ok().filter(|json| fits(json.len()));
        json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(EndReport::Unwritten)
    }
}

/// What else is known.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) ran_for: Option<Duration>,
    pub(crate) execution_count: u64,
    pub(crate) exit: Option<&'a ProcessExit>,
    /// What became of the state.
    pub(crate) state: State,
    /// What was restored, where it was undone.
    pub(crate) report: Option<String>,
    /// Names that were carried over.
    pub(crate) salvaged: Vec<String>,
    /// Numbers of the executions that were undone.
    pub(crate) undone: Vec<u64>,
    /// Whether the process was killed because its channel was closed.
    pub(crate) severed: bool,
    /// What broke the protocol, if something did.
    pub(crate) violation: Option<&'a str>,
}

/// The last message. Its session and execution are filled in by the caller.
pub(crate) fn last_message(verdict: Verdict, report: EndReport, known: &Circumstances<'_>) -> Message {
    let message = match (verdict, report) {
        (Verdict::Reported, EndReport::Done(done)) => return Message::ResultMessage(result(*done, known)),
        (Verdict::Reported, EndReport::Raised(raised)) => reported(*raised, EndStatus::Failed),
        (Verdict::Interrupted, EndReport::Raised(raised)) => interrupted(*raised),
        (Verdict::Reported | Verdict::Interrupted, EndReport::Unwritten) => error(
            EndStatus::Failed,
            "ReportLost",
            "it failed; what it said of that went with the supervisor that had read it".into(),
        ),
        (Verdict::TimedOut, report) => timed_out(report, known),
        (Verdict::Killed { timed_out }, _) => killed(timed_out, known),
        (Verdict::Crashed, _) => crashed(known),
        (Verdict::Cancelled, _) => {
            error(EndStatus::Cancelled, "Cancelled", "it was cancelled before it started".into())
        }
        (Verdict::CancelledByError, _) => error(
            EndStatus::Cancelled,
            "Cancelled",
            "it never ran: an execution before it failed and asked to stop on error".into(),
        ),
        (Verdict::Violation, _) => {
            let why = known.violation.unwrap_or("the worker broke the protocol");
            let mut message = error(EndStatus::Crashed, "ProtocolError", format!("{why}; the session was ended"));
            message.session_lost = true;
            message
        }
        (
            Verdict::Closed
            | Verdict::Reported
            | Verdict::Interrupted
            | Verdict::Done
            | Verdict::Begun(_)
            | Verdict::Refused(_),
            _,
        ) => error(EndStatus::Cancelled, "Cancelled", "the session was shut down".into()),
    };
    Message::ErrorMessage(finish(message, known))
}

fn finish(mut message: ErrorMessage, known: &Circumstances<'_>) -> ErrorMessage {
    match known.state {
        State::Kept | State::Lost => {}
        State::Undone => {
            message.rolled_back = true;
            message.report.clone_from(&known.report);
            message.undone.clone_from(&known.undone);
            message.salvaged.clone_from(&known.salvaged);
        }
        State::Stuck => {
            message.report = Some(
                "its effects could not be undone: the process of its snapshot had ended. The state is as it left it"
                    .into(),
            );
        }
    }
    message.execution_count = known.execution_count;
    if message.duration == 0.0 {
        message.duration = known.ran_for.map_or(0.0, |time| time.as_secs_f64());
    }
    message
}

fn result(mut done: Done, known: &Circumstances<'_>) -> ResultMessage {
    // A worker leaves out the plain text where it is all that there is.
    if let (true, Some(repr)) = (done.data.is_empty(), &done.repr)
        && let Ok(text) = serde_json::value::to_raw_value(repr)
    {
        done.data.insert("text/plain".into(), text);
    }
    ResultMessage {
        id: id::new(IdKind::Message),
        timestamp: messages::now(),
        session_id: None,
        execution_id: None,
        seq: None,
        value: done.value,
        repr: done.repr,
        value_type: done.value_type,
        data: done.data,
        shown: done.shown,
        duration: done.duration,
        memory_delta: done.memory_delta,
        changes: done.changes,
        execution_count: known.execution_count,
        replayed: false,
    }
}

fn reported(raised: Raised, status: EndStatus) -> ErrorMessage {
    let mut message = error(status, &raised.ename, raised.evalue);
    message.traceback = raised.traceback;
    message.frames = raised.frames;
    message.shown = raised.shown;
    message.exit_code = raised.exit_code;
    message.duration = raised.duration;
    message.changes = raised.changes;
    message
}

/// An interrupted execution ends as `KeyboardInterrupt`, whatever the interrupt made of it on its way.
fn interrupted(raised: Raised) -> ErrorMessage {
    let other = (raised.ename != "KeyboardInterrupt").then(|| format!("{}: {}", raised.ename, raised.evalue));
    let mut message = reported(raised, EndStatus::Interrupted);
    message.stopped_by = Some(StopStep::Interrupt);
    message.exit_code = None;
    if let Some(other) = other {
        message.ename = "KeyboardInterrupt".into();
        message.evalue = format!("interrupted; the code ended with {other}");
        message.error.clone_from(&message.evalue);
    }
    message
}

fn timed_out(report: EndReport, known: &Circumstances<'_>) -> ErrorMessage {
    let text = format!("the execution exceeded its time limit of {}", seconds(known.timeout));
    let mut message = match report {
        EndReport::Raised(raised) => {
            let other = raised.ename != "KeyboardInterrupt";
            let mut message = reported(*raised, EndStatus::TimedOut);
            if !other {
                let kept = message.traceback.trim_end().strip_suffix("KeyboardInterrupt").map(str::to_owned);
                if let Some(kept) = kept {
                    message.traceback = format!("{kept}TimeoutError: {text}\n");
                }
            }
            message.exit_code = None;
            message
        }
        EndReport::Done(done) => {
            // It swallowed the interrupt and went on to its end, but its time had passed.
            let mut message = error(EndStatus::TimedOut, "TimeoutError", text.clone());
            message.duration = done.duration;
            message.changes = done.changes;
            message
        }
        EndReport::None | EndReport::Unwritten => error(EndStatus::TimedOut, "TimeoutError", text.clone()),
    };
    message.ename = "TimeoutError".into();
    message.evalue.clone_from(&text);
    message.error = text;
    message.stopped_by = Some(StopStep::Interrupt);
    message
}

fn killed(timed_out: bool, known: &Circumstances<'_>) -> ErrorMessage {
    let by_us = known.exit.is_none_or(|exit| exit.signal == Some(9));
    let how = if by_us {
        format!("it did not stop within {} of SIGINT, so its process was killed", seconds(Some(known.grace)))
    } else {
        let exit = known.exit.map(ToString::to_string).unwrap_or_default();
        format!("its process {exit} when it was interrupted")
    };
    let mut message = if timed_out {
        let limit = seconds(known.timeout);
        error(
            EndStatus::TimedOut,
            "TimeoutError",
            format!("the execution exceeded its time limit of {limit}; {how}; {}", goes_on(known.state)),
        )
    } else {
        error(EndStatus::Interrupted, "KeyboardInterrupt", format!("{how}; {}", goes_on(known.state)))
    };
    message.stopped_by = Some(if by_us { StopStep::Kill } else { StopStep::Interrupt });
    message.session_lost = known.state == State::Lost;
    message.exit = known.exit.cloned();
    message
}

fn crashed(known: &Circumstances<'_>) -> ErrorMessage {
    let how = known.exit.map_or_else(|| "ended in a way that could not be seen".to_owned(), ToString::to_string);
    let how = if known.severed { format!("closed its control channel and lived on, so it {how}") } else { how };
    let text = format!("the worker process {how}; {}", goes_on(known.state));
    let mut message = error(EndStatus::Crashed, "WorkerDied", text);
    message.session_lost = known.state == State::Lost;
    message.exit = known.exit.cloned();
    message
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "?".to_owned(), |time| format!("{} s", time.as_secs_f64()))
}
