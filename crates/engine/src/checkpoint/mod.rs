//! Checkpoints, seen from the engine: the store of the data directory, what a saver writes into it, what a worker that
//! restores takes out of it. Everything here is opaque bytes.

mod allowance;
mod crashes;
mod journal;
mod metadata;
mod progress;
mod restore;
mod save;
mod stop;

pub(crate) use crashes::SaverCrashes;
#[cfg(feature = "fuzzing")]
pub(crate) use journal::decode as decode_journal;
pub(crate) use journal::{Journal, Unsaved as UnsavedExecutions};
pub(crate) use metadata::SessionMetadata;
pub(crate) use progress::{Progress, ProgressReceiver, ProgressSender, progress};
pub(crate) use restore::{RestoreService, mapped};
pub(crate) use save::{Base, Canceller, SaveError, Saved, Saver, SaverTask};

use pyrepl3_protocol::message::{Checkpoint, Difference, Lost, Variable};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{CheckpointId, Details, Diff, Error, Manifest, Store, StoreConfig};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The checkpoints of an engine's data directory, opened when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct CheckpointStore {
    data: Option<PathBuf>,
    max_bytes: Option<u64>,
    opened: Mutex<Option<Store>>,
}

impl CheckpointStore {
    pub(crate) fn new(data: Option<PathBuf>, max_bytes: Option<u64>) -> Arc<CheckpointStore> {
        Arc::new(CheckpointStore { data, max_bytes, opened: Mutex::default() })
    }

    /// The store, opened where it was not yet. Blocks.
    fn open(&self) -> Result<Store, Failure> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let Some(data) = &self.data else {
            return Err(Failure::new(
                Code::Unsupported,
                "checkpoints cannot be used",
                "this engine was started without a data directory",
                "give it one (`data`)",
            ));
        };
        let config = StoreConfig { max_bytes: self.max_bytes, ..StoreConfig::default() };
        let store = Store::open(data, config).map_err(|error| failure(&error))?;
        Ok(opened.insert(store).clone())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> Option<&std::path::Path> {
        self.data.as_deref()
    }

    /// Does something with the store, on a thread that may wait for disks.
    pub(crate) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this.open()?).map_err(|error| failure(&error)))
            .await
            .map_err(|error| Failure::new(Code::Internal, "the work on checkpoints ended", error.to_string(), ""))?
    }

    /// The checkpoint that an id, the beginning of one, or a name means.
    pub(crate) async fn find(self: &Arc<Self>, asked: &str) -> Result<Manifest, Failure> {
        let asked = asked.to_owned();
        self.with(move |store| store.find(&asked, None)).await
    }

    /// All checkpoints, newest first.
    pub(crate) async fn list(self: &Arc<Self>) -> Result<Vec<Checkpoint>, Failure> {
        self.with(|store| Ok(store.list()?.into_iter().map(|one| line(&one.id, one.state)).collect())).await
    }
}

/// What the list says of a checkpoint.
pub(crate) fn summary(manifest: &Manifest) -> Result<Checkpoint, Failure> {
    let details = manifest.details().map_err(|error| failure(&error))?;
    Ok(line(&manifest.id, Ok(details)))
}

fn line(id: &CheckpointId, state: Result<Details, Error>) -> Checkpoint {
    let empty = Checkpoint {
        checkpoint_id: id.to_string(),
        name: None,
        session_id: String::new(),
        parent: None,
        created_at: 0.0,
        size_bytes: 0,
        stored_bytes: 0,
        python: String::new(),
        variables: 0,
        lost: 0,
        damaged: None,
    };
    match state {
        Err(error) => Checkpoint { damaged: Some(error.to_string()), ..empty },
        Ok(details) => Checkpoint {
            name: details.name,
            session_id: details.session,
            parent: details.parent.map(|parent| parent.to_string()),
            created_at: details.created_at,
            size_bytes: details.size_bytes,
            stored_bytes: details.stored_bytes,
            python: details.python,
            variables: details.variables as u64,
            lost: details.lost as u64,
            ..empty
        },
    }
}

/// A failure of the store as clients get it.
pub(crate) fn failure(error: &Error) -> Failure {
    let (code, what) = match error {
        Error::NotFound { asked, there, .. } => {
            let why = if there.is_empty() {
                "there are none in this data directory".to_owned()
            } else {
                format!("there are: {}", there.join(", "))
            };
            let what = format!("there is no checkpoint {asked:?}");
            return Failure::new(
                Code::CheckpointNotFound,
                what,
                why,
                "list the checkpoints to see their names and ids",
            );
        }
        Error::Ambiguous { .. } => (Code::CheckpointNotFound, "the checkpoint is not named uniquely"),
        Error::Damaged { .. } => (Code::CheckpointDamaged, "the checkpoint is damaged"),
        Error::Full { .. } | Error::TooLarge { .. } | Error::TooMany { .. } => {
            (Code::StorageFull, "there is no room for the checkpoint")
        }
        Error::NewerFormat { .. } => (Code::Unsupported, "the checkpoint was made by a later version"),
        Error::Misuse(_) => (Code::BadRequest, "the checkpoint cannot be used so"),
        _ => (Code::CheckpointFailed, "the store of checkpoints cannot be used"),
    };
    Failure::new(code, what, error.to_string(), "")
}

/// What a checkpoint holds, and what it does not.
pub(crate) fn contents(manifest: &Manifest) -> Result<(Vec<Variable>, Vec<Lost>), Failure> {
    let body = manifest.view().map_err(|error| failure(&error))?;
    let variables = body.variables.into_iter().filter(|variable| variable.tier != "lost").map(variable).collect();
    let lost = body.lost.into_iter().map(|lost| Lost { name: lost.name, reason: lost.reason }).collect();
    Ok((variables, lost))
}

fn variable(one: pyrepl3_store::Variable) -> Variable {
    Variable { name: one.name, tier: one.tier, type_name: one.type_name, size: one.size.unwrap_or(0) }
}

/// What differs, name by name.
pub(crate) fn differences(diff: Diff) -> Vec<Difference> {
    let one = |name: String, change: &str, type_name: String, size_before, size_after| Difference {
        name,
        change: change.to_owned(),
        type_name,
        size_before,
        size_after,
    };
    let mut all: Vec<Difference> = Vec::new();
    all.extend(diff.added.into_iter().map(|now| one(now.name, "added", now.type_name, None, now.size.or(Some(0)))));
    all.extend(diff.removed.into_iter().map(|was| one(was.name, "removed", was.type_name, was.size.or(Some(0)), None)));
    let changed = diff.changed.into_iter();
    all.extend(
        changed.map(|(was, now)| one(now.name, "changed", now.type_name, was.size.or(Some(0)), now.size.or(Some(0)))),
    );
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}
