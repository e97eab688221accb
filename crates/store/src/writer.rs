//! Writing a checkpoint: blobs are cut, hashed, compressed and packed as they come; the manifest is written last.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::chunking::{BUFFER_CHUNK, BlobKind};
use crate::codec::ChunkEncoder;
use crate::id::{CheckpointId, ChunkId, LineageId};
use crate::lineage::{Index, Lineage};
use crate::lock::Lock;
use crate::manifest::{Blob, INLINE, LARGEST_BLOB, Manifest, Part, SEGMENT, segment};
use crate::pack::{Encoding, PackWriter, small};
use crate::patch::PatchWriter;
use crate::store::{Meta, Store, now};
use crate::{Error, Result};

/// Buffers shorter than this are kept as streams are: to map them would take more than to copy them.
const WORTH_MAPPING: usize = 32 << 10;
/// What is hashed, probed and written at a time: a multiple of a buffer's chunks.
const PIECE: usize = 4 << 20;

/// A checkpoint that is being written. Dropped before it is committed, it leaves nothing behind.
pub struct Writer {
    pub(crate) store: Store,
    pub(crate) lineage: Lineage,
    pub(crate) index: Arc<Index>,
    pub(crate) manifest: Manifest,
    /// Manifests of the checkpoints that blobs are taken over from.
    pub(crate) bases: HashMap<CheckpointId, Arc<Manifest>>,
    pack: PackWriter,
    new: HashSet<ChunkId>,
    encoder: ChunkEncoder,
    /// A write failed: what the pack holds is not what the blobs say.
    failed: bool,
    /// Last, so that the pack is removed while the lineage is still locked.
    _lock: Lock,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Writer")
            .field("id", &self.manifest.id)
            .field("blobs", &self.manifest.blobs.len())
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn begin(store: &Store, id: &LineageId, meta: Meta) -> Result<Writer> {
        let lineage = store.lineage(id);
        let disk = store.disk();
        let lock = loop {
            for directory in [&lineage.packs, &lineage.manifests] {
                disk.make_directories(directory)?;
            }
            match Lock::shared(&lineage.lock, store.config().lock_wait)? {
                Some(lock) if lineage.packs.is_dir() && lineage.manifests.is_dir() => break lock,
                // Another process found the lineage empty, and removed it just now.
                _ => {}
            }
        };
        if lineage.checkpoints(disk)?.is_empty() {
            // The directories may be new, whoever made them. What leads to the checkpoint must last as it does.
            for directory in lineage.directory.ancestors().take(5).filter(|directory| directory.is_dir()) {
                disk.sync_directory(directory)?;
            }
        }
        let index = store.index(&lineage)?;
        let room = match store.config().max_bytes {
            Some(bound) => Some((bound.saturating_sub(store.used_bytes()?), bound)),
            None => None,
        };
        let manifest = Manifest {
            id: CheckpointId::new(),
            name: meta.name,
            session: meta.session,
            lineage: id.clone(),
            parent: meta.parent,
            origin: None,
            created_at: now(),
            size_bytes: 0,
            stored_bytes: 0,
            blobs: Vec::new(),
            body: RawValue::from_string("{}".into()).map_err(|error| Error::Misuse(error.to_string()))?,
        };
        manifest.encode()?;
        let pack = PackWriter::new(disk, &lineage.packs, manifest.id.as_str(), room);
        let encoder =
            ChunkEncoder::new().map_err(|error| Error::io("set up compression for", &lineage.directory, error))?;
        let (store, bases, new) = (store.clone(), HashMap::new(), HashSet::new());
        Ok(Writer { store, lineage, index, manifest, bases, pack, new, encoder, failed: false, _lock: lock })
    }

    /// The id that the checkpoint will have.
    #[must_use]
    pub fn id(&self) -> &CheckpointId {
        &self.manifest.id
    }

