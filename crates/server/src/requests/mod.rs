//! Requests of the public protocol, made of a session's handle and answered in its messages: for WebSockets here, and for the
//! wire protocol of programs that embed the engine.
//!
//! ```text
//!   ask          a request, made by the call; its answer, to be waited for
//!   answers      messages that answer
//!   cancellers   ways to give up checkpoints that are being made
//! ```

mod answers;
mod ask;
mod cancellers;

pub use answers::{bad_frame, branched, failed, progress, ready, reply, time};
pub use ask::{Answer, Asked, ask, json, request_of};
pub use cancellers::Cancellers;
