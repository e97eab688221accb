//! Who may act for a session that outlives its supervisor: a lease, in a directory of the session's own.
//!
//! ```text
//! <data>/sessions/<session>/lease       the epoch, as a decimal number. Locked (`flock`) by the engine that has the session
//! <data>/sessions/<session>/init.sock   where session init listens
//! ```
//!
//! The lock ends with its process, however that ends. The epoch grows each time the lease is taken, so session init can tell a new owner from an old one that still
//! writes. Nothing is synced: no session outlives its machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::lock::is_at;
use crate::rights::{FILE_MODE, make_directories, own};

const LEASE: &str = "lease";
/// For how long others may look at it, one after the other.
const LOOKS: Duration = Duration::from_millis(200);
/// The name of session init's socket in the directory.
pub const INIT_SOCKET: &str = "init.sock";

/// The right to act for a session. It ends with this, or with the process.
#[derive(Debug)]
pub struct Lease {
    file: File,
    directory: PathBuf,
    epoch: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // To close the file is not enough where another thread forks just now. Closing follows, so an error changes nothing.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The directory of a session.
///
/// # Errors
/// The id could lead somewhere else: it has other characters than `a-z`, `0-9`, `_` and `-`, or none, or too many.
pub fn session_directory(data: &Path, session: &str) -> io::Result<PathBuf> {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    if session.is_empty() || session.len() > 100 || !session.bytes().all(fits) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{session:?} is no id of a session")));
    }
    Ok(data.join("sessions").join(session))
}

