//! The log of a session: every message that it has for clients, once, in one order, with a number. Nothing else delivers
//! messages.
//!
//! ```text
//!  session's task -- append --> +-----+ -- cursor --> reader: all that happens
//!                               | log | -- cursor --> reader: one execution
//!                               +-----+ -- cursor --> reader: what belongs to no execution
//! ```
//!
//! `journal` writes events down before anybody gets them, where the session has a journal, and reads those that are not in memory any more; `persist` is the log's side
//! of that. `cursor` is what one reader wants. `retained` keeps what a later reader can still get, `backlog` what one reader has not taken yet; both are pure. `event`
//! is what a reader gets. Messages are shared, so that many readers cost no copies.

mod backlog;
mod cursor;
mod event;
mod event_log;
mod journal;
mod persist;
mod reader;
mod retained;
mod settle;

pub(crate) use cursor::{Filter, Origin, ReaderId};
pub use event::Event;
pub(crate) use event_log::EventLog;
pub use journal::Durability;
pub(crate) use journal::{Journal, Journalling, PastReader, Told};
pub(crate) use reader::Reader;
pub(crate) use retained::Retention;
pub(crate) use settle::settle;

#[cfg(test)]
mod tests;
