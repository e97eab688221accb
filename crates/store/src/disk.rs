//! Every change to a file goes through here, so that tests can make the n-th one fail, and so that errors name the file.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::faults::{self as on_demand, Plant, Torn};
use crate::rights::{FILE_MODE, make_directory, make_each, own};
use crate::{Error, Result};

#[cfg(test)]
pub(crate) mod faults;

/// What is about to be done, for the faults of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    CreateDirectory,
    Write,
    Sync,
    SyncDirectory,
    Rename,
    Remove,
    Open,
}

/// What was done.
#[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "it is looked at where there are faults"))]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    Created(&'a Path),
    CreatedDirectory(&'a Path),
    /// At a place, or at the end that the file has now.
    Written {
        path: &'a Path,
        file: &'a File,
        at: Option<u64>,
        length: u64,
    },
    /// So much of it was there before.
    Synced {
        path: &'a Path,
        length: u64,
    },
    /// What the trace had by then.
    SyncedDirectory {
        path: &'a Path,
        mark: u64,
    },
    Renamed {
        from: &'a Path,
        to: &'a Path,
    },
    Removed(&'a Path),
}

/// The file system, or one that fails on demand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: Option<std::sync::Arc<faults::Faults>>,
}

impl Disk {
    fn before(&self, step: Step, path: &Path) -> std::io::Result<()> {
        self.before_write(step, path, None)
    }

    fn before_write(&self, step: Step, path: &Path, torn: Option<Torn<'_>>) -> std::io::Result<()> {
        on_demand::before(step, path, torn)?;
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            if let Some(Torn { file, bytes, at }) = torn {
                at.map_or_else(|| faults.tear(file, bytes), |at| faults.tear_at(file, bytes, at));
            }
            return faults.before(step, path);
        }
        Ok(())
    }

    /// Makes a file that must not be there yet, to write to and read from, by nobody else.
    pub(crate) fn create(&self, path: &Path) -> Result<File> {
        let made = self.before(Step::Create, path);
        made.and_then(|()| OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path))
            .and_then(|file| own(&file).map(|()| file))
            .inspect(|_| on_demand::done(Change::Created(path)))
            .map_err(|error| Error::io("create", path, error))
    }

    pub(crate) fn open(&self, path: &Path) -> Result<File> {
        self.before(Step::Open, path).and_then(|()| regular(path)).map_err(|error| Error::io("open", path, error))
    }

    /// Appends to a file that was opened at `path`.
    pub(crate) fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
        self.before_write(Step::Write, path, Some(Torn { file, bytes, at: None }))
            .and_then(|()| file.write_all(bytes))
            .inspect(|()| self.wrote(file, path, None, bytes.len()))
            .map_err(|error| Error::io("write", path, error))
    }

    /// Writes at a place of a file that was opened at `path`.
    pub(crate) fn write_at(&self, file: &File, path: &Path, bytes: &[u8], at: u64) -> Result<()> {
        self.before_write(Step::Write, path, Some(Torn { file, bytes, at: Some(at) }))
            .and_then(|()| file.write_all_at(bytes, at))
            .inspect(|()| self.wrote(file, path, Some(at), bytes.len()))
            .map_err(|error| Error::io("write", path, error))
    }

    /// Asks whether the disk takes what the kernel writes to it next.
    pub(crate) fn may_write(&self, path: &Path) -> Result<()> {
        self.before(Step::Write, path).map_err(|error| Error::io("write", path, error))
    }

    /// Tells what was written, by the kernel or by us.
    #[expect(clippy::unused_self, reason = "it is the disk that is told")]
    pub(crate) fn wrote(&self, file: &File, path: &Path, at: Option<u64>, length: usize) {
        on_demand::done(Change::Written { path, file, at, length: length as u64 });
    }

    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<()> {
        let length = on_demand::length(file);
        let asked = self.before(Step::Sync, path);
        if on_demand::happens(Plant::SkipSync) {
            return Ok(());
        }
        asked
            .and_then(|()| file.sync_all())
            .inspect(|()| on_demand::done(Change::Synced { path, length }))
            .map_err(|error| Error::io("write to the disk", path, error))
    }

    /// Makes it last which names a directory holds.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        let mark = on_demand::mark();
        let asked = self.before(Step::SyncDirectory, path);
        if on_demand::happens(Plant::SkipSync) {
            return Ok(());
        }
        asked
            .and_then(|()| File::open(path)?.sync_all())
            .inspect(|()| on_demand::done(Change::SyncedDirectory { path, mark }))
            .map_err(|error| Error::io("write to the disk", path, error))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.before(Step::Rename, to)
            .and_then(|()| fs::rename(from, to))
            .inspect(|()| on_demand::done(Change::Renamed { from, to }))
            .map_err(|error| Error::io("rename to", to, error))?;
        #[cfg(test)]
        if let Some(faults) = &self.faults {
            faults.renamed(from, to);
        }
        Ok(())
    }

    /// Removes a file. One that is not there any more is removed.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        match self.before(Step::Remove, path).and_then(|()| fs::remove_file(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
            removed => {
                if removed.is_ok() {
                    on_demand::done(Change::Removed(path));
                }
                Ok(())
            }
        }
    }

    /// Makes a directory and those above it. Those that are there already keep their rights: somebody may have chosen them.
    pub(crate) fn make_directories(&self, path: &Path) -> Result<()> {
        make_each(path, &|one: &Path| {
            self.before(Step::CreateDirectory, one)
                .and_then(|()| make_directory(one))
                .inspect(|()| on_demand::done(Change::CreatedDirectory(one)))
                .map_err(|error| Error::io("create", one, error))
        })
    }

    /// Removes a directory, if it is empty.
    pub(crate) fn remove_empty(&self, path: &Path) -> Result<()> {
        match self.before(Step::Remove, path).and_then(|()| fs::remove_dir(path)) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(Error::io("remove", path, error))
            }
            removed => {
                if removed.is_ok() {
                    on_demand::done(Change::Removed(path));
                }
                Ok(())
            }
        }
    }

    /// The names in a directory, sorted; none where there is no such directory. Names that are not text are not ours, and are left out.
    pub(crate) fn names(&self, path: &Path) -> Result<Vec<String>> {
        let entries = match self.before(Step::Open, path).and_then(|()| fs::read_dir(path)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("list", path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io("list", path, error))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a small file whole, or `None` where there is none.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match self.before(Step::Open, path).and_then(|()| regular(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let size = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
        if size > limit {
            return Err(Error::TooLarge { what: path.display().to_string(), size, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        std::io::Read::read_to_end(&mut std::io::Read::take(&file, limit), &mut bytes)
            .map_err(|error| Error::io("read", path, error))?;
        Ok(Some(bytes))
    }
}

/// Opens a file for reading. A pipe that somebody has put in its place would be waited for.
fn regular(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::new(ErrorKind::InvalidInput, "this is no regular file"))
    }
}
