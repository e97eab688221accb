//! The command line.

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Python sessions that last.
#[derive(Debug, Parser)]
#[command(name = "pyrepl3", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Cli {
    /// Reads the command line; prints help or what is wrong with it, and ends the program, where it must.
    pub(crate) fn read() -> Cli {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        Cli::try_parse_from(separate_code(&arguments)).unwrap_or_else(|error| {
            if error.kind() == ErrorKind::InvalidSubcommand {
                // A script without `run` is the likeliest slip.
                let script = arguments.iter().skip(1).find(|argument| Path::new(argument).is_file());
                if let Some(script) = script {
                    let how = format!("to run it: pyrepl3 run {}", script.display());
                    crate::message::error(&format!("{} is no command", script.display()), "it is a file", &how);
                    std::process::exit(i32::from(crate::exit::USAGE));
                }
            }
            error.exit()
        })
    }
}

/// `-cCODE` as `-c CODE`, so that what follows is the program's in both forms.
fn separate_code(arguments: &[OsString]) -> Vec<OsString> {
    let valued = ["--python", "--isolation", "--data", "--timeout", "--figures", "--preload", "--checkpoint", "--from"];
    let mut separated = Vec::new();
    let mut rest = arguments.iter().skip_while(|argument| *argument != "run");
    separated.extend(arguments.iter().take_while(|argument| *argument != "run").cloned());
    separated.extend(rest.next().cloned());
    while let Some(argument) = rest.next() {
        if let Some(code) = argument.as_bytes().strip_prefix(b"-c").filter(|code| !code.is_empty()) {
            separated.extend(["-c".into(), OsStr::from_bytes(code).to_owned()]);
            break;
        }
        separated.push(argument.clone());
        if valued.iter().any(|option| argument == option) {
            separated.extend(rest.next().cloned());
        } else if !argument.as_bytes().starts_with(b"--") {
            break;
        }
    }
    separated.extend(rest.cloned());
    separated
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
    /// Data directory, where checkpoints are kept (default: $XDG_DATA_HOME/pyrepl3, else ~/.local/share/pyrepl3)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
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
    #[command(
        override_usage = "pyrepl3 run [OPTIONS] FILE [ARGS]...\n       pyrepl3 run [OPTIONS] -c CODE [ARGS]...",
        after_help = "Exit status: the script's own, as under Python; 124 when its time was up, 130 when it was \
                      interrupted, 128+n when signal n ended it, 2 for wrong usage, 3 when there is no session."
    )]
    Run(RunArgs),
    /// Look at saved sessions, compare them, delete them, take them elsewhere
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Serve sessions over HTTP and WebSocket to programs that show a token (see docs/api.md)
    #[command(
        after_help = "The token is made at the first start and kept in the data directory. SIGTERM or Ctrl-C: nothing \
                            new is taken on, what runs has a time to end, then the sessions end; a second one: at once."
    )]
    Serve(ServeArgs),
    /// Show what sessions of the service have run and said, also after their end; without an id, list them
    History(HistoryArgs),
    /// Say what this machine offers: interpreters, isolation, limits
    Doctor,
    /// Serve the wire protocol to a program that embeds the engine (see docs/protocol.md)
    Engine(EngineArgs),
}

