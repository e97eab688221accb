//! `pyrepl3 history`: what sessions of the service have run and said.
//!
//! ```text
//!   command   reads journals, and prints
//!   told      events as text for people
//!   script    the code that ran, as a script
//! ```

mod command;
mod script;
mod told;

pub(crate) use command::main;
