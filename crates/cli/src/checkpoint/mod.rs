//! `pyrepl3 checkpoint`: the checkpoints of the data directory. No Python is needed for any of it.
//!
//! ```text
//!   command          the subcommands
//!   render           what people are shown of checkpoints; the terminal shows the same
//!   cancel_on_drop   a checkpoint that nobody waits for any more is given up
//! ```

mod cancel_on_drop;
mod command;
mod render;

pub(crate) use cancel_on_drop::CancelOnDrop;
pub(crate) use command::main;
pub(crate) use render::{called, differences, list, package_difference};