/// A checkpoint is named by its id, the beginning of that, or its name: the newest of that name is meant.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// List the checkpoints, newest first
    List,
    /// Show what a checkpoint holds, what it could not keep, its sources and imports
    Show {
        #[arg(value_name = "ID|NAME")]
        checkpoint: String,
    },
    /// Say which names differ between two checkpoints
    Diff {
        /// The older one
        #[arg(value_name = "ID|NAME")]
        a: String,
        /// The newer one
        #[arg(value_name = "ID|NAME")]
        b: String,
    },
    /// Delete checkpoints; others that share bytes with them keep those
    Delete {
        #[arg(value_name = "ID|NAME", required = true)]
        checkpoints: Vec<String>,
    },
    /// Write a checkpoint to one file, to be taken elsewhere
    Export {
        #[arg(value_name = "ID|NAME")]
        checkpoint: String,
        file: PathBuf,
    },
    /// Take in a checkpoint that was exported; restoring it runs code that is in it
    Import {
        file: PathBuf,
        /// Answer for the file: you know who made it, and trust them
        #[arg(long)]
        trust: bool,
    },
    /// Read every byte of a checkpoint, or of all, and say what is damaged (exit status 3)
    Verify {
        #[arg(value_name = "ID|NAME")]
        checkpoint: Option<String>,
    },
    /// Delete checkpoints by a rule, and free what none needs
    Prune(PruneArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PruneArgs {
    /// Of each session, only the newest N stay
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,
    /// Checkpoints with a name stay, whatever the other rules say
    #[arg(long)]
    pub(crate) keep_named: bool,
    /// Older ones go
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub(crate) older_than: Option<f64>,
    /// The oldest go until all take no more than this: bytes, or a number with K, M, G or T (1024 each)
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) max_bytes: Option<u64>,
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse::<f64>().ok().filter(|days| days.is_finite() && *days >= 0.0);
    days.ok_or_else(|| "give a number of days, such as 30 or 0.5".to_owned())
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReplArgs {
    /// Module to import before the session starts; may be repeated
    #[arg(long, value_name = "MODULE")]
    pub(crate) preload: Vec<String>,
    /// Start from a saved session
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) from: Option<String>,
    /// With --from: where packages are missing or bytes are damaged, go on without what needs them
    #[arg(long, requires = "from")]
    pub(crate) partial: bool,
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
    /// Save the session under a name when the script has ended: also when it failed, was interrupted or timed out,
    /// but not when its process died
    #[arg(long, value_name = "NAME")]
    pub(crate) checkpoint: Option<String>,
    /// Start from a saved session
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) from: Option<String>,
    /// With --from: where packages are missing or bytes are damaged, go on without what needs them
    #[arg(long, requires = "from")]
    pub(crate) partial: bool,
    /// Script file, or `-` for standard input; then the script's own arguments
    #[arg(value_name = "FILE [ARGS]", trailing_var_arg = true)]
    pub(crate) script: Vec<OsString>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    /// Settings from a file (TOML, the names of these options); the environment (PYREPL3_SERVE_NAME) and options win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Replace the server that has the data directory: it leaves its sessions to this one, and code does not notice
    #[arg(long)]
    pub(crate) takeover: bool,
    /// Address to listen on; port 0 takes any that is free (default: 127.0.0.1:8787)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Unix socket to listen on; without --listen, on nothing else
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    /// Take the token from a file, instead of the data directory's own
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Listen on an address that others than this machine can reach, although nothing is encrypted and code that clients
    /// send has all rights of your user
    #[arg(long)]
    pub(crate) insecure_public: bool,
    /// Name that the server answers to, beside addresses and localhost (behind a proxy, say); may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Origin of pages in browsers that may use the server (SCHEME://HOST:PORT); may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// When told to stop: time that running code has to end (default: 10)
    #[arg(long, value_name = "SECONDS", value_parser = span)]
    pub(crate) drain: Option<f64>,
    /// When told to stop: leave the sessions to the next server, instead of ending them
    #[arg(long)]
    pub(crate) keep_sessions: bool,
    /// What is told survives: this server's process, or the machine (default: process)
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) durability: Option<DurabilityLevel>,
    /// How long sessions wait for another server when this one has died (default: 300)
    #[arg(long, value_name = "SECONDS", value_parser = span)]
    pub(crate) linger: Option<f64>,
    /// Bytes kept of each output stream of a session: its beginning and the newest (default: 1G)
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) journal_output: Option<u64>,
    /// Bytes kept of a session's other events: the newest (default: 256M)
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) journal_events: Option<u64>,
    /// Bytes kept of all sessions: those that have ended go first, the oldest of them first (default: 16G)
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) journal_total: Option<u64>,
    /// Days that a session which has ended is kept in the history (default: 30)
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub(crate) journal_days: Option<f64>,
    /// Sessions at once (default: 4096)
    #[arg(long, value_name = "N")]
    pub(crate) max_sessions: Option<usize>,
    /// Processes that stand ready for sessions to come, of each environment that was asked for lately (default: 2)
    #[arg(long, value_name = "N")]
    pub(crate) spares: Option<usize>,
    /// How much is logged, on standard error; with --json as JSON (default: info)
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HistoryArgs {
    /// The session
    #[arg(value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only what comes behind the event of this number
    #[arg(long, value_name = "N", requires = "session", default_value_t)]
    pub(crate) after: u64,
    /// Print the code that ran as a script; what did not complete, or was undone, is a comment in it
    #[arg(long, requires = "session", conflicts_with = "json")]
    pub(crate) script: bool,
}

/// What is told survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityLevel {
    #[default]
    Process,
    Machine,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    /// Each request, too
    Debug,
}

fn span(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=1e9).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds, such as 10 or 0.5".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EngineArgs {
    /// Standard input is a Unix socket over which connections are handed
    #[arg(long)]
    pub(crate) handoff: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separated(line: &str) -> String {
        let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
        separate_code(&arguments).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn attached_code_is_separated_where_it_is_ours() {
        assert_eq!(separated("p run -cprint a -cb"), "p run -c print a -cb");
        assert_eq!(
            separated("p --python x run --timeout 3 --json -cprint"),
            "p --python x run --timeout 3 --json -c print"
        );
        assert_eq!(separated("p run -c -cx"), "p run -c -cx");
        assert_eq!(separated("p run script.py -cx"), "p run script.py -cx");
        assert_eq!(separated("p doctor -cx"), "p doctor -cx");
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
