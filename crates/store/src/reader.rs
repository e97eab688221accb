//! Reading blobs: as bytes, of which every chunk is checked as it goes, or as places in files, to be mapped.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::id::ChunkId;
use crate::lineage::Index;
use crate::lock::Lock;
use crate::manifest::{Manifest, Part};
use crate::pack::{Encoding, PAGE};
use crate::source::Source;
use crate::store::Store;
use crate::{Error, Result};

/// How many bytes are unpacked at a time: enough for several threads.
const BATCH: u64 = 8 << 20;

/// The bytes of a blob, or of a range of it, in order. While it lives, nothing that it reads is removed.
#[derive(Debug)]
pub struct BlobReader {
    source: Source,
    parts: Parts,
    batch: Vec<u8>,
    at: usize,
    /// How many bytes of the next batch are before the range, and how many of the range are left.
    skip: u64,
    left: u64,
    _lock: Arc<Lock>,
}

/// The chunks of a blob, one after the other; segments are read when they are come to.
#[derive(Debug)]
pub(crate) struct Parts {
    segments: VecDeque<Part>,
    chunks: VecDeque<Part>,
}

impl Parts {
    fn new(manifest: &Manifest, number: u32) -> Result<Parts> {
        let blob = manifest.blobs.get(number as usize);
        let blob = blob.ok_or_else(|| Error::Misuse(format!("checkpoint {} has no blob {number}", manifest.id)))?;
        let (parts, none) = (blob.parts.iter().copied().collect(), VecDeque::new());
        Ok(if blob.segmented {
            Parts { segments: parts, chunks: none }
        } else {
            Parts { segments: none, chunks: parts }
        })
    }

    pub(crate) fn next(&mut self, source: &mut Source) -> Result<Option<Part>> {
        if self.chunks.is_empty()
            && let Some(segment) = self.segments.pop_front()
        {
            self.chunks = source.segment(segment)?.into();
        }
        Ok(self.chunks.pop_front())
    }

    /// Goes over whole segments and chunks that lie before `offset`, and answers how many bytes they have.
    fn pass(&mut self, source: &mut Source, offset: u64) -> Result<u64> {
        let mut passed = 0;
        while let Some(segment) = self.segments.front().filter(|segment| passed + segment.length <= offset) {
            passed += segment.length;
            self.segments.pop_front();
        }
        while let Some(chunk) = self.next(source)? {
            if passed + chunk.length > offset {
                self.chunks.push_front(chunk);
                break;
            }
            passed += chunk.length;
        }
        Ok(passed)
    }
}

impl BlobReader {
    /// The next bytes, some MiB of them; `None` at the end. For whoever can take them as they come, this copies less than [`io::Read`].
    ///
    /// # Errors
    /// [`Error::Damaged`] where the bytes are not those that were written. Those answered before are.
    pub fn part(&mut self) -> Result<Option<&[u8]>> {
        if self.at == self.batch.len() && !self.fill()? {
            return Ok(None);
        }
        let at = std::mem::replace(&mut self.at, self.batch.len());
        Ok(Some(&self.batch[at..]))
    }

    /// As [`BlobReader::part`], into a buffer of the caller's, which is taken in exchange and used for later parts: so one
    /// part can be sent while the next one is unpacked. Answers where in the buffer the part is.
    ///
    /// # Errors
    /// As [`BlobReader::part`].
    pub fn exchange(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Range<usize>>> {
        if self.at == self.batch.len() && !self.fill()? {
            return Ok(None);
        }
        let part = self.at..self.batch.len();
        std::mem::swap(&mut self.batch, buffer);
        self.at = self.batch.len();
        Ok(Some(part))
    }

    fn fill(&mut self) -> Result<bool> {
        if self.left == 0 {
            self.batch.clear();
            self.at = 0;
            return Ok(false);
        }
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH.min(self.skip + self.left) {
            let Some(part) = self.parts.next(&mut self.source)? else { break };
            bytes += part.length;
            parts.push(part);
        }
        if let Err(error) = self.source.chunks(&parts, &mut self.batch) {
            // What is in the batch is half read: nobody may see it.
            (self.at, self.left) = (0, 0);
            self.batch.clear();
            return Err(error);
        }
        let taken = self.left.min(bytes.saturating_sub(self.skip));
        self.at = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.batch.len());
        self.batch.truncate(self.at + usize::try_from(taken).unwrap_or(0));
        self.skip = 0;
        self.left -= taken;
        Ok(taken > 0)
    }

    /// All bytes that are left.
    ///
    /// # Errors
    /// As [`BlobReader::part`].
    pub fn read_all(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(part) = self.part()? {
            all.extend_from_slice(part);
        }
        Ok(all)
    }
}

