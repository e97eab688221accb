//! The log of a session: every message that it has for clients, once, in one order, with a number. Nothing else delivers
//! messages.
//!
//! ```text
//!  session's task -- append --> +-----+ -- cursor --> reader: all that happens
//!                               | log | -- cursor --> reader: one execution
//!                               +-----+ -- cursor --> reader: what belongs to no execution
//! ```
//!
//! `retained` keeps what a later reader can still get, `backlog` what one reader has not taken yet; both are pure. `event`
//! is what a reader gets. Messages are shared, so that many readers cost no copies.

mod backlog;
mod event;
mod event_log;
mod reader;
mod retained;

pub use event::Event;
pub(crate) use event_log::{EventLog, Filter, Origin, ReaderId};
pub(crate) use reader::Reader;
pub(crate) use retained::Retention;

#[cfg(test)]
mod tests;
