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
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::codec::{ChunkDecoder, ChunkError};
use crate::id::{CheckpointId, ChunkId};
use crate::lineage::{Index, Lineage};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::pack::{Entry, Pack, PackWriter};
use crate::source::Source;
use crate::store::Store;
use crate::{Error, Result};

const SETTLED: &str = "pck_";
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
pub(crate) struct Reachable {
    pub(crate) chunks: HashSet<ChunkId>,
    /// A manifest or a list of chunks cannot be read. Then nobody can say what is not needed.
    is_complete: bool,
}

impl Store {
    /// Removes rubbish that a process left which died. Costs two listings of directories where there is none.
    pub(crate) fn recover(&self, lineage: &Lineage) -> Result<()> {
        let known = |name: &str| CheckpointId::parse(name).is_ok_and(|id| lineage.manifest(&id).exists());
        let packs = self.disk().names(&lineage.packs)?;
        let manifests = self.disk().names(&lineage.manifests)?;
        let fine = |name: &String| name.starts_with(SETTLED) || name.strip_suffix(".pack").is_some_and(known);
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
        if needed.is_complete {
            // A manifest that is gone must not come back once its packs are removed: whoever removed it may have died before that was on the disk.
            if lineage.manifests.is_dir() {
                self.disk().sync_directory(&lineage.manifests)?;
            }
            freed += self.clear(lineage, &index, &needed.chunks)?;
        }
        self.remove_if_empty(lineage)?;
        Ok(Swept::Freed(freed))
    }

    pub(crate) fn needed(&self, lineage: &Lineage, index: &Arc<Index>) -> Result<Reachable> {
        let mut needed = Reachable { chunks: HashSet::new(), is_complete: true };
        for id in lineage.checkpoints(self.disk())? {
            match lineage.read(self.disk(), &id) {
                Ok(Some(manifest)) => self.needed_by(manifest, index, &mut needed)?,
                Ok(None) => {}
                Err(Error::Damaged { .. } | Error::NewerFormat { .. }) => needed.is_complete = false,
                Err(error) => return Err(error),
            }
        }
        Ok(needed)
    }

    fn needed_by(&self, manifest: Manifest, index: &Arc<Index>, needed: &mut Reachable) -> Result<()> {
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
                    Err(Error::Damaged { .. }) => needed.is_complete = false,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes packs that nothing is needed of, then puts those together of which most is not needed. So rubbish is never more than what is needed.
    ///
    /// In this order, as to put together takes room, and a disk that is full gets some by what is removed.
    fn clear(&self, lineage: &Lineage, index: &Index, needed: &HashSet<ChunkId>) -> Result<u64> {
        let (mut dead, mut mostly_dead, mut alive_packs) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = HashSet::new();
        for pack in index.packs() {
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
                mostly_dead.push((pack, alive));
            } else {
                alive_packs.push(pack);
            }
        }
        // A pack that cannot be read is kept for whoever can mend it, unless everything is elsewhere.
        if needed.iter().all(|id| *id == ChunkId::ZEROS || found.contains(id)) {
            dead.extend(index.damaged.iter().map(|(path, _)| path.clone()));
        }
        if !dead.is_empty() {
            // What a process that died had written may be there without being on the disk: a pack that holds the only other copy of a chunk.
            self.disk().sync_directory(&lineage.packs)?;
        }
        let mut freed = self.remove_all(lineage, dead.iter().map(PathBuf::as_path))?;
        let tidied = alive_packs.iter().try_for_each(|pack| self.settle(lineage, &pack.path));
        match tidied.and_then(|()| self.compact(lineage, &mostly_dead)) {
            Ok(more) => freed += more,
            // Nothing depends on it. The next sweep tries again.
            Err(Error::Full { .. } | Error::Damaged { .. } | Error::Unreadable { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(freed)
    }

    fn remove_all<'a>(&self, lineage: &Lineage, paths: impl Iterator<Item = &'a Path>) -> Result<u64> {
        let (mut freed, mut removed) = (0, false);
        for path in paths {
            freed += self.remove(path)?;
            removed = true;
        }
        if removed {
            self.disk().sync_directory(&lineage.packs)?;
        }
        Ok(freed)
    }

    /// Puts packs together, and answers how many bytes are free by it.
    fn compact(&self, lineage: &Lineage, packs: &[(Arc<Pack>, Vec<Entry>)]) -> Result<u64> {
        let Some((path, size)) = self.merge_packs(lineage, packs)? else { return Ok(0) };
        let freed = self.remove_all(lineage, packs.iter().map(|(pack, _)| pack.path.as_path()))?;
        self.settle(lineage, &path)?;
        self.disk().sync_directory(&lineage.packs)?;
        Ok(freed.saturating_sub(size))
    }

    /// Copies what is of use from several packs to a new one, as it is: a chunk that is damaged stays so, and is noticed when it is read.
    fn merge_packs(&self, lineage: &Lineage, packs: &[(Arc<Pack>, Vec<Entry>)]) -> Result<Option<(PathBuf, u64)>> {
        if packs.is_empty() {
            return Ok(None);
        }
        let name = format!("{MOVED}{}", Uuid::now_v7().simple());
        let mut writer = PackWriter::new(self.disk(), &lineage.packs, &name, None);
        let mut stored = Vec::new();
        for (pack, alive) in packs {
            let file = self.disk().open(&pack.path)?;
            for entry in alive {
                ChunkDecoder::stored(&file, entry, &mut stored).map_err(|unfit| match unfit {
                    ChunkError::Io(error) => Error::io("read", &pack.path, error),
                    ChunkError::Damaged(what) => Error::damaged_file(&pack.path, what),
                })?;
                writer.add(entry.id, entry.length, entry.encoding, &stored)?;
            }
        }
        let size = writer.publish()?;
        Ok(Some((lineage.packs.join(format!("{name}.pack")), size)))
    }

    /// Gives a pack that outlives its checkpoint a name of which no start needs to look into it.
    fn settle(&self, lineage: &Lineage, path: &Path) -> Result<()> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let has_manifest = CheckpointId::parse(&stem).is_ok_and(|id| lineage.manifest(&id).exists());
        if stem.starts_with(SETTLED) || has_manifest {
            return Ok(());
        }
        let name = format!("{SETTLED}{}.pack", Uuid::now_v7().simple());
        self.disk().rename(path, &lineage.packs.join(name))
    }

    /// Removes a file and answers how many bytes it had.
    pub(crate) fn remove(&self, path: &Path) -> Result<u64> {
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        self.disk().remove(path)?;
        Ok(size)
    }

    /// Removes the directory of a lineage without checkpoints. Whoever waits for its lock notices, and makes it again.
    fn remove_if_empty(&self, lineage: &Lineage) -> Result<()> {
        if !self.disk().names(&lineage.manifests)?.is_empty() || !self.disk().names(&lineage.packs)?.is_empty() {
            return Ok(());
        }
        // In this order: whoever gets the lock, or makes a new one, looks whether the directories are there.
        self.disk().remove_empty(&lineage.packs)?;
        self.disk().remove_empty(&lineage.manifests)?;
        self.disk().remove(&lineage.lock)?;
        self.disk().remove_empty(&lineage.directory)?;
        if self.lineages()?.is_empty() {
            self.forget_sessions();
        }
        Ok(())
    }
}
