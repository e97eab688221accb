//! Reads what is asked for, and prints it.

use super::script::Script;
use super::told;
use crate::args::{Common, HistoryArgs};
use crate::clock::ago;
use crate::table::{lines, plain};
use crate::{exit, message, paths, size};
use pyrepl3_engine::{Failure, History};
use std::io::{self, Write};
use std::path::Path;

/// Prints it and returns the exit status.
pub(crate) fn main(asked: &HistoryArgs, common: &Common) -> u8 {
    let Some(data) = common.data.clone().or_else(paths::data_dir) else {
        message::error("there is no data directory", "HOME is not set", "name one with --data DIR");
        return exit::USAGE;
    };
    let done = match &asked.session {
        None => list(&data, common.json),
        Some(session) => show(&data, session, asked, common.json),
    };
    match done {
        Ok(()) => exit::SUCCESS,
        Err(Stop::Failed(failure)) => {
            message::failure(&failure);
            match failure.code {
                pyrepl3_engine::Code::SessionClosed => exit::USAGE,
                _ => exit::of_failure(&failure),
            }
        }
        Err(Stop::Unheard(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit::BROKEN_PIPE,
        Err(Stop::Unheard(error)) => {
            message::error("the history could not be written", &error.to_string(), "");
            exit::ENVIRONMENT
        }
    }
}

/// Why it ends before its end.
enum Stop {
    Failed(Failure),
    Unheard(io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Unheard(error)
    }
}

fn list(data: &Path, json: bool) -> Result<(), Stop> {
    let known = History::list(data)?;
    let mut out = io::stdout().lock();
    if json {
        for line in &known {
            writeln!(out, "{}", serde_json::to_string(line).map_err(io::Error::other)?)?;
        }
    } else if known.is_empty() {
        writeln!(out, "no session has said anything that is kept here ({})", data.display())?;
    } else {
        let mut rows = vec![["session", "last written", "kept", "gone"].map(str::to_owned)];
        rows.extend(known.iter().map(|line| {
            let gone = if line.lost_bytes > 0 { size::bytes(line.lost_bytes) } else { String::new() };
            [plain(&line.session_id), ago(line.written_at), size::bytes(line.bytes), gone]
        }));
        for line in lines(&rows, &[2, 3]) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}

fn show(data: &Path, session: &str, asked: &HistoryArgs, json: bool) -> Result<(), Stop> {
    let mut history = History::open(data, session, asked.after)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut script, mut people) = (Script::default(), told::Told::default());
    loop {
        let events = history.next()?;
        if events.is_empty() {
            break;
        }
        for event in events {
            if asked.script {
                script.take(&event);
            } else if json {
                out.write_all(&event.to_json().map_err(|error| io::Error::other(error.to_string()))?)?;
                out.write_all(b"\n")?;
            } else {
                people.write(&event, &mut out)?;
            }
        }
    }
    if asked.script {
        script.write(session, &mut out)?;
    } else if !json {
        people.end(&mut out)?;
    }
    Ok(out.flush()?)
}
