//! Checkpoints come and go, in any order, from several processes, some of which are killed.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{body, files, in_memory, meta, noise, open, read, save, text};
use proptest::prelude::*;
use pyrepl3_store::{BlobKind, CheckpointId, Error, LineageId, Manifest, Meta, Retention, Store};

/// Blobs of which many are equal for different seeds.
fn contents(seed: u64) -> Vec<(BlobKind, Vec<u8>)> {
    let mut shared = noise(seed % 3, 200_000);
    shared.extend(noise(seed, 70_000));
    vec![
        (BlobKind::Stream, text(seed, 100_000)),
        (BlobKind::Buffer, shared),
        (BlobKind::Buffer, [vec![1; 20 << 16], noise(seed % 5, 300)].concat()),
    ]
}

fn check(store: &Store, manifest: &Manifest, seed: u64) {
    let reader = store.reader(manifest).unwrap();
    for (number, (_, bytes)) in (0..).zip(contents(seed)) {
        assert!(reader.read(number).unwrap().read_all().unwrap() == bytes, "{} {number}", manifest.id);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Save { lineage: usize, seed: u64, named: bool },
    Patch { base: usize, seed: u64 },
    Delete(usize),
    Keep(usize),
    Sort,
    Reopen,
    Carry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..2, 0u64..9, any::<bool>()).prop_map(|(lineage, seed, named)| Step::Save { lineage, seed, named }),
        2 => (any::<usize>(), 0u64..9).prop_map(|(base, seed)| Step::Patch { base, seed }),
        3 => any::<usize>().prop_map(Step::Delete),
        1 => (0usize..4).prop_map(Step::Keep),
        1 => Just(Step::Sort),
        1 => Just(Step::Reopen),
        1 => any::<usize>().prop_map(Step::Carry),
    ]
}

