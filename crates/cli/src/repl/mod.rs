//! `pyrepl3 repl`: a session in the terminal.
//!
//! ```text
//!   keys -> editor (thread) --Answer--> turn ----> session
//!             |     ^                     |  <---- messages, events
//!             v     '--- above <--- screen <---'
//!          terminal <-----------------'
//! ```
//!
//! `turn` is the loop; what it does is in `asking` (the editor), `running` (executions), `commands` (lines that begin
//! with `%`), `travel` (undo, snapshots, branches), `durable` (saved sessions), `leaving`. `lexer` and `colour` paint. `live` answers the editor's own questions: completion, is this
//! complete?

mod above;
mod asking;
mod colour;
mod command;
mod commands;
mod complete;
mod durable;
mod editor;
mod indent;
mod leaving;
mod lexer;
mod live;
mod password;
mod prompt;
mod quiet;
mod running;
mod screen;
mod show;
mod steps;
mod terminal;
mod travel;
mod turn;

use crate::args::{Common, ReplArgs, RunArgs};
use crate::signals::Signals;
use crate::{exit, message, run, start};
use pyrepl3_engine::protocol::message::Restored;
use pyrepl3_engine::{Code, Engine, Failure, Script, Session, SessionOptions};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Steps that can be undone: each is a process that keeps what has changed since.
const UNDO: u32 = 20;

/// Runs it and returns the exit status.
pub(crate) async fn main(args: &ReplArgs, common: &Common) -> u8 {
    if !std::io::stdin().is_terminal() {
        // As Python does: what is piped in is the program.
        let script = RunArgs {
            script: vec!["-".into()],
            preload: args.preload.clone(),
            from: args.from.clone(),
            ..RunArgs::default()
        };
        return run::main(&script, common).await;
    }
    let wrong = if common.json {
        Some((
            "--json is not for the interactive session",
            "use `pyrepl3 run --json`, or `pyrepl3 engine` from a program",
        ))
    } else if !std::io::stdout().is_terminal() {
        Some(("the interactive session needs a terminal on standard output", "run a script instead: pyrepl3 run FILE"))
    } else {
        None
    };
    if let Some((what, how)) = wrong {
        message::error(what, "", how);
        return exit::USAGE;
    }
    let terminal = terminal::Guard::new();
    let status = interact(args, common).await;
    drop(terminal);
    status
}

async fn interact(args: &ReplArgs, common: &Common) -> u8 {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            message::error("the terminal's signals could not be taken hold of", &error.to_string(), "");
            return exit::ENVIRONMENT;
        }
    };
    let options = SessionOptions { undo: UNDO, ..start::options(common, &args.preload) };
    let place = Place { engine: start::engine(common), options };
    let begun = tokio::select! {
        session = begin(&place, args.from.as_deref()) => session,
        asked = signals.next() => {
            start::end(&place.engine).await;
            return asked.status();
        }
    };
    let status = match begun {
        Ok((session, restored)) => match turn::Repl::new(place.clone(), &session, signals) {
            Ok(repl) => repl.run(restored).await,
            Err(error) => {
                message::error("the line editor could not be started", &error.to_string(), "");
                exit::ENVIRONMENT
            }
        },
        Err(failure) => {
            message::failure(&failure);
            match failure.code {
                Code::CheckpointNotFound => exit::USAGE,
                _ => exit::of_failure(&failure),
            }
        }
    };
    start::end(&place.engine).await;
    status
}

/// The first session, with the state of a checkpoint if one is asked for.
async fn begin(place: &Place, from: Option<&str>) -> Result<(Session, Option<Restored>), Failure> {
    let session = place.session().await?;
    let restored = match from {
        Some(checkpoint) => Some(session.restore(checkpoint, false).await?),
        None => None,
    };
    Ok((session, restored))
}

/// Where sessions come from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    engine: Engine,
    options: SessionOptions,
}

impl Place {
    /// A session that behaves as at Python's own prompt.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let script = Script { underscore: true, ..Script::default() };
        self.engine.start_script(self.options.clone(), &script).await
    }
}

/// A path with `~` resolved.
pub(crate) fn expand(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match (path.strip_prefix("~"), crate::place::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}