    /// Bytes that have been added to the pack so far: what was new, compressed.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.pack.size()
    }

    /// Begins a blob of pickle bytes.
    pub fn stream(&mut self) -> BlobWriter<'_> {
        BlobWriter::new(self, BlobKind::Stream)
    }

    /// Begins a blob of memory, which is kept so that it can be mapped, unless it compresses well.
    /// Pieces of 1 MiB and more are taken without a copy, best in multiples of 64 KiB.
    pub fn buffer(&mut self) -> BlobWriter<'_> {
        BlobWriter::new(self, BlobKind::Buffer)
    }

    /// Takes over a blob of an earlier checkpoint of the same lineage, with ranges replaced: each at a multiple of 64 KiB, in rising order,
    /// and of a multiple of 64 KiB bytes or to the end of the blob. What is not replaced is neither read nor written. Without patches, streams can be taken over, too.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the earlier checkpoint is not there any more, [`Error::Misuse`] for ranges that do not fit; else as for writing.
    pub fn reuse<B: AsRef<[u8]>>(
        &mut self,
        base: (&CheckpointId, u32),
        patches: impl IntoIterator<Item = (u64, B)>,
    ) -> Result<u32> {
        let mut patch = self.patch(base)?;
        for (offset, bytes) in patches {
            patch.replace(offset, bytes.as_ref())?;
        }
        patch.finish()
    }

    /// As [`Writer::reuse`], for patches that come one after the other.
    ///
    /// # Errors
    /// As [`Writer::reuse`].
    pub fn patch(&mut self, base: (&CheckpointId, u32)) -> Result<PatchWriter<'_>> {
        PatchWriter::new(self, base)
    }

    /// Completes the checkpoint. When this returns, it is on the disk, whatever happens next.
    ///
    /// # Errors
    /// Whatever is answered, the checkpoint is not there then, and nothing of it is left. [`Error::Full`], [`Error::Unreadable`], [`Error::TooLarge`], or
    /// [`Error::Misuse`] where a write failed before.
    pub fn commit(mut self, body: Box<RawValue>) -> Result<Manifest> {
        if self.failed {
            return Err(Error::Misuse(
                "the checkpoint cannot be completed: writing it failed before; begin it again".into(),
            ));
        }
        self.manifest.body = body;
        self.manifest.encode()?;
        let (disk, path) = (self.store.disk().clone(), self.lineage.manifest(&self.manifest.id));
        let pack_path = self.lineage.packs.join(format!("{}.pack", self.manifest.id));
        let temporary = path.with_extension("tmp");
        self.manifest.stored_bytes = self.pack.publish()?;
        let written = (|| {
            let file = disk.create(&temporary)?;
            disk.write(&file, &temporary, &self.manifest.encode()?)?;
            disk.sync(&file, &temporary)?;
            disk.rename(&temporary, &path)?;
            disk.sync_directory(&self.lineage.manifests)
        })();
        if let Err(error) = written {
            // The manifest first, and for good: a pack may be left over, a manifest without its pack may not. What cannot be removed is swept by the next start.
            let removed = disk.remove(&path).and_then(|()| disk.remove(&temporary));
            let removed = removed.and_then(|()| disk.sync_directory(&self.lineage.manifests));
            if removed.is_ok() {
                let _ = disk.remove(&pack_path);
            }
            return Err(error);
        }
        self.store.remember_session(&self.manifest);
        Ok(self.manifest)
    }

    /// Adds a chunk of a stream, or any bytes that are to be compressed.
    pub(crate) fn add_packed(&mut self, bytes: &[u8]) -> Result<ChunkId> {
        let id = ChunkId::of(bytes);
        if !self.is_new(id) {
            return Ok(id);
        }
        if !self.encode(id, bytes, Encoding::Zstd)? {
            let added = self.pack.add(id, small(bytes.len()), Encoding::Raw, bytes);
            self.failed |= added.is_err();
            added?;
        }
        Ok(id)
    }

    /// Adds a chunk compressed, if it is worth it, and answers whether it was.
    fn encode(&mut self, id: ChunkId, bytes: &[u8], way: Encoding) -> Result<bool> {
        let squeezed = self.encoder.encode(way, bytes);
        let squeezed = squeezed.map_err(|error| Error::io("compress for", &self.lineage.directory, error));
        let added = squeezed.and_then(|squeezed| match squeezed {
            Some(stored) => self.pack.add(id, small(bytes.len()), way, stored).map(|()| true),
            None => Ok(false),
        });
        self.failed |= added.is_err();
        added
    }

    /// Adds a chunk that was checked, in the form in which it came.
    pub(crate) fn add_stored(&mut self, id: ChunkId, length: u32, encoding: Encoding, stored: &[u8]) -> Result<()> {
        let added = if self.is_new(id) { self.pack.add(id, length, encoding, stored) } else { Ok(()) };
        self.failed |= added.is_err();
        added
    }

    fn is_new(&mut self, id: ChunkId) -> bool {
        !self.index.has(id) && self.new.insert(id)
    }

    /// Adds chunks of a buffer. Those that are new, follow each other and do not compress are written in one go, right from `bytes`.
    pub(crate) fn add_buffer(&mut self, bytes: &[u8], parts: &mut Vec<Part>) -> Result<()> {
        let failed = |error| Error::io("compress for", &self.lineage.directory, error);
        let way = self.encoder.way(bytes).map_err(failed)?;
        let (mut run, mut run_at, mut at) = (Vec::new(), 0, 0);
        for chunk in bytes.chunks(BUFFER_CHUNK) {
            let id = ChunkId::of(chunk);
            parts.push(Part { id, length: chunk.len() as u64 });
            let new = self.is_new(id);
            let packed = match way {
                Some(way) if new => self.encode(id, chunk, way)?,
                _ => false,
            };
            if !new || packed {
                self.add_run(&mut run, &bytes[run_at..at])?;
                run_at = at + chunk.len();
            } else {
                if run.is_empty() {
                    run_at = at;
                }
                run.push((id, small(chunk.len())));
            }
            at += chunk.len();
        }
        self.add_run(&mut run, &bytes[run_at.min(at)..at])
    }

    fn add_run(&mut self, run: &mut Vec<(ChunkId, u32)>, bytes: &[u8]) -> Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let added = self.pack.add_mapped(run, bytes);
        self.failed |= added.is_err();
        run.clear();
        added
    }

    /// Adds a blob to the manifest, from its chunks; lists that are long are kept as segments.
    pub(crate) fn add_blob(&mut self, kind: BlobKind, chunks: Vec<Part>) -> Result<u32> {
        if chunks.len() <= INLINE {
            return self.push_blob(kind, false, chunks);
        }
        let mut segments = Vec::with_capacity(chunks.len().div_ceil(SEGMENT));
        for chunks in chunks.chunks(SEGMENT) {
            segments.push(self.add_segment(chunks)?);
        }
        self.push_blob(kind, true, segments)
    }

    pub(crate) fn add_segment(&mut self, chunks: &[Part]) -> Result<Part> {
        let length = chunks.iter().map(|chunk| chunk.length).sum();
        Ok(Part { id: self.add_packed(&segment::write(chunks))?, length })
    }

    pub(crate) fn push_blob(&mut self, kind: BlobKind, segmented: bool, parts: Vec<Part>) -> Result<u32> {
        let size = parts.iter().map(|part| part.length).sum();
        let limit = self.store.config().max_blobs;
        if self.manifest.blobs() >= limit {
            self.failed = true;
            let what = format!("a checkpoint of {} streams and buffers", u64::from(limit) + 1);
            return Err(Error::TooMany { what, limit: limit.into() });
        }
        self.check_size(size)?;
        self.manifest.size_bytes += size;
        self.manifest.blobs.push(Blob { kind, size, segmented, parts });
        Ok(self.manifest.blobs() - 1)
    }

    fn check_size(&self, size: u64) -> Result<()> {
        let limit = self.store.config().max_checkpoint_bytes;
        let whole = self.manifest.size_bytes.saturating_add(size);
        if whole > limit {
            return Err(Error::TooLarge { what: "the checkpoint".into(), size: whole, limit });
        }
        if size > LARGEST_BLOB {
            return Err(Error::TooLarge { what: "a buffer".into(), size, limit: LARGEST_BLOB });
        }
        Ok(())
    }
}

