//! What processes wrote, byte by byte.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::format::{Place, Stream};
use super::segments::output_path;
use crate::disk::Disk;
use crate::faults::{self, Plant};
use crate::{Error, Result};

/// The newest file of one stream.
#[derive(Debug)]
pub(super) struct RawWriter {
    stream: Stream,
    /// None until there is something to write.
    open: Option<Open>,
    /// The end of all that was written.
    end: u64,
    /// The size at which the next file begins.
    roll: u64,
    /// Files that were completed since the last time somebody asked.
    pub(super) fresh: Vec<PathBuf>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    begins: u64,
}

impl RawWriter {
    /// Goes on with the last of these files. None begins before the one before it ends.
    pub(super) fn new(stream: Stream, files: &[(u64, PathBuf)], told: u64, roll: u64) -> Result<RawWriter> {
        let Some((begins, path)) = files.last() else {
            return Ok(RawWriter { stream, open: None, end: told, roll, fresh: Vec::new() });
        };
        let file = File::options().read(true).write(true).open(path).map_err(|error| Error::io("open", path, error))?;
        let length = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
        let end = begins.saturating_add(length);
        // A machine that died can have lost bytes that events tell of: what comes next has its place after them.
        let open = (end >= told).then(|| Open { file, path: path.clone(), begins: *begins });
        Ok(RawWriter { stream, open, end: end.max(told), roll, fresh: Vec::new() })
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where the newest file begins.
    pub(super) fn begins(&self) -> u64 {
        self.open.as_ref().map_or(self.end, |open| open.begins)
    }

    /// Takes at most so many bytes out of a pipe and keeps them: none is out of it and not kept, whatever happens. None where nothing is
    /// there; 0 at its end.
    pub(super) fn take(
        &mut self,
        disk: &Disk,
        directory: &Path,
        pipe: BorrowedFd<'_>,
        limit: usize,
    ) -> Result<Option<usize>> {
        let end = self.end;
        let open = self.file_to_write(disk, directory)?;
        let mut at = end - open.begins;
        loop {
            disk.may_write(&open.path)?;
            if faults::happens(Plant::DropOutput) {
                // What is thrown away: a piece of it.
                let nowhere = File::options()
                    .write(true)
                    .open("/dev/null")
                    .map_err(|error| Error::io("open", &open.path, error))?;
                _ = splice(pipe, None, &nowhere, None, 16, SpliceFlags::NONBLOCK);
            }
            match splice(pipe, None, &open.file, Some(&mut at), limit, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
                Ok(count) => {
                    disk.wrote(&open.file, &open.path, Some(at - count as u64), count);
                    self.end += count as u64;
                    return Ok(Some(count));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(Error::io("write", &open.path, error.into())),
            }
        }
    }

    /// Appends bytes that came another way.
    pub(super) fn put(&mut self, disk: &Disk, directory: &Path, bytes: &[u8]) -> Result<()> {
        let end = self.end;
        let open = self.file_to_write(disk, directory)?;
        disk.write_at(&open.file, &open.path, bytes, end - open.begins)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The file that the next bytes go to.
    fn file_to_write(&mut self, disk: &Disk, directory: &Path) -> Result<&Open> {
        let kept = self.open.take_if(|open| self.end - open.begins < self.roll);
        let open = match kept {
            Some(open) => open,
            None => {
                let path = output_path(directory, self.stream, self.end);
                let file = disk.create(&path)?;
                self.fresh.extend(self.open.take().map(|open| open.path));
                Open { file, path, begins: self.end }
            }
        };
        Ok(self.open.insert(open))
    }

    /// Has the file in which the newest bytes are.
    pub(super) fn file(&self) -> Option<(&File, &Path)> {
        self.open.as_ref().map(|open| (&open.file, open.path.as_path()))
    }
}

/// What a place has: bytes that are gone come first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    /// Bytes of the place that are in no file any more.
    pub(super) gone: u64,
}

/// Reads a place out of the files of its stream.
pub(super) fn read(files: &[(u64, PathBuf)], place: Place) -> Result<Found> {
    let mut found = Found::default();
    let first = files.partition_point(|(begins, _)| *begins <= place.at).saturating_sub(1);
    let mut at = place.at;
    for (begins, path) in &files[first.min(files.len())..] {
        if at >= place.end() || *begins >= place.end() {
            break;
        }
        if *begins > at {
            // Between two files nothing is: what came before it is gone, too.
            found = Found { bytes: Vec::new(), gone: *begins - place.at };
            at = *begins;
        }
        let file = match File::open(path) {
            // Retention has taken it away just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(|error| Error::io("open", path, error))?,
        };
        let there = (begins + file.metadata().map_err(|error| Error::io("read", path, error))?.len()).min(place.end());
        if there > at {
            let start = found.bytes.len();
            found.bytes.resize(start + usize::try_from(there - at).unwrap_or(usize::MAX), 0);
            file.read_exact_at(&mut found.bytes[start..], at - begins)
                .map_err(|error| Error::io("read", path, error))?;
            at = there;
        }
    }
    if at < place.end() {
        // The end of it was never written, or is lost: nothing whole is left.
        found = Found { bytes: Vec::new(), gone: place.length };
    }
    Ok(found)
}