impl io::Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.batch.len() && !self.fill().map_err(io::Error::other)? {
            return Ok(0);
        }
        let length = out.len().min(self.batch.len() - self.at);
        out[..length].copy_from_slice(&self.batch[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// A range of a blob, and where it is.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Where it begins in the blob.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Where its bytes are.
    pub location: Location,
}

/// Where the bytes of an [`Extent`] are.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a file as they are, so that they can be mapped, copy-on-write. **They are not checked**: [`Store::verify`] does that.
    /// The file stays readable while it is open, also when the checkpoint is deleted. It holds other bytes of the same lineage, too.
    Raw {
        /// The file, open for reading.
        file: Arc<File>,
        /// Its path, to be shown.
        path: PathBuf,
        /// Where they begin: a multiple of 4096, and they end before the file does.
        at: u64,
    },
    /// Compressed: to be had by [`Reader::read_range`].
    Packed,
    /// Nowhere: all are zero.
    Zeros,
}

/// One checkpoint, opened to read several of its blobs. While it lives, nothing of its lineage is removed.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Store,
    index: Arc<Index>,
    manifest: Arc<Manifest>,
    lock: Arc<Lock>,
}

impl Reader {
    /// The checkpoint.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// [`Error::Damaged`], or [`Error::Misuse`] where the checkpoint has no such blob.
    pub fn read(&self, blob: u32) -> Result<BlobReader> {
        self.read_range(blob, 0, u64::MAX)
    }

    /// Reads a range of a blob; what is beyond the blob's end is left out.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_range(&self, blob: u32, offset: u64, length: u64) -> Result<BlobReader> {
        let (mut source, mut parts) = self.source(blob)?;
        let passed = parts.pass(&mut source, offset)?;
        let left = length.min(self.manifest.blobs[blob as usize].size.saturating_sub(offset));
        let lock = Arc::clone(&self.lock);
        Ok(BlobReader { source, parts, batch: Vec::new(), at: 0, skip: offset - passed, left, _lock: lock })
    }

    /// Reads a blob to its end, which checks it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn check(&self, blob: u32) -> Result<()> {
        let mut bytes = self.read(blob)?;
        while bytes.part()?.is_some() {}
        Ok(())
    }

    pub(crate) fn source(&self, blob: u32) -> Result<(Source, Parts)> {
        let parts = Parts::new(&self.manifest, blob)?;
        Ok((Source::new(self.store.disk(), &self.index, Arc::clone(&self.manifest), blob), parts))
    }

    /// Where the bytes of a blob are, in order and without gaps.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn extents(&self, blob: u32) -> Result<Vec<Extent>> {
        let (mut source, mut parts) = self.source(blob)?;
        let (mut extents, mut offset) = (Vec::<Extent>::new(), 0);
        while let Some(part) = parts.next(&mut source)? {
            let location = locate(&mut source, part)?;
            match extents.last_mut() {
                Some(last) if goes_on(last, &location) => last.length += part.length,
                _ => extents.push(Extent { offset, length: part.length, location }),
            }
            offset += part.length;
        }
        Ok(extents)
    }
}

impl Store {
    /// Opens a checkpoint to read several of its blobs.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the checkpoint was deleted meanwhile, [`Error::Locked`], [`Error::Unreadable`].
    pub fn reader(&self, manifest: &Manifest) -> Result<Reader> {
        let (lineage, lock) = self.lock_existing(manifest)?;
        let index = self.index(&lineage)?;
        Ok(Reader { store: self.clone(), index, manifest: Arc::new(manifest.clone()), lock: Arc::new(lock) })
    }

    /// Reads one blob; for several, [`Store::reader`] costs less.
    ///
    /// # Errors
    /// As [`Store::reader`] and [`Reader::read`].
    pub fn read(&self, manifest: &Manifest, blob: u32) -> Result<BlobReader> {
        self.reader(manifest)?.read(blob)
    }

    /// Where the bytes of one blob are; for several, [`Store::reader`] costs less.
    ///
    /// # Errors
    /// As [`Store::reader`] and [`Reader::read`].
    pub fn extents(&self, manifest: &Manifest, blob: u32) -> Result<Vec<Extent>> {
        self.reader(manifest)?.extents(blob)
    }
}

fn locate(source: &mut Source, part: Part) -> Result<Location> {
    if part.id == ChunkId::ZEROS {
        return Ok(Location::Zeros);
    }
    let index = Arc::clone(&source.index);
    let Some((pack, entry)) = index.find(part.id) else { return Err(source.missing()) };
    if entry.encoding == Encoding::Mapped && entry.offset.is_multiple_of(PAGE) && u64::from(entry.length) == part.length
    {
        return Ok(Location::Raw { file: source.file(pack)?, path: index.path(pack).to_owned(), at: entry.offset });
    }
    Ok(Location::Packed)
}

fn goes_on(last: &Extent, next: &Location) -> bool {
    match (&last.location, next) {
        (Location::Raw { file, at, .. }, Location::Raw { file: other, at: next, .. }) => {
            Arc::ptr_eq(file, other) && at + last.length == *next
        }
        (Location::Packed, Location::Packed) | (Location::Zeros, Location::Zeros) => true,
        _ => false,
    }
}