/// A blob that is being written. Dropped before it is finished, it is not part of the checkpoint.
#[derive(Debug)]
pub struct BlobWriter<'w> {
    writer: &'w mut Writer,
    kind: BlobKind,
    /// Bytes that are not cut yet.
    rest: Vec<u8>,
    parts: Vec<Part>,
    size: u64,
}

impl<'w> BlobWriter<'w> {
    fn new(writer: &'w mut Writer, kind: BlobKind) -> BlobWriter<'w> {
        writer.encoder.forget();
        BlobWriter { writer, kind, rest: Vec::new(), parts: Vec::new(), size: 0 }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unreadable`], [`Error::TooLarge`]. The checkpoint cannot be completed then.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        if let Err(error) = self.writer.check_size(self.size) {
            self.writer.failed = true;
            return Err(error);
        }
        match self.kind {
            BlobKind::Stream => {
                for piece in bytes.chunks(PIECE) {
                    self.rest.extend_from_slice(piece);
                    self.cut_stream(false)?;
                }
                Ok(())
            }
            BlobKind::Buffer => {
                if !self.rest.is_empty() {
                    let taken = bytes.len().min(BUFFER_CHUNK - self.rest.len());
                    self.rest.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if self.rest.len() == BUFFER_CHUNK {
                        self.writer.add_buffer(&self.rest, &mut self.parts)?;
                        self.rest.clear();
                    }
                }
                let whole = bytes.len() / BUFFER_CHUNK * BUFFER_CHUNK;
                for piece in bytes[..whole].chunks(PIECE) {
                    self.writer.add_buffer(piece, &mut self.parts)?;
                }
                self.rest.extend_from_slice(&bytes[whole..]);
                Ok(())
            }
        }
    }

    fn cut_stream(&mut self, last: bool) -> Result<()> {
        let mut at = 0;
        loop {
            let length = self.kind.cut(&self.rest[at..], last);
            if length == 0 {
                break;
            }
            let id = self.writer.add_packed(&self.rest[at..at + length])?;
            self.parts.push(Part { id, length: length as u64 });
            at += length;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Completes the blob and answers its number.
    ///
    /// # Errors
    /// As [`BlobWriter::write`].
    pub fn finish(mut self) -> Result<u32> {
        if self.kind == BlobKind::Stream {
            self.cut_stream(true)?;
        } else if self.parts.is_empty() && self.rest.len() < WORTH_MAPPING && !self.rest.is_empty() {
            let id = self.writer.add_packed(&self.rest)?;
            self.parts.push(Part { id, length: self.rest.len() as u64 });
        } else if !self.rest.is_empty() {
            self.writer.add_buffer(&self.rest, &mut self.parts)?;
        }
        self.writer.add_blob(self.kind, self.parts)
    }
}
