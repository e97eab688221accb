//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Python sessions that last.
#[derive(Debug, Parser)]
#[command(name = "pyrepl3", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Interpreter, or virtual environment (default: the active virtual environment, then PATH)
    #[arg(long, global = true, value_name = "PATH|VENV")]
    pub(crate) python: Option<PathBuf>,
    /// How sessions are isolated from the machine; this version has only `none`
    #[arg(long, global = true, value_enum)]
    pub(crate) isolation: Option<Isolation>,
    /// Print JSON for programs: one message a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolation {
    Strict,
    Standard,
    Network,
    None,
}

impl Isolation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isolation::Strict => "strict",
            Isolation::Standard => "standard",
            Isolation::Network => "network",
            Isolation::None => "none",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Interactive session in the terminal (the default)
    Repl(ReplArgs),
    /// Run a script in a session
    Run(RunArgs),
    /// Say what this machine offers: interpreters, isolation, limits
    Doctor,
    /// Serve the wire protocol to a program that embeds the engine (see docs/protocol.md)
    Engine(EngineArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReplArgs {
    /// Module to import before the session starts; may be repeated
    #[arg(long, value_name = "MODULE")]
    pub(crate) preload: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArgs {
    /// Program passed as a string; everything after it is for the program
    #[arg(short = 'c', value_name = "CODE [ARGS]", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) code: Vec<OsString>,
    /// Stop the script after so many seconds (exit status 124)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) timeout: Option<f64>,
    /// Save figures and images that the script displays in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) figures: Option<PathBuf>,
    /// Module to import before the session starts; may be repeated
    #[arg(long, value_name = "MODULE")]
    pub(crate) preload: Vec<String>,
    /// Save the session under a name when the script has ended (comes with a later version)
    #[arg(long, value_name = "NAME")]
    pub(crate) checkpoint: Option<String>,
    /// Start from a saved session (comes with a later version)
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// Script file, or `-` for standard input; then the script's own arguments
    #[arg(value_name = "FILE [ARGS]", trailing_var_arg = true)]
    pub(crate) script: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EngineArgs {
    /// Standard input is a Unix socket over which connections are handed
    #[arg(long)]
    pub(crate) handoff: bool,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
