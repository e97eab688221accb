//! What was appended is there: after a death at every step, after a loss of power, and whatever byte is damaged.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rustix::fd::{AsFd, OwnedFd};

use super::format::{Header, NoHeader, Record, Step, next};
use super::{Cut, Entry, Limits, Place, Reader, Stream, Writer};
use crate::disk::Disk;
use crate::disk::faults::{Fault, Faults};
use crate::{Error, Result};

fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn pipe() -> (OwnedFd, fs::File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::io::ioctl_fionbio(&read, true).unwrap();
    (read, write.into())
}

/// (number, message, output) of all that a reader gets.
type Seen = Vec<(u64, String, Option<Vec<u8>>)>;

fn read(directory: &Path, after: u64) -> Seen {
    let mut reader = Reader::new(directory, after).unwrap();
    let mut seen = Vec::new();
    while let Some(entry) = reader.next(u64::MAX).unwrap() {
        let Entry::Event { seq, message, output } = entry else { panic!("{entry:?}") };
        let output = output.map(|(gone, bytes)| {
            assert_eq!(gone, 0, "{seq}");
            bytes
        });
        seen.push((seq, String::from_utf8(message).unwrap(), output));
    }
    seen
}

const SMALL: Limits = Limits { output: 1 << 30, events: 1 << 30, file: 1 };

#[test]
fn events_and_output_come_back_as_they_were() {
    let directory = in_memory();
    let (read_end, mut write_end) = pipe();
    // Segments of the least size: so that there are many.
    let (mut writer, untold) = Writer::open(directory.path(), SMALL).unwrap();
    assert_eq!(untold, super::Untold::default());
    let mut expected = Seen::new();
    for number in 0..500 {
        let message = format!("event {number} {}", "x".repeat(number));
        let seq = writer.append(message.as_bytes()).unwrap();
        expected.push((seq, message, None));
        let bytes = format!("output {number}\u{ff}").into_bytes();
        write_end.write_all(&bytes).unwrap();
        let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
        let taken = writer.take(read_end.as_fd(), stream, 1 << 16).unwrap().unwrap();
        assert_eq!(taken, bytes);
        let seq = writer.append_output(b"{}", stream, &taken).unwrap();
        expected.push((seq, "{}".to_owned(), Some(bytes)));
    }
    assert_eq!(expected.iter().map(|one| one.0).collect::<Vec<_>>(), (1..=1000).collect::<Vec<_>>());
    assert_eq!(read(directory.path(), 0), expected);
    assert!(fs::read_dir(directory.path()).unwrap().count() > 20);
    for after in [1, 2, 500, 999, 1000, 2000] {
        assert_eq!(read(directory.path(), after), expected[expected.len().min(after as usize)..]);
    }
    drop(writer);
    let (mut writer, untold) = Writer::open(directory.path(), SMALL).unwrap();
    assert_eq!((writer.next(), untold), (1001, super::Untold::default()));
    writer.append(b"more").unwrap();
    assert_eq!(read(directory.path(), 1000), [(1001, "more".to_owned(), None)]);
}

#[test]
fn a_reader_follows_a_writer() {
    let directory = in_memory();
    let (mut writer, _) = Writer::open(directory.path(), SMALL).unwrap();
    let mut reader = Reader::new(directory.path(), 0).unwrap();
    for number in 1..=300 {
        assert_eq!(reader.next(u64::MAX).unwrap(), None);
        let message = vec![b'x'; 100];
        writer.append(&message).unwrap();
        // Not further than it is told that there is something.
        assert_eq!(reader.next(number - 1).unwrap(), None);
        let event = Entry::Event { seq: number, message, output: None };
        assert_eq!(reader.next(number).unwrap(), Some(event));
    }
}

