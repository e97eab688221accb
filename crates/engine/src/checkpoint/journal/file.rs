//! The file of a journal: lines are appended, or all of it is replaced at once; and what others left is read.

use super::MOST;
use pyrepl3_store::{CheckpointId, is_at, name_key, rights};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most that is read of one file: more than [`MOST`] lines.
const LARGEST: u64 = 1 << 20;

/// How often a file is made again that somebody took away meanwhile.
const ATTEMPTS: u32 = 100;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    execution: u64,
}

/// A session's own file. It is there while something in it is not saved.
#[derive(Debug)]
pub(super) struct JournalFile {
    folder: PathBuf,
    path: PathBuf,
    /// Open and locked, with the number of its lines.
    open: Option<(File, usize)>,
}

impl JournalFile {
    pub(super) fn new(data: &Path, name: &str, session: &str) -> JournalFile {
        let folder = folder(data, name);
        JournalFile { path: folder.join(format!("{session}.jsonl")), folder, open: None }
    }

    pub(super) fn append(&mut self, executions: &[u64]) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.make(&self.path)?);
        }
        let Some((file, lines)) = &mut self.open else { return Ok(()) };
        let taken = &executions[..executions.len().min(MOST.saturating_sub(*lines))];
        *lines += taken.len();
        let written = file.write_all(&encode(taken)?);
        if written.is_err() {
            // What is in it may end within a line: it is opened anew, which ends that.
            self.open = None;
        }
        written
    }

    /// Afterwards these are in it and nothing else; until then all that was.
    pub(super) fn replace(&mut self, executions: &[u64]) -> io::Result<()> {
        if executions.is_empty() {
            self.open = None;
            return removed(&self.path);
        }
        let passing = self.path.with_extension("tmp");
        removed(&passing)?;
        let (mut file, _) = self.make(&passing)?;
        let taken = &executions[..executions.len().min(MOST)];
        let replaced = encode(taken).and_then(|bytes| {
            file.write_all(&bytes)?;
            file.sync_data()?;
            fs::rename(&passing, &self.path)
        });
        if replaced.is_err() {
            _ = fs::remove_file(&passing);
        } else {
            self.open = Some((file, taken.len()));
        }
        replaced
    }

    pub(super) fn close(&mut self) {
        self.open = None;
        // Where something is in it, it stays.
        _ = fs::remove_dir(&self.folder);
    }

    /// Opens a file to append to, locked, by nobody else to be read.
    fn make(&self, path: &Path) -> io::Result<(File, usize)> {
        for _ in 0..ATTEMPTS {
            rights::make_directories(&self.folder)?;
            let opened = OpenOptions::new().create(true).append(true).read(true).mode(rights::FILE_MODE).open(path);
            let mut file = match opened {
                // Another session of the name ended just now, and took the folder away.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened?,
            };
            rights::own(&file)?;
            flock(&file, FlockOperation::LockExclusive)?;
            if !is_at(&file, path)? {
                continue;
            }
            let mut bytes = Vec::new();
            (&file).take(LARGEST).read_to_end(&mut bytes)?;
            if bytes.last().is_some_and(|last| *last != b'\n') {
                file.write_all(b"\n")?;
            }
            return Ok((file, bytes.iter().filter(|byte| **byte == b'\n').count()));
        }
        Err(io::Error::other("others go on taking it away"))
    }
}

/// Executions that sessions of a name began and did not save.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    /// Their numbers, rising.
    pub(crate) executions: Vec<u64>,
    /// The files that say so, with their lengths.
    files: Vec<(PathBuf, u64)>,
}

impl Unsaved {
    /// Reads what sessions of a name left that live no more, as far as it came after the execution with this number. Blocks. Nothing is removed.
    ///
    /// `session`: the one that made the checkpoint, for what earlier versions wrote, by the session's id alone.
    pub(crate) fn read(data: &Path, name: &str, session: &str, after: u64) -> Unsaved {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder(data, name))
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                Some(entry.ok()?.path()).filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
            })
            .collect();
        paths.sort_unstable();
        // A session's id stands in a manifest, which may come from elsewhere.
        if CheckpointId::parse(&session.replacen("ses_", "ckp_", 1)).is_ok() {
            paths.push(data.join("journals").join(format!("{session}.jsonl")));
        }
        let (mut unsaved, mut executions) = (Unsaved::default(), BTreeSet::new());
        for path in paths {
            let Some(file) = left(&path) else { continue };
            let mut bytes = Vec::new();
            if (&file).take(LARGEST).read_to_end(&mut bytes).is_ok() {
                executions.extend(decode(&bytes).into_iter().filter(|execution| *execution > after));
                unsaved.files.push((path, file.metadata().map_or(0, |file| file.len())));
            }
        }
        unsaved.executions = executions.into_iter().take(MOST).collect();
        unsaved
    }

    /// They were told: what said so is removed, but for what has changed since. Blocks.
    ///
    /// # Errors
    /// Something could not be removed. It will be told again.
    pub(crate) fn forget(self) -> io::Result<()> {
        for (path, length) in self.files {
            if left(&path).is_some_and(|file| file.metadata().is_ok_and(|file| file.len() == length)) {
                removed(&path)?;
            }
            if let Some(folder) = path.parent() {
                // Where something is in it, it stays.
                _ = fs::remove_dir(folder);
            }
        }
        Ok(())
    }
}

fn folder(data: &Path, name: &str) -> PathBuf {
    data.join("journals").join(name_key(name))
}

/// A journal whose session does not live any more.
fn left(path: &Path) -> Option<File> {
    // What somebody has put in its place is not waited for, and not followed.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let is_file = file.metadata().ok()?.is_file();
    let is_left = !matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK));
    (is_file && is_left && is_at(&file, path).ok()?).then_some(file)
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn encode(executions: &[u64]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for execution in executions {
        serde_json::to_writer(&mut bytes, &Line { execution: *execution })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads lines. What is none says nothing: the last one may have been cut.
pub(crate) fn decode(bytes: &[u8]) -> Vec<u64> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    lines.map(|line| line.execution).take(MOST).collect()
}
