//! A script from its start to its end: signals, and the order of it all.

use super::checkpoints;
use super::outcome::Outcome;
use super::program::Program;
use super::pump::Pump;
use crate::args::{Common, RunArgs};
use crate::output::{Trouble, Writer};
use crate::signals::{Asked, Signals};
use crate::{exit, message, start};
use pyrepl3_engine::protocol::message::{Message, Restored};
use pyrepl3_engine::{Code, Engine, ExecuteRequest, Failure, Script, Session, SessionOptions, Source};
use std::time::Duration;

/// How long output may take to be read when the script was stopped by force: whoever does not read must not keep us.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// Without a time limit nothing but a person stops a script, and a script that handles the interrupt takes its time, as
/// under Python. This is the most that the engine allows.
const PATIENCE: f64 = 86_400.0;

/// Runs it and returns the exit status.
pub(crate) async fn main(args: &RunArgs, common: &Common) -> u8 {
    match prepare(args) {
        Ok((program, timeout)) => run(args, common, program, timeout).await,
        Err(failure) => {
            message::failure(&failure);
            exit::USAGE
        }
    }
}

/// Everything that can be wrong with the command line.
fn prepare(args: &RunArgs) -> Result<(Program, Option<Duration>), Failure> {
    let timeout = args.timeout.map(time_limit).transpose()?;
    Ok((Program::load(args)?, timeout))
}

