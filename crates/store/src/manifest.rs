//! What a checkpoint consists of: the store's own part, and the body, which is the worker's and is kept as it came.
//!
//! A manifest file is `{"pyrepl3_checkpoint":1,"blake3":"<64 digits>","manifest":<the manifest>}` and a newline, with nothing between, where the hash is that of
//! the bytes of the manifest. So any JSON reader reads it, and no byte of it can change unnoticed.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::chunking::{BUFFER_CHUNK, BlobKind};
use crate::id::{CheckpointId, ChunkId, LineageId};
use crate::pack::MAX_CHUNK;
use crate::{Error, Result};

/// The format of manifests that is written. All up to it are read.
pub(crate) const FORMAT: u32 = 1;
/// The largest manifest that is read or written, in bytes. Its blobs' chunk lists are kept outside of it, so this is for names, reasons and sources.
pub(crate) const LARGEST: u64 = 256 << 20;
/// How many chunks a segment lists: 32 MiB of a buffer. A change in one place writes one such list (18 KiB) again.
pub(crate) const SEGMENT: usize = 512;
/// How many chunks a blob may have for their list to stand in the manifest itself.
pub(crate) const INLINE: usize = 16;
/// The largest blob, in bytes, so that sums cannot overflow.
pub(crate) const LARGEST_BLOB: u64 = 1 << 48;
/// The longest name of a checkpoint or a session, in bytes.
const LONGEST_NAME: usize = 256;

/// One checkpoint. Only what is read back whole and unchanged becomes one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The checkpoint.
    pub id: CheckpointId,
    /// The name that it was given.
    pub name: Option<String>,
    /// The session whose state it is.
    pub session: String,
    /// What it shares chunks with.
    pub lineage: LineageId,
    /// The checkpoint before it. That one may be deleted by now; nothing of this one depends on it.
    pub parent: Option<CheckpointId>,
    /// For an imported checkpoint: its id where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<CheckpointId>,
    /// Seconds since 1970.
    pub created_at: f64,
    /// Bytes of all blobs, uncompressed.
    pub size_bytes: u64,
    /// Bytes that were written for it: what was not there already, compressed.
    pub stored_bytes: u64,
    /// What it consists of, in the order in which it was written.
    pub(crate) blobs: Vec<Blob>,
    /// The worker's part. See [`crate::Body`].
    pub(crate) body: Box<RawValue>,
}

/// One byte string of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blob {
    pub(crate) kind: BlobKind,
    pub(crate) size: u64,
    /// Whether the parts are segments, which list chunks; else they are chunks.
    pub(crate) segmented: bool,
    pub(crate) parts: Vec<Part>,
}

/// A chunk or a segment, and how many bytes of the blob it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) id: ChunkId,
    pub(crate) length: u64,
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.id.hex(), self.length).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Part, D::Error> {
        let (hex, length) = <(String, u64)>::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(&hex).map_err(serde::de::Error::custom)?;
        Ok(Part { id: ChunkId(*hash.as_bytes()), length })
    }
}

impl Manifest {
    /// How many blobs it has. They are numbered from 0.
    #[must_use]
    pub fn blobs(&self) -> u32 {
        u32::try_from(self.blobs.len()).unwrap_or(u32::MAX)
    }

    /// The size of a blob in bytes, uncompressed, and whether it is a stream or a buffer.
    #[must_use]
    pub fn blob(&self, blob: u32) -> Option<(BlobKind, u64)> {
        self.blobs.get(blob as usize).map(|blob| (blob.kind, blob.size))
    }

    /// The worker's part, as it came.
    #[must_use]
    pub fn body(&self) -> &RawValue {
        &self.body
    }

