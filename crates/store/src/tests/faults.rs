//! Every operation on a file fails once, in each way: nothing that was complete is touched, and nothing is left over.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults};
use crate::{CheckpointId, Error, LineageId, Manifest, Meta, Result, Retention, Store, StoreConfig, Untrusted};

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn body() -> Box<RawValue> {
    RawValue::from_string(r#"{"groups":[{"names":["x"],"stream":0,"buffers":[1]}]}"#.into()).unwrap()
}

/// A stream of its own, a buffer of which half is the same every time, and a long one.
fn contents(seed: u64) -> Vec<Vec<u8>> {
    let mut half = noise(1, 200_000);
    half.extend(noise(seed, 100_000));
    let mut long = vec![7; 70 * 65536];
    long.extend(noise(seed, 70_000));
    vec![format!("stream {seed} ").repeat(20_000).into_bytes(), half, long]
}

fn save(store: &Store, lineage: &LineageId, seed: u64) -> Result<Manifest> {
    let meta = Meta { session: "s".into(), name: Some(format!("n{seed}")), parent: None };
    let mut writer = store.begin(lineage, meta)?;
    for (number, bytes) in contents(seed).iter().enumerate() {
        let mut blob = if number == 0 { writer.stream() } else { writer.buffer() };
        for piece in bytes.chunks(90_000) {
            blob.write(piece)?;
        }
        blob.finish()?;
    }
    writer.commit(body())
}

fn check(store: &Store, manifest: &Manifest) {
    let seed = manifest.name.as_deref().unwrap()[1..].parse().unwrap();
    for (number, bytes) in (0..).zip(contents(seed)) {
        assert!(store.read(manifest, number).unwrap().read_all().unwrap() == bytes, "{} {number}", manifest.id);
    }
}

/// All that can be seen is whole, and no file is there that nothing needs.
fn check_all(data: &Path, expected: &[CheckpointId]) -> Vec<CheckpointId> {
    let store = Store::open(data, StoreConfig::default()).unwrap();
    let there = store.everything(None).unwrap();
    for (lineage, id) in &there {
        check(&store, &lineage.read(store.disk(), id).unwrap().unwrap());
    }
    for lineage in store.lineages().unwrap() {
        let manifests = store.disk().names(&lineage.manifests).unwrap();
        assert!(!manifests.is_empty(), "a lineage without checkpoints is left over");
        assert!(manifests.iter().all(|name| name.ends_with(".json")), "{manifests:?}");
        assert!(store.disk().names(&lineage.packs).unwrap().iter().all(|name| name.ends_with(".pack")));
        let index = store.index(&lineage).unwrap();
        assert!(index.damaged.is_empty());
        let needed = store.needed(&lineage, &index).unwrap();
        let mut found = HashSet::new();
        for pack in index.packs() {
            let of_use =
                pack.entries.iter().filter(|entry| needed.chunks.contains(&entry.id) && found.insert(entry.id)).count();
            assert!(of_use > 0, "{} is left over", pack.path.display());
        }
    }
    let ids: Vec<CheckpointId> = there.into_iter().map(|(_, id)| id).collect();
    assert!(expected.iter().all(|id| ids.contains(id)), "{expected:?} {ids:?}");
    ids
}

/// The checkpoints that must be there, and those that may be.
#[derive(Default)]
struct Expected {
    must: Vec<CheckpointId>,
    may: Vec<CheckpointId>,
}

/// One of everything that changes files. `expected` says at any moment what a crash must leave.
fn work(store: &Store, lineage: &LineageId, file: &[u8], expected: &mut Expected) -> Result<()> {
    for seed in [2, 3] {
        expected.must.push(save(store, lineage, seed)?.id);
    }
    let mut writer = store.begin(lineage, Meta { session: "s".into(), name: Some("n4".into()), parent: None })?;
    let base = expected.must.last().unwrap().clone();
    let wanted = contents(4);
    let mut stream = writer.stream();
    stream.write(&wanted[0])?;
    stream.finish()?;
    let at = 196_608;
    writer.reuse((&base, 1), [(at as u64, &wanted[1][at..])])?;
    let at = 70 * 65536;
    writer.reuse((&base, 2), [(at as u64, &wanted[2][at..])])?;
    expected.must.push(writer.commit(body())?.id);
    store.import(Untrusted::new(file).accept())?;
    for _ in 0..2 {
        // Twice, so that a pack goes whose chunks another one needs, and is rewritten.
        let going = expected.must.remove(0);
        expected.may.push(going.clone());
        store.delete(&going)?;
    }
    let last = expected.must.split_off(expected.must.len() - 1);
    expected.may.append(&mut expected.must);
    expected.must = last;
    store.collect(&Retention { keep_last: Some(2), ..Retention::default() })?;
    Ok(())
}

fn export() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
    let manifest = save(&store, &LineageId::new(), 9).unwrap();
    let mut file = Vec::new();
    store.export(&manifest, &mut file).unwrap();
    file
}