fn is_deleted(model: &mut BTreeMap<CheckpointId, (Manifest, u64)>, deleted: &[CheckpointId]) {
    assert!(deleted.iter().all(|id| model.remove(id).is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_not_deleted_stays_and_what_is_takes_no_space(steps in prop::collection::vec(step(), 1..25)) {
        let directory = in_memory();
        let mut store = open(directory.path());
        let lineages = [LineageId::new(), LineageId::new()];
        let mut model: BTreeMap<CheckpointId, (Manifest, u64)> = BTreeMap::new();
        for step in steps {
            let nth = |nth: usize| model.values().nth(nth % model.len().max(1)).cloned();
            match step {
                Step::Save { lineage, seed, named } => {
                    let name = named.then_some("kept");
                    let manifest = save(&store, &lineages[lineage], meta(["s", "t"][lineage], name), &contents(seed)).unwrap();
                    model.insert(manifest.id.clone(), (manifest, seed));
                }
                Step::Patch { base, seed } => {
                    let Some((base, _)) = nth(base) else { continue };
                    let mut writer = store.begin(&base.lineage, Meta { parent: Some(base.id.clone()), ..meta(&base.session, None) }).unwrap();
                    let wanted = contents(seed);
                    let mut stream = writer.stream();
                    stream.write(&wanted[0].1).unwrap();
                    stream.finish().unwrap();
                    writer.reuse((&base.id, 1), [(0, &wanted[1].1)]).unwrap();
                    let at = 20 << 16;
                    writer.reuse((&base.id, 2), [(at as u64, &wanted[2].1[at..])]).unwrap();
                    let manifest = writer.commit(body(3)).unwrap();
                    model.insert(manifest.id.clone(), (manifest, seed));
                }
                Step::Delete(which) => {
                    let Some((going, _)) = nth(which) else { continue };
                    let reader = store.reader(&going).unwrap();
                    prop_assert!(store.delete(&going.id).unwrap().postponed, "what is being read stays");
                    check_reader(&reader);
                    drop(reader);
                    assert!(matches!(store.delete(&going.id), Err(Error::NotFound { .. })));
                    assert!(matches!(store.read(&going, 0), Err(Error::NotFound { .. })));
                    model.remove(&going.id);
                }
                Step::Keep(last) => {
                    let rule = Retention { keep_last: Some(last), keep_named: true, ..Retention::default() };
                    let collected = store.collect(&rule).unwrap();
                    prop_assert!(!collected.postponed);
                    is_deleted(&mut model, &collected.deleted);
                    for session in ["s", "t"] {
                        for imported in [false, true] {
                            let counted = |(manifest, _): &&(Manifest, u64)| {
                                manifest.session == session && manifest.name.is_none() && manifest.is_imported() == imported
                            };
                            prop_assert!(model.values().filter(counted).count() <= last);
                        }
                    }
                }
                Step::Sort => prop_assert!(store.collect(&Retention::default()).unwrap().deleted.is_empty()),
                Step::Reopen => store = open(directory.path()),
                Step::Carry(which) => {
                    let Some((manifest, seed)) = nth(which) else { continue };
                    let mut file = Vec::new();
                    store.export(&manifest, &mut file).unwrap();
                    let taken = store.import(pyrepl3_store::Untrusted::new(&file[..]).accept()).unwrap();
                    model.insert(taken.id.clone(), (taken, seed));
                }
            }
            let listed: Vec<_> = store.list().unwrap().into_iter().map(|one| one.id).collect();
            prop_assert!(listed.iter().eq(model.keys().rev()));
        }
        for (manifest, seed) in model.values() {
            check(&store, manifest, *seed);
        }
        store.collect(&Retention::default()).unwrap();
        for (manifest, seed) in model.values() {
            check(&store, manifest, *seed);
        }
        // What no checkpoint needs is never more than what they need, but for indices, lists and alignment.
        let alone = in_memory();
        let fresh = open(alone.path());
        for (manifest, seed) in model.values() {
            save(&fresh, &manifest.lineage, meta("s", None), &contents(*seed)).unwrap();
        }
        let (used, least) = (store.used_bytes().unwrap(), fresh.used_bytes().unwrap());
        prop_assert!(used <= least * 2 + 30_000, "{} {}", used, least);
        for id in model.keys() {
            store.delete(id).unwrap();
        }
        prop_assert!(files(directory.path()).is_empty());
    }
}

fn check_reader(reader: &pyrepl3_store::Reader) {
    for blob in 0..reader.manifest().blobs() {
        reader.read(blob).unwrap().read_all().unwrap();
    }
}

#[test]
fn age_and_size_are_rules_too() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let ids: Vec<_> =
        (10..16).map(|seed| save(&store, &lineage, meta("s", None), &contents(seed)).unwrap().id).collect();
    assert!(
        store
            .collect(&Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() })
            .unwrap()
            .deleted
            .is_empty()
    );
    let bound = store.used_bytes().unwrap() / 2;
    let collected = store.collect(&Retention { max_bytes: Some(bound), ..Retention::default() }).unwrap();
    assert_eq!(collected.deleted[..], ids[..collected.deleted.len()]);
    assert!(
        (1..6).contains(&collected.deleted.len())
            && store.used_bytes().unwrap() <= bound
            && collected.freed_bytes >= bound
    );
    store.collect(&Retention { max_age: Some(Duration::ZERO), ..Retention::default() }).unwrap();
    assert!(files(directory.path()).is_empty());
}

#[test]
fn what_is_mapped_outlives_its_checkpoint() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let manifest = save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, noise(1, 300_000))]).unwrap();
    let extents = store.extents(&manifest, 0).unwrap();
    store.delete(&manifest.id).unwrap();
    assert!(files(directory.path()).is_empty());
    let pyrepl3_store::Location::Raw { file, at, .. } = &extents[0].location else { panic!("{extents:?}") };
    let mut found = vec![0; 300_000];
    std::os::unix::fs::FileExt::read_exact_at(&**file, &mut found, *at).unwrap();
    assert!(found == noise(1, 300_000));
}

