//! Where a person's history, figures and checkpoints are kept: `$XDG_DATA_HOME/pyrepl3`, else `~/.local/share/pyrepl3`.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The data directory, whether it exists or not.
pub(crate) fn data_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share"))).map(|base| base.join("pyrepl3"))
}

/// A path with `~` resolved.
pub(crate) fn expand(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// The history's file in the data directory, made so that nobody else can read it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn history_file(data_dir: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let path = data_dir.join("history");
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    Ok(path)
}
