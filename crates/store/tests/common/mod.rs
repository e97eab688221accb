//! What the tests of the store share.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pyrepl3_store::{BlobKind, LineageId, Manifest, Meta, Result, Store, StoreConfig};
use serde_json::value::RawValue;

/// A directory in memory where there is one: these tests sync thousands of times, and what they look for does not depend on the disk.
pub(crate) fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn text(seed: u64, length: usize) -> Vec<u8> {
    let words: Vec<u8> = (seed..).flat_map(|number| format!("line {number}\n").into_bytes()).take(length).collect();
    words
}

/// An array: each number's bytes, from its place.
pub(crate) fn numbers<const W: usize>(count: u32, of: impl Fn(u32) -> [u8; W]) -> Vec<u8> {
    (0..count).flat_map(of).collect()
}

pub(crate) fn meta(session: &str, name: Option<&str>) -> Meta {
    Meta { session: session.into(), name: name.map(Into::into), parent: None }
}

pub(crate) fn open(data: &Path) -> Store {
    Store::open(data, StoreConfig::default()).unwrap()
}

/// A body in which each blob is a name of its own: `v0`, `v1`, ….
pub(crate) fn body(blobs: usize) -> Box<RawValue> {
    let groups: Vec<_> = (0..blobs)
        .map(|number| serde_json::json!({"names": [format!("v{number}")], "tier": "pickle", "stream": number}))
        .collect();
    let variables: Vec<_> = (0..blobs)
        .map(|number| serde_json::json!({"name": format!("v{number}"), "tier": "pickle", "type": "bytes", "size": 1, "group": number}))
        .collect();
    let body =
        serde_json::json!({"format": 1, "python": {"version": "3.11.7"}, "groups": groups, "variables": variables});
    RawValue::from_string(body.to_string()).unwrap()
}

pub(crate) fn save(store: &Store, lineage: &LineageId, meta: Meta, blobs: &[(BlobKind, Vec<u8>)]) -> Result<Manifest> {
    let mut writer = store.begin(lineage, meta)?;
    for (kind, bytes) in blobs {
        let mut blob = if *kind == BlobKind::Stream { writer.stream() } else { writer.buffer() };
        for piece in bytes.chunks(100_001) {
            blob.write(piece)?;
        }
        blob.finish()?;
    }
    writer.commit(body(blobs.len()))
}

pub(crate) fn read(store: &Store, manifest: &Manifest, blob: u32) -> Vec<u8> {
    store.read(manifest, blob).unwrap().read_all().unwrap()
}

/// All files below a directory, with their bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    all
}

pub(crate) fn packs(data: &Path) -> Vec<PathBuf> {
    files(data).into_keys().filter(|path| path.extension().is_some_and(|one| one == "pack")).collect()
}
