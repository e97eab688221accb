//! Writes a file from its beginning to its end: what is large on a thread of its own, so that the next bytes are hashed
//! meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::disk::Disk;
use crate::flush::Flusher;
use crate::{Error, Result};

/// What a file has before there is a thread: for less it is not worth it.
const ALONE: u64 = 8 << 20;
/// Pieces on their way to the thread.
const WAITING: usize = 4;

/// The writing end of one file.
#[derive(Debug)]
pub(crate) struct FileWriter {
    disk: Disk,
    path: PathBuf,
    file: Arc<File>,
    written: u64,
    flusher: Flusher,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    pieces: SyncSender<Vec<u8>>,
    /// Those that were written, to be filled again.
    empty: Receiver<Vec<u8>>,
    work: JoinHandle<Result<()>>,
}

impl FileWriter {
    /// For a file that was made at `path`, and is empty.
    pub(crate) fn new(disk: &Disk, path: PathBuf, file: File) -> FileWriter {
        let file = Arc::new(file);
        FileWriter { disk: disk.clone(), path, file, written: 0, flusher: Flusher::default(), thread: None }
    }

    /// Appends. An error may be that of an earlier piece; the file is of no use then.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        if self.thread.is_none() && self.written < ALONE {
            return put(&self.disk, &self.path, &self.file, &mut self.flusher, bytes);
        }
        let thread = self.thread.get_or_insert_with(|| {
            Thread::begin(self.disk.clone(), self.path.clone(), self.file.clone(), std::mem::take(&mut self.flusher))
        });
        let mut piece = thread.empty.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(bytes);
        match thread.pieces.send(piece) {
            Ok(()) => Ok(()),
            // It has ended early, with an error.
            Err(_) => self.settle(),
        }
    }

    /// Waits until all that was appended is in the file.
    fn settle(&mut self) -> Result<()> {
        let Some(Thread { pieces, work, .. }) = self.thread.take() else {
            return self.flusher.finish().map_err(|error| Error::io("write to the disk", &self.path, error));
        };
        drop(pieces);
        work.join().unwrap_or_else(|_| Err(Error::Misuse("the thread that writes a pack has panicked".into())))
    }

    /// Completes the file: it is on the disk when this returns.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.settle()?;
        self.disk.sync(&self.file, &self.path)
    }

    /// Stops. Whatever is in the file is of no use.
    pub(crate) fn abandon(&mut self) {
        let _ = self.settle();
    }
}

impl Thread {
    fn begin(disk: Disk, path: PathBuf, file: Arc<File>, mut flusher: Flusher) -> Thread {
        let (pieces, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (back, empty) = channel();
        let work = std::thread::spawn(move || {
            for piece in waiting {
                put(&disk, &path, &file, &mut flusher, &piece)?;
                // Nobody takes it back at the end.
                let _ = back.send(piece);
            }
            flusher.finish().map_err(|error| Error::io("write to the disk", &path, error))
        });
        Thread { pieces, empty, work }
    }
}

fn put(disk: &Disk, path: &Path, file: &Arc<File>, flusher: &mut Flusher, bytes: &[u8]) -> Result<()> {
    disk.write(file, path, bytes)?;
    flusher.wrote(file, bytes.len()).map_err(|error| Error::io("write to the disk", path, error))
}
