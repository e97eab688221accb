//! What earlier versions wrote is read. The files in `tests/format-*` were written once, and are never written again.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{body, files, in_memory, meta, noise, numbers, open, packs, read, save, text};
use pyrepl3_store::{BlobKind, LineageId, Location, Untrusted};

/// The newest, which the files of a new format are written in.
const NEWEST: u32 = 2;

fn first(format: u32) -> Vec<(BlobKind, Vec<u8>)> {
    let mut blobs = vec![
        (BlobKind::Stream, text(1, 3_000)),
        (BlobKind::Buffer, [vec![0; 20 << 16], noise(1, 20_000)].concat()),
        (BlobKind::Buffer, noise(2, 33_000)),
    ];
    if format >= 2 {
        blobs.push((BlobKind::Buffer, numbers(5_000, |number| f64::from(number % 1000).to_le_bytes())));
        blobs.push((BlobKind::Buffer, numbers(10_000, |number| (number * number % 1009).to_le_bytes())));
    }
    blobs
}

fn second(format: u32) -> Vec<(BlobKind, Vec<u8>)> {
    let mut blobs = first(format);
    blobs[0].1 = text(2, 3_000);
    blobs[1].1[65_536 * 3..65_536 * 4].fill(9);
    blobs
}

fn folder(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/format-{format}"))
}

/// How the files came about: run once for each format, by hand, with the version that first writes it.
#[test]
#[ignore = "writes files that are to stay as they are"]
fn write_the_files_of_a_new_format() {
    let folder = folder(NEWEST);
    assert!(!folder.exists(), "{} is there already", folder.display());
    fs::create_dir_all(&folder).unwrap();
    let (store, lineage) = (open(&folder), LineageId::parse("kept").unwrap());
    let before = save(&store, &lineage, meta("s", Some("first")), &first(NEWEST)).unwrap();
    let mut writer = store.begin(&lineage, meta("s", Some("second"))).unwrap();
    let mut stream = writer.stream();
    stream.write(&second(NEWEST)[0].1).unwrap();
    stream.finish().unwrap();
    writer.reuse((&before.id, 1), [(65_536 * 3, [9; 65_536])]).unwrap();
    for same in 2..before.blobs() {
        writer.reuse::<&[u8]>((&before.id, same), []).unwrap();
    }
    let after = writer.commit(body(before.blobs() as usize)).unwrap();
    store.export(&after, fs::File::create_new(folder.join("second.checkpoint")).unwrap()).unwrap();
}

fn files_are_read(format: u32) {
    let directory = in_memory();
    let data = directory.path();
    let folder = folder(format);
    for (path, bytes) in files(&folder.join("checkpoints")) {
        let copy = data.join(path.strip_prefix(&folder).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, bytes).unwrap();
    }
    let store = open(data);
    assert_eq!((store.list().unwrap().len(), packs(data).len()), (2, 2));
    for (name, blobs) in [("first", first(format)), ("second", second(format))] {
        let manifest = store.find(name, None).unwrap();
        assert_eq!((manifest.session.as_str(), manifest.view().unwrap().python.version.as_str()), ("s", "3.11.7"));
        for (number, (kind, bytes)) in (0..).zip(blobs) {
            assert_eq!(manifest.blob(number), Some((kind, bytes.len() as u64)));
            assert!(read(&store, &manifest, number) == bytes, "{name} {number}");
        }
        assert!(matches!(store.extents(&manifest, 2).unwrap()[0].location, Location::Raw { .. }));
    }
    // What is written now is recognised in what was written then.
    let lineage = LineageId::parse("kept").unwrap();
    assert_eq!(save(&store, &lineage, meta("s", None), &second(format)).unwrap().stored_bytes, 0);
    let both = store.diff(&store.find("first", None).unwrap(), &store.find("second", None).unwrap()).unwrap();
    assert_eq!(both.changed.iter().map(|(_, now)| now.name.as_str()).collect::<Vec<_>>(), ["v0", "v1"]);
}

fn an_export_is_read(format: u32) {
    let directory = in_memory();
    let store = open(directory.path());
    let file = fs::File::open(folder(format).join("second.checkpoint")).unwrap();
    let manifest = store.import(Untrusted::new(file).accept()).unwrap();
    for (number, (_, bytes)) in (0..).zip(second(format)) {
        assert!(read(&store, &manifest, number) == bytes, "{number}");
    }
}

#[test]
fn files_of_format_1_are_read() {
    files_are_read(1);
}

#[test]
fn an_export_of_format_1_is_read() {
    an_export_is_read(1);
}

#[test]
fn files_of_format_2_are_read() {
    files_are_read(2);
}

#[test]
fn an_export_of_format_2_is_read() {
    an_export_is_read(2);
}
