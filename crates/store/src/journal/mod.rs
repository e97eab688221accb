//! The journal of a session: its events on disk, numbered without gaps, and what its processes wrote.
//!
//! ```text
//! <data>/events/<session>/00000000000000000001.events    records: events, and references to output
//!                         00000000000000000000.stdout    what came through the pipe, byte by byte
//!                         00000000000000000000.stderr    the same, named by the place of their first byte
//!                         cuts                           what retention has taken away
//! ```
//!
//! Output goes from the pipe into its file by `splice`: a process that dies in between has not read what it did not keep. The event that tells of it is a record
//! after that, with the place; what no record tells of when a journal is opened again is told then. An event that was appended is in the system's hands: it
//! survives its process. [`Writer::unsynced`] has what must be synced for it to survive the machine.
//!
//! Events are opaque here: the bytes of a message, as it goes over the wire. The bytes of every file are described in `docs/design/journal.md`.

mod cuts;
mod format;
mod raw;
mod reader;
mod retention;
mod segments;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use cuts::Cut;
pub use format::{Place, Stream};
pub use reader::{Entry, Reader, numbers};
pub use retention::{Limits, clear};
pub use writer::{Unsynced, Untold, Writer};

#[cfg(feature = "fuzzing")]
pub(crate) use format::{HEADER, Header, Step, next};

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The directory of a session's journal.
///
/// # Errors
/// The id could lead somewhere else.
pub fn directory(data: &Path, session: &str) -> io::Result<PathBuf> {
    let below = crate::session_directory(Path::new(""), session)?;
    let name = below.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    Ok(data.join("events").join(name))
}

/// The ids of the sessions that have a journal.
///
/// # Errors
/// The directory cannot be read.
pub fn sessions(data: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(data.join("events")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        ids.extend(entry?.file_name().into_string().ok().filter(|id| directory(data, id).is_ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}
