//! How much of a journal is kept.

use std::path::Path;

use super::cuts::Cut;
use super::segments::Files;
use super::writer::Writer;
use crate::Result;
use crate::disk::Disk;

/// How much of a session's journal is kept.
///
/// Of output the beginning and the newest are kept: what is in the middle goes. Of events the newest are kept. What is gone is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of each of the two output streams.
    pub output: u64,
    /// Bytes of events.
    pub events: u64,
    /// Bytes of one file, about: what goes at a time. No more than an eighth of what may be kept.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { output: 1 << 30, events: 256 << 20, file: 32 << 20 }
    }
}

/// Of what may be kept, in one file: what is taken away at a time.
const PARTS: u64 = 8;
const SMALLEST: u64 = 4 << 10;

impl Limits {
    /// The size at which the next segment of events begins.
    pub(super) fn segment(&self) -> u64 {
        (self.events / PARTS).min(self.file).max(SMALLEST)
    }

    /// The size at which the next file of output begins.
    pub(super) fn output_file(&self) -> u64 {
        (self.output / PARTS).min(self.file).max(SMALLEST)
    }
}

impl Writer {
    /// Takes away what is above the limits. Called when a segment begins.
    pub(super) fn retain(&mut self) -> Result<()> {
        let files = Files::list(&self.disk, &self.directory)?;
        let size = |(_, path): &(u64, std::path::PathBuf)| path.metadata().map_or(0, |file| file.len());
        let mut gone = 0;
        for output in &files.output {
            let mut total: u64 = output.iter().map(size).sum();
            // Not the first, and not the one that is written to.
            let middle = output.get(1..output.len().saturating_sub(1)).unwrap_or_default();
            for one in middle {
                if total <= self.limits.output {
                    break;
                }
                let bytes = size(one);
                self.disk.remove(&one.1)?;
                (total, gone) = (total - bytes, gone + bytes);
            }
        }
        let mut total: u64 = files.events.iter().map(size).sum();
        let mut last = self.cut.last;
        let mut old = Vec::new();
        for pair in files.events.windows(2) {
            if total <= self.limits.events {
                break;
            }
            let bytes = size(&pair[0]);
            (total, gone, last) = (total - bytes, gone + bytes, pair[1].0 - 1);
            old.push(&pair[0].1);
        }
        if gone > 0 {
            self.cut = Cut { last, bytes: self.cut.bytes + gone };
            // Told before it is done: who looks in between hears too much rather than too little.
            self.cut.write(&self.disk, &self.directory)?;
        }
        for path in old {
            self.disk.remove(path)?;
        }
        // Where nobody asks what is to be synced, what is noted of it does not grow.
        self.forget_removed();
        Ok(())
    }

    /// What is gone.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.cut
    }
}

/// Takes away all that a session has said which has ended. What is left says how much that was, and numbers go on behind it where another of
/// the same id begins. Whoever asks answers for it that nobody appends. Returns the bytes that are free now.
///
/// # Errors
/// The file system's.
pub fn clear(directory: &Path) -> Result<u64> {
    let disk = Disk::default();
    let (writer, _) = Writer::open_on(&disk, directory, Limits::default())?;
    let files = Files::list(&disk, directory)?;
    let paths: Vec<_> = files.events.iter().chain(files.output.iter().flatten()).map(|(_, path)| path).collect();
    let bytes: u64 = paths.iter().map(|path| path.metadata().map_or(0, |file| file.len())).sum();
    let cut = Cut { last: writer.next() - 1, bytes: writer.cut.bytes + bytes };
    cut.write(&disk, directory)?;
    for path in paths {
        disk.remove(path)?;
    }
    Ok(bytes)
}
