//! From the command line to the first prompt, and back to an exit status.

use super::display::terminal;
use super::session_factory::SessionFactory;
use super::state::Repl;
use crate::args::{Common, ReplArgs, RunArgs};
use crate::signals::Signals;
use crate::{exit, message, run, start};
use pyrepl3_engine::protocol::message::Restored;
use pyrepl3_engine::{Code, Failure, Session, SessionOptions};
use std::io::IsTerminal;

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
            partial: args.partial,
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
    let terminal = terminal::TerminalGuard::new();
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
    let factory = SessionFactory { engine: start::engine(common), options };
    let begun = tokio::select! {
        session = begin(&factory, args) => session,
        asked = signals.next() => {
            start::end(&factory.engine).await;
            return asked.status();
        }
    };
    let status = match begun {
        Ok((session, restored)) => match Repl::new(factory.clone(), &session, signals) {
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
    start::end(&factory.engine).await;
    status
}

/// The first session, with the state of a checkpoint if one is asked for.
async fn begin(factory: &SessionFactory, args: &ReplArgs) -> Result<(Session, Option<Restored>), Failure> {
    let session = factory.session().await?;
    let restored = match &args.from {
        Some(checkpoint) => Some(session.restore(checkpoint, args.partial).await?),
        None => None,
    };
    Ok((session, restored))
}
