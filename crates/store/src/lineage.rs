//! One lineage's directory, and the index of all chunks that its packs hold.
//!
//! Manifests do not say in which pack a chunk is: the packs' own indices do. So a pack can be rewritten without a change to any manifest.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::id::{CheckpointId, ChunkId, LineageId};
use crate::manifest::{LARGEST, Manifest, place};
use crate::pack::{Entry, Pack};
use crate::{Error, Result};

/// The places of a lineage.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    pub(crate) id: LineageId,
    pub(crate) directory: PathBuf,
    pub(crate) packs: PathBuf,
    pub(crate) manifests: PathBuf,
    pub(crate) lock: PathBuf,
}

impl Lineage {
    pub(crate) fn at(lineages: &Path, id: &LineageId) -> Lineage {
        let directory = lineages.join(id.as_str());
        Lineage {
            id: id.clone(),
            packs: directory.join("packs"),
            manifests: directory.join("manifests"),
            lock: directory.join("lock"),
            directory,
        }
    }

    pub(crate) fn manifest(&self, id: &CheckpointId) -> PathBuf {
        self.manifests.join(format!("{id}.json"))
    }

    /// The checkpoints that have a manifest, oldest first.
    pub(crate) fn checkpoints(&self, disk: &Disk) -> Result<Vec<CheckpointId>> {
        let names = disk.names(&self.manifests)?;
        Ok(names.iter().filter_map(|name| CheckpointId::parse(name.strip_suffix(".json")?).ok()).collect())
    }

    /// Reads a manifest; `None` where there is none.
    pub(crate) fn read(&self, disk: &Disk, id: &CheckpointId) -> Result<Option<Manifest>> {
        let path = self.manifest(id);
        let place = place(&path);
        let bytes = match disk.read(&path, LARGEST) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        };
        let manifest = Manifest::decode(&place, &bytes)?;
        if manifest.id != *id || manifest.lineage != self.id {
            return Err(Error::Damaged {
                checkpoint: place,
                what: format!("its manifest is that of {} in {}", manifest.id, manifest.lineage),
                still_good: "Files have been moved or renamed; put them back where they were".into(),
            });
        }
        Ok(Some(manifest))
    }
}

/// Where every chunk of a lineage is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    packs: Vec<(String, Arc<Pack>)>,
    places: HashMap<ChunkId, (u32, u32)>,
    /// Packs that cannot be read, and why. The chunks in them are missing.
    pub(crate) damaged: Vec<(PathBuf, String)>,
}

impl Index {
    /// Brings the index up to date with the directory. The lineage must be locked, so that no pack goes away meanwhile.
    pub(crate) fn refresh(&mut self, disk: &Disk, lineage: &Lineage) -> Result<()> {
        let mut names = disk.names(&lineage.packs)?;
        names.retain(|name| name.ends_with(".pack"));
        if self.packs.iter().any(|(name, _)| names.binary_search(name).is_err()) {
            // What went is in `places` all over: begin anew, but keep what was read.
            let known: HashMap<String, Arc<Pack>> = std::mem::take(self).packs.into_iter().collect();
            for (name, pack) in known {
                if names.binary_search(&name).is_ok() {
                    self.add(name, pack);
                }
            }
        }
        self.damaged.clear();
        let known: HashSet<String> = self.packs.iter().map(|(name, _)| name.clone()).collect();
        for name in names.into_iter().filter(|name| !known.contains(name)) {
            let path = lineage.packs.join(&name);
            match Pack::read(disk, &path) {
                Ok(pack) => self.add(name, Arc::new(pack)),
                Err(Error::Damaged { what, .. }) => self.damaged.push((path, format!("in {name}, {what}"))),
                Err(error) => self.damaged.push((path, error.to_string())),
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, pack: Arc<Pack>) {
        let number = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.places.reserve(pack.entries.len());
        for (at, entry) in (0u32..).zip(&pack.entries) {
            self.places.entry(entry.id).or_insert((number, at));
        }
        self.packs.push((name, pack));
    }

    /// Where a chunk is: the number of the pack, and its place there.
    pub(crate) fn find(&self, id: ChunkId) -> Option<(u32, &Entry)> {
        let (pack, entry) = *self.places.get(&id)?;
        Some((pack, &self.packs[pack as usize].1.entries[entry as usize]))
    }

    pub(crate) fn has(&self, id: ChunkId) -> bool {
        id == ChunkId::ZEROS || self.places.contains_key(&id)
    }

    pub(crate) fn path(&self, pack: u32) -> &Path {
        &self.packs[pack as usize].1.path
    }

    /// All packs that can be read, in the order of their names.
    pub(crate) fn packs(&self) -> Vec<Arc<Pack>> {
        let mut packs: Vec<_> = self.packs.iter().collect();
        packs.sort_by(|one, other| one.0.cmp(&other.0));
        packs.into_iter().map(|(_, pack)| Arc::clone(pack)).collect()
    }

    /// How many chunks it knows, as a measure of its memory.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// What to say of a chunk that is nowhere.
    pub(crate) fn why_missing(&self) -> String {
        let reasons: Vec<&str> = self.damaged.iter().map(|(_, reason)| reason.as_str()).collect();
        if reasons.is_empty() {
            "a pack is missing".into()
        } else {
            format!("a pack cannot be read: {}", reasons.join("; "))
        }
    }
}
