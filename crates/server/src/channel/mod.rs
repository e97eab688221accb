//! The WebSocket of a session: the messages of the public protocol, both ways. Every client is told every event, under the
//! same number; answers go to who asked.
//!
//! ```text
//!   route        the request, refused before the WebSocket is there where it has to be
//!   reader       what the client sends: each request is made before the next one is read
//!   writer       what it is sent: events in order, and each answer behind the events that were there before it
//! ```

mod reader;
mod route;
mod writer;

pub(crate) use route::*;
