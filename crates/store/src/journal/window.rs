//! A segment, read a part at a time.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::format::{HEADER, Header, NoHeader, VERSION};
use crate::{Error, Result};

/// How much of a file is read at a time.
pub(super) const EACH: usize = 1 << 20;

/// A file, of which a part is in memory.
#[derive(Debug)]
pub(super) struct Window {
    begins: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { begins: 0, bytes: Vec::new() }
    }

    /// The header of a segment whose first event has the number that its name says.
    ///
    /// # Errors
    /// The file system's; [`Error::NewerFormat`]; [`Error::Damaged`] where it is no such segment.
    pub(super) fn header(&mut self, file: &File, path: &Path, begins: u64) -> Result<Header> {
        match Header::decode(self.at(file, 0, HEADER).map_err(|error| Error::io("read", path, error))?) {
            Ok(header) if header.first == begins => Ok(header),
            Err(NoHeader::Version(found)) => {
                Err(Error::NewerFormat { what: path.display().to_string(), found, known: VERSION })
            }
            Ok(_) | Err(NoHeader::Damaged) => Err(Error::damaged_file(path, "it does not begin as a segment does")),
        }
    }

    /// The bytes from a place on: at least so many where the file has them, else all that it has.
    pub(super) fn at(&mut self, file: &File, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let held = usize::try_from(at.wrapping_sub(self.begins)).ok();
        if let Some(start) = held.filter(|start| start.checked_add(wanted).is_some_and(|end| end <= self.bytes.len())) {
            return Ok(&self.bytes[start..]);
        }
        self.bytes.resize(wanted.max(EACH), 0);
        let count = read_at(file, &mut self.bytes, at)?;
        self.bytes.truncate(count);
        self.begins = at;
        Ok(&self.bytes)
    }
}

/// Fills bytes from a place of a file on: how many, fewer only at its end.
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match file.read_at(&mut bytes[count..], at + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
