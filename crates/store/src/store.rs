//! The handle: where the checkpoints of one data directory are opened, found and listed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::disk::Disk;
use crate::id::{CheckpointId, LineageId};
use crate::lineage::{Index, Lineage};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::writer::Writer;
use crate::{Error, Result};

/// How many chunks the indices that are kept in memory may know together: some 100 bytes each, some 64 GiB of checkpoints in all.
const REMEMBERED: usize = 1 << 20;

/// Bounds and habits of a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The most bytes that all checkpoints may take on disk. `None`: as many as the disk has.
    pub max_bytes: Option<u64>,
    /// The largest checkpoint that is written or imported, in bytes before compression.
    pub max_checkpoint_bytes: u64,
    /// The most blobs of one checkpoint. Each costs memory while it is written and whenever it is read, also where it is empty.
    pub max_blobs: u32,
    /// How long is waited for another process that sorts out a lineage.
    pub lock_wait: Duration,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            max_bytes: None,
            max_checkpoint_bytes: 1 << 40,
            max_blobs: 1 << 20,
            lock_wait: Duration::from_secs(30),
        }
    }
}

/// What a new checkpoint is told before its first byte.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// The session whose state it is.
    pub session: String,
    /// Its name, if it has one. Names need not be unique: the newest is meant.
    pub name: Option<String>,
    /// The checkpoint before it.
    pub parent: Option<CheckpointId>,
}

/// The checkpoints of one data directory. Clones share what is known of its files; other processes may use the directory at the same time.
///
/// All methods block. They read and write files and must not be called on an asynchronous thread.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    config: StoreConfig,
    disk: Disk,
    indices: Mutex<HashMap<LineageId, Arc<Remembered>>>,
}

/// What is known of a lineage's packs.
#[derive(Debug, Default)]
struct Remembered {
    /// Held while packs are read: whoever asks for the same lineage waits, and nobody else.
    index: Mutex<Arc<Index>>,
    /// How many chunks it knows.
    chunks: AtomicUsize,
}

impl Store {
    /// Opens the checkpoints of a data directory, and removes what a process that died left half written. Nothing is made before the first checkpoint is.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the directory cannot be read.
    pub fn open(data: &Path, config: StoreConfig) -> Result<Store> {
        Store::open_on(Disk::default(), data, config)
    }

    pub(crate) fn open_on(disk: Disk, data: &Path, config: StoreConfig) -> Result<Store> {
        let directory = data.join("checkpoints");
        let store = Store(Arc::new(Inner { directory, config, disk, indices: Mutex::default() }));
        for lineage in store.lineages()? {
            store.recover(&lineage)?;
        }
        Ok(store)
    }

    /// The directory that the store has for itself.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.0.config
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    pub(crate) fn lineage(&self, id: &LineageId) -> Lineage {
        Lineage::at(&self.0.directory.join("lineages"), id)
    }

    pub(crate) fn lineages(&self) -> Result<Vec<Lineage>> {
        let names = self.disk().names(&self.0.directory.join("lineages"))?;
        let lineages = names.iter().filter_map(|name| Some(self.lineage(&LineageId::parse(name).ok()?)));
        // A stray file among them says nothing of its neighbours.
        Ok(lineages.filter(|lineage| lineage.directory.is_dir()).collect())
    }

    /// Begins a checkpoint. It is there once it is committed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a name that cannot be one, [`Error::Locked`], [`Error::Full`], [`Error::Unreadable`].
    pub fn begin(&self, lineage: &LineageId, meta: Meta) -> Result<Writer> {
        Writer::begin(self, lineage, meta)
    }

    /// Takes a lineage for reading. While the lock is held, nothing in it goes away.
    pub(crate) fn share(&self, lineage: &Lineage) -> Result<Option<Lock>> {
        Lock::shared(&lineage.lock, self.config().lock_wait)
    }

    /// The index of a lineage, brought up to date. The lineage must be locked.
    pub(crate) fn index(&self, lineage: &Lineage) -> Result<Arc<Index>> {
        let remembered = Arc::clone(self.indices().entry(lineage.id.clone()).or_default());
        let mut held = remembered.index.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it fails, the next one begins anew.
        let mut index = std::mem::take(&mut *held);
        Arc::make_mut(&mut index).refresh(self.disk(), lineage)?;
        *held = Arc::clone(&index);
        remembered.chunks.store(index.len(), Ordering::Relaxed);
        drop(held);
        let mut indices = self.indices();
        if indices.values().map(|one| one.chunks.load(Ordering::Relaxed)).sum::<usize>() > REMEMBERED {
            indices.clear();
        }
        Ok(index)
    }

    fn indices(&self) -> MutexGuard<'_, HashMap<LineageId, Arc<Remembered>>> {
        self.0.indices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a manifest again, with the lineage locked, as the one that a caller holds may be of a checkpoint that was deleted since.
    pub(crate) fn lock_existing(&self, manifest: &Manifest) -> Result<(Lineage, Lock)> {
        let lineage = self.lineage(&manifest.lineage);
        match self.share(&lineage)? {
            Some(lock) if lineage.manifest(&manifest.id).exists() => Ok((lineage, lock)),
            _ => Err(Error::NotFound { asked: manifest.id.to_string(), there: self.known_names()? }),
        }
    }

    /// How many bytes all packs and manifests have.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn used_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for lineage in self.lineages()? {
            for directory in [&lineage.packs, &lineage.manifests] {
                for name in self.disk().names(directory)? {
                    // A file that went meanwhile takes no space.
                    sum += std::fs::metadata(directory.join(name)).map_or(0, |file| file.len());
                }
            }
        }
        Ok(sum)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
