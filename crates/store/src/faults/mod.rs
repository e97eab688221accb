//! Faults on demand, for the tests of a whole service. There are none without the feature `faults`.
//!
//! `PYREPL3_FAULTS` says which, as `name=value` with commas between. A *step* is a change that goes through `disk::Disk`, or a file that it opens; they are
//! counted from 1, for each process.
//!
//! | name | meaning |
//! | --- | --- |
//! | `kill_at=N` | at the step N the process kills itself; half of a write is done by then |
//! | `fail_at=N:ENOSPC`, `fail_at=N:EIO` | the step N fails; half of a write is done by then |
//! | `full_from=N`, `full_from=N:COUNT` | from the step N on, so many steps long, no file can be made or written |
//! | `trace=FILE` | each change is appended to a file once it is done, as a line of JSON: what a loss of power could undo |
//! | `plant=NAME` | something is wrong on purpose ([`Plant`]), so that it is seen whether the tests notice |

#[cfg(not(feature = "faults"))]
mod none;
#[cfg(feature = "faults")]
mod on_demand;

#[cfg(not(feature = "faults"))]
pub use none::happens;
#[cfg(not(feature = "faults"))]
pub(crate) use none::{before, done, length, mark};
#[cfg(feature = "faults")]
pub use on_demand::happens;
#[cfg(feature = "faults")]
pub(crate) use on_demand::{before, done, length, mark};

use std::fs::File;

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// `skip_sync`: what is said to be on the disk is not.
    SkipSync,
    /// `repeat`: an idempotency key that is known is not looked at.
    Repeat,
    /// `drop_output`: now and then a piece of what a pipe gave is thrown away.
    DropOutput,
    /// `reuse_number`: now and then an event has the number of the one before it.
    ReuseNumber,
}

/// Where bytes are about to be written, for the half of them that a fault writes.
#[cfg_attr(not(any(test, feature = "faults")), expect(dead_code, reason = "it is looked at where there are faults"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Torn<'a> {
    pub(crate) file: &'a File,
    pub(crate) bytes: &'a [u8],
    /// The place; the file's end without it.
    pub(crate) at: Option<u64>,
}
