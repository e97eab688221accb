//! `pyrepl3 run`: a script in a session of its own, towards the world as `python FILE`.
//!
//! ```text
//!   script        signals, and the order of it all
//!   program       what is to run: file, standard input, -c
//!   pump          messages -> standard output and error
//!   outcome       what an end means for the exit status
//!   checkpoints   --from and --checkpoint
//! ```

mod checkpoints;
mod outcome;
mod program;
mod pump;
mod script;

pub(crate) use script::main;
