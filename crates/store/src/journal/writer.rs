//! Appends to a journal, and opens one that another process has left.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fd::BorrowedFd;

use super::cuts::Cut;
use super::format::{HEADER, Header, MAX_BODY, PREFIX, Place, Record, Step, Stream, next};
use super::raw::{self, RawWriter};
use super::retention::Limits;
use super::segments::{Files, events_path};
use super::window::{EACH, Window, read_at};
use crate::disk::Disk;
use crate::{Error, Result};

/// The one who appends. Whoever has it answers for it that no other process does (a lease of the session).
#[derive(Debug)]
pub struct Writer {
    pub(super) disk: Disk,
    pub(super) directory: PathBuf,
    pub(super) limits: Limits,
    pub(super) cut: Cut,
    file: File,
    path: PathBuf,
    /// The number of the first event in the segment, and of the next one.
    first: u64,
    next: u64,
    /// Bytes of the segment that are whole records.
    size: u64,
    /// How much of each stream events tell of.
    told: [u64; 2],
    output: [RawWriter; 2],
    buffer: Vec<u8>,
    /// Segments that were completed since the last time somebody asked.
    fresh: Vec<PathBuf>,
    /// Whether all files are to be synced: another process has left them, or a sync has failed.
    all: bool,
}

/// What was left that no event tells of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// Bytes of standard output, and of standard error.
    pub output: [u64; 2],
    /// Where bytes after the last whole event were set aside, and how many: a machine that died has not written them whole.
    pub torn: Option<(PathBuf, u64)>,
}

impl Writer {
    /// Opens the journal of a session, or begins one.
    ///
    /// # Errors
    /// The file system's; [`Error::NewerFormat`]; [`Error::Damaged`] where the newest segment is no segment.
    pub fn open(directory: &Path, limits: Limits) -> Result<(Writer, Untold)> {
        Writer::open_on(&Disk::default(), directory, limits)
    }

    pub(super) fn open_on(disk: &Disk, directory: &Path, limits: Limits) -> Result<(Writer, Untold)> {
        disk.make_directories(directory)?;
        let mut files = Files::list(disk, directory)?;
        let cut = Cut::read(disk, directory)?;
        let mut untold = Untold::default();
        let opened = loop {
            let Some((begins, path)) = files.events.last() else { break None };
            match resume(disk, *begins, path, &mut untold)? {
                Some(opened) => break Some((opened, path.clone())),
                // It was being made: nothing is in it that anybody was told of.
                None => {
                    disk.remove(path)?;
                    files.events.pop();
                }
            }
        };
        let (resumed, path) = match opened {
            Some(opened) => opened,
            None => {
                let first = cut.last + 1;
                let path = events_path(directory, first);
                let header = Header { first, told: ends(&files) };
                (
                    Resumed {
                        file: begin(disk, &path, header)?,
                        header,
                        next: first,
                        size: HEADER as u64,
                        told: header.told,
                    },
                    path,
                )
            }
        };
        let Resumed { file, header, next, size, told } = resumed;
        for (stream, told) in files.output.iter_mut().zip(told) {
            set_aside_behind_a_hole(disk, stream, told)?;
        }
        let roll = limits.output_file();
        let [out, err] = &files.output;
        let output =
            [RawWriter::new(Stream::Stdout, out, told[0], roll)?, RawWriter::new(Stream::Stderr, err, told[1], roll)?];
        untold.output = [output[0].end() - told[0], output[1].end() - told[1]];
        let (disk, directory) = (disk.clone(), directory.to_owned());
        let (buffer, fresh, all, first) = (Vec::new(), Vec::new(), true, header.first);
        let writer =
            Writer { disk, directory, limits, cut, file, path, first, next, size, told, output, buffer, fresh, all };
        Ok((writer, untold))
    }

    /// The number of the next event.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How much is kept from now on. What is above it goes at once, but for the newest file of each kind.
    ///
    /// # Errors
    /// The file system's.
    pub fn keep_at_most(&mut self, limits: Limits) -> Result<()> {
        self.limits = limits;
        self.retain()
    }

    /// Appends an event. It has the number [`Writer::next`] had.
    ///
    /// # Errors
    /// The file system's; then nothing was appended.
    pub fn append(&mut self, message: &[u8]) -> Result<u64> {
        self.record(message, None)
    }

    /// Appends an event that tells of the next `length` bytes of a stream, which were taken. `message` is without them.
    ///
    /// # Errors
    /// As [`Writer::append`]; [`Error::Misuse`] where so much was not taken.
    pub fn append_output(&mut self, message: &[u8], stream: Stream, bytes: &[u8]) -> Result<u64> {
        let at = self.told[stream.index()];
        let place = Place { stream, at, length: bytes.len() as u64 };
        if place.end() > self.output[stream.index()].end() {
            return Err(Error::Misuse(format!("{} bytes of output are told of that were not kept", bytes.len())));
        }
        let seq = self.record(message, Some((place, crc32fast::hash(bytes))))?;
        self.told[stream.index()] = place.end();
        Ok(seq)
    }

