//! What sessions have said, read from their journals: also of sessions that have ended, and without an engine that has them.

use crate::log::{Event, PastReader, settle};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::journal::{self, Cut};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The journal of a session, in short.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryLine {
    /// The session's id.
    pub session_id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of events and output that were there and are not kept any more.
    pub lost_bytes: u64,
    /// When something was last written there: Unix time in seconds.
    pub written_at: f64,
}

/// The events of one session, in their order. To read them waits for the disk.
#[derive(Debug)]
pub struct History(PastReader);

impl History {
    /// The journals of a data directory, the one that was last written to first. Waits for the disk.
    ///
    /// # Errors
    /// The data directory cannot be read.
    pub fn list(data: &Path) -> Result<Vec<HistoryLine>, Failure> {
        let failed = |error: io::Error| Failure::os("the histories of sessions cannot be read", &error);
        let mut lines = Vec::new();
        for session in journal::sessions(data).map_err(failed)? {
            let directory = journal::directory(data, &session).map_err(failed)?;
            let (mut bytes, mut written) = (0, UNIX_EPOCH);
            let entries = match std::fs::read_dir(&directory) {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let Ok(known) = entry.and_then(|entry| entry.metadata()) else { continue };
                bytes += known.len();
                written = written.max(known.modified().unwrap_or(UNIX_EPOCH));
            }
            let lost_bytes = Cut::of(&directory).map_err(|error| damaged(&session, &error))?.bytes;
            lines.push(HistoryLine { session_id: session, bytes, lost_bytes, written_at: seconds(written) });
        }
        lines.sort_by(|a, b| b.written_at.total_cmp(&a.written_at).then_with(|| a.session_id.cmp(&b.session_id)));
        Ok(lines)
    }

    /// The events of a session behind a number; 0: all that are kept.
    ///
    /// # Errors
    /// `session_closed` where no session of that id has a journal there; the disk's.
    pub fn open(data: &Path, session: &str, after: u64) -> Result<History, Failure> {
        let directory = journal::directory(data, session).ok().filter(|directory| directory.is_dir());
        let Some(directory) = directory else {
            return Err(Failure::new(
                Code::SessionClosed,
                format!("there is no history of a session {session:?}"),
                format!("none of that id has said anything that is kept in {}", data.display()),
                "`pyrepl3 history` lists those that are there; --data names another data directory",
            ));
        };
        let reader = PastReader::new(session, &directory, after).map_err(|error| damaged(session, &error))?;
        Ok(History(reader))
    }

    /// Which events of a session are kept: the numbers of the earliest and the last one; and the bytes that are not kept any more. None where no
    /// session of that id has said anything that is kept.
    ///
    /// # Errors
    /// The disk's.
    pub fn numbers(data: &Path, session: &str) -> Result<Option<(u64, u64, u64)>, Failure> {
        let directory = journal::directory(data, session).ok().filter(|directory| directory.is_dir());
        let Some(directory) = directory else { return Ok(None) };
        let numbers =
            journal::numbers(&directory).and_then(|(earliest, last)| Ok((earliest, last, Cut::of(&directory)?.bytes)));
        numbers.map(Some).map_err(|error| damaged(session, &error))
    }

    /// Takes away all that a session has said which has ended; how much that was is remembered, and numbers go on behind it. Whoever
    /// asks answers for it that no engine has a session of that id. Returns the bytes that are free now.
    ///
    /// # Errors
    /// The disk's.
    pub fn clear(data: &Path, session: &str) -> Result<u64, Failure> {
        let directory = journal::directory(data, session)
            .map_err(|error| Failure::os("the history of a session cannot be cleared", &error))?;
        journal::clear(&directory).map_err(|error| damaged(session, &error))
    }

    /// Forgets a session that has ended: where another of the same id begins, its numbers begin at 1. As [`History::clear`] otherwise.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(data: &Path, session: &str) -> Result<(), Failure> {
        let removed = journal::directory(data, session).and_then(std::fs::remove_dir_all);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::os("the history of a session cannot be removed", &error))
            }
            _ => Ok(()),
        }
    }

    /// Says at the end of a session's events that its state is lost, and of each execution that has no end that what became of it is not known.
    /// `recovers`: the session goes on. Returns the ids of these executions. Whoever asks answers for it that no process has the session.
    ///
    /// # Errors
    /// The disk's.
    pub fn settle(data: &Path, session: &str, reason: &str, recovers: bool) -> Result<Vec<String>, Failure> {
        settle(data, session, reason, recovers).map_err(|error| damaged(session, &error))
    }

    /// Some of the next events; none where there are no more. In the place of events that cannot be read, or are not kept any more, stands a
    /// `warning` with the number of the last of them.
    ///
    /// # Errors
    /// The disk's.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Vec<Event>, Failure> {
        let read = self.0.next(u64::MAX).map_err(|error| damaged(self.0.session(), &error))?;
        Ok(read.into_iter().map(|(event, _)| event).collect())
    }
}

fn damaged(session: &str, error: &pyrepl3_store::Error) -> Failure {
    Failure::new(Code::Internal, format!("the history of {session} cannot be read"), error.to_string(), "")
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