/// The ids of the sessions that have a directory, whoever has them. None where nothing was ever kept.
///
/// # Errors
/// The directory cannot be read.
pub fn kept_sessions(data: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(data.join("sessions")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        if let Ok(id) = entry?.file_name().into_string()
            && session_directory(data, &id).is_ok()
        {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

impl Lease {
    /// Makes the directory of a session that begins, and takes its lease.
    ///
    /// # Errors
    /// The file system's; `WouldBlock` where another engine has the session.
    pub fn begin(data: &Path, session: &str) -> io::Result<Lease> {
        let directory = session_directory(data, session)?;
        loop {
            make_directories(&directory)?;
            match Lease::open(&directory, true) {
                // Somebody took the empty directory for one that was left.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                taken => return taken,
            }
        }
    }

    /// Takes the lease of a session that nobody has any more. An empty directory, which somebody had no time to fill or to
    /// remove, is removed.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `WouldBlock` where another engine has it; the file system's.
    pub fn take_over(data: &Path, session: &str) -> io::Result<Lease> {
        let directory = session_directory(data, session)?;
        let taken = Lease::open(&directory, false);
        if taken.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            _ = fs::remove_dir(&directory);
        }
        taken
    }

    /// Whether nobody has the session. Somebody may have it a moment later.
    ///
    /// # Errors
    /// As [`Lease::take_over`], but for `WouldBlock`.
    pub fn is_free(data: &Path, session: &str) -> io::Result<bool> {
        let file = open(&session_directory(data, session)?.join(LEASE), false)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(true),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn open(directory: &Path, create: bool) -> io::Result<Lease> {
        let path = directory.join(LEASE);
        loop {
            let file = open(&path, create)?;
            lock(&file)?;
            if !is_at(&file, &path)? {
                // Whoever had it has deleted it meanwhile.
                continue;
            }
            own(&file)?;
            let epoch = read_epoch(&file)?.saturating_add(1);
            // Of one length, so that no other number can be read out of half of it.
            file.write_all_at(format!("{epoch:020}\n").as_bytes(), 0)?;
            return Ok(Lease { file, directory: directory.to_owned(), epoch });
        }
    }

    /// The number of this owner: above those of all before it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The session's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Gives its directory the name of a session that begins.
    ///
    /// # Errors
    /// The file system's; `DirectoryNotEmpty` where there is such a session.
    pub fn rename(&mut self, data: &Path, session: &str) -> io::Result<()> {
        let directory = session_directory(data, session)?;
        if let Some(above) = directory.parent() {
            make_directories(above)?;
        }
        fs::rename(&self.directory, &directory)?;
        self.directory = directory;
        Ok(())
    }

    /// Whether it still counts: to be asked before whatever changes the session. The lock sees to it that it does, but not every file system keeps its word.
    ///
    /// # Errors
    /// The file system's.
    pub fn counts(&self) -> io::Result<bool> {
        Ok(read_epoch(&self.file)? == self.epoch)
    }

    /// The session has ended: its directory goes.
    ///
    /// # Errors
    /// The file system's. Files that are not the session's stay, and the directory with them.
    pub fn end(self) -> io::Result<()> {
        // The lease last: while it is there and locked, nobody else takes the session for one that waits.
        for name in [INIT_SOCKET, LEASE] {
            match fs::remove_file(self.directory.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(FILE_MODE).custom_flags(flags).open(path)
}

/// Takes the lock. Who only looks whether it is free has it for a moment.
fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error == rustix::io::Errno::WOULDBLOCK && begun.elapsed() < LOOKS => {
                std::thread::sleep(Duration::from_millis(2));
            }
            locked => return Ok(locked?),
        }
    }
}

fn read_epoch(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 32];
    let count = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..count]).map_or("?", str::trim);
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| io::Error::new(ErrorKind::InvalidData, "the lease says no epoch: it was tampered with"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn one_owner_at_a_time_and_each_has_a_higher_epoch() {
        let data = tempfile::tempdir().unwrap();
        let first = Lease::begin(data.path(), "ses_1").unwrap();
        assert!(first.epoch() == 1 && first.counts().unwrap());
        assert_eq!(Lease::take_over(data.path(), "ses_1").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(kept_sessions(data.path()).unwrap(), ["ses_1"]);
        drop(first);
        let second = Lease::take_over(data.path(), "ses_1").unwrap();
        assert_eq!(second.epoch(), 2);
        let mode = fs::metadata(second.directory().join(LEASE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        second.end().unwrap();
        assert_eq!(Lease::take_over(data.path(), "ses_1").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(kept_sessions(data.path()).unwrap().is_empty());
        // One that its owner had no time to fill.
        fs::create_dir(data.path().join("sessions/ses_2")).unwrap();
        assert_eq!(Lease::take_over(data.path(), "ses_2").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(kept_sessions(data.path()).unwrap().is_empty());
    }

    #[test]
    fn a_directory_gets_the_name_of_a_session() {
        let data = tempfile::tempdir().unwrap();
        let mut spare = Lease::begin(&data.path().join("spares"), "ses_0").unwrap();
        spare.rename(data.path(), "mine").unwrap();
        assert!(spare.counts().unwrap());
        assert_eq!(kept_sessions(data.path()).unwrap(), ["mine"]);
        let mut another = Lease::begin(&data.path().join("spares"), "ses_0").unwrap();
        assert_eq!(another.rename(data.path(), "mine").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        another.end().unwrap();
        spare.end().unwrap();
        assert!(kept_sessions(data.path()).unwrap().is_empty());
    }

    #[test]
    fn a_lease_that_somebody_took_all_the_same_does_not_count() {
        let data = tempfile::tempdir().unwrap();
        let lease = Lease::begin(data.path(), "ses_1").unwrap();
        fs::write(lease.directory().join(LEASE), "7").unwrap();
        assert!(!lease.counts().unwrap());
    }

    #[test]
    fn what_is_no_id_and_no_epoch_leads_nowhere() {
        let data = tempfile::tempdir().unwrap();
        for id in ["", "..", "a/b", "A", "\0", &"a".repeat(101)] {
            assert!(session_directory(data.path(), id).is_err(), "{id:?}");
        }
        drop(Lease::begin(data.path(), "ses_1").unwrap());
        fs::write(data.path().join("sessions/ses_1/lease"), "x").unwrap();
        assert_eq!(Lease::take_over(data.path(), "ses_1").unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