    fn record(&mut self, message: &[u8], output: Option<(Place, u32)>) -> Result<u64> {
        if message.len() > MAX_BODY - 64 {
            let (size, limit) = (message.len() as u64, MAX_BODY as u64);
            return Err(Error::TooLarge { what: "an event".to_owned(), size, limit });
        }
        if self.size >= self.limits.segment() && self.next > self.first {
            self.roll()?;
        }
        self.buffer.clear();
        Record { seq: self.next, message, output }.encode(&mut self.buffer);
        if let Err(error) = self.disk.write_at(&self.file, &self.path, &self.buffer, self.size) {
            // What is there of it is no event.
            _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += self.buffer.len() as u64;
        if self.buffer.capacity() > EACH {
            self.buffer = Vec::new();
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Files that are not there any more need no sync.
    pub(super) fn forget_removed(&mut self) {
        self.fresh.retain(|path| path.exists());
        self.output.iter_mut().for_each(|writer| writer.fresh.retain(|path| path.exists()));
    }

    /// Begins the next segment.
    fn roll(&mut self) -> Result<()> {
        let path = events_path(&self.directory, self.next);
        let header = Header { first: self.next, told: self.told };
        let file = begin(&self.disk, &path, header)?;
        self.file = file;
        self.fresh.push(std::mem::replace(&mut self.path, path));
        (self.first, self.size) = (self.next, HEADER as u64);
        self.retain()
    }

    /// Takes at most so many bytes out of a pipe, and keeps them. None where nothing is there; no bytes at the pipe's end.
    ///
    /// # Errors
    /// The file system's; what was taken is kept all the same, and untold.
    pub fn take(&mut self, pipe: BorrowedFd<'_>, stream: Stream, limit: usize) -> Result<Option<Vec<u8>>> {
        let writer = &mut self.output[stream.index()];
        let at = writer.end();
        let Some(count) = writer.take(&self.disk, &self.directory, pipe, limit)? else { return Ok(None) };
        let mut bytes = vec![0; count];
        if let Some((file, path)) = writer.file() {
            file.read_exact_at(&mut bytes, at - writer.begins()).map_err(|error| Error::io("read", path, error))?;
        }
        Ok(Some(bytes))
    }

    /// Keeps bytes of a stream that came another way than through [`Writer::take`].
    ///
    /// # Errors
    /// The file system's; then nothing was kept.
    pub fn put(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        self.output[stream.index()].put(&self.disk, &self.directory, bytes)
    }

    /// How many bytes of a stream were taken and no event tells of.
    #[must_use]
    pub fn untold_length(&self, stream: Stream) -> u64 {
        self.output[stream.index()].end() - self.told[stream.index()]
    }

    /// What was taken and no event tells of, from its beginning; at most so many bytes.
    ///
    /// # Errors
    /// The file system's.
    pub fn untold(&self, stream: Stream, limit: u64) -> Result<Vec<u8>> {
        let at = self.told[stream.index()];
        let length = (self.output[stream.index()].end() - at).min(limit);
        let files = Files::list(&self.disk, &self.directory)?;
        Ok(raw::read(&files.output[stream.index()], Place { stream, at, length })?.bytes)
    }

    /// A sync has failed: nobody knows what is on the disk.
    pub fn sync_failed(&mut self) {
        self.all = true;
    }

    /// Descriptors of the files that have something that need not be on the disk yet. Once they are synced, all that was appended before this call survives
    /// the machine.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn unsynced(&mut self) -> Result<Unsynced> {
        let completed: Vec<PathBuf> = if self.all {
            let Files { events, output } = Files::list(&self.disk, &self.directory)?;
            output.into_iter().flatten().chain(events).map(|(_, path)| path).collect()
        } else {
            self.output.iter().flat_map(|writer| &writer.fresh).chain(&self.fresh).cloned().collect()
        };
        let mut files = Vec::new();
        let duplicate = |file: &File, path: &Path| file.try_clone().map_err(|error| Error::io("open", path, error));
        for (file, path) in self.output.iter().filter_map(RawWriter::file) {
            files.push((duplicate(file, path)?, path.to_owned()));
        }
        for path in completed {
            match File::open(&path) {
                // Retention has taken it away.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                file => files.push((file.map_err(|error| Error::io("open", &path, error))?, path)),
            }
        }
        // Events last: none is to be there without its output.
        files.push((duplicate(&self.file, &self.path)?, self.path.clone()));
        // The directory's own name, too, and that of the one above, which may have been made with it.
        let above = if self.all { 3 } else { 1 };
        let directories = self.directory.ancestors().take(above).map(Path::to_owned).collect();
        self.fresh.clear();
        self.output.iter_mut().for_each(|writer| writer.fresh.clear());
        self.all = false;
        Ok(Unsynced { disk: self.disk.clone(), directories, files })
    }
}

/// What is to be synced. It can be done on another thread. Where it fails, that is told with [`Writer::sync_failed`].
#[derive(Debug)]
pub struct Unsynced {
    disk: Disk,
    directories: Vec<PathBuf>,
    files: Vec<(File, PathBuf)>,
}

impl Unsynced {
    /// Blocks until it is on the disk.
    ///
    /// # Errors
    /// The file system's. What was not synced may never be: the kernel tells of it once.
    pub fn sync(self) -> Result<()> {
        for (file, path) in &self.files {
            self.disk.sync(file, path)?;
        }
        self.directories.iter().try_for_each(|directory| self.disk.sync_directory(directory))
    }
}

/// A segment that is gone on with.
struct Resumed {
    file: File,
    header: Header,
    next: u64,
    size: u64,
    told: [u64; 2],
}

fn begin(disk: &Disk, path: &Path, header: Header) -> Result<File> {
    let file = disk.create(path)?;
    disk.write(&file, path, &header.encode())?;
    Ok(file)
}

/// Where the files of each stream end.
fn ends(files: &Files) -> [u64; 2] {
    Stream::ALL.map(|stream| {
        let last = files.output[stream.index()].last();
        last.map_or(0, |(begins, path)| begins + path.metadata().map_or(0, |file| file.len()))
    })
}

/// A machine that died can have lost the end of a file of output and kept the next one. Of that no event tells, and it is not what came next.
fn set_aside_behind_a_hole(disk: &Disk, files: &mut Vec<(u64, PathBuf)>, told: u64) -> Result<()> {
    let mut end = told;
    let mut whole = 0;
    for (begins, path) in files.iter() {
        if *begins > end {
            break;
        }
        let length = path.metadata().map_err(|error| Error::io("read", path, error))?.len();
        end = end.max(begins.saturating_add(length));
        whole += 1;
    }
    for (_, path) in files.split_off(whole) {
        let mut aside = path.clone().into_os_string();
        aside.push(".torn");
        disk.rename(&path, Path::new(&aside))?;
    }
    Ok(())
}

/// The segment at a path, without what is after its last whole record; None where it has no header yet.
fn resume(disk: &Disk, begins: u64, path: &Path, untold: &mut Untold) -> Result<Option<Resumed>> {
    let file = File::options().read(true).write(true).open(path).map_err(|error| Error::io("open", path, error))?;
    let length = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
    let mut window = Window::new();
    let header = match window.header(&file, path, begins) {
        Err(Error::Damaged { .. }) if length <= HEADER as u64 => return Ok(None),
        header => header?,
    };
    let (mut at, mut seq, mut told, mut wanted) = (HEADER as u64, header.first, header.told, PREFIX);
    loop {
        let bytes = window.at(&file, at, wanted).map_err(|error| Error::io("read", path, error))?;
        match next(bytes) {
            Step::Record(record, used) if record.seq == seq => {
                if let Some((place, _)) = record.output {
                    told[place.stream.index()] = place.end();
                }
                (at, seq, wanted) = (at + used as u64, seq + 1, PREFIX);
            }
            Step::More(needed) if at + needed as u64 <= length => wanted = needed,
            Step::Record(..) | Step::More(_) | Step::Damaged => break,
        }
    }
    if at < length {
        untold.torn = Some((set_aside(disk, path, &file, at)?, length - at));
    }
    Ok(Some(Resumed { file, header, next: seq, size: at, told }))
}

/// Moves what comes after the last whole record into a file of its own: nothing is thrown away that nobody has looked at.
fn set_aside(disk: &Disk, path: &Path, file: &File, from: u64) -> Result<PathBuf> {
    let mut aside = path.with_extension("torn");
    for number in 1.. {
        match aside.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            _ => aside = path.with_extension(format!("torn{number}")),
        }
    }
    let copy = disk.create(&aside)?;
    let mut at = from;
    let mut bytes = vec![0; EACH];
    loop {
        let count = read_at(file, &mut bytes, at).map_err(|error| Error::io("read", path, error))?;
        if count == 0 {
            break;
        }
        disk.write(&copy, &aside, &bytes[..count])?;
        at += count as u64;
    }
    disk.sync(&copy, &aside)?;
    file.set_len(from).map_err(|error| Error::io("write", path, error))?;
    Ok(aside)
}
