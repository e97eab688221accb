//! Deleting checkpoints: one, or those that a rule says are not needed any more.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::id::CheckpointId;
use crate::lineage::Lineage;
use crate::manifest::Manifest;
use crate::store::{Store, now};
use crate::sweep::Swept;
use crate::{Error, Result};

/// Which checkpoints [`Store::collect`] deletes. The default deletes none, and removes rubbish alone.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// Of each session, only so many of the newest stay; imported ones are counted by themselves, as they replace nothing. Named ones count only where they are not kept anyway.
    pub keep_last: Option<usize>,
    /// Checkpoints with a name stay, whatever the other rules say.
    pub keep_named: bool,
    /// Older ones go.
    pub max_age: Option<Duration>,
    /// While all take more bytes on disk, the oldest goes.
    pub max_bytes: Option<u64>,
}

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The checkpoints that are gone.
    pub deleted: Vec<CheckpointId>,
    /// By how many bytes the files became fewer.
    pub freed_bytes: u64,
    /// In some lineages nothing could be removed but manifests, as they were being used. The next collection, or the next start, removes the rest.
    pub postponed: bool,
}

impl Collected {
    fn add(&mut self, swept: Swept) {
        match swept {
            Swept::Freed(bytes) => self.freed_bytes += bytes,
            Swept::Busy => self.postponed = true,
        }
    }
}

impl Store {
    /// Deletes one checkpoint, and frees what no other one needs. One that is damaged can be deleted, too. Extents that are open stay readable.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unreadable`].
    pub fn delete(&self, id: &CheckpointId) -> Result<Collected> {
        let Some((lineage, _)) = self.everything(None)?.into_iter().find(|(_, one)| one == id) else {
            return Err(Error::NotFound { asked: id.to_string(), there: self.known_names()? });
        };
        let mut collected = Collected::default();
        self.remove_manifest(&lineage, id, &mut collected)?;
        collected.add(self.sweep(&lineage)?);
        Ok(collected)
    }

    /// A checkpoint is gone when its manifest is. What only it needed is rubbish from then on.
    fn remove_manifest(&self, lineage: &Lineage, id: &CheckpointId, collected: &mut Collected) -> Result<()> {
        collected.freed_bytes += self.remove(&lineage.manifest(id))?;
        self.disk().sync_directory(&lineage.manifests)?;
        collected.deleted.push(id.clone());
        Ok(())
    }

    /// Deletes what a rule says, and frees in all lineages what no checkpoint needs. Checkpoints that are damaged, or of a later format, stay: only [`Store::delete`] takes them.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn collect(&self, rule: &Retention) -> Result<Collected> {
        let mut collected = Collected::default();
        let mut candidates = self.candidates(rule)?;
        let oldest = rule.max_age.map_or(f64::NEG_INFINITY, |age| now() - age.as_secs_f64());
        let mut of_session: HashMap<(String, bool), usize> = HashMap::new();
        let mut stays = Vec::new();
        for (lineage, manifest) in candidates.drain(..) {
            let nth = of_session.entry((manifest.session.clone(), manifest.is_imported())).or_default();
            *nth += 1;
            if rule.keep_last.is_some_and(|keep| *nth > keep) || manifest.created_at < oldest {
                self.remove_manifest(&lineage, &manifest.id, &mut collected)?;
            } else {
                stays.push((lineage, manifest.id));
            }
        }
        let lineages: BTreeSet<_> = self.lineages()?.into_iter().map(|lineage| lineage.id).collect();
        for id in &lineages {
            collected.add(self.sweep(&self.lineage(id))?);
        }
        // How much one alone takes cannot be told beforehand, as others may need the same chunks.
        while rule.max_bytes.is_some_and(|bound| self.used_bytes().is_ok_and(|used| used > bound)) {
            let Some((lineage, id)) = stays.pop() else { break };
            self.remove_manifest(&lineage, &id, &mut collected)?;
            collected.add(self.sweep(&lineage)?);
        }
        Ok(collected)
    }

    /// What may be deleted, the newest first.
    fn candidates(&self, rule: &Retention) -> Result<Vec<(Lineage, Manifest)>> {
        let mut candidates = Vec::new();
        for (lineage, id) in self.everything(None)? {
            match lineage.read(self.disk(), &id) {
                Ok(Some(manifest)) if !(rule.keep_named && manifest.name.is_some()) => {
                    candidates.push((lineage, manifest));
                }
                Ok(_) | Err(Error::Damaged { .. } | Error::NewerFormat { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(candidates)
    }
}
