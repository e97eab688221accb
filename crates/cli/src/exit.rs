//! Exit statuses. A `SystemExit(n)` of a script and 128+n for a signal stand beside these.

/// The Python code failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// The service or the environment failed.
pub(crate) const ENVIRONMENT: u8 = 3;
/// The time limit passed.
pub(crate) const TIMED_OUT: u8 = 124;
/// Interrupted.
pub(crate) const INTERRUPTED: u8 = 130;
