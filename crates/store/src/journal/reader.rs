//! Reads a journal, while somebody appends to it or not.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::cuts::Cut;
use super::format::{HEADER, PREFIX, Place, Step, next};
use super::raw;
use super::segments::Files;
use super::window::Window;
use crate::disk::Disk;
use crate::{Error, Result};

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event {
        /// Its number.
        seq: u64,
        /// The message, as it was appended.
        message: Vec<u8>,
        /// Of output, what was written; and before it, bytes that are gone.
        output: Option<(u64, Vec<u8>)>,
    },
    /// Events that are gone: those after the one that was read last, up to this one.
    Gone(Cut),
    /// Events that cannot be read: from the first to the last number.
    Damaged {
        /// The numbers.
        first: u64,
        /// The last of them.
        last: u64,
        /// The file that has them.
        path: PathBuf,
    },
}

/// A cursor on the journal of a session.
#[derive(Debug)]
pub struct Reader {
    disk: Disk,
    directory: PathBuf,
    files: Files,
    /// The number of the last event that was read.
    after: u64,
    segment: Option<Segment>,
    /// Whether output is read, too.
    with_output: bool,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    begins: u64,
    at: u64,
    seq: u64,
    window: Window,
}

impl Reader {
    /// Reads what comes after the event with a number; 0: everything.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(directory: &Path, after: u64) -> Result<Reader> {
        let disk = Disk::default();
        let files = Files::list(&disk, directory)?;
        Ok(Reader { disk, directory: directory.to_owned(), files, after, segment: None, with_output: true })
    }

    /// Leaves output where it is: no entry has any.
    #[must_use]
    pub fn without_output(self) -> Reader {
        Reader { with_output: false, ..self }
    }

    /// The next entry; None where the event `until` was read, or all that is there.
    ///
    /// # Errors
    /// The file system's; [`Error::NewerFormat`].
    pub fn next(&mut self, until: u64) -> Result<Option<Entry>> {
        loop {
            if self.after >= until {
                return Ok(None);
            }
            let Some(segment) = &mut self.segment else {
                match self.enter()? {
                    Entered::Segment => continue,
                    Entered::Entry(entry) => return Ok(Some(entry)),
                    Entered::End => return Ok(None),
                }
            };
            match segment.step().map_err(|error| Error::io("read", &segment.path, error))? {
                Found::Record { seq, message, output } => {
                    if seq <= self.after {
                        continue;
                    }
                    self.after = seq;
                    let output = match output.filter(|_| self.with_output) {
                        Some((place, sum)) => Some(self.output(place, sum)?),
                        None => None,
                    };
                    return Ok(Some(Entry::Event { seq, message, output }));
                }
                Found::End => {
                    let (begins, path, seq) = (segment.begins, segment.path.clone(), segment.seq);
                    self.files = Files::list(&self.disk, &self.directory)?;
                    let next = self.files.events.iter().map(|(begins, _)| *begins).find(|other| *other > begins);
                    match next {
                        // Of the newest segment more can come.
                        None => return Ok(None),
                        Some(next) if next > seq => {
                            self.segment = None;
                            let first = seq.max(self.after + 1);
                            self.after = self.after.max(next - 1);
                            return Ok(Some(Entry::Damaged { first, last: next - 1, path }));
                        }
                        Some(_) => self.segment = None,
                    }
                }
            }
        }
    }

    fn output(&mut self, place: Place, sum: u32) -> Result<(u64, Vec<u8>)> {
        let index = place.stream.index();
        let mut found = raw::read(&self.files.output[index], place)?;
        if found.gone > 0 {
            // A file may have begun since.
            self.files = Files::list(&self.disk, &self.directory)?;
            found = raw::read(&self.files.output[index], place)?;
        }
        if found.gone == 0 && crc32fast::hash(&found.bytes) != sum {
            return Ok((place.length, Vec::new()));
        }
        Ok((found.gone, found.bytes))
    }

    /// Goes to the segment that has the next event.
    fn enter(&mut self) -> Result<Entered> {
        let wanted = self.after + 1;
        let mut refreshed = false;
        loop {
            let at = self.files.events.partition_point(|(begins, _)| *begins <= wanted);
            let Some((begins, path)) = (if at > 0 { self.files.events.get(at - 1) } else { self.files.events.first() })
            else {
                return Ok(Entered::End);
            };
            if *begins > wanted {
                let cut = Cut::read(&self.disk, &self.directory)?;
                let last = *begins - 1;
                self.after = last;
                return Ok(Entered::Entry(Entry::Gone(Cut { last, bytes: cut.bytes })));
            }
            match File::open(path) {
                Ok(file) => {
                    let (begins, path) = (*begins, path.clone());
                    let mut segment =
                        Segment { file, path, begins, at: HEADER as u64, seq: begins, window: Window::new() };
                    segment.window.header(&segment.file, &segment.path, begins)?;
                    self.segment = Some(segment);
                    return Ok(Entered::Segment);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !refreshed => {
                    refreshed = true;
                    self.files = Files::list(&self.disk, &self.directory)?;
                }
                Err(error) => return Err(Error::io("open", path, error)),
            }
        }
    }
}

enum Entered {
    Segment,
    Entry(Entry),
    End,
}

enum Found {
    Record { seq: u64, message: Vec<u8>, output: Option<(Place, u32)> },
    End,
}

impl Segment {
    fn step(&mut self) -> std::io::Result<Found> {
        let mut wanted = PREFIX;
        loop {
            let bytes = self.window.at(&self.file, self.at, wanted)?;
            match next(bytes) {
                Step::Record(record, used) if record.seq == self.seq => {
                    let found =
                        Found::Record { seq: record.seq, message: record.message.to_vec(), output: record.output };
                    (self.at, self.seq) = (self.at + used as u64, self.seq + 1);
                    return Ok(found);
                }
                Step::More(needed) if bytes.len() >= wanted && needed > wanted => wanted = needed,
                Step::More(_) | Step::Record(..) | Step::Damaged => return Ok(Found::End),
            }
        }
    }
}

/// The numbers of the earliest event that is kept and of the last one. Where none is kept, the earliest is the one to come.
///
/// # Errors
/// As [`Reader::next`].
pub fn numbers(directory: &Path) -> Result<(u64, u64)> {
    let disk = Disk::default();
    let cut = Cut::read(&disk, directory)?;
    let files = Files::list(&disk, directory)?;
    // Only the newest segment has to be read. Where it is empty yet, the one before it ends where it begins.
    let newest = files.events.last().map_or(cut.last + 1, |(begins, _)| *begins);
    let mut reader = Reader::new(directory, newest - 1)?.without_output();
    while reader.next(u64::MAX)?.is_some() {}
    let earliest = files.events.first().map_or(cut.last + 1, |(begins, _)| *begins);
    Ok((earliest, reader.after))
}
