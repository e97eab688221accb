//! The checkpoints of a data directory, without a session.

use crate::Engine;
use crate::checkpoint::{SessionMetadata, contents, differences, failure, summary};
use pyrepl3_protocol::message::{Checkpoint, Difference, Lost, Variable};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{Manifest, Untrusted, rights};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use pyrepl3_store::Retention;

/// Everything that a checkpoint says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointDetails {
    /// What the list says of it.
    #[serde(flatten)]
    pub summary: Checkpoint,
    /// Name of the session, where it has one.
    pub session_name: Option<String>,
    /// For one that was imported: its id where it was made.
    pub origin: Option<String>,
    /// Whether the session made it by itself.
    pub automatic: bool,
    /// Number of the last execution in the state, 0 for none.
    pub execution_count: u64,
    /// Packages that its contents need, with their versions where they are known.
    pub packages: BTreeMap<String, Option<String>>,
    /// What it holds, and how it was kept.
    pub contents: Vec<Variable>,
    /// What it does not hold, and why.
    pub not_kept: Vec<Lost>,
    /// Functions and classes made in the session.
    pub definitions: Vec<DefinitionSource>,
    /// What was imported.
    pub imports: Vec<ImportedName>,
    /// Everything that is not a name, each in the form of its kind.
    pub context: Vec<Box<RawValue>>,
}

/// A function or class made in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionSource {
    /// Its name.
    pub name: String,
    /// As in `class`.
    pub kind: String,
    /// Its source, where that is known.
    pub source: Option<String>,
}

/// A name that stands for a module, or for something from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedName {
    /// The name.
    pub name: String,
    /// The module.
    pub module: String,
    /// What of the module, or the module itself.
    pub attribute: Option<String>,
}

/// What reading all of a checkpoint found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The checkpoint.
    pub checkpoint_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether every byte is as it was written.
    pub whole: bool,
    /// Names whose values are damaged.
    pub damaged: Vec<String>,
    /// Names that can be restored all the same.
    pub good: Vec<String>,
    /// What is wrong with the bytes, in words.
    pub why: Vec<String>,
}

/// Checkpoints that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Their ids.
    pub checkpoints: Vec<String>,
    /// By how many bytes the files became fewer.
    pub freed_bytes: u64,
    /// Some bytes could not be freed yet, as somebody uses their neighbours: the next start frees them.
    pub postponed: bool,
}

impl From<pyrepl3_store::Collected> for Deleted {
    fn from(collected: pyrepl3_store::Collected) -> Self {
        Deleted {
            checkpoints: collected.deleted.iter().map(ToString::to_string).collect(),
            freed_bytes: collected.freed_bytes,
            postponed: collected.postponed,
        }
    }
}