    /// The bytes of the manifest's file.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(Error::Misuse)?;
        let text = serde_json::to_string(self)
            .map_err(|error| Error::Misuse(format!("the manifest cannot be written: {error}")))?;
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let sealed =
            format!("{{\"pyrepl3_checkpoint\":{FORMAT},\"blake3\":\"{hash}\",\"manifest\":{text}}}\n").into_bytes();
        if sealed.len() as u64 > LARGEST {
            return Err(Error::TooLarge {
                what: "the list of what the checkpoint holds".into(),
                size: sealed.len() as u64,
                limit: LARGEST,
            });
        }
        Ok(sealed)
    }

    /// Reads a manifest's file; `place` is named in errors.
    pub(crate) fn decode(place: &str, bytes: &[u8]) -> Result<Manifest> {
        let damaged = |what: String| Error::Damaged {
            checkpoint: place.to_owned(),
            what,
            still_good: "It cannot be restored; other checkpoints are as they were".into(),
        };
        let cut = || damaged("its manifest was cut or overwritten".into());
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("its manifest is not text any more".into()))?;
        let rest = text.strip_prefix("{\"pyrepl3_checkpoint\":").ok_or_else(cut)?;
        let (format, rest) = rest.split_once(',').ok_or_else(cut)?;
        let format = format.parse::<u32>().ok().filter(|number| number.to_string() == format).ok_or_else(cut)?;
        match format {
            1 => {}
            0 => return Err(cut()),
            found => return Err(Error::NewerFormat { what: place.to_owned(), found, known: FORMAT }),
        }
        let rest = rest.strip_prefix("\"blake3\":\"").ok_or_else(cut)?;
        let (hash, rest) = rest.split_at_checked(64).ok_or_else(cut)?;
        let text = rest.strip_prefix("\",\"manifest\":").and_then(|rest| rest.strip_suffix("}\n")).ok_or_else(cut)?;
        if blake3::hash(text.as_bytes()).to_hex().as_str() != hash {
            return Err(damaged("its manifest is not what was written".into()));
        }
        let manifest: Manifest = serde_json::from_str(text)
            .map_err(|error| damaged(format!("its manifest does not make sense: {error}")))?;
        manifest.check().map_err(|what| damaged(format!("its manifest does not make sense: {what}")))?;
        Ok(manifest)
    }

    /// What a hash cannot tell: a manifest that was made by somebody else may say anything.
    fn check(&self) -> std::result::Result<(), String> {
        check_name("session", &self.session)?;
        if let Some(name) = &self.name {
            check_name("checkpoint", name)?;
        }
        if !self.created_at.is_finite() {
            return Err("it was made at no time".into());
        }
        let mut whole = 0u64;
        for (number, blob) in self.blobs.iter().enumerate() {
            let sum = blob.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.length));
            if sum != Some(blob.size) || blob.size > LARGEST_BLOB {
                return Err(format!("the parts of blob {number} do not make up its size"));
            }
            let most = if blob.segmented { (SEGMENT * MAX_CHUNK) as u64 } else { MAX_CHUNK as u64 };
            if blob.parts.iter().any(|part| part.length == 0 || part.length > most) {
                return Err(format!("blob {number} has a part of a length that cannot be"));
            }
            let grid = if blob.segmented { SEGMENT * BUFFER_CHUNK } else { BUFFER_CHUNK } as u64;
            if blob.kind == BlobKind::Buffer && !is_on_grid(&blob.parts, grid) {
                return Err(format!("blob {number} is not cut as a buffer is"));
            }
            whole = whole.checked_add(blob.size).ok_or("its size overflows")?;
        }
        if whole == self.size_bytes { Ok(()) } else { Err("its blobs do not make up its size".into()) }
    }
}

fn check_name(of: &str, name: &str) -> std::result::Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(format!(
            "the name of a {of} is 1 to {LONGEST_NAME} bytes without control characters, and {name:?} is not"
        ));
    }
    Ok(())
}

/// Whether all parts are of one length, but for the last one, which may be shorter.
fn is_on_grid(parts: &[Part], grid: u64) -> bool {
    parts.split_last().is_none_or(|(last, all)| last.length <= grid && all.iter().all(|part| part.length == grid))
}

/// A segment: the list of up to [`SEGMENT`] chunks, for each its id and its length in four bytes. It is kept as a chunk is.
pub(crate) mod segment {
    use super::{ChunkId, MAX_CHUNK, Part, SEGMENT};
    use crate::pack::{small, u32_le};

    const ENTRY: usize = 36;

    pub(crate) fn write(chunks: &[Part]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(chunks.len() * ENTRY);
        for chunk in chunks {
            bytes.extend_from_slice(&chunk.id.0);
            bytes.extend_from_slice(&small(usize::try_from(chunk.length).unwrap_or(usize::MAX)).to_le_bytes());
        }
        bytes
    }

    /// Reads a segment that stands for so many bytes; `None` where it cannot.
    pub(crate) fn read(bytes: &[u8], stands_for: u64) -> Option<Vec<Part>> {
        if !bytes.len().is_multiple_of(ENTRY) || bytes.len() > SEGMENT * ENTRY {
            return None;
        }
        let part = |entry: &[u8]| {
            let length = u64::from(u32_le(&entry[32..]));
            let id = ChunkId(entry[..32].try_into().ok()?);
            (1..=MAX_CHUNK as u64).contains(&length).then_some(Part { id, length })
        };
        let parts = bytes.chunks_exact(ENTRY).map(part).collect::<Option<Vec<_>>>()?;
        (parts.iter().map(|part| part.length).sum::<u64>() == stands_for).then_some(parts)
    }
}

/// Where a checkpoint's manifest is, as errors say it.
pub(crate) fn place(path: &Path) -> String {
    format!("checkpoint {}", path.file_stem().unwrap_or_default().to_string_lossy())
}
