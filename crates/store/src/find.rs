//! Which checkpoints there are, and which one is meant.

use crate::id::{CheckpointId, LineageId};
use crate::lineage::Lineage;
use crate::manifest::Manifest;
use crate::store::Store;
use crate::{Error, Result};

/// How many checkpoints an error names.
const NAMED: usize = 8;
/// How many digits of an id are taken for the beginning of one.
const SHORTEST: usize = CheckpointId::PREFIX.len() + 4;

/// A line of the list of checkpoints.
#[derive(Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The checkpoint.
    pub id: CheckpointId,
    /// The lineage in whose directory it is.
    pub lineage: LineageId,
    /// What its manifest says, or why it cannot be read.
    pub state: Result<Details>,
}

/// What the list says of a checkpoint that can be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Details {
    /// Its name.
    pub name: Option<String>,
    /// The session whose state it is.
    pub session: String,
    /// The checkpoint before it.
    pub parent: Option<CheckpointId>,
    /// Seconds since 1970.
    pub created_at: f64,
    /// Bytes of all blobs, uncompressed.
    pub size_bytes: u64,
    /// Bytes that were written for it.
    pub stored_bytes: u64,
    /// The version of Python that made it; empty where it does not say.
    pub python: String,
    /// How many names it has.
    pub variables: usize,
    /// How many names could not be saved.
    pub lost: usize,
}

impl Manifest {
    /// What the list says of it.
    ///
    /// # Errors
    /// As [`Manifest::view`].
    pub fn details(&self) -> Result<Details> {
        let body = self.view()?;
        Ok(Details {
            name: self.name.clone(),
            session: self.session.clone(),
            parent: self.parent.clone(),
            created_at: self.created_at,
            size_bytes: self.size_bytes,
            stored_bytes: self.stored_bytes,
            python: body.python.version,
            variables: body.variables.len(),
            lost: body.lost.len(),
        })
    }
}

impl Store {
    /// All checkpoints, the newest first. Those that are damaged are among them.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the directory itself cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>> {
        let mut list = Vec::new();
        for (lineage, id) in self.everything(None)? {
            let state = match lineage.read(self.disk(), &id) {
                Ok(Some(manifest)) => manifest.details(),
                // Deleted since the directory was read.
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            list.push(Summary { id, lineage: lineage.id, state });
        }
        Ok(list)
    }

    /// The lineages and ids of all checkpoints, the newest first.
    pub(crate) fn everything(&self, scope: Option<&LineageId>) -> Result<Vec<(Lineage, CheckpointId)>> {
        let mut all = Vec::new();
        for lineage in self.lineages()? {
            if scope.is_none_or(|scope| *scope == lineage.id) {
                all.extend(lineage.checkpoints(self.disk())?.into_iter().map(|id| (lineage.clone(), id)));
            }
        }
        all.sort_by(|one, other| other.1.cmp(&one.1));
        Ok(all)
    }

    /// Finds a checkpoint: by its id, by the beginning of its id if no other begins so (`ckp_` and 4 digits at least), or the newest of a name.
    /// With a scope, only in that lineage.
    ///
    /// # Errors
    /// [`Error::NotFound`], which says what there is; [`Error::Ambiguous`]; [`Error::Damaged`] and [`Error::NewerFormat`] for the one that is meant.
    pub fn find(&self, asked: &str, scope: Option<&LineageId>) -> Result<Manifest> {
        let all = self.everything(scope)?;
        // A name may look like an id. The id counts, as it cannot be chosen.
        if asked.len() >= SHORTEST && asked.starts_with(CheckpointId::PREFIX) {
            let found: Vec<_> = all.iter().filter(|(_, id)| id.as_str().starts_with(asked)).collect();
            match found[..] {
                [] => {}
                [(lineage, id)] => {
                    if let Some(manifest) = lineage.read(self.disk(), id)? {
                        return Ok(manifest);
                    }
                }
                _ => {
                    let candidates = found.iter().take(NAMED).map(|(_, id)| id.to_string()).collect();
                    return Err(Error::Ambiguous { asked: asked.to_owned(), candidates });
                }
            }
        }
        for (lineage, id) in &all {
            // One that is damaged has no name that could be relied on. It is in the list, and found by its id.
            if let Ok(Some(manifest)) = lineage.read(self.disk(), id)
                && manifest.name.as_deref() == Some(asked)
            {
                return Ok(manifest);
            }
        }
        Err(Error::NotFound { asked: asked.to_owned(), there: self.known_names()? })
    }

    /// Some of what there is, for errors.
    pub(crate) fn known_names(&self) -> Result<Vec<String>> {
        let all = self.everything(None)?;
        let shown = all.iter().take(NAMED).map(|(lineage, id)| match lineage.read(self.disk(), id) {
            Ok(Some(Manifest { name: Some(name), .. })) => format!("{name} ({id})"),
            Ok(_) => id.to_string(),
            Err(_) => format!("{id}, which is damaged"),
        });
        let mut names: Vec<String> = shown.collect();
        if all.len() > NAMED {
            names.push(format!("and {} more", all.len() - NAMED));
        }
        Ok(names)
    }
}