impl Engine {
    /// All checkpoints, newest first. Those that are damaged are among them, and say so.
    ///
    /// # Errors
    /// `unsupported` without a data directory, `checkpoint_failed` where it cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Failure> {
        self.checkpoint_store().list().await
    }

    /// Everything that a checkpoint says of itself: what it holds, and what it could not keep.
    ///
    /// # Errors
    /// `checkpoint_not_found`, `checkpoint_damaged`, `unsupported`.
    pub async fn checkpoint_details(&self, checkpoint: &str) -> Result<CheckpointDetails, Failure> {
        details(&self.checkpoint_store().find(checkpoint).await?)
    }

    /// What differs between two checkpoints, name by name.
    ///
    /// # Errors
    /// As [`Engine::checkpoint_details`].
    pub async fn diff(&self, earlier: &str, later: &str) -> Result<Vec<Difference>, Failure> {
        let (before, after) =
            (self.checkpoint_store().find(earlier).await?, self.checkpoint_store().find(later).await?);
        self.checkpoint_store().with(move |store| store.diff(&before, &after).map(differences)).await
    }

    /// Deletes a checkpoint, also one that is damaged. Others that share bytes with it keep them.
    ///
    /// # Errors
    /// As [`Engine::checkpoint_details`].
    pub async fn delete_checkpoint(&self, checkpoint: &str) -> Result<Deleted, Failure> {
        let asked = checkpoint.to_owned();
        let deleted = self.checkpoint_store().with(move |store| {
            let known = store.list()?.into_iter().map(|one| one.id).find(|id| id.as_str() == asked);
            // One that is damaged cannot be read, but its id says which one it is.
            let id = match known {
                Some(id) => id,
                None => store.find(&asked, None)?.id,
            };
            store.delete(&id)
        });
        deleted.await.map(Deleted::from)
    }

    /// Deletes what a rule says, and frees what no checkpoint needs. Damaged checkpoints stay.
    ///
    /// # Errors
    /// `unsupported` without a data directory, `checkpoint_failed` where it cannot be read.
    pub async fn prune_checkpoints(&self, rule: Retention) -> Result<Deleted, Failure> {
        self.checkpoint_store().with(move |store| store.collect(&rule)).await.map(Deleted::from)
    }

    /// Reads every byte of a checkpoint. Damage is not an error but the answer.
    ///
    /// # Errors
    /// `checkpoint_not_found`, `unsupported`, `checkpoint_failed`; `checkpoint_damaged` where not even its list of names can be read.
    pub async fn verify_checkpoint(&self, checkpoint: &str) -> Result<Verification, Failure> {
        let manifest = self.checkpoint_store().find(checkpoint).await?;
        let report = {
            let manifest = manifest.clone();
            self.checkpoint_store().with(move |store| store.verify(&manifest)).await?
        };
        Ok(Verification {
            checkpoint_id: manifest.id.to_string(),
            name: manifest.name,
            whole: report.is_whole(),
            damaged: report.names_damaged,
            good: report.names_good,
            why: report.damaged.into_iter().map(|(_, why)| why).collect(),
        })
    }

    /// Writes a checkpoint to one file, which must not be there yet and is there whole or not at all. Answers its bytes.
    ///
    /// # Errors
    /// As [`Engine::checkpoint_details`]; `bad_request` where the file cannot be written.
    pub async fn export_checkpoint(&self, checkpoint: &str, file: &Path) -> Result<(Checkpoint, u64), Failure> {
        let manifest = self.checkpoint_store().find(checkpoint).await?;
        let line = summary(&manifest)?;
        let path = file.to_owned();
        // Its syncs wait for the disk as the writing does.
        let exported = self.checkpoint_store().with(move |store| {
            let target = match Target::begin(&path) {
                Ok(target) => target,
                Err(error) => return Ok(Err(error)),
            };
            let written = store.export(&manifest, BufWriter::new(&target.open))?;
            Ok(target.complete().map(|()| written))
        });
        let written = exported.await?.map_err(|error| unusable("write", file, &error))?;
        Ok((line, written))
    }

    /// Takes in a checkpoint that was exported, under a new id. No session goes on from it by itself, whatever its name: it is restored where somebody asks for it. Restoring it will run code that is in it: by calling this, the caller answers for where it is from. That it is whole is checked.
    ///
    /// # Errors
    /// `checkpoint_damaged`, `storage_full`, `unsupported`; `bad_request` where the file cannot be read.
    pub async fn import_trusted_checkpoint(&self, file: &Path) -> Result<Checkpoint, Failure> {
        let path = file.to_owned();
        // To open what is no ordinary file may wait, too.
        let taken = self.checkpoint_store().with(move |store| match File::open(&path) {
            Ok(open) => store.import(Untrusted::new(BufReader::new(open)).accept()).map(Ok),
            Err(error) => Ok(Err(error)),
        });
        summary(&taken.await?.map_err(|error| unusable("read", file, &error))?)
    }
}

fn details(manifest: &Manifest) -> Result<CheckpointDetails, Failure> {
    let body = manifest.view().map_err(|error| failure(&error))?;
    let extra = SessionMetadata::of(manifest);
    let (variables, lost) = contents(manifest)?;
    Ok(CheckpointDetails {
        summary: summary(manifest)?,
        session_name: extra.session_name,
        origin: manifest.origin.as_ref().map(ToString::to_string),
        automatic: extra.automatic,
        execution_count: extra.execution_count,
        packages: body.packages,
        contents: variables,
        not_kept: lost,
        definitions: (body.definitions.into_iter())
            .map(|one| DefinitionSource { name: one.name, kind: one.kind, source: one.source })
            .collect(),
        imports: (body.imports.into_iter())
            .map(|one| ImportedName { name: one.name, module: one.module, attribute: one.attribute })
            .collect(),
        context: body.context,
    })
}

/// A file that gets its name when all of it is on the disk. It holds a session's state: it is its owner's alone, until
/// that one gives it away.
struct Target {
    open: File,
    passing: PathBuf,
    name: PathBuf,
    complete: bool,
}

impl Target {
    fn begin(name: &Path) -> io::Result<Target> {
        if name.symlink_metadata().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something of this name already"));
        }
        let mut passing = name.as_os_str().to_owned();
        passing.push(format!(".{}.part", std::process::id()));
        let passing = PathBuf::from(passing);
        let open = OpenOptions::new().write(true).create_new(true).mode(rights::FILE_MODE).open(&passing)?;
        let target = Target { open, passing, name: name.to_owned(), complete: false };
        rights::own(&target.open)?;
        Ok(target)
    }

    fn complete(mut self) -> io::Result<()> {
        (&self.open).flush()?;
        self.open.sync_all()?;
        // A link, as it never replaces what somebody else made meanwhile; where there are no links, a new name.
        match std::fs::hard_link(&self.passing, &self.name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {
                std::fs::rename(&self.passing, &self.name)?;
                self.complete = true;
            }
            Ok(()) => {}
        }
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.complete {
            _ = std::fs::remove_file(&self.passing);
        }
    }
}

fn unusable(action: &str, file: &Path, error: &io::Error) -> Failure {
    let how = match error.kind() {
        io::ErrorKind::AlreadyExists => "choose another name, or remove it first",
        io::ErrorKind::NotFound => "check the path, and the folder that you are in",
        io::ErrorKind::PermissionDenied => "ask for the right to do so, or choose another place",
        _ => "",
    };
    Failure::new(Code::BadRequest, format!("cannot {action} {}", file.display()), error.to_string(), how)
}
