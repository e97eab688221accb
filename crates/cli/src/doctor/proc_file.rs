//! Files in which the kernel tells something.

use std::path::Path;

/// All of it; nothing where it is not there.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
