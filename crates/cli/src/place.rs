//! Where a person's history and figures are kept: `$XDG_DATA_HOME/pyrepl3`, else `~/.local/share/pyrepl3`.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Entries that the history keeps.
pub(crate) const HISTORY: usize = 10_000;

/// The folder, whether it exists or not.
pub(crate) fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share"))).map(|base| base.join("pyrepl3"))
}

/// A person's home, for `~` in paths.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The history's file, made so that nobody else can read it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn history(folder: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join("history");
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    Ok(path)
}
