//! What clients asked of sessions that the engine does not know: labels, times. On disk, so that the server that takes a
//! session over knows it, too.
//!
//! `<data>/serve/sessions/<id>.json`, one for each session that is there. Nothing is synced: no session outlives its machine.

use super::spec::SessionSpec;
use pyrepl3_engine::Failure;
use serde::{Deserialize, Serialize};
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one that are read.
const LARGEST: u64 = 4 << 20;

/// How often, and with what pauses, it is looked whether a session has ended.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// What is known of a session beside its engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) spec: SessionSpec,
    /// When it was made: Unix time in seconds.
    pub(crate) created_at: f64,
    /// The same as a time since the machine was started, in seconds: what its lifetime is counted by.
    pub(crate) created_since_boot: f64,
    /// The number of the last event of those of the same id that were there before it.
    pub(crate) begins_after: u64,
    /// Whether it was given environment variables, which are not written down.
    pub(crate) had_env: bool,
}

/// The records of a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
    /// Where the engine has what outlives a server.
    kept: PathBuf,
}

impl Records {
    /// # Errors
    /// The file system's.
    pub(crate) fn open(data: &Path) -> io::Result<Records> {
        let folder = data.join("serve").join("sessions");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Records { folder, kept: data.join("sessions") })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Writes one down. The id has no characters but those of ids of the engine.
    pub(crate) async fn write(&self, id: &str, record: &Record) -> Result<(), Failure> {
        let (path, folder) = (self.path(id), self.folder.clone());
        // The engine knows the environment, which can hold secrets: they are not left on disk.
        let mut record = record.clone();
        record.had_env |= record.spec.env.take().is_some_and(|env| !env.is_empty());
        let json = serde_json::to_vec(&record);
        let written = tokio::task::spawn_blocking(move || {
            // Whole or not at all; for its owner alone, as temporary files are.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&json?)?;
            file.persist(path).map_err(io::Error::from).map(drop)
        });
        let written = written.await.map_err(io::Error::other).and_then(|written| written);
        written.map_err(|error| Failure::os("what the session was made with could not be written down", &error))
    }

    /// Whether a session is there that outlives its server.
    pub(crate) fn is_kept(&self, id: &str) -> bool {
        self.kept.join(id).exists()
    }

    /// Whether a session lives on without this server: it was left to another one.
    pub(crate) async fn lives_on(&self, id: &str) -> bool {
        let place = self.kept.join(id);
        for _ in 0..LOOKS {
            // It goes a moment after the session's last process.
            if !tokio::fs::try_exists(&place).await.unwrap_or(false) {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Takes one away.
    pub(crate) async fn remove(&self, id: &str) {
        let path = self.path(id);
        // That there is none is what was wanted.
        _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
    }

    /// Takes one away, without waiting for it.
    pub(crate) fn remove_later(&self, id: &str) {
        let (records, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move { records.remove(&id).await });
    }

    /// The one of a session; None where there is none, or it makes no sense.
    pub(crate) async fn read(&self, id: &str) -> Option<Record> {
        let path = self.path(id);
        let read = tokio::task::spawn_blocking(move || {
            let file = io::Read::take(std::fs::File::open(path)?, LARGEST);
            io::Result::Ok(serde_json::from_reader(io::BufReader::new(file))?)
        });
        read.await.ok()?.ok()
    }

    /// The ids of all that there are.
    pub(crate) async fn ids(&self) -> Vec<String> {
        let folder = self.folder.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let id = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned());
            entries.filter_map(id).collect()
        });
        listed.await.unwrap_or_default()
    }
}
