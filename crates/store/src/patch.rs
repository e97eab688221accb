//! A buffer as it was in an earlier checkpoint, with ranges replaced: the cost is that of what changed.

use std::sync::Arc;

use crate::chunking::{BUFFER_CHUNK, BlobKind};
use crate::manifest::{Blob, Part, SEGMENT};
use crate::source::Source;
use crate::writer::Writer;
use crate::{CheckpointId, Error, Result};

/// A blob that is taken over from an earlier checkpoint, and changed on the way. See [`Writer::patch`]. Dropped before it is finished, it is not part of the checkpoint.
#[derive(Debug)]
pub struct PatchWriter<'w> {
    writer: &'w mut Writer,
    source: Source,
    blob: Blob,
    /// The segment that is being changed: its number, and its chunks. A blob without segments counts as one.
    open: Option<(usize, Vec<Part>)>,
    /// Where the last range ended.
    end: u64,
}

impl<'w> PatchWriter<'w> {
    pub(crate) fn new(writer: &'w mut Writer, (base, number): (&CheckpointId, u32)) -> Result<PatchWriter<'w>> {
        let manifest = match writer.bases.get(base) {
            Some(manifest) => Arc::clone(manifest),
            None => {
                let read = writer.lineage.read(writer.store.disk(), base)?;
                let there = || writer.store.known_names();
                let Some(read) = read else { return Err(Error::NotFound { asked: base.to_string(), there: there()? }) };
                let read = Arc::new(read);
                writer.bases.insert(base.clone(), Arc::clone(&read));
                read
            }
        };
        let blob = manifest.blobs.get(number as usize).cloned();
        let blob = blob.ok_or_else(|| Error::Misuse(format!("checkpoint {base} has no blob {number}")))?;
        let source = Source::new(writer.store.disk(), &writer.index, manifest, number);
        if blob.parts.iter().any(|part| !writer.index.has(part.id)) {
            return Err(source.missing());
        }
        Ok(PatchWriter { writer, source, blob, open: None, end: 0 })
    }

    /// Replaces a range, behind those that were replaced before.
    ///
    /// # Errors
    /// [`Error::Misuse`] where the range does not fit, [`Error::Damaged`] where the earlier checkpoint's list of chunks cannot be read; else as for writing.
    pub fn replace(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let grid = BUFFER_CHUNK as u64;
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.blob.size);
        let aligned =
            end.filter(|end| offset.is_multiple_of(grid) && (end.is_multiple_of(grid) || *end == self.blob.size));
        let (Some(end), BlobKind::Buffer, true) = (aligned, self.blob.kind, offset >= self.end) else {
            return Err(Error::Misuse(format!(
                "{} bytes at {offset} cannot be replaced in a {:?} of {} bytes whose changes reach {} so far: ranges begin and end at multiples of {grid}, \
                 in rising order, within a buffer",
                bytes.len(),
                self.blob.kind,
                self.blob.size,
                self.end
            )));
        };
        self.end = end;
        let (mut at, mut bytes) = (usize::try_from(offset / grid).unwrap_or(usize::MAX), bytes);
        while !bytes.is_empty() {
            let (segment, first) = if self.blob.segmented { (at / SEGMENT, at % SEGMENT) } else { (0, at) };
            let taken = bytes.len().min((SEGMENT - first) * BUFFER_CHUNK);
            let mut parts = Vec::new();
            self.writer.add_buffer(&bytes[..taken], &mut parts)?;
            let chunks = self.open(segment)?;
            let Some(place) = chunks.get_mut(first..first + parts.len()) else {
                return Err(self.source.damaged("its list of chunks is too short"));
            };
            place.copy_from_slice(&parts);
            at += parts.len();
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn open(&mut self, segment: usize) -> Result<&mut Vec<Part>> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            self.close()?;
            let chunks = if self.blob.segmented {
                self.source.segment(self.blob.parts[segment])?
            } else {
                self.blob.parts.clone()
            };
            return Ok(&mut self.open.insert((segment, chunks)).1);
        }
        self.open.as_mut().map(|(_, chunks)| chunks).ok_or_else(|| Error::Misuse("no segment is open".into()))
    }

    fn close(&mut self) -> Result<()> {
        match self.open.take() {
            Some((segment, chunks)) if self.blob.segmented => {
                self.blob.parts[segment] = self.writer.add_segment(&chunks)?;
            }
            Some((_, chunks)) => self.blob.parts = chunks,
            None => {}
        }
        Ok(())
    }

    /// Completes the blob and answers its number.
    ///
    /// # Errors
    /// As for writing.
    pub fn finish(mut self) -> Result<u32> {
        self.close()?;
        self.writer.push_blob(self.blob.kind, self.blob.segmented, self.blob.parts)
    }
}
