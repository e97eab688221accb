//! Messages, ids, error codes and framing of pyrepl3. No I/O.
//!
//! Two protocols share the framing of [`frame`]:
//!
//! * [`message`]: what a client and the engine say to each other (the public protocol, `docs/protocol.md`);
//! * [`worker`] and [`saver`]: what the engine and the Python worker say to each other (private, and hostile on one side).

pub mod failure;
pub mod frame;
pub mod id;
pub mod message;
pub mod saver;
pub mod text;
pub mod worker;

pub use failure::{Code, Failure};
pub use frame::{FrameError, MAX_FRAME};
pub use message::{Message, PROTOCOL_VERSION, Weight};
pub use text::JsonText;
