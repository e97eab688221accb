//! Names of checkpoints, lineages and chunks, in types of their own. Each is checked when it is made, so that none can lead out of its directory.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pack::MAX_CHUNK;
use crate::{Error, Result};

static NOTHING: [u8; MAX_CHUNK] = [0; MAX_CHUNK];

/// A checkpoint: `ckp_` and the 32 hexadecimal digits of a UUID of version 7. Ids sort by the time at which they were given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckpointId(String);

impl CheckpointId {
    pub(crate) const PREFIX: &str = "ckp_";

    pub(crate) fn new() -> CheckpointId {
        CheckpointId(format!("{}{}", CheckpointId::PREFIX, Uuid::now_v7().simple()))
    }

    /// Reads an id.
    ///
    /// # Errors
    /// [`Error::Misuse`] where it is not one.
    pub fn parse(text: &str) -> Result<CheckpointId> {
        let digits = text.strip_prefix(CheckpointId::PREFIX).unwrap_or_default();
        if digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(CheckpointId(text.to_owned()));
        }
        Err(Error::Misuse(format!("{text:?} is not the id of a checkpoint: that is ckp_ and 32 hexadecimal digits")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A session and all that is branched or restored from it. Deduplication stays within one lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineageId(String);

impl LineageId {
    /// A lineage that no other has the name of.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two defaults would differ")]
    pub fn new() -> LineageId {
        LineageId(format!("lin_{}", Uuid::now_v7().simple()))
    }

    /// Reads an id: 1 to 64 letters, digits, `_` and `-`.
    ///
    /// # Errors
    /// [`Error::Misuse`] where it is not one.
    pub fn parse(text: &str) -> Result<LineageId> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(LineageId(text.to_owned()));
        }
        Err(Error::Misuse(format!("{text:?} is not the id of a lineage: 1 to 64 letters, digits, _ and -")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! as_text {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.0
            }
        }
        impl TryFrom<String> for $id {
            type Error = Error;
            fn try_from(text: String) -> Result<$id> {
                $id::parse(&text)
            }
        }
    )*};
}
as_text!(CheckpointId, LineageId);

/// A session's name as the name of a file or directory: any text becomes 32 hexadecimal digits, the same ones each time.
#[must_use]
pub fn name_key(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..32].to_owned()
}

/// The BLAKE3 hash of a chunk's uncompressed bytes. 32 zero bytes stand for a chunk of zeros of any length, which is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkId(pub(crate) [u8; 32]);

impl ChunkId {
    pub(crate) const ZEROS: ChunkId = ChunkId([0; 32]);

    /// The id of a chunk, which is not longer than [`MAX_CHUNK`].
    pub(crate) fn of(bytes: &[u8]) -> ChunkId {
        if bytes == &NOTHING[..bytes.len()] { ChunkId::ZEROS } else { ChunkId::hash(bytes) }
    }

    pub(crate) fn hash(bytes: &[u8]) -> ChunkId {
        ChunkId(*blake3::hash(bytes).as_bytes())
    }

    pub(crate) fn hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.hex()[..12])
    }
}
