//! `pyrepl3 doctor`: what this machine offers, what is missing, and how to get it.
//!
//! ```text
//!   examine        the order of it all          report, missing   what was found, as values
//!   interpreters   those of the search path     render            the report for people
//!   trial          a session that computes
//!   isolation, limits   what the kernel offers and allows
//! ```

mod examine;
mod interpreters;
mod isolation;
mod limits;
mod missing;
mod proc_file;
mod render;
mod report;
mod trial;

pub(crate) use examine::main;