#[test]
fn output_that_no_event_tells_of_is_told_when_the_journal_is_opened_again() {
    let directory = in_memory();
    let (read_end, mut write_end) = pipe();
    let (mut writer, _) = Writer::open(directory.path(), Limits::default()).unwrap();
    write_end.write_all(b"told, untold").unwrap();
    assert_eq!(writer.take(read_end.as_fd(), Stream::Stdout, 100).unwrap().unwrap(), b"told, untold");
    writer.append_output(b"{}", Stream::Stdout, b"told, ").unwrap();
    // Its process dies here.
    drop(writer);
    write_end.write_all(b" and more").unwrap();
    let (mut writer, untold) = Writer::open(directory.path(), Limits::default()).unwrap();
    assert_eq!(untold.output, [6, 0]);
    let bytes = writer.untold(Stream::Stdout, 1 << 20).unwrap();
    assert_eq!(bytes, b"untold");
    writer.append_output(b"{}", Stream::Stdout, &bytes).unwrap();
    let taken = writer.take(read_end.as_fd(), Stream::Stdout, 100).unwrap().unwrap();
    writer.append_output(b"{}", Stream::Stdout, &taken).unwrap();
    let output: Vec<u8> = read(directory.path(), 0).into_iter().flat_map(|one| one.2.unwrap()).collect();
    assert_eq!(output, b"told, untold and more");
    assert!(writer.append_output(b"{}", Stream::Stdout, b"never taken").is_err());
    assert_eq!(writer.take(read_end.as_fd(), Stream::Stderr, 100).unwrap(), None);
    drop(write_end);
    assert_eq!(writer.take(read_end.as_fd(), Stream::Stderr, 100).unwrap().unwrap(), b"");
}

#[test]
fn what_is_above_the_limits_goes_and_is_counted() {
    let directory = in_memory();
    let (read_end, mut write_end) = pipe();
    let limits = Limits { output: 64 << 10, events: 64 << 10, ..Limits::default() };
    let (mut writer, _) = Writer::open(directory.path(), limits).unwrap();
    let mut written = 0_u64;
    for number in 0..400_u64 {
        let bytes = vec![number as u8; 4096];
        write_end.write_all(&bytes).unwrap();
        writer.take(read_end.as_fd(), Stream::Stdout, 1 << 16).unwrap();
        writer.append_output(&[b'x'; 1000], Stream::Stdout, &bytes).unwrap();
        written += 4096 + 1000;
    }
    let size: u64 = fs::read_dir(directory.path()).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 2 * (64 << 10) + 4 * (64 << 10) / 8, "{size}");
    let mut reader = Reader::new(directory.path(), 0).unwrap();
    let Some(Entry::Gone(Cut { last, bytes })) = reader.next(u64::MAX).unwrap() else { panic!("nothing is gone") };
    assert!(last > 300 && bytes > written - size, "{last} {bytes}");
    let (mut gone, mut there) = (0, 0);
    for seq in last + 1..=400 {
        let Some(Entry::Event { seq: found, output: Some((missing, bytes)), .. }) = reader.next(u64::MAX).unwrap()
        else {
            panic!("{seq} is not there")
        };
        assert_eq!((found, missing + bytes.len() as u64), (seq, 4096));
        (gone, there) = (gone + missing, there + bytes.len());
    }
    assert!(there >= 32 << 10, "{gone} {there}");
    assert_eq!(reader.next(u64::MAX).unwrap(), None);
    // The beginning of the output is kept.
    assert_eq!(fs::read(directory.path().join(format!("{:020}.stdout", 0))).unwrap()[..4096], [0; 4096]);
    drop(writer);
    let (writer, _) = Writer::open(directory.path(), limits).unwrap();
    assert_eq!((writer.next(), writer.cut().last), (401, last));
}

// ---- deaths, and losses of power ----

/// What must be there: events by their place, and output, that somebody was told of; and those that survive the machine.
#[derive(Default, Clone)]
struct Told {
    events: Vec<(String, Option<Vec<u8>>)>,
    synced: usize,
    taken: Vec<u8>,
}