/// Runs [`work`] with a fault at every operation that it has, one after the other.
fn at_every_operation(fault: Fault, after: impl Fn(&Faults, &Path, &LineageId, &Result<()>, &Expected)) {
    let file = export();
    for at in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let lineage = LineageId::new();
        let mut expected = Expected::default();
        let before = save(&Store::open(directory.path(), StoreConfig::default()).unwrap(), &lineage, 1).unwrap();
        expected.must.push(before.id);
        let faults = Arc::new(Faults::new(at, fault));
        let disk = Disk { faults: Some(Arc::clone(&faults)) };
        let store = Store::open_on(disk, directory.path(), StoreConfig::default());
        let done = store.and_then(|store| work(&store, &lineage, &file, &mut expected));
        if !faults.happened() {
            done.unwrap();
            assert!(at > 100, "only {at} operations");
            return;
        }
        after(&faults, directory.path(), &lineage, &done, &expected);
    }
}

#[test]
fn a_process_that_dies_anywhere_leaves_whole_checkpoints_and_no_rubbish() {
    at_every_operation(Fault::Death, |_, data, _, done, expected| {
        assert!(done.is_err());
        check_all(data, &expected.must);
    });
}

#[test]
fn power_that_goes_anywhere_takes_nothing_that_was_complete() {
    at_every_operation(Fault::Death, |faults, data, _, _, expected| {
        faults.power_loss();
        check_all(data, &expected.must);
    });
}

#[test]
fn an_error_of_the_disk_is_told_and_the_store_goes_on() {
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
        at_every_operation(Fault::Error(kind), |_, data, lineage, done, expected| {
            match done {
                Err(Error::Full { .. }) => assert_eq!(kind, ErrorKind::StorageFull),
                Err(Error::Unreadable { .. }) => assert_eq!(kind, ErrorKind::PermissionDenied),
                // A file that cannot be opened is told as damage to what needs it, with the reason.
                Err(Error::Damaged { what, .. }) => assert!(what.contains("open"), "{what}"),
                // The one operation failed was the removal of something that the next sweep takes.
                Ok(()) => {}
                Err(error) => panic!("{error}"),
            }
            check_all(data, &expected.must);
            let again = save(&Store::open(data, StoreConfig::default()).unwrap(), lineage, 5).unwrap();
            check_all(data, &[again.id]);
        });
    }
}

#[test]
fn a_store_that_is_full_says_so_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let lineage = LineageId::new();
    let first = save(&Store::open(directory.path(), StoreConfig::default()).unwrap(), &lineage, 1).unwrap();
    let used = Store::open(directory.path(), StoreConfig::default()).unwrap().used_bytes().unwrap();
    let bounded = StoreConfig { max_bytes: Some(used + 50_000), ..StoreConfig::default() };
    let store = Store::open(directory.path(), bounded).unwrap();
    assert!(matches!(save(&store, &lineage, 2), Err(Error::Full { .. })));
    assert_eq!(store.used_bytes().unwrap(), used);
    check_all(directory.path(), &[first.id]);
}
