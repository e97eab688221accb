//! Bytes that change or go missing are noticed: a typed error, or the right bytes. Never wrong ones, and never a panic.

mod common;

use std::fs;
use std::path::Path;

use common::{files, in_memory, meta, noise, numbers, open, save, text};
use proptest::prelude::*;
use pyrepl3_store::{BlobKind, Error, LineageId, Store, StoreConfig, Untrusted};

fn blobs() -> Vec<(BlobKind, Vec<u8>)> {
    // The second one has a list of chunks of its own.
    vec![
        (BlobKind::Stream, text(1, 3_000)),
        (BlobKind::Buffer, [vec![0; 20 << 16], noise(1, 9_000)].concat()),
        (BlobKind::Buffer, noise(2, 40_000)),
        (BlobKind::Buffer, numbers(4_200, |number| f64::from(number % 100).to_le_bytes())),
    ]
}

fn is_typed(error: &Error) -> bool {
    let text = error.to_string();
    assert!(text.len() > 30 && !text.contains("panic"), "{text}");
    matches!(error, Error::Damaged { .. } | Error::NewerFormat { .. } | Error::NotFound { .. })
}

/// Everything that a store can be asked, on files that may say anything.
fn examine(data: &Path, expected: &[(BlobKind, Vec<u8>)], id: &str) -> Result<(), Error> {
    let store = open(data);
    assert_eq!(store.list().unwrap().len(), 1, "a checkpoint that is damaged is listed");
    let manifest = store.find(id, None)?;
    let mut failed = None;
    for (number, (_, bytes)) in (0..).zip(expected) {
        match store.read(&manifest, number).and_then(pyrepl3_store::BlobReader::read_all) {
            Ok(read) => assert!(read == *bytes, "wrong bytes"),
            Err(error) => failed = Some(error),
        }
        let _ = store.extents(&manifest, number);
    }
    let report = store.verify(&manifest)?;
    assert_eq!(report.is_whole(), failed.is_none());
    assert_eq!(report.names_damaged.len(), report.damaged.len());
    assert_eq!(report.names_damaged.len() + report.names_good.len(), expected.len());
    failed.map_or(Ok(()), Err)
}

