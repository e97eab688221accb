//! Removing what no checkpoint needs: what a process that died left half written, packs of deleted checkpoints, dead parts of packs.
//!
//! All of it is done with the lineage locked for this process alone, and in an order in which every moment is a good one to die in.
//! A pack's name tells the next start whether there is something to look into, without reading any:
//!
//! | name | what it is | to look into |
//! | --- | --- | --- |
//! | `ckp_….pack` | written for that checkpoint | if the checkpoint has no manifest: never completed, or deleted |
//! | `pck_….pack` | written for a checkpoint that is deleted, or put together from such packs | no |
//! | `mov_….pack` | put together from packs that were not removed yet | yes |
//! | `….tmp` | not complete | yes: removed |

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::codec::{Fetcher, Unfit};
use crate::id::{CheckpointId, ChunkId};
use crate::lineage::{Index, Lineage};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::pack::{Entry, Pack, PackWriter};
use crate::source::Source;
use crate::store::Store;
use crate::{Error, Result};

const KEPT: &str = "pck_";
const MOVED: &str = "mov_";

/// What a sweep did to a lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swept {
    /// So many bytes are free.
    Freed(u64),
    /// Somebody uses the lineage. What is rubbish in it stays until the next sweep.
    Busy,
}

/// What the manifests of a lineage need.
pub(crate) struct Needed {
    pub(crate) chunks: HashSet<ChunkId>,
    /// A manifest or a list of chunks cannot be read. Then nobody can say what is not needed.
    is_all: bool,
}

impl Store {
    /// Removes rubbish that a process left which died. Costs two listings of directories where there is none.
    pub(crate) fn tidy(&self, lineage: &Lineage) -> Result<()> {
        let known = |name: &str| CheckpointId::parse(name).is_ok_and(|id| lineage.manifest(&id).exists());
        let packs = self.disk().names(&lineage.packs)?;
        let manifests = self.disk().names(&lineage.manifests)?;
        let fine = |name: &String| name.starts_with(KEPT) || name.strip_suffix(".pack").is_some_and(known);
        let left_half = manifests.iter().any(|name| name.ends_with(".tmp")) || manifests.is_empty();
        if left_half || packs.iter().any(|name| name.ends_with(".tmp") || !fine(name)) {
            self.sweep(lineage)?;
        }
        Ok(())
    }

    /// Removes all that no checkpoint of a lineage needs, and the lineage's directory where it has no checkpoint.
    pub(crate) fn sweep(&self, lineage: &Lineage) -> Result<Swept> {
        let Some(_lock) = Lock::alone(&lineage.lock)? else { return Ok(Swept::Busy) };
        let mut freed = 0;
        for directory in [&lineage.packs, &lineage.manifests] {
            for name in self.disk().names(directory)?.iter().filter(|name| name.ends_with(".tmp")) {
                freed += self.remove(&directory.join(name))?;
            }
        }
        let index = self.index(lineage)?;
        let needed = self.needed(lineage, &index)?;
        if needed.is_all {
            freed += self.clear(lineage, &index, &needed.chunks)?;
        }
        self.forget_empty(lineage)?;
        Ok(Swept::Freed(freed))
    }

    pub(crate) fn needed(&self, lineage: &Lineage, index: &Arc<Index>) -> Result<Needed> {
        let mut needed = Needed { chunks: HashSet::new(), is_all: true };
        for id in lineage.checkpoints(self.disk())? {
            match lineage.read(self.disk(), &id) {
                Ok(Some(manifest)) => self.needed_by(manifest, index, &mut needed)?,
                Ok(None) => {}
                Err(Error::Damaged { .. } | Error::NewerFormat { .. }) => needed.is_all = false,
                Err(error) => return Err(error),
            }
        }
        Ok(needed)
    }

