//! No faults: nothing of this is left in a build.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Plant, Torn};
use crate::disk::{Change, Step};

/// Whether something is wrong on purpose, this time.
#[inline]
#[must_use]
pub fn happens(_plant: Plant) -> bool {
    false
}

/// Called before each step.
#[expect(clippy::unnecessary_wraps, reason = "with faults, it fails")]
#[inline]
pub(crate) fn before(_step: Step, _path: &Path, _torn: Option<Torn<'_>>) -> io::Result<()> {
    Ok(())
}

/// Called after each change.
#[inline]
pub(crate) fn done(_change: Change<'_>) {}

/// How much is in a file.
#[inline]
pub(crate) fn length(_file: &File) -> u64 {
    0
}

/// How much of the trace there is.
#[inline]
pub(crate) fn mark() -> u64 {
    0
}
