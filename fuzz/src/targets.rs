//! What each decoder promises, whatever the bytes: an answer or an error. Where an answer is written again and read back, it is the same.

use std::path::Path;

use pyrepl3_native::wake;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::saver::{LoaderRequest, SaverEvent};
use pyrepl3_protocol::worker::Event;
use pyrepl3_store::{Store, StoreConfig, Untrusted, fuzzing};

/// A target, and how many changed inputs the tests try.
pub type Named = (&'static str, fn(&[u8]), u64);

/// All of them. Each has valid inputs in `seeds/`.
pub const ALL: [Named; 9] = [
    ("frames", frames, 20_000),
    ("messages", messages, 20_000),
    ("pack", pack, 20_000),
    ("manifest", manifest, 10_000),
    ("import", import, 1_500),
    ("sessions", sessions, 20_000),
    ("journal", journal, 20_000),
    ("segment", segment, 20_000),
    ("wake", wake, 20_000),
];

/// The valid inputs of a target.
///
/// # Panics
/// They cannot be read.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a directory can be read").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

/// Frames of a frozen process's channel, from either side: of one size, and with one meaning each.
///
/// # Panics
/// What was understood is not written the same again.
pub fn wake(bytes: &[u8]) {
    for frame in bytes.as_chunks::<{ wake::SIZE }>().0 {
        if let Some(request) = wake::Request::decode(frame) {
            assert_eq!(request.encode(), *frame);
            assert!(request.descriptors() <= wake::FDS);
        }
        if let Some(event) = wake::Event::decode(frame) {
            assert_eq!(event.encode(), *frame);
        }
    }
}

/// Frames that come in pieces, whose size the first byte says.
pub fn frames(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut decoder = Decoder::new(1 << 20);
    for piece in rest.chunks(1 + usize::from(*first)) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(json)) => messages(json),
                Err(_) => return,
            }
        }
        assert!(decoder.pending() <= (1 << 20) + 4 + piece.len(), "no more is kept than one frame");
    }
}

/// What a frame holds, from whichever side.
///
/// # Panics
/// What was decoded does not encode to what decodes to the same.
pub fn messages(json: &[u8]) {
    _ = Event::from_json(json);
    _ = serde_json::from_slice::<SaverEvent>(json);
    _ = serde_json::from_slice::<LoaderRequest>(json);
    if let Ok(message) = Message::from_json(json)
        && let Ok(once) = message.to_json()
    {
        let again = Message::from_json(&once).expect("what was encoded decodes");
        assert_eq!(once, again.to_json().expect("and encodes"));
    }
}

/// A pack, as it is and with its index sealed anew.
pub fn pack(bytes: &[u8]) {
    fuzzing::pack(bytes);
    if let Some(sealed) = fuzzing::seal_pack(bytes) {
        fuzzing::pack(&sealed);
    }
}

/// A manifest, as it is and sealed anew; and the bytes as a list of chunks.
pub fn manifest(bytes: &[u8]) {
    fuzzing::manifest(bytes);
    fuzzing::segment(bytes);
    if let Some(sealed) = fuzzing::seal_manifest(bytes) {
        fuzzing::manifest(&sealed);
    }
}

/// An exported checkpoint, as it is and sealed anew.
pub fn import(bytes: &[u8]) {
    take_in(bytes);
    if let Some(sealed) = fuzzing::seal_export(bytes) {
        take_in(&sealed);
    }
}

fn take_in(bytes: &[u8]) {
    // In memory where that can be had: what is taken in is synced. One for each input, so that none is left.
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = made.expect("a directory can be made");
    let config = StoreConfig { max_checkpoint_bytes: 16 << 20, ..StoreConfig::default() };
    let store = Store::open(directory.path(), config).expect("an empty directory can be opened");
    let Ok(manifest) = store.import(Untrusted::new(bytes).accept()) else { return };
    // What is taken in is whole, whatever it says.
    let report = store.verify(&manifest).expect("what was taken in can be read");
    assert!(report.is_whole(), "{report:?}");
    store.delete(&manifest.id).expect("what was taken in can be deleted");
}

/// What is remembered of sessions.
pub fn sessions(bytes: &[u8]) {
    _ = fuzzing::sessions(bytes);
}

/// A journal of executions.
pub fn journal(bytes: &[u8]) {
    _ = pyrepl3_engine::fuzzing::journal(bytes);
}

/// A segment of a session's events, as it is and with its records sealed anew.
pub fn segment(bytes: &[u8]) {
    fuzzing::event_segment(bytes);
    fuzzing::event_segment(&fuzzing::seal_event_segment(bytes));
}