fn time_limit(seconds: f64) -> Result<Duration, Failure> {
    let unusable = || {
        Failure::new(
            Code::BadRequest,
            format!("--timeout {seconds} cannot be used"),
            "a time limit is a number of seconds above 0",
            "give one, such as --timeout 2.5, or leave it out",
        )
    };
    if !(seconds.is_finite() && seconds > 0.0) {
        return Err(unusable());
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(unusable)
}

async fn run(args: &RunArgs, common: &Common, program: Program, timeout: Option<Duration>) -> u8 {
    let (mut signals, writer) = match (Signals::new(), Writer::new()) {
        (Ok(signals), Ok(writer)) => (signals, writer),
        (Err(error), _) | (_, Err(error)) => {
            message::error("the program could not start", &error.to_string(), "");
            return exit::ENVIRONMENT;
        }
    };
    let engine = start::engine(common);
    let mut options = start::options(common, &args.preload);
    if timeout.is_none() {
        options.limits.interrupt_grace = Some(PATIENCE);
    }
    let mut pump = Pump::new(writer, common.json, args.figures.clone());
    let status = tokio::select! {
        session = begin(&engine, args, options, &program, pump.wants_figures()) => match session {
            Ok((session, restored)) => {
                if let Some((restored, asked)) = restored.zip(args.from.as_deref()) {
                    let remarks = checkpoints::remarks(&restored, asked);
                    pump.message(&Message::Restored(restored)).await;
                    pump.note(&remarks).await;
                }
                follow(&session, &mut pump, &mut signals, program, timeout, args.checkpoint.as_deref()).await
            }
            Err(failure) => {
                pump.failed_to_start(&failure).await;
                message::failure(&failure);
                match failure.code {
                    // As for a file that is not there.
                    Code::CheckpointNotFound => exit::USAGE,
                    _ => exit::of_failure(&failure),
                }
            }
        },
        asked = signals.next() => asked.status(),
    };
    start::end(&engine).await;
    status
}

/// A session that stands where the script's first line is due.
async fn begin(
    engine: &Engine,
    args: &RunArgs,
    options: SessionOptions,
    program: &Program,
    figures: bool,
) -> Result<(Session, Option<Restored>), Failure> {
    if let Some(name) = &args.checkpoint {
        checkpoints::check(engine, name).await?;
    }
    let script = Script {
        argv: program.argv.iter().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        path0: program.path0.to_string_lossy().into_owned(),
        file: program.file.as_ref().map(|file| file.to_string_lossy().into_owned()),
        inherit_stdin: true,
        no_figures: !figures,
        underscore: false,
    };
    let session = engine.start_script(options, &script).await?;
    if let Some(checkpoint) = &args.from {
        let restored = checkpoints::bring_back(&session, (checkpoint, args.partial), program).await?;
        return Ok((session, Some(restored)));
    }
    if let Some(code) = program.correction() {
        session.execute(code)?.result().await.map_err(|error| {
            Failure::new(Code::Internal, "the script's arguments could not be passed", error.to_string(), "")
        })?;
    }
    Ok((session, None))
}

/// Runs the program to its end, however that comes about, and returns the exit status.
async fn follow(
    session: &Session,
    pump: &mut Pump,
    signals: &mut Signals,
    program: Program,
    timeout: Option<Duration>,
    checkpoint: Option<&str>,
) -> u8 {
    let mut events = session.events();
    let mut request = ExecuteRequest::new(Source::Bytes(program.source));
    request.file = Some(program.name);
    request.timeout = timeout;
    let execution = match session.execute(request) {
        Ok(execution) => execution,
        Err(failure) => {
            message::failure(&failure);
            return exit::of_failure(&failure);
        }
    };
    let mut outcome = match watch(session, signals, pump.execution(execution, session)).await {
        Ok(last) => Outcome::of(last, timeout),
        Err(cut) => return cut_short(session, pump, cut).await,
    };
    if let Some(name) = checkpoint {
        match keep(session, pump, signals, &outcome, name).await {
            Ok(true) => {}
            Ok(false) if outcome.status == exit::SUCCESS => outcome.status = exit::ENVIRONMENT,
            Ok(false) => {}
            Err(cut) => return cut_short(session, pump, cut).await,
        }
    }
    let leaving = async {
        // What the script left behind has its say: threads, `atexit`, files that are not flushed.
        match outcome.leave {
            Some(join) => session.leave(i32::from(outcome.status), join).await,
            None => session.shutdown().await,
        }
        Ok(())
    };
    let rest = async {
        pump.tell(&outcome).await;
        tokio::try_join!(pump.events(&mut events), leaving)
    };
    if let Err(cut) = watch(session, signals, rest).await {
        return cut_short(session, pump, cut).await;
    }
    let limit = (outcome.status == exit::TIMED_OUT).then_some(LAST_OUTPUT);
    let finish = pump.finish(limit);
    tokio::pin!(finish);
    let written = tokio::select! {
        written = &mut finish => written,
        asked = signals.next() => match tokio::time::timeout(LAST_OUTPUT, finish).await {
            Ok(written) => written,
            // All that is left to do is to write, and nobody reads.
            Err(_) => return asked.status(),
        },
    };
    match written {
        Ok(()) => outcome.status,
        Err(trouble) => unwritable(trouble),
    }
}

/// Saves the session of a script that has ended, if its process is there. Ctrl-C gives that up.
async fn keep(
    session: &Session,
    pump: &mut Pump,
    signals: &mut Signals,
    outcome: &Outcome,
    name: &str,
) -> Result<bool, Cut> {
    if outcome.leave.is_none() {
        let gone = Failure::new(
            Code::SessionLost,
            "there is nothing to save",
            "the script's process died, and its state with it",
            "an earlier checkpoint of this name is as it was",
        );
        checkpoints::unsaved(pump, name, &gone).await;
        return Ok(false);
    }
    let saving = checkpoints::save(session, pump, name);
    let asked = tokio::select! {
        saved = saving => return saved.map_err(Cut::Output),
        asked = signals.next() => asked,
    };
    match asked {
        Asked::End(signal) => Err(Cut::Signal(signal)),
        Asked::Interrupt => {
            // What is not complete when the session ends is removed.
            let given_up = Failure::new(Code::Interrupted, "it was given up", "Ctrl-C was pressed meanwhile", "");
            checkpoints::unsaved(pump, name, &given_up).await;
            Ok(false)
        }
    }
}

/// Why the script is not waited for any more.
enum Cut {
    /// SIGTERM or SIGHUP.
    Signal(i32),
    /// Standard output cannot be written.
    Output(Trouble),
}

/// Waits for some work of the session, and meanwhile for signals. The work itself says when output has failed.
async fn watch<T>(
    session: &Session,
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Cut> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(Cut::Output),
            asked = signals.next() => match asked {
                Asked::End(signal) => return Err(Cut::Signal(signal)),
                // Every Ctrl-C is passed on: the script may handle the first one and want another.
                Asked::Interrupt => {
                    let session = session.clone();
                    tokio::spawn(async move { session.interrupt().await });
                }
            },
        }
    }
}

/// Ends the session at once.
async fn cut_short(session: &Session, pump: &mut Pump, cut: Cut) -> u8 {
    _ = tokio::time::timeout(start::PATIENCE, session.shutdown()).await;
    match cut {
        Cut::Signal(signal) => {
            _ = pump.finish(Some(LAST_OUTPUT)).await;
            exit::of_signal(signal)
        }
        Cut::Output(trouble) => unwritable(trouble),
    }
}

fn unwritable(trouble: Trouble) -> u8 {
    if trouble.is_broken_pipe() {
        return exit::BROKEN_PIPE;
    }
    message::error(
        "the script was ended: its output could not be written",
        &trouble.reason(),
        "see to standard output, and run it again",
    );
    exit::ENVIRONMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_positive_and_finite() {
        assert_eq!(time_limit(1.5).unwrap(), Duration::from_millis(1500));
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert!(time_limit(seconds).is_err(), "{seconds}");
        }
    }
}