/// Enough for several segments.
fn work(disk: &Disk, directory: &Path, told: &mut Told) -> Result<()> {
    let (read_end, mut write_end) = pipe();
    let (mut writer, _) = Writer::open_on(disk, directory, SMALL)?;
    for number in 0..12 {
        let message = format!("{number} {}", "x".repeat(900));
        writer.append(message.as_bytes())?;
        told.events.push((message, None));
        let bytes = format!("output {number};").into_bytes();
        write_end.write_all(&bytes).unwrap();
        let taken = writer.take(read_end.as_fd(), Stream::Stdout, 1 << 16)?.unwrap();
        told.taken.extend(&taken);
        writer.append_output(b"out", Stream::Stdout, &taken)?;
        told.events.push(("out".to_owned(), Some(bytes)));
        if number % 3 == 2 {
            let count = told.events.len();
            writer.unsynced()?.sync()?;
            told.synced = count;
        }
    }
    Ok(())
}

/// Opens what was left: all that must be there is, without gaps, and it can be gone on with.
fn check(directory: &Path, must: &[(String, Option<Vec<u8>>)], taken: &[u8]) {
    let (mut writer, _) = Writer::open(directory, SMALL).unwrap();
    let untold = writer.untold(Stream::Stdout, 1 << 20).unwrap();
    let last = writer.next();
    let mut seen = Vec::new();
    let mut reader = Reader::new(directory, 0).unwrap();
    let mut expected = 1;
    while let Some(entry) = reader.next(u64::MAX).unwrap() {
        match entry {
            Entry::Event { seq, message, output } => {
                assert_eq!(seq, expected);
                seen.push((String::from_utf8(message).unwrap(), output));
                expected += 1;
            }
            // A segment before the newest can have lost its end with the power: named, where nobody was told of it.
            Entry::Damaged { first, last, .. } => {
                assert!(first == expected && first > must.len() as u64);
                expected = last + 1;
            }
            Entry::Gone(cut) => panic!("{cut:?}"),
        }
    }
    assert_eq!(expected, last);
    assert!(seen.len() >= must.len(), "{} of {}", seen.len(), must.len());
    for ((message, output), (wanted, bytes)) in seen.iter().zip(must) {
        assert_eq!(
            (message, output.as_ref().map(|(gone, bytes)| (*gone, bytes))),
            (wanted, bytes.as_ref().map(|bytes| (0, bytes)))
        );
    }
    let whole = seen.iter().all(|(_, output)| output.as_ref().is_none_or(|(gone, _)| *gone == 0));
    if whole {
        let told: Vec<u8> = seen
            .iter()
            .filter_map(|(_, output)| output.as_ref())
            .flat_map(|(_, bytes)| bytes.clone())
            .chain(untold)
            .collect();
        assert!(told.starts_with(taken), "{} of {} bytes", told.len(), taken.len());
    }
    writer.append(b"again").unwrap();
    assert_eq!(read(directory, last - 1), [(last, "again".to_owned(), None)]);
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = in_memory();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn a_death_or_an_error_at_any_step_loses_nothing_that_was_told() {
    for fault in [Fault::Death, Fault::Error(ErrorKind::Other), Fault::Full] {
        for at in 1.. {
            let data = in_memory();
            let directory = data.path().join("journal");
            let faults = Arc::new(Faults::new(at, fault));
            let mut told = Told::default();
            let done = work(&Disk { faults: Some(faults.clone()) }, &directory, &mut told);
            if !faults.happened() {
                done.unwrap();
                break;
            }
            check(&directory, &told.events, &told.taken);
        }
    }
}

#[test]
fn a_loss_of_power_at_any_step_loses_nothing_that_was_synced() {
    let mut tried = 0;
    for at in 1.. {
        let data = in_memory();
        let directory = data.path().join("journal");
        let faults = Arc::new(Faults::new(at, Fault::Death));
        let mut told = Told::default();
        let done = work(&Disk { faults: Some(faults.clone()) }, &directory, &mut told);
        for loss in faults.losses() {
            let copy = copy_of(&directory);
            loss.strike(&directory, copy.path());
            check(copy.path(), &told.events[..told.synced], &[]);
            tried += 1;
        }
        if !faults.happened() {
            done.unwrap();
            break;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn files_that_are_completed_and_those_that_another_process_has_left_are_synced_too() {
    let data = in_memory();
    let directory = data.path().join("journal");
    let synced = |writer: &mut Writer| {
        let faults = Arc::new(Faults::new(u64::MAX, Fault::Death));
        writer.disk = Disk { faults: Some(faults.clone()) };
        writer.unsynced().unwrap().sync().unwrap();
        faults.synced()
    };
    let names = |files: &[&str]| files.iter().map(|name| directory.join(format!("{name:0>27}"))).collect::<Vec<_>>();
    let (mut writer, _) = Writer::open(&directory, SMALL).unwrap();
    for _ in 0..2 {
        let bytes = [b'x'; 5000];
        writer.put(Stream::Stdout, &bytes).unwrap();
        writer.append_output(&[b'y'; 5000], Stream::Stdout, &bytes).unwrap();
    }
    let all = names(&["0.stdout", "1.events", "2.events", "5000.stdout"]);
    assert_eq!(synced(&mut writer), all);
    assert_eq!(synced(&mut writer), names(&["2.events", "5000.stdout"]));
    writer.sync_failed();
    assert_eq!(synced(&mut writer), all);
    // The next process does not know that.
    drop(writer);
    let (mut writer, _) = Writer::open(&directory, SMALL).unwrap();
    assert_eq!(synced(&mut writer), all);
}

#[test]
fn output_behind_a_hole_is_not_told() {
    let directory = in_memory();
    let (mut writer, _) = Writer::open(directory.path(), SMALL).unwrap();
    writer.put(Stream::Stdout, b"told").unwrap();
    writer.append_output(b"{}", Stream::Stdout, b"told").unwrap();
    writer.put(Stream::Stdout, &[b'a'; 5000]).unwrap();
    writer.put(Stream::Stdout, &[b'b'; 100]).unwrap();
    drop(writer);
    // The machine died, and has the end of the first file no more.
    let first = directory.path().join(format!("{:020}.stdout", 0));
    fs::File::options().write(true).open(first).unwrap().set_len(10).unwrap();
    let (mut writer, untold) = Writer::open(directory.path(), SMALL).unwrap();
    assert_eq!(untold.output, [6, 0]);
    let bytes = writer.untold(Stream::Stdout, 1 << 20).unwrap();
    assert_eq!(bytes, b"aaaaaa");
    writer.append_output(b"{}", Stream::Stdout, &bytes).unwrap();
    writer.put(Stream::Stdout, b"after").unwrap();
    writer.append_output(b"{}", Stream::Stdout, b"after").unwrap();
    let output: Vec<u8> = read(directory.path(), 0).into_iter().flat_map(|one| one.2.unwrap()).collect();
    assert_eq!(output, b"toldaaaaaaafter");
    assert!(directory.path().join(format!("{:020}.stdout.torn", 5004)).exists());
}

/// The tests above fail where something is not synced, or written after it was told.
#[test]
fn the_tests_see_a_sync_that_is_left_out() {
    let data = in_memory();
    let directory = data.path().join("journal");
    let faults = Arc::new(Faults::new(u64::MAX, Fault::Death));
    let mut told = Told::default();
    work(&Disk { faults: Some(faults.clone()) }, &directory, &mut told).unwrap();
    let (mut writer, _) = Writer::open_on(&Disk { faults: Some(faults.clone()) }, &directory, SMALL).unwrap();
    writer.append(b"not synced, and told").unwrap();
    told.events.push(("not synced, and told".to_owned(), None));
    let lost = faults.losses().into_iter().any(|loss| {
        let copy = copy_of(&directory);
        loss.strike(&directory, copy.path());
        std::panic::catch_unwind(|| check(copy.path(), &told.events, &[])).is_err()
    });
    assert!(lost);
}

// ---- damage ----

fn small_journal() -> (tempfile::TempDir, PathBuf) {
    let directory = in_memory();
    let (mut writer, _) = Writer::open(directory.path(), Limits::default()).unwrap();
    for number in 0..4 {
        writer.append(format!("event {number}").as_bytes()).unwrap();
    }
    let path = directory.path().join(format!("{:020}.events", 1));
    (directory, path)
}

#[test]
fn a_file_that_was_cut_anywhere_is_gone_on_with() {
    let (directory, path) = small_journal();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut writer, untold) = Writer::open(directory.path(), Limits::default()).unwrap();
        let before = writer.next();
        assert!(before <= 4, "{length}");
        writer.append(b"after").unwrap();
        let seen = read(directory.path(), 0);
        assert_eq!(seen.len() as u64, before);
        for (seq, message, _) in &seen[..seen.len() - 1] {
            assert_eq!(*message, format!("event {}", seq - 1));
        }
        if let Some((aside, bytes)) = untold.torn {
            assert_eq!(fs::metadata(&aside).unwrap().len(), bytes);
            fs::remove_file(aside).unwrap();
        }
    }
}

#[test]
fn whatever_byte_is_changed_no_event_comes_back_as_another() {
    let (directory, path) = small_journal();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in [0, 7] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            // What is not looked at may be anything.
            let Ok(mut reader) = Reader::new(directory.path(), 0) else { continue };
            let mut seen = 0;
            while let Ok(Some(entry)) = reader.next(u64::MAX) {
                let Entry::Event { seq, message, .. } = entry else { break };
                seen += 1;
                assert_eq!((seq, message), (seen, format!("event {}", seen - 1).into_bytes()), "{at}");
            }
            assert!(seen < 4 || (44..48).contains(&at), "{at}: it was not seen");
        }
    }
}