    fn needed_by(&self, manifest: Manifest, index: &Arc<Index>, needed: &mut Needed) -> Result<()> {
        let manifest = Arc::new(manifest);
        for (number, blob) in (0u32..).zip(&manifest.blobs) {
            let mut source = Source::new(self.disk(), index, Arc::clone(&manifest), number);
            for part in &blob.parts {
                // A segment that is known was looked into.
                if !needed.chunks.insert(part.id) || !blob.segmented {
                    continue;
                }
                match source.segment(*part) {
                    Ok(chunks) => needed.chunks.extend(chunks.iter().map(|chunk| chunk.id)),
                    Err(Error::Damaged { .. }) => needed.is_all = false,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes packs that nothing is needed of, and puts those together of which most is not needed. So rubbish is never more than what is needed.
    fn clear(&self, lineage: &Lineage, index: &Index, needed: &HashSet<ChunkId>) -> Result<u64> {
        let packs = index.packs();
        let (mut dead, mut mostly_dead, mut changed) = (Vec::new(), Vec::new(), false);
        let mut found = HashSet::new();
        for pack in &packs {
            let alive: Vec<Entry> = pack
                .entries
                .iter()
                .filter(|entry| needed.contains(&entry.id) && found.insert(entry.id))
                .copied()
                .collect();
            let of_use: u64 = alive.iter().map(|entry| u64::from(entry.stored)).sum();
            if alive.is_empty() {
                dead.push(pack.path.clone());
            } else if of_use * 2 < pack.entries.iter().map(|entry| u64::from(entry.stored)).sum() {
                mostly_dead.push((Arc::clone(pack), alive));
            } else {
                changed |= self.keep(lineage, &pack.path)?;
            }
        }
        // A pack that cannot be read is kept for whoever can mend it, unless everything is elsewhere.
        if needed.iter().all(|id| *id == ChunkId::ZEROS || found.contains(id)) {
            dead.extend(index.damaged.iter().map(|(path, _)| path.clone()));
        }
        let moved = self.put_together(lineage, &mostly_dead)?;
        let mut freed = 0;
        for path in dead.iter().chain(mostly_dead.iter().map(|(pack, _)| &pack.path)) {
            freed += self.remove(path)?;
            changed = true;
        }
        if changed {
            self.disk().sync_directory(&lineage.packs)?;
        }
        if let Some((path, size)) = moved {
            self.keep(lineage, &path)?;
            self.disk().sync_directory(&lineage.packs)?;
            freed = freed.saturating_sub(size);
        }
        Ok(freed)
    }

    /// Copies what is of use from several packs to a new one, as it is: a chunk that is damaged stays so, and is noticed when it is read.
    fn put_together(
        &self,
        lineage: &Lineage,
        packs: &[(Arc<Pack>, Vec<Entry>)],
    ) -> Result<Option<(std::path::PathBuf, u64)>> {
        if packs.is_empty() {
            return Ok(None);
        }
        let name = format!("{MOVED}{}", Uuid::now_v7().simple());
        let mut writer = PackWriter::new(self.disk(), &lineage.packs, &name, None);
        let mut stored = Vec::new();
        for (pack, alive) in packs {
            let file = self.disk().open(&pack.path)?;
            for entry in alive {
                Fetcher::stored(&file, entry, &mut stored).map_err(|unfit| match unfit {
                    Unfit::Io(error) => Error::io("read", &pack.path, error),
                    Unfit::Damaged(what) => Error::damaged_file(&pack.path, what),
                })?;
                writer.add(entry.id, entry.length, entry.encoding, &stored)?;
            }
        }
        let size = writer.publish()?;
        Ok(Some((lineage.packs.join(format!("{name}.pack")), size)))
    }

    /// Gives a pack that outlives its checkpoint a name of which no start needs to look into it. Answers whether it had another one.
    fn keep(&self, lineage: &Lineage, path: &Path) -> Result<bool> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let has_manifest = CheckpointId::parse(&stem).is_ok_and(|id| lineage.manifest(&id).exists());
        if stem.starts_with(KEPT) || has_manifest {
            return Ok(false);
        }
        let name = format!("{KEPT}{}.pack", Uuid::now_v7().simple());
        self.disk().rename(path, &lineage.packs.join(name))?;
        Ok(true)
    }

    /// Removes a file and answers how many bytes it had.
    pub(crate) fn remove(&self, path: &Path) -> Result<u64> {
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        self.disk().remove(path)?;
        Ok(size)
    }

    /// Removes the directory of a lineage without checkpoints. Whoever waits for its lock notices, and makes it again.
    fn forget_empty(&self, lineage: &Lineage) -> Result<()> {
        if !self.disk().names(&lineage.manifests)?.is_empty() || !self.disk().names(&lineage.packs)?.is_empty() {
            return Ok(());
        }
        // In this order: whoever gets the lock, or makes a new one, looks whether the directories are there.
        self.disk().remove_empty(&lineage.packs)?;
        self.disk().remove_empty(&lineage.manifests)?;
        self.disk().remove(&lineage.lock)?;
        self.disk().remove_empty(&lineage.directory)?;
        Ok(())
    }
}
