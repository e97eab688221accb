//! The private protocol between the engine and the Python side. What comes from a worker is hostile: user code shares its
//! process and can write on its channel. Everything here is bounded by [`crate::frame`], and its order is checked by
//! the session's state machine.
//!
//! No pid crosses it but that of a child that user code itself waits for ([`Wait`]), which the engine does not look at:
//! in a pid namespace the numbers differ. A worker has a number that the engine chose, a process is handed over as a
//! pidfd.

mod answer;
mod event;
mod init;
mod request;
mod zygote;

pub use answer::*;
pub use event::*;
pub use init::*;
pub use request::*;
pub use zygote::*;

/// The largest frame that a worker may send, in bytes.
pub const MAX_WORKER_FRAME: usize = 32 << 20;

/// How many descriptors may come with one frame; the kernel's limit is 253.
pub const MAX_FRAME_FDS: usize = 64;