/// What the processes of these tests do. It is a test of its own that does nothing unless it is told a directory.
#[test]
#[ignore = "started by other tests"]
fn a_process_that_saves_and_deletes() {
    let Ok(told) = std::env::var("STORE_TEST") else { return };
    let mut told = told.splitn(4, ' ');
    let mut next = || told.next().unwrap();
    let (first, count): (u64, u64) = (next().parse().unwrap(), next().parse().unwrap());
    let (lineage, data) = (LineageId::parse(next()).unwrap(), PathBuf::from(next()));
    let store = open(&data);
    let mut own = Vec::new();
    for seed in first..first.saturating_add(count) {
        let manifest = save(&store, &lineage, meta("s", Some(&seed.to_string())), &contents(seed)).unwrap();
        println!("\n+ {} {seed}", manifest.id);
        own.push((manifest, seed));
        if own.len() > 3 {
            let (going, _) = own.remove((seed % 3) as usize);
            println!("\n- {}", going.id);
            store.delete(&going.id).unwrap();
        }
        for (manifest, seed) in &own {
            check(&store, manifest, *seed);
        }
        if seed % 4 == 0 {
            store.collect(&Retention::default()).unwrap();
        }
    }
}

fn process(data: &Path, lineage: &LineageId, first: u64, count: u64) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_saves_and_deletes", "--ignored", "--nocapture"])
        .env("STORE_TEST", format!("{first} {count} {lineage} {}", data.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Follows what a process says until it ends: the checkpoints that must be there, and those that it was about to delete.
fn follow(line: &str, there: &mut BTreeMap<String, u64>) {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["+", id, seed] => drop(there.insert(id.to_owned(), seed.parse().unwrap())),
        ["-", id] => drop(there.remove(id)),
        _ => {}
    }
}

#[test]
fn several_processes_share_a_directory() {
    let directory = in_memory();
    let (one, other) = (LineageId::new(), LineageId::new());
    let processes =
        [(&one, 0), (&one, 1000), (&other, 2000)].map(|(lineage, first)| process(directory.path(), lineage, first, 25));
    let mut there = BTreeMap::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap().lines().for_each(|line| follow(line, &mut there));
    }
    let store = open(directory.path());
    assert_eq!((there.len(), store.list().unwrap().len()), (9, 9));
    for (id, seed) in &there {
        check(&store, &store.find(id, None).unwrap(), *seed);
    }
    let ids: Vec<_> = store.list().unwrap().into_iter().map(|one| one.id).collect();
    ids.iter().for_each(|id| drop(store.delete(id).unwrap()));
    assert!(files(directory.path()).is_empty());
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_it_had_completed() {
    let directory = in_memory();
    let lineage = LineageId::new();
    let mut there = BTreeMap::new();
    for round in 0..12u64 {
        let mut process = process(directory.path(), &lineage, round * 100, u64::MAX);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        for line in lines.by_ref().take((round * 7 % 23) as usize + 4) {
            follow(&line, &mut there);
        }
        // In half of the rounds, while something is half written.
        let half = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "tmp");
        while round % 2 == 0 && !names(directory.path()).iter().any(half) {
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        lines.for_each(|line| follow(&line, &mut there));

        let store = open(directory.path());
        assert!(!names(directory.path()).iter().any(half), "{:?}", names(directory.path()));
        for (id, seed) in &there {
            check(&store, &store.find(id, None).unwrap(), *seed);
        }
        // One may be complete of which nobody was told, and one deleted just when that was announced.
        for one in store.list().unwrap() {
            let manifest = store.find(one.id.as_str(), None).unwrap();
            check(&store, &manifest, manifest.name.as_deref().unwrap().parse().unwrap());
        }
        assert_eq!(read(&store, &store.find(there.keys().next().unwrap(), None).unwrap(), 0).len(), 100_000);
    }
    let store = open(directory.path());
    let ids: Vec<_> = store.list().unwrap().into_iter().map(|one| one.id).collect();
    ids.iter().for_each(|id| drop(store.delete(id).unwrap()));
    assert!(files(directory.path()).is_empty(), "{:?}", files(directory.path()).keys());
}

/// Names of files, which may go while they are listed.
fn names(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { all.extend(names(&path)) } else { all.push(path) }
    }
    all
}
