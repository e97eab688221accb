//! How fast the store writes and reads, beside a plain write and fsync of the same bytes to the same directory.
//!
//! `cargo run --release -p pyrepl3-store --example throughput -- DIRECTORY [GIB]`

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use pyrepl3_store::{LineageId, Location, Manifest, Meta, Store, StoreConfig};
use serde_json::value::RawValue;

/// What the saver sends at a time.
const PIECE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: throughput DIRECTORY [GIB]")?;
    let gib: f64 = arguments.next().map_or(Ok(1.0), |text| text.parse())?;
    let length = (gib * 1024.0) as usize * PIECE;
    let directory = Path::new(&directory).join(format!("throughput-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let done = measure(&directory, length);
    fs::remove_dir_all(&directory)?;
    done
}

fn measure(directory: &Path, length: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut random = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut random);
    let numbers: Vec<u8> = (0..length / 8).flat_map(|number| (number as u64 / 7).to_le_bytes()).collect();
    let rate = |what: &str, begun: Instant, length: usize| {
        let seconds = begun.elapsed().as_secs_f64();
        println!("{what:<44} {:>8.1} ms {:>8.0} MB/s", seconds * 1e3, length as f64 / 1e6 / seconds);
    };

    for round in ["first", "again"] {
        let (path, begun) = (directory.join("plain"), Instant::now());
        let mut plain = File::create_new(&path)?;
        for piece in random.chunks(PIECE) {
            plain.write_all(piece)?;
        }
        plain.sync_all()?;
        rate(&format!("plain write and fsync, {round}"), begun, length);
        fs::remove_file(path)?;

        let (lineage, store) = (LineageId::new(), Store::open(directory, StoreConfig::default())?);
        let begun = Instant::now();
        let first = write(&store, &lineage, &random)?;
        rate(&format!("write, incompressible, {round}"), begun, length);
        let begun = Instant::now();
        let compressible = write(&store, &lineage, &numbers)?;
        rate(&format!("write, compressible, {round}"), begun, length);
        println!("{:<44} {:>8.3} of its size", "  kept", compressible.stored_bytes as f64 / length as f64);

        let begun = Instant::now();
        let again = write(&store, &lineage, &random)?;
        rate(&format!("write again, unchanged, {round}"), begun, length);
        println!("{:<44} {:>8} bytes", "  written", again.stored_bytes);

        let (at, changed) = (length / 2 / 65536 * 65536, &numbers[..length.min(1 << 20)]);
        let begun = Instant::now();
        let mut writer = store.begin(&lineage, meta())?;
        writer.reuse((&first.id, 0), [(at as u64, changed)])?;
        let second = writer.commit(empty()?)?;
        rate(&format!("1 MiB replaced, {round}"), begun, length);
        println!("{:<44} {:>8} bytes", "  written", second.stored_bytes);
        let begun = Instant::now();
        let mut writer = store.begin(&lineage, meta())?;
        let noise: Vec<u8> = random[..length.min(1 << 20)].iter().map(|byte| !byte).collect();
        writer.reuse((&first.id, 0), [(at as u64, noise)])?;
        let third = writer.commit(empty()?)?;
        rate(&format!("1 MiB replaced, incompressible, {round}"), begun, length);
        println!("{:<44} {:>8} bytes", "  written", third.stored_bytes);

        for (what, manifest) in [("incompressible", &first), ("compressible", &compressible), ("patched", &second)] {
            let begun = Instant::now();
            let mut reader = store.read(manifest, 0)?;
            let mut bytes = 0;
            while let Some(part) = reader.part()? {
                bytes += part.len();
            }
            assert_eq!(bytes, length);
            rate(&format!("read and check, {what}, {round}"), begun, length);
        }
        let begun = Instant::now();
        let extents = store.extents(&second, 0)?;
        rate(&format!("places to map, patched, {round}"), begun, length);
        let raw = extents.iter().filter(|extent| matches!(extent.location, Location::Raw { .. })).count();
        println!("{:<44} {:>8}, {raw} of them raw", "  ranges", extents.len());

        let begun = Instant::now();
        let mut writer = store.begin(&LineageId::new(), meta())?;
        let mut stream = writer.stream();
        stream.write(&numbers[..length.min(1 << 20)])?;
        stream.finish()?;
        writer.commit(empty()?)?;
        rate(&format!("1 MiB session, first checkpoint, {round}"), begun, 1 << 20);
        fs::remove_dir_all(directory.join("checkpoints"))?;
    }
    Ok(())
}

fn meta() -> Meta {
    Meta { session: "s".into(), ..Meta::default() }
}

fn empty() -> serde_json::Result<Box<RawValue>> {
    RawValue::from_string("{}".into())
}

fn write(store: &Store, lineage: &LineageId, bytes: &[u8]) -> pyrepl3_store::Result<Manifest> {
    let mut writer = store.begin(lineage, meta())?;
    let mut buffer = writer.buffer();
    for piece in bytes.chunks(PIECE) {
        buffer.write(piece)?;
    }
    buffer.finish()?;
    writer.commit(empty().map_err(|error| pyrepl3_store::Error::Misuse(error.to_string()))?)
}
