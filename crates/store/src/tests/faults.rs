//! Every operation on a file fails once, in each way: nothing that was complete is touched, and nothing is left over.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults, Gate};
use crate::{CheckpointId, Error, LineageId, Manifest, Meta, Result, Retention, Store, StoreConfig, Untrusted};

/// A directory in memory where there is one: these tests sync thousands of times, and what they look for does not depend on the disk.
fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn body() -> Box<RawValue> {
    RawValue::from_string(r#"{"groups":[{"names":["x"],"stream":0,"buffers":[1]}]}"#.into()).unwrap()
}

/// Enough chunks for a list of their own.
const LONG: usize = 20 * 65536;

/// A stream of its own, a buffer of which half is the same every time, and a long one.
fn contents(seed: u64) -> Vec<Vec<u8>> {
    let mut half = noise(1, 200_000);
    half.extend(noise(seed, 100_000));
    let mut long = vec![7; LONG];
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
    let at = LONG;
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
    let directory = in_memory();
    let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
    let manifest = save(&store, &LineageId::new(), 9).unwrap();
    let mut file = Vec::new();
    store.export(&manifest, &mut file).unwrap();
    file
}

/// Runs [`work`] with a fault at every operation that it has, one after the other.
fn at_every_operation(fault: Fault, after: impl Fn(&Struck<'_>, &Result<()>)) {
    let file = export();
    for at in 1.. {
        let directory = in_memory();
        let lineage = LineageId::new();
        let mut expected = Expected::default();
        let before = save(&Store::open(directory.path(), StoreConfig::default()).unwrap(), &lineage, 1).unwrap();
        expected.must.push(before.id);
        let faults = Arc::new(Faults::new(at, fault));
        let disk = Disk { faults: Some(Arc::clone(&faults)) };
        let store = Store::open_on(disk.clone(), directory.path(), StoreConfig::default());
        let done = store.and_then(|store| work(&store, &lineage, &file, &mut expected));
        if !faults.happened() {
            done.unwrap();
            assert!(at > 100, "only {at} operations");
            return;
        }
        after(
            &Struck { faults: &faults, disk: &disk, data: directory.path(), lineage: &lineage, expected: &expected },
            &done,
        );
    }
}

/// What is there when the fault has happened.
struct Struck<'a> {
    faults: &'a Faults,
    disk: &'a Disk,
    data: &'a Path,
    lineage: &'a LineageId,
    expected: &'a Expected,
}

impl Struck<'_> {
    /// The power goes now: whatever the machine comes back with, all that must be there is.
    fn power_goes(&self) {
        for loss in self.faults.losses() {
            let again = in_memory();
            copy(self.data, again.path());
            loss.strike(self.data, again.path());
            let checked = std::panic::catch_unwind(|| check_all(again.path(), &self.expected.must));
            assert!(checked.is_ok(), "{loss:?}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_process_that_dies_anywhere_leaves_whole_checkpoints_and_no_rubbish() {
    at_every_operation(Fault::Death, |struck, done| {
        assert!(done.is_err());
        check_all(struck.data, &struck.expected.must);
    });
}

#[test]
fn power_that_goes_anywhere_takes_nothing_that_was_complete() {
    at_every_operation(Fault::Death, |struck, _| struck.power_goes());
}

#[test]
fn power_that_goes_after_a_failure_was_cleaned_up_takes_nothing() {
    at_every_operation(Fault::Error(ErrorKind::StorageFull), |struck, done| {
        if done.is_err() {
            struck.power_goes();
        }
    });
}

#[test]
fn power_that_goes_after_the_next_process_has_tidied_up_takes_nothing() {
    at_every_operation(Fault::Death, |struck, _| {
        struck.faults.next_process();
        Store::open_on(struck.disk.clone(), struck.data, StoreConfig::default()).unwrap();
        struck.power_goes();
    });
}

#[test]
fn an_error_of_the_disk_is_told_and_the_store_goes_on() {
    for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
        at_every_operation(Fault::Error(kind), |struck, done| {
            match done {
                Err(Error::Full { .. }) => assert_eq!(kind, ErrorKind::StorageFull),
                Err(Error::Unreadable { .. }) => assert_eq!(kind, ErrorKind::PermissionDenied),
                // A file that cannot be opened is told as damage to what needs it, with the reason.
                Err(Error::Damaged { what, .. }) => assert!(what.contains("open"), "{what}"),
                // The one operation failed was the removal of something that the next sweep takes.
                Ok(()) => {}
                Err(error) => panic!("{error}"),
            }
            check_all(struck.data, &struck.expected.must);
            let again = save(&Store::open(struck.data, StoreConfig::default()).unwrap(), struck.lineage, 5).unwrap();
            check_all(struck.data, &[again.id]);
        });
    }
}

#[test]
fn a_store_that_is_full_says_so_and_keeps_what_it_has() {
    let directory = in_memory();
    let lineage = LineageId::new();
    let first = save(&Store::open(directory.path(), StoreConfig::default()).unwrap(), &lineage, 1).unwrap();
    let used = Store::open(directory.path(), StoreConfig::default()).unwrap().used_bytes().unwrap();
    let bounded = StoreConfig { max_bytes: Some(used + 50_000), ..StoreConfig::default() };
    let store = Store::open(directory.path(), bounded).unwrap();
    assert!(matches!(save(&store, &lineage, 2), Err(Error::Full { .. })));
    assert_eq!(store.used_bytes().unwrap(), used);
    check_all(directory.path(), &[first.id]);
}

#[test]
fn a_disk_that_is_full_gets_room_by_deleting() {
    let directory = in_memory();
    let lineage = LineageId::new();
    let open = |disk: Disk| Store::open_on(disk, directory.path(), StoreConfig::default()).unwrap();
    let store = open(Disk::default());
    let (large, small) = (noise(1, 2_000_000), noise(2, 65_536));
    let save = |blobs: &[&[u8]]| {
        let mut writer = store.begin(&lineage, Meta { session: "s".into(), ..Meta::default() }).unwrap();
        for bytes in blobs {
            let mut blob = writer.buffer();
            blob.write(bytes).unwrap();
            blob.finish().unwrap();
        }
        writer.commit(body()).unwrap()
    };
    // Of the first one's pack the third needs a little: that is to be put together anew, which takes room. The second one's is dead.
    let first = save(&[&large, &small]);
    let second = save(&[&noise(3, 1_000_000)]);
    let third = save(&[&small]);
    let used = store.used_bytes().unwrap();
    let full = open(Disk { faults: Some(Arc::new(Faults::new(1, Fault::Full))) });
    assert!(matches!(full.begin(&LineageId::new(), Meta::default()), Err(Error::Full { .. })));
    full.delete(&first.id).unwrap();
    assert!(full.delete(&second.id).unwrap().freed_bytes > 1_000_000);
    assert!(full.read(&third, 0).unwrap().read_all().unwrap() == small);
    assert!(full.used_bytes().unwrap() > 2_000_000);
    // Once there is room, what was left is put together.
    let store = open(Disk::default());
    store.collect(&Retention::default()).unwrap();
    assert!(store.used_bytes().unwrap() < used - 2_900_000);
    check_names(directory.path());
}

/// No file is there that a start would look into.
fn check_names(data: &Path) {
    let store = Store::open(data, StoreConfig::default()).unwrap();
    for lineage in store.lineages().unwrap() {
        let names = store.disk().names(&lineage.packs).unwrap();
        assert!(names.iter().all(|name| !name.starts_with("mov_") && name.ends_with(".pack")), "{names:?}");
    }
}

#[test]
fn a_lineage_whose_packs_are_slow_to_read_holds_up_no_other() {
    let directory = in_memory();
    let (slow, other) = (LineageId::new(), LineageId::new());
    let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
    save(&store, &slow, 1).unwrap();
    let wanted = save(&store, &other, 2).unwrap();
    let ((come, comes), (go, goes)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let gate = Gate { below: store.lineage(&slow).packs, come, go: goes };
    drop(store);
    let faults = Arc::new(Faults::new(u64::MAX, Fault::Death));
    let disk = Disk { faults: Some(Arc::clone(&faults)) };
    let store = Store::open_on(disk, directory.path(), StoreConfig::default()).unwrap();
    faults.hold_up(gate);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| store.index(&store.lineage(&slow)).unwrap().len());
        comes.recv().unwrap();
        // Where this waits for the other one, nothing ends.
        check(&store, &wanted);
        go.send(()).unwrap();
        assert!(reading.join().unwrap() > 0);
    });
}
