//! Events of a session as a stream of an answer: server-sent events, or JSON line by line.
//!
//! ```text
//!   source   where events come from: all of a session, or one execution's
//!   format   how one looks on the way
//!   feed     from the one to the other, as fast as the client takes it
//! ```

pub(crate) mod feed;
pub(crate) mod format;
pub(crate) mod source;
