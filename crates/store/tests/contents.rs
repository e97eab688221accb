//! What is written is what is read; what is there already is not written again; what is compared, listed and found.

mod common;

use std::os::unix::fs::FileExt;

use common::{body, in_memory, meta, noise, numbers, open, packs, read, save, text};
use proptest::prelude::*;
use pyrepl3_store::{BlobKind, CheckpointId, Error, LineageId, Location, Store, StoreConfig};

fn kinds() -> Vec<(BlobKind, Vec<u8>)> {
    let sizes = [0, 1, 65_535, 65_536, 65_537, 300_000, 3_000_000];
    let of = |kind, seed| {
        sizes
            .map(move |size| (kind, noise(seed, size)))
            .into_iter()
            .chain(sizes.map(move |size| (kind, text(seed, size))))
    };
    let mut all: Vec<_> = of(BlobKind::Stream, 1).chain(of(BlobKind::Buffer, 2)).collect();
    all.push((BlobKind::Buffer, vec![0; 5_000_000]));
    all.push((BlobKind::Stream, vec![0; 5_000_000]));
    let mut mixed = noise(3, 400_000);
    mixed.extend(vec![0; 400_000]);
    mixed.extend(text(3, 400_000));
    all.push((BlobKind::Buffer, mixed));
    all.push((BlobKind::Buffer, numbers(50_001, |number| f64::from(number % 1000).to_le_bytes())));
    let mut broken_off = numbers(50_001, |number| (number % 1000 * 77).to_le_bytes());
    broken_off.truncate(200_003);
    all.push((BlobKind::Buffer, broken_off));
    all
}

#[test]
fn numbers_are_packed_as_numbers_where_that_is_worth_it() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let stored = |bytes: Vec<u8>| {
        let manifest = save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, bytes)]).unwrap();
        let mapped = matches!(store.extents(&manifest, 0).unwrap()[0].location, Location::Raw { .. });
        (manifest.stored_bytes * 10 / manifest.size_bytes, mapped)
    };
    let random = |number: u32| {
        f64::from_bits(0x3FF0_0000_0000_0000 | (u64::from_le_bytes(noise(number.into(), 8).try_into().unwrap()) >> 12))
    };
    // Tenths of the size. As they are, each of these would take more than twice as much.
    assert_eq!(
        stored(numbers(80_000, |number| f64::from(random(number).to_bits() as u16 % 1000).to_le_bytes())),
        (1, false)
    );
    assert_eq!(stored(numbers(160_000, |number| (0x4000_0000 + number * 3).to_le_bytes())), (0, false));
    // Exponents alone are not worth it: such arrays are to be mapped.
    assert_eq!(stored(numbers(80_000, |number| (random(number) - 1.0).to_le_bytes())), (10, true));
}

#[test]
fn blobs_come_back() {
    let directory = in_memory();
    let (store, lineage, blobs) = (open(directory.path()), LineageId::new(), kinds());
    let manifest = save(&store, &lineage, meta("s", Some("n")), &blobs).unwrap();
    let store = open(directory.path());
    let reader = store.reader(&manifest).unwrap();
    for (number, (kind, bytes)) in (0..).zip(&blobs) {
        assert_eq!(manifest.blob(number), Some((*kind, bytes.len() as u64)));
        assert!(reader.read(number).unwrap().read_all().unwrap() == *bytes, "{number}");
        for (offset, length) in [(0, 1), (65_536, 65_536), (65_535, 2), (1, 2_000_000), (299_999, 5), (9_000_000, 5)] {
            let part = reader.read_range(number, offset, length).unwrap().read_all().unwrap();
            let end = bytes.len().min((offset + length) as usize);
            assert!(part == bytes[(offset as usize).min(end)..end], "{number} {offset} {length}");
        }
        let (mut at, file) = (0, reader.extents(number).unwrap());
        for extent in file {
            assert_eq!(extent.offset, at);
            let wanted = &bytes[at as usize..(at + extent.length) as usize];
            match extent.location {
                Location::Raw { file, at, .. } => {
                    let mut found = vec![0; wanted.len()];
                    file.read_exact_at(&mut found, at).unwrap();
                    assert!(at % 4096 == 0 && found == wanted);
                }
                Location::Zeros => assert!(wanted.iter().all(|byte| *byte == 0)),
                Location::Packed => {}
            }
            at += extent.length;
        }
        assert_eq!(at, bytes.len() as u64);
    }
    assert!(store.verify(&manifest).unwrap().is_whole());
}

