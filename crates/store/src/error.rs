//! What can go wrong, in words that say what happened, why, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on the store failed.
///
/// Whatever is answered, checkpoints that were complete before are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such checkpoint.
    #[error("there is no checkpoint {asked:?}{}; list the checkpoints to see their names and ids", what_there_is(.there))]
    NotFound {
        /// What was asked for.
        asked: String,
        /// Some of what there is, newest first.
        there: Vec<String>,
    },
    /// The beginning of an id fits several checkpoints.
    #[error("{asked:?} is the beginning of several checkpoints' ids ({}); give more of the id", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// The ids that it may mean.
        candidates: Vec<String>,
    },
    /// Bytes on disk, or in an export file, are not those that were written.
    #[error("{checkpoint} is damaged: {what}. {still_good}")]
    Damaged {
        /// The checkpoint, as `checkpoint ckp_…`, or the file that is damaged.
        checkpoint: String,
        /// What is wrong, and where.
        what: String,
        /// What can still be used, and how.
        still_good: String,
    },
    /// No space is left: on the disk, in the quota, or below the store's own bound.
    #[error(
        "the checkpoint was not saved: {why}. What had been written of it is removed, earlier checkpoints are as they were. Delete checkpoints that are not needed, or give the store more room"
    )]
    Full {
        /// Which bound was met, and where.
        why: String,
    },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {}: {source}", .path.display())]
    Unreadable {
        /// What was tried: `open`, `write`, ….
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// A later version of this program wrote it.
    #[error(
        "{what} has format {found}, and this version reads formats up to {known}; use the version of pyrepl3 that wrote it, or a later one"
    )]
    NewerFormat {
        /// The file.
        what: String,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// Another process holds the lineage for longer than was waited.
    #[error("the checkpoints in {} are locked: another process is sorting them out, and did not finish within {waited} s; try again", .path.display())]
    Locked {
        /// The lineage's directory.
        path: PathBuf,
        /// How long was waited, in seconds.
        waited: u64,
    },
    /// More than the store takes.
    #[error("{what} is too large: {size} bytes, and the limit is {limit}; raise the store's limit, or save less")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// More parts than the store takes.
    #[error("{what} is too many: the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Misuse(String),
}

fn what_there_is(names: &[String]) -> String {
    if names.is_empty() { ": there are none here".into() } else { format!(" (there are: {})", names.join(", ")) }
}

impl Error {
    /// Gives an error of the operating system its place. Those that mean that no space is left are told as [`Error::Full`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Error::Full { why: format!("no space is left to {action} {}", path.display()) };
        }
        Error::Unreadable { action, path: path.to_owned(), source }
    }

    /// Damage to a file of which it is not known yet to which checkpoints it belongs.
    pub(crate) fn damaged_file(path: &Path, what: impl Into<String>) -> Error {
        Error::Damaged {
            checkpoint: path.display().to_string(),
            what: what.into(),
            still_good: "Checkpoints that do not need this file are as they were; verify tells which".into(),
        }
    }
}
