//! `pyrepl3`: Python sessions that last, at a terminal, for scripts, and embedded in other programs.

mod args;
mod bundle;
mod checkpoint;
mod clock;
mod descriptors;
mod doctor;
mod embed;
mod exit;
mod history;
mod message;
mod output;
mod paths;
mod repl;
mod run;
mod serve;
mod signals;
mod size;
mod start;
mod table;

use args::{Cli, Command, ReplArgs};
use std::process::ExitCode;

fn main() -> ExitCode {
    descriptors::raise();
    let cli = Cli::read();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            message::error("the program could not start", &error.to_string(), "");
            return ExitCode::from(exit::ENVIRONMENT);
        }
    };
    let code = match &cli.command {
        Some(Command::Engine(engine)) => runtime.block_on(embed::main(&cli.common, engine)),
        Some(Command::Run(run)) => runtime.block_on(run::main(run, &cli.common)),
        Some(Command::Checkpoint(asked)) => runtime.block_on(checkpoint::main(asked, &cli.common)),
        Some(Command::Serve(asked)) => runtime.block_on(serve::main(asked, &cli.common)),
        Some(Command::History(asked)) => history::main(asked, &cli.common),
        Some(Command::Doctor) => runtime.block_on(doctor::main(&cli.common)),
        Some(Command::Repl(repl)) => runtime.block_on(repl::main(repl, &cli.common)),
        None => runtime.block_on(repl::main(&ReplArgs::default(), &cli.common)),
    };
    // Reads of a terminal that no longer matter must not keep the program.
    runtime.shutdown_background();
    ExitCode::from(code)
}
