//! The Python worker's source, embedded, and what Rust must know to launch it: find an interpreter, probe it, and hand
//! it its source without a file on disk.

pub mod find;
pub mod helper;
pub mod source;

pub use find::{FindError, Found, SearchPath, find, list, probe};
pub use helper::helper;
pub use source::{BOOTSTRAP, handoff};
