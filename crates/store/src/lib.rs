//! Checkpoints on disk.
//!
//! A checkpoint is a manifest and a list of *blobs*: *streams* (pickle bytes) and *buffers* (large memory). Blobs are cut into chunks, which are named by their hash
//! and kept once for a *lineage*: a session and all that is branched or restored from it. Blobs are opaque here, and nothing is ever unpickled.
//!
//! ```text
//! begin ─► stream, buffer, reuse ─► commit        cut ─► hash ─► known? ─► compress ─► pack ─► fsync ─► manifest ─► fsync
//! find  ─► read (checked) or extents (mapped)
//! ```
//!
//! A checkpoint is there whole, or not at all: the manifest is written last. The bytes of every file are described in `docs/design/checkpoint-format.md`.

mod body;
mod chunking;
mod codec;
mod diff;
mod disk;
mod error;
pub mod faults;
mod file_writer;
mod find;
mod flush;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod id;
pub mod journal;
mod lease;
mod lineage;
mod lock;
mod manifest;
mod pack;
mod patch;
mod reader;
mod retain;
pub mod rights;
mod sessions;
mod shuffle;
mod source;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;
mod writer;

pub use body::{Body, Definition, Group, Import, Lost, Python, Variable};
pub use chunking::BlobKind;
pub use diff::Diff;
pub use error::{Error, Result};
pub use find::{Details, Summary};
pub use id::{CheckpointId, LineageId, name_key};
pub use lease::{INIT_SOCKET, Lease, kept_sessions, session_directory};
pub use lock::is_at;
pub use manifest::Manifest;
pub use patch::PatchWriter;
pub use reader::{BlobReader, Extent, Location, Reader};
pub use retain::{Collected, Retention};
pub use store::{Meta, Store, StoreConfig};
pub use transfer::{Accepted, Untrusted};
pub use verify::Report;
pub use writer::{BlobWriter, Writer};
