//! The lock of a lineage. Whoever reads or adds holds it shared, whoever removes holds it alone. So what is being written is never taken for rubbish, and
//! what is being read is never removed. The kernel gives the lock back when its holder dies, however it dies.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::rights::{FILE_MODE, own};
use crate::{Error, Result};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(2);

/// Held until it is dropped. Each has an open file of its own, so that threads of one process exclude each other as processes do.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file is not enough where another thread forks just now: its child has the file until it executes something. Closing follows, so an
        // error here changes nothing.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Waits until nobody removes anything. `None` where there is no directory for it.
    pub(crate) fn shared(path: &Path, wait: Duration) -> Result<Option<Lock>> {
        let begun = Instant::now();
        loop {
            match attempt(path, FlockOperation::NonBlockingLockShared)? {
                Attempt::Held(lock) => return Ok(Some(lock)),
                Attempt::None => return Ok(None),
                Attempt::Busy if begun.elapsed() >= wait => {
                    let path = path.parent().unwrap_or(path).to_owned();
                    return Err(Error::Locked { path, waited: wait.as_secs() });
                }
                Attempt::Busy => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Takes the lineage for itself, or answers `None` at once where somebody uses it, or there is none.
    pub(crate) fn alone(path: &Path) -> Result<Option<Lock>> {
        Ok(match attempt(path, FlockOperation::NonBlockingLockExclusive)? {
            Attempt::Held(lock) => Some(lock),
            Attempt::None | Attempt::Busy => None,
        })
    }
}

enum Attempt {
    Held(Lock),
    Busy,
    None,
}

fn attempt(path: &Path, operation: FlockOperation) -> Result<Attempt> {
    let failed = |error| Error::io("lock", path, error);
    loop {
        let opened = match OpenOptions::new().read(true).write(true).open(path) {
            // The rights of one that is there are left alone.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made =
                    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
                made.and_then(|file| own(&file).map(|()| file))
            }
            opened => opened,
        };
        let file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Attempt::None),
            // What can only be read can be locked all the same.
            Err(error) if is_read_only(&error) => match File::open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Attempt::None),
                opened => opened,
            },
            opened => opened,
        }
        .map_err(failed)?;
        match flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Attempt::Busy),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(failed(error.into())),
        }
        // An empty lineage may have been removed, with the file, before it was locked.
        if is_at(&file, path).map_err(failed)? {
            return Ok(Attempt::Held(Lock { file }));
        }
    }
}

/// Whether an open file is still the one at a path.
///
/// # Errors
/// The file system's.
pub fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}
