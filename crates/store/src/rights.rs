//! The rights of what is written: a session's state is its owner's alone, whatever the umask, and also where the
//! directories around it are open to others. Checkpoints, journals and exports all get them here.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// The rights of a file.
pub const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Gives a file that was just made its rights: a umask can have taken some away from the owner, too.
///
/// # Errors
/// The file system's.
pub fn own(file: &File) -> Result<()> {
    if file.metadata()?.permissions().mode() & 0o777 == FILE_MODE {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Makes a directory and those above it. Those that are there already keep their rights: somebody may have chosen them.
/// One that others take away meanwhile is theirs to miss: whoever puts a file into it finds that out.
///
/// # Errors
/// The file system's; a file is in the way.
pub fn make_directories(path: &Path) -> Result<()> {
    make_each(path, &make_directory)
}

/// Has each directory made that is not there, from the top.
pub(crate) fn make_each<E>(
    path: &Path,
    make: &impl Fn(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_each(above, make)?;
    }
    make(path)
}

/// Makes one directory.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        // A umask can take rights away from the owner, too.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)),
        // Another process was faster, and may have taken it away again.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && (path.is_dir() || gone(path)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn gone(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