#[test]
fn damage_before_the_newest_segment_is_named_and_costs_no_other() {
    let directory = in_memory();
    let (mut writer, _) = Writer::open(directory.path(), SMALL).unwrap();
    for _ in 0..20 {
        writer.append(&[b'x'; 1000]).unwrap();
    }
    drop(writer);
    let path = directory.path().join(format!("{:020}.events", 1));
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (mut reader, mut seen, mut named) = (Reader::new(directory.path(), 0).unwrap(), 0, Vec::new());
    while let Some(entry) = reader.next(u64::MAX).unwrap() {
        match entry {
            Entry::Event { .. } => seen += 1,
            Entry::Damaged { first, last, .. } => named.push((first, last)),
            Entry::Gone(cut) => panic!("{cut:?}"),
        }
    }
    let [(first, last)] = named[..] else { panic!("{named:?}") };
    assert_eq!(seen + (last - first + 1), 20);
}

#[test]
fn a_later_version_is_refused_in_words() {
    let (directory, path) = small_journal();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let sum = crc32fast::hash(&bytes[..40]);
    bytes[40..44].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let refused = Writer::open(directory.path(), Limits::default()).unwrap_err();
    assert!(matches!(refused, Error::NewerFormat { found: 2, known: 1, .. }), "{refused}");
}

proptest! {
    #[test]
    fn a_record_is_decoded_as_it_was_encoded(
        seq in any::<u64>(),
        message in proptest::collection::vec(any::<u8>(), 0..300),
        output in proptest::option::of((any::<bool>(), any::<u64>(), any::<u64>(), any::<u32>())),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let output = output.map(|(out, at, length, sum)| {
            (Place { stream: if out { Stream::Stdout } else { Stream::Stderr }, at, length }, sum)
        });
        let record = Record { seq, message: &message, output };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let length = bytes.len();
        for cut in 0..length {
            let Step::More(needed) = next(&bytes[..cut]) else { panic!("{cut}") };
            prop_assert!(needed > cut && needed <= length);
        }
        bytes.extend(rest);
        prop_assert_eq!(next(&bytes), Step::Record(record, length));
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        _ = next(&bytes);
        _ = Header::decode(&bytes);
    }

    #[test]
    fn a_header_is_decoded_as_it_was_encoded(first in 1..u64::MAX, told in any::<[u64; 2]>()) {
        let header = Header { first, told };
        prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        prop_assert_eq!(Header::decode(&header.encode()[..47]), Err(NoHeader::Damaged));
    }
}