/// Damages each file in every way that `ways` gives, and looks at what is said of it.
fn with_damage(ways: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> (usize, usize) {
    let directory = in_memory();
    let data = directory.path();
    let manifest = save(&open(data), &LineageId::new(), meta("s", Some("n")), &blobs()).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    // What is remembered of sessions is no part of any checkpoint, and may say anything.
    for (path, bytes) in files(data).into_iter().filter(|(path, _)| !path.ends_with("sessions")) {
        for damaged in ways(&bytes) {
            fs::write(&path, &damaged).unwrap();
            match examine(data, &blobs(), manifest.id.as_str()) {
                Err(error) => {
                    assert!(is_typed(&error), "{error:?}");
                    noticed += 1;
                }
                Ok(()) => {
                    assert!(
                        path.extension().is_none_or(|kind| kind == "pack"),
                        "{} was changed unnoticed",
                        path.display()
                    );
                    harmless += 1;
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    examine(data, &blobs(), manifest.id.as_str()).unwrap();
    (noticed, harmless)
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let (noticed, harmless) = with_damage(|bytes| {
        // All of what is dense with meaning, and samples of the noise in the middle.
        let (length, step) = (bytes.len(), if bytes.len() > 10_000 { 211 } else { 1 });
        let places = (0..length).filter(|at| *at < 64 || *at + 700 > length || at % step == 0);
        let flipped = |at: usize| {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            flipped
        };
        places.map(flipped).collect()
    });
    // Harmless: holes before chunks that are aligned.
    assert!(noticed > 1_500 && harmless < noticed / 10, "{noticed} {harmless}");
}

#[test]
fn every_cut_is_noticed() {
    let (_, harmless) = with_damage(|bytes| {
        let step = if bytes.len() > 10_000 { 389 } else { 7 };
        (0..bytes.len())
            .filter(|at| *at < 70 || *at + 70 > bytes.len() || at % step == 0)
            .map(|at| bytes[..at].to_vec())
            .collect()
    });
    assert_eq!(harmless, 0);
}

#[test]
fn a_damaged_name_loses_no_other() {
    let directory = in_memory();
    let data = directory.path();
    let store = open(data);
    let manifest = save(&store, &LineageId::new(), meta("s", Some("n")), &blobs()).unwrap();
    let path = common::packs(data).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // Noise is kept as it is: this is in the third blob.
    let at = bytes.windows(64).position(|window| window == &noise(2, 64)[..]).unwrap();
    bytes[at + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = store.read(&manifest, 2).unwrap().read_all().unwrap_err().to_string();
    assert!(
        error.contains(manifest.id.as_str())
            && error.contains("with v2)")
            && error.ends_with("This does not touch v0, v1, v3"),
        "{error}"
    );
    let report = store.verify(&manifest).unwrap();
    assert_eq!(
        (report.names_damaged, report.names_good),
        (vec!["v2".to_owned()], ["v0", "v1", "v3"].map(str::to_owned).to_vec())
    );
    // What is whole in it is not lost by sorting out, and it can be deleted.
    store.collect(&pyrepl3_store::Retention::default()).unwrap();
    assert!(store.read(&manifest, 0).unwrap().read_all().unwrap() == blobs()[0].1);
    store.delete(&manifest.id).unwrap();
    assert!(files(data).is_empty());
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_its_chunks_until_it_is_deleted() {
    let directory = in_memory();
    let (data, lineage) = (directory.path(), LineageId::new());
    let store = open(data);
    let first = save(&store, &lineage, meta("s", Some("a")), &blobs()).unwrap();
    let second = save(&store, &lineage, meta("s", Some("b")), &[(BlobKind::Buffer, noise(3, 200_000))]).unwrap();
    let path = files(data).into_keys().find(|path| path.ends_with(format!("{}.json", first.id))).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let later = whole.replacen("checkpoint\":1", "checkpoint\":2", 1);
    fs::write(&path, later).unwrap();
    let store = open(data);
    assert!(matches!(store.find(first.id.as_str(), None), Err(Error::NewerFormat { found: 2, known: 1, .. })));
    assert!(store.list().unwrap()[1].state.is_err());
    store.delete(&second.id).unwrap();
    fs::write(&path, whole).unwrap();
    assert!(store.verify(&store.find("a", None).unwrap()).unwrap().is_whole());
    fs::write(&path, "{}").unwrap();
    assert!(matches!(store.find(first.id.as_str(), None), Err(Error::Damaged { .. })));
    assert!(store.find("a", None).unwrap_err().to_string().contains("which is damaged"));
    store.delete(&first.id).unwrap();
    assert!(files(data).is_empty());
}

fn exported() -> Vec<u8> {
    let directory = in_memory();
    let store = open(directory.path());
    let manifest = save(&store, &LineageId::new(), meta("s", Some("n")), &blobs()).unwrap();
    let mut file = Vec::new();
    assert_eq!(store.export(&manifest, &mut file).unwrap(), file.len() as u64);
    file
}

#[test]
fn an_export_is_taken_in_elsewhere_and_replaces_nothing() {
    let directory = in_memory();
    let (store, file) = (open(directory.path()), exported());
    let first = store.import(Untrusted::new(&file[..]).accept()).unwrap();
    let second = store.import(Untrusted::new(&file[..]).accept()).unwrap();
    assert!(first.id != second.id && first.lineage != second.lineage && first.origin == second.origin);
    for manifest in [&first, &second] {
        for (number, (_, bytes)) in (0..).zip(blobs()) {
            assert!(common::read(&store, manifest, number) == bytes);
        }
        assert_eq!(manifest.name.as_deref(), Some("n"));
    }
    assert_eq!(store.diff(&first, &second).unwrap(), pyrepl3_store::Diff::default());
}

#[test]
fn every_flipped_or_cut_byte_of_an_export_is_noticed_and_leaves_nothing() {
    let directory = in_memory();
    let (store, file) = (open(directory.path()), exported());
    let refused = |bytes: &[u8]| {
        let error = store.import(Untrusted::new(bytes).accept()).unwrap_err();
        assert!(is_typed(&error) || matches!(error, Error::TooLarge { .. }), "{error:?}");
    };
    for at in (0..file.len()).filter(|at| *at < 100 || *at + 100 > file.len() || at % 29 == 0) {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        refused(&flipped);
    }
    for at in (0..file.len()).filter(|at| *at < 100 || *at + 100 > file.len() || at % 97 == 0) {
        refused(&file[..at]);
    }
    refused(&[&file[..], b"x"].concat());
    open(directory.path());
    assert!(files(directory.path()).is_empty());
}

#[test]
fn an_export_that_unpacks_to_more_than_is_taken_is_refused_before_it_does() {
    let directory = in_memory();
    let store = open(directory.path());
    // 300 chunks of which each is the same: a small file for 20 MB.
    let repeated = text(1, 65_536).repeat(300);
    let manifest = save(&store, &LineageId::new(), meta("s", None), &[(BlobKind::Buffer, repeated)]).unwrap();
    let mut file = Vec::new();
    store.export(&manifest, &mut file).unwrap();
    assert!(file.len() < 60_000, "{}", file.len());
    let small = StoreConfig { max_checkpoint_bytes: 10_000_000, ..StoreConfig::default() };
    let elsewhere = in_memory();
    let error = Store::open(elsewhere.path(), small).unwrap().import(Untrusted::new(&file[..]).accept()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 19_660_800, limit: 10_000_000, .. }), "{error:?}");
    assert!(files(elsewhere.path()).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn bytes_that_mean_nothing_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), headed: bool) {
        let directory = in_memory();
        if headed {
            let format: [u8; 4] = 1u32.to_le_bytes();
            bytes.splice(0..0, b"PYR3CKPT".iter().copied().chain(format));
        }
        prop_assert!(open(directory.path()).import(Untrusted::new(&bytes[..]).accept()).is_err());
    }
}

#[test]
fn what_is_no_file_of_ours_is_not_waited_for_and_stops_nothing() {
    let directory = in_memory();
    let data = directory.path();
    let store = open(data);
    let good = save(&store, &LineageId::new(), meta("s", Some("good")), &blobs()).unwrap();
    let bad = save(&store, &LineageId::new(), meta("s", Some("bad")), &blobs()).unwrap();
    let path =
        files(data).into_keys().find(|path| path.to_string_lossy().ends_with(&format!("{}.json", bad.id))).unwrap();
    fs::write(path.ancestors().nth(3).unwrap().join("file"), "stray").unwrap();
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let store = open(data);
    assert_eq!(store.list().unwrap().iter().filter(|one| one.state.is_err()).count(), 1);
    let found = store.find("good", None).unwrap();
    assert_eq!(found.id, good.id);
    assert!(store.verify(&found).unwrap().names_damaged.is_empty());
    assert!(store.find(bad.id.as_str(), None).unwrap_err().to_string().contains("no regular file"));
}
