//! `pyrepl3 serve`: the service, from the command line.
//!
//! ```text
//!   command   the server, its ready line, its signals
//!   settings  from a file, the environment and options
//!   logs      what it logs, on standard error, by a thread of its own
//! ```

mod command;
mod logs;
mod settings;

pub(crate) use command::main;
