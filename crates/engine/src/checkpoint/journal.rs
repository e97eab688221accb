//! Which executions a session has begun since it was last saved: for a session that is started again after the
//! supervisor has died, and is to be told what its checkpoint does not have.

use pyrepl3_store::CheckpointId;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Executions that a journal names at most.
const MOST: usize = 10_000;

/// Appends to one session's journal. Nothing is flushed to the disk: a supervisor that dies leaves it in the system's
/// hands, and a machine that does loses what is worth less than the wait.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    execution: u64,
}

impl Journal {
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn open(data: &Path, session: &str) -> io::Result<Journal> {
        let path = path(data, session);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        Ok(Journal { path, file })
    }

    /// An execution begins.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn note(&mut self, execution: u64) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { execution })?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Everything so far is in a checkpoint but for these.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn saved(&mut self, but: &[u64]) -> io::Result<()> {
        self.file.set_len(0)?;
        but.iter().try_for_each(|execution| self.note(*execution))
    }

    /// The session ends. Where all of it is saved, nothing is left to tell whoever starts it again.
    pub(crate) fn close(self) {
        if self.file.metadata().is_ok_and(|file| file.len() == 0) {
            _ = fs::remove_file(&self.path);
        }
    }
}

fn path(data: &Path, session: &str) -> PathBuf {
    data.join("journals").join(format!("{session}.jsonl"))
}

/// The executions of a session that came after one with this number. The journal is gone afterwards.
pub(crate) fn take(data: &Path, session: &str, after: u64) -> Vec<u64> {
    // A session's id stands in a manifest, which may come from elsewhere.
    if CheckpointId::parse(&session.replacen("ses_", "ckp_", 1)).is_err() {
        return Vec::new();
    }
    let path = path(data, session);
    let Ok(text) = fs::read_to_string(&path) else { return Vec::new() };
    _ = fs::remove_file(&path);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut executions: Vec<u64> = lines.map(|line| line.execution).filter(|one| *one > after).take(MOST).collect();
    executions.sort_unstable();
    executions.dedup();
    executions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_checkpoint_is_told_once() {
        let data = tempfile::tempdir().unwrap();
        let session = pyrepl3_protocol::id::new(pyrepl3_protocol::id::Kind::Session);
        let mut journal = Journal::open(data.path(), &session).unwrap();
        for execution in 1..=4 {
            journal.note(execution).unwrap();
        }
        journal.saved(&[3, 4]).unwrap();
        journal.note(5).unwrap();
        drop(journal);
        assert_eq!(take(data.path(), &session, 3), [4, 5]);
        assert_eq!(take(data.path(), &session, 3), [0; 0]);
        assert_eq!(take(data.path(), "../../etc/passwd", 0), [0; 0]);

        let mut journal = Journal::open(data.path(), &session).unwrap();
        journal.note(6).unwrap();
        let mut again = Journal::open(data.path(), &session).unwrap();
        journal.close();
        assert_eq!(fs::read_dir(data.path().join("journals")).unwrap().count(), 1);
        again.saved(&[]).unwrap();
        again.close();
        assert_eq!(fs::read_dir(data.path().join("journals")).unwrap().count(), 0);
    }
}
