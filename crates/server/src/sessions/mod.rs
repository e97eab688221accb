//! Sessions as the service knows them: what they were made with, what ran in them, when they end.
//!
//! ```text
//!   spec      what a session is asked to be, and whether one that is there is that
//!   records   what was asked for, on disk, so that the next server knows it, too
//!   table     all sessions by their ids, those that begin and those that have ended included
//!   served    one session: its handle, its executions, when it was used last
//!   executions, clipped   what ran, how it ended, its output within a limit
//!   keeper    follows a session: fills in its executions, ends it when its time is over
//!   submit    an execution on its way into a session
//!   view      a session, as clients see it
//! ```

pub(crate) mod clipped;
pub(crate) mod executions;
pub(crate) mod keeper;
pub(crate) mod records;
pub(crate) mod retention;
pub(crate) mod served;
pub(crate) mod spec;
pub(crate) mod submit;
pub(crate) mod table;
pub(crate) mod view;
