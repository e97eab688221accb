//! The seeds are valid: each is decoded to something. They are made by code, once, and stay as they are.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use pyrepl3_fuzz::targets;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::frame::encode;
use pyrepl3_store::journal::{Limits, Stream, Writer};
use pyrepl3_store::{LineageId, Meta, Store, StoreConfig, Untrusted, fuzzing};
use serde_json::value::RawValue;

const MESSAGES: [&str; 6] = [
    r#"{"type":"output","id":"msg_1","timestamp":1.5,"session_id":"ses_1","execution_id":"exe_1","stream":"stdout","data":"a\ud83d\ude00","dropped":7}"#,
    r#"{"type":"output","id":"msg_2","stream":"stderr","data":"a\ufffd","bytes":"YYA="}"#,
    r#"{"t":"progress","done":1,"total":2,"name":"x"}"#,
    r#"{"t":"reuse","n":131072,"at":4096,"blob":1,"patches":[[0,65536]]}"#,
    r#"{"t":"busy","parts":[["name","a\ud83d\ude00"]]}"#,
    r#"{"get":3}"#,
];

fn put(target: &str, number: usize, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(number.to_string()), bytes).unwrap();
}

/// Two checkpoints, small: a stream, a buffer of zeros with a list of chunks, one that is mapped, regrouped numbers, and one that takes over with a change.
fn checkpoints(store: &Store) -> Vec<pyrepl3_store::Manifest> {
    let lineage = LineageId::parse("seeds").unwrap();
    let body = r#"{"python":{"version":"3.11.7"},"groups":[{"names":["x"],"stream":0,"buffers":[1]}],"session":{"session_name":"work"}}"#;
    let body = || RawValue::from_string(body.into()).unwrap();
    let meta = |name: &str| Meta { session: "ses_1".into(), name: Some(name.into()), parent: None };
    let mut writer = store.begin(&lineage, meta("first")).unwrap();
    let mut stream = writer.stream();
    stream.write(&b"a stream ".repeat(40)).unwrap();
    stream.finish().unwrap();
    let numbers: Vec<u8> = (0..9_000u32).flat_map(|number| f64::from(number % 7).to_le_bytes()).collect();
    for bytes in [[vec![0; 20 << 16], b"end".to_vec()].concat(), numbers] {
        let mut buffer = writer.buffer();
        buffer.write(&bytes).unwrap();
        buffer.finish().unwrap();
    }
    let first = writer.commit(body()).unwrap();
    let mut writer = store.begin(&lineage, Meta { parent: Some(first.id.clone()), ..meta("second") }).unwrap();
    writer.reuse::<&[u8]>((&first.id, 0), []).unwrap();
    writer.reuse((&first.id, 1), [(65_536, [9; 65_536])]).unwrap();
    vec![first, writer.commit(body()).unwrap()]
}

#[test]
#[ignore = "writes files that are to stay as they are"]
fn write_the_seeds() {
    for (number, json) in MESSAGES.iter().enumerate() {
        put("messages", number, json.as_bytes());
    }
    let together: Vec<u8> = MESSAGES.iter().flat_map(|json| encode(json.as_bytes()).unwrap()).collect();
    for (number, first) in [0u8, 6, 255].into_iter().enumerate() {
        put("frames", number, &[&[first], &together[..]].concat());
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
    for (number, manifest) in checkpoints(&store).iter().enumerate() {
        let lineage = store.directory().join("lineages/seeds");
        put("pack", number, &fs::read(lineage.join(format!("packs/{}.pack", manifest.id))).unwrap());
        put("manifest", number, &fs::read(lineage.join(format!("manifests/{}.json", manifest.id))).unwrap());
        let mut export = Vec::new();
        store.export(manifest, &mut export).unwrap();
        put("import", number, &export);
    }
    let sessions = fs::read(store.directory().join("sessions")).unwrap();
    put("sessions", 0, &sessions);
    put("sessions", 1, &sessions[..sessions.len() - 20]);
    put("journal", 0, b"{\"execution\":1}\n{\"execution\":2}\n");
    put("journal", 1, b"{\"execution\":1}\n{\"execution\":18446744073709551615}\n\n{\"exec");
    segments();
}

/// Two segments of events: of both kinds, and one whose last record is cut.
fn segments() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), Limits::default()).unwrap();
    let (read, write) = std::io::pipe().unwrap();
    (&write).write_all(b"written").unwrap();
    writer.append(MESSAGES[0].as_bytes()).unwrap();
    let taken = writer.take(read.as_fd(), Stream::Stderr, 100).unwrap().unwrap();
    writer.append_output(MESSAGES[1].as_bytes(), Stream::Stderr, &taken).unwrap();
    writer.append(b"{}").unwrap();
    let bytes = fs::read(directory.path().join(format!("{:020}.events", 1))).unwrap();
    put("segment", 0, &bytes);
    put("segment", 1, &bytes[..bytes.len() - 1]);
}

#[test]
#[ignore = "writes files that are to stay as they are"]
fn write_the_segments() {
    segments();
}

#[test]
fn seeds_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
    for bytes in targets::seeds("pack") {
        assert!(fuzzing::pack(&bytes));
        assert_eq!(fuzzing::seal_pack(&bytes).as_deref(), Some(&bytes[..]), "to seal what is sealed changes nothing");
    }
    for bytes in targets::seeds("manifest") {
        assert!(fuzzing::manifest(&bytes));
        assert_eq!(fuzzing::seal_manifest(&bytes).as_deref(), Some(&bytes[..]));
    }
    for bytes in targets::seeds("import") {
        store.import(Untrusted::new(&bytes[..]).accept()).unwrap();
        assert_eq!(fuzzing::seal_export(&bytes).as_deref(), Some(&bytes[..]));
    }
    assert!(targets::seeds("sessions").iter().all(|bytes| fuzzing::sessions(bytes) > 0));
    assert!(targets::seeds("journal").iter().all(|bytes| pyrepl3_engine::fuzzing::journal(bytes) > 1));
    for bytes in targets::seeds("segment") {
        assert!(fuzzing::event_segment(&bytes) >= 2);
        assert_eq!(fuzzing::seal_event_segment(&bytes), bytes);
    }
    let messages = targets::seeds("messages");
    assert!(messages.iter().filter(|json| Message::from_json(json).is_ok()).count() >= 2, "some are public ones");
}