#[test]
fn noise_is_mapped_in_one_piece_and_zeros_cost_nothing() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let blobs = [(BlobKind::Buffer, noise(1, 40_000_000)), (BlobKind::Buffer, vec![0; 40_000_000])];
    let manifest = save(&store, &lineage, meta("s", None), &blobs).unwrap();
    let extents = store.extents(&manifest, 0).unwrap();
    assert!(extents.len() == 1 && matches!(extents[0].location, Location::Raw { .. }), "{extents:?}");
    assert!(manifest.stored_bytes < 40_200_000, "{}", manifest.stored_bytes);
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let directory = in_memory();
    let (store, lineage, blobs) = (open(directory.path()), LineageId::new(), kinds());
    save(&store, &lineage, meta("s", None), &blobs).unwrap();
    let again = save(&open(directory.path()), &lineage, meta("s", None), &blobs).unwrap();
    assert_eq!((again.stored_bytes, packs(directory.path()).len()), (0, 1));
    let elsewhere = save(&store, &LineageId::new(), meta("t", None), &blobs).unwrap();
    assert!(elsewhere.stored_bytes > 3_000_000, "lineages share nothing");
}

#[test]
fn a_small_change_in_a_large_buffer_costs_little() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let mut bytes = noise(1, 200_000_123);
    let first =
        save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, bytes.clone()), (BlobKind::Stream, text(1, 9))])
            .unwrap();
    let (at, end) = (64 << 20, 199_950_336);
    bytes[at..at + (1 << 20)].copy_from_slice(&noise(2, 1 << 20));
    bytes[end..].fill(1);
    let mut writer = store.begin(&lineage, meta("s", None)).unwrap();
    let patches = [(at as u64, &bytes[at..at + (1 << 20)]), (end as u64, &bytes[end..])];
    assert_eq!(writer.reuse((&first.id, 0), patches).unwrap(), 0);
    assert_eq!(writer.reuse::<&[u8]>((&first.id, 1), []).unwrap(), 1);
    let second = writer.commit(body(2)).unwrap();
    assert!(second.stored_bytes < (1 << 20) * 11 / 10, "{}", second.stored_bytes);
    assert!(read(&store, &second, 0) == bytes);
    // The same bytes, given whole, are the same blob.
    let whole =
        save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, bytes), (BlobKind::Stream, text(1, 9))]).unwrap();
    assert_eq!(whole.stored_bytes, 0);
    assert_eq!(store.diff(&second, &whole).unwrap(), pyrepl3_store::Diff::default());
    let changed = store.diff(&first, &whole).unwrap().changed;
    assert_eq!(changed.iter().map(|(was, _)| was.name.as_str()).collect::<Vec<_>>(), ["v0"]);
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let blobs = [(BlobKind::Buffer, noise(1, 200_000)), (BlobKind::Stream, text(1, 200_000))];
    let first = save(&store, &lineage, meta("s", None), &blobs).unwrap();
    let mut writer = store.begin(&lineage, meta("s", None)).unwrap();
    let refused: [(u32, u64, usize); 6] = [
        (0, 1, 65_536),
        (0, 0, 5),
        (0, 196_608, 3_393),
        (0, 262_144, 0),
        (1, 0, 65_536),
        (0, u64::MAX - 65_535, 65_536),
    ];
    for (blob, offset, length) in refused {
        let done = writer.reuse((&first.id, blob), [(offset, vec![0; length])]);
        assert!(matches!(done, Err(Error::Misuse(_))), "{blob} {offset} {length} {done:?}");
    }
    assert!(matches!(
        writer.reuse((&first.id, 0), [(65_536, vec![1; 65_536]), (0, vec![1; 65_536])]),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(writer.reuse::<&[u8]>((&first.id, 2), []), Err(Error::Misuse(_))));
    let gone = CheckpointId::parse(&format!("ckp_{}", "0".repeat(32))).unwrap();
    assert!(matches!(writer.reuse::<&[u8]>((&gone, 0), []), Err(Error::NotFound { .. })));
}

#[test]
fn a_checkpoint_that_is_dropped_leaves_nothing() {
    let directory = in_memory();
    let store = open(directory.path());
    let mut writer = store.begin(&LineageId::new(), meta("s", None)).unwrap();
    let mut buffer = writer.buffer();
    buffer.write(&noise(1, 3_000_000)).unwrap();
    buffer.finish().unwrap();
    assert_eq!(store.list().unwrap().len(), 0);
    drop(writer);
    assert!(packs(directory.path()).is_empty());
    open(directory.path());
    assert!(common::files(directory.path()).is_empty(), "{:?}", common::files(directory.path()).keys());
}

