//! Which files a journal has.

use std::path::{Path, PathBuf};

use super::format::Stream;
use crate::Result;
use crate::disk::Disk;

const EVENTS: &str = "events";

/// The files of a journal: each with the number, or the place, that it begins with, in rising order.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) events: Vec<(u64, PathBuf)>,
    pub(super) output: [Vec<(u64, PathBuf)>; 2],
}

impl Files {
    /// Names that are none of ours are passed over.
    pub(super) fn list(disk: &Disk, directory: &Path) -> Result<Files> {
        let mut files = Files::default();
        for name in disk.names(directory)? {
            let Some((digits, kind)) = name.split_once('.') else { continue };
            let Some(begins) = (digits.len() == 20).then(|| digits.parse().ok()).flatten() else { continue };
            let path = directory.join(&name);
            if kind == EVENTS {
                files.events.push((begins, path));
            } else if let Some(stream) = Stream::ALL.into_iter().find(|stream| extension(*stream) == kind) {
                files.output[stream.index()].push((begins, path));
            }
        }
        Ok(files)
    }
}

/// Of the segment that begins with an event.
pub(super) fn events_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.{EVENTS}"))
}

/// Of the file with the output from a place on.
pub(super) fn output_path(directory: &Path, stream: Stream, at: u64) -> PathBuf {
    directory.join(format!("{at:020}.{}", extension(stream)))
}

fn extension(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
