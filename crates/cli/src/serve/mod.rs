//! `pyrepl3 serve`: the service, from the command line.
//!
//! ```text
//!   command   the server, its ready line, its signals
//!   logs      what it logs, on standard error, by a thread of its own
//! ```

mod command;
mod logs;

pub(crate) use command::main;