#[test]
fn checkpoints_are_listed_and_found() {
    let directory = in_memory();
    let (store, lineage, other) = (open(directory.path()), LineageId::new(), LineageId::new());
    let nothing = store.find("a", None).unwrap_err().to_string();
    assert_eq!(
        nothing,
        "there is no checkpoint \"a\": there are none here; list the checkpoints to see their names and ids"
    );
    let blobs = [(BlobKind::Stream, text(1, 9))];
    let first = save(&store, &lineage, meta("s", Some("a")), &blobs).unwrap();
    let second = save(&store, &lineage, meta("s", Some("a")), &blobs).unwrap();
    let third = save(&store, &other, meta("t", Some("a")), &blobs).unwrap();
    let fourth = save(&store, &other, meta("t", None), &blobs).unwrap();
    assert_eq!(store.find("a", None).unwrap().id, third.id);
    assert_eq!(store.find("a", Some(&lineage)).unwrap().id, second.id);
    assert_eq!(store.find(first.id.as_str(), None).unwrap().id, first.id);
    assert_eq!(store.find(&fourth.id.as_str()[..34], None).unwrap().id, fourth.id);
    assert!(matches!(store.find("ckp_0", None), Err(Error::NotFound { .. })));
    assert!(
        matches!(store.find(&first.id.as_str()[..10], None), Err(Error::Ambiguous { candidates, .. }) if candidates.len() == 4)
    );
    let Err(Error::NotFound { there, .. }) = store.find("b", None) else { panic!() };
    assert_eq!(there[..2], [fourth.id.to_string(), format!("a ({})", third.id)]);
    let list = store.list().unwrap();
    assert!(list.iter().map(|one| &one.id).eq([&fourth.id, &third.id, &second.id, &first.id]));
    let details = list[1].state.as_ref().unwrap();
    assert_eq!(
        (details.name.as_deref(), details.variables, details.lost, details.python.as_str()),
        (Some("a"), 1, 0, "3.11.7")
    );
}

#[test]
fn limits_are_kept() {
    let directory = in_memory();
    let config = StoreConfig { max_checkpoint_bytes: 100_000, ..StoreConfig::default() };
    let store = Store::open(directory.path(), config).unwrap();
    let mut writer = store.begin(&LineageId::new(), meta("s", None)).unwrap();
    let mut buffer = writer.buffer();
    assert!(matches!(buffer.write(&noise(1, 100_001)), Err(Error::TooLarge { .. })));
    drop(buffer);
    assert!(matches!(writer.commit(body(0)), Err(Error::Misuse(_))), "what failed cannot be completed");
    for name in ["", "a\nb", &"x".repeat(257)] {
        assert!(matches!(store.begin(&LineageId::new(), meta("s", Some(name))), Err(Error::Misuse(_))), "{name:?}");
    }
    for lineage in ["", "..", "a/b", &"x".repeat(65)] {
        assert!(LineageId::parse(lineage).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_in_any_pieces_come_back(
        pieces in prop::collection::vec((any::<u64>(), 0usize..400_000, 0u8..3), 0..8),
        kind in prop::sample::select(vec![BlobKind::Stream, BlobKind::Buffer]),
    ) {
        let directory = in_memory();
        let (store, lineage) = (open(directory.path()), LineageId::new());
        let mut writer = store.begin(&lineage, meta("s", None)).unwrap();
        let mut blob = if kind == BlobKind::Stream { writer.stream() } else { writer.buffer() };
        let mut whole = Vec::new();
        for (seed, length, what) in pieces {
            let piece = match what { 0 => noise(seed, length), 1 => text(seed % 1000, length), _ => vec![0; length] };
            blob.write(&piece).unwrap();
            whole.extend(piece);
        }
        blob.finish().unwrap();
        let manifest = writer.commit(body(1)).unwrap();
        prop_assert!(read(&store, &manifest, 0) == whole);
        let again = save(&store, &lineage, meta("s", None), &[(kind, whole)]).unwrap();
        prop_assert_eq!(again.stored_bytes, 0);
    }
}

#[test]
fn handles_go_from_thread_to_thread() {
    fn goes<T: Send + 'static>() {}
    fn is_shared<T: Sync>() {}
    goes::<pyrepl3_store::Writer>();
    goes::<pyrepl3_store::Reader>();
    goes::<pyrepl3_store::BlobReader>();
    is_shared::<Store>();
}

#[test]
fn empty_streams_without_end_are_refused() {
    let directory = in_memory();
    let config = StoreConfig { max_blobs: 1_000, ..StoreConfig::default() };
    let store = Store::open(directory.path(), config).unwrap();
    let mut writer = store.begin(&LineageId::new(), meta("s", None)).unwrap();
    for number in 0..1_000 {
        assert_eq!(writer.stream().finish().unwrap(), number);
    }
    let error = writer.stream().finish().unwrap_err();
    assert!(matches!(error, Error::TooMany { limit: 1_000, .. }), "{error}");
    assert!(matches!(writer.commit(body(0)), Err(Error::Misuse(_))));
}
