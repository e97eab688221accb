//! A saver runs the session's own code: whatever it does, the supervisor neither waits nor remembers without bound.

use super::*;
use crate::checkpoint::progress;
use pyrepl3_protocol::frame::encode;
use std::thread;

fn task(data: &std::path::Path, progress: Option<ProgressSender>) -> SaverTask {
    SaverTask {
        store: CheckpointStore::new(Some(data.to_owned()), None),
        lineage: LineageId::new(),
        meta: Meta { session: "s".into(), name: None, parent: None },
        extra: SessionMetadata::default(),
        tracked: false,
        base: None,
        leave_out: Vec::new(),
        progress,
        canceller: Canceller::default(),
    }
}

fn frame(json: &str) -> Vec<u8> {
    encode(json.as_bytes()).unwrap()
}

/// A saver that says the same for ever, and how the save ended.
fn endless(frames: &[&str], limits: Limits, progress: Option<ProgressSender>) -> Result<Saved, SaveError> {
    let data = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = Blocking::pair().unwrap();
    let bytes: Vec<u8> = frames.iter().flat_map(|json| frame(json)).collect();
    let stop = StopHandle::of(&ours).unwrap();
    let saver = thread::spawn(move || while theirs.write_all(&bytes).is_ok() {});
    let saved = task(data.path(), progress).take_in(ours, &stop, limits);
    stop.stop();
    saver.join().unwrap();
    let left = std::fs::read_dir(data.path().join("checkpoints/lineages")).into_iter().flatten();
    let files = left.flat_map(|lineage| std::fs::read_dir(lineage.unwrap().path().join("packs")).unwrap());
    assert_eq!(files.count(), 0, "nothing is left");
    saved
}

fn why(saved: Result<Saved, SaveError>) -> String {
    let unsaved = saved.unwrap_err();
    assert!(unsaved.over.is_empty(), "it is not tried again");
    unsaved.failure.to_string()
}

#[tokio::test]
async fn progress_without_end_is_cut_off_and_costs_nothing_before() {
    let (sender, mut receiver) = progress();
    let limits = Limits { frames: 100_000, ..Limits::default() };
    let progress = r#"{"t":"progress","done":0,"total":0,"name":"x"}"#;
    let why = why(endless(&[progress], limits, Some(sender)));
    assert!(why.contains("frames") && why.contains("\"x\""), "{why}");
    // Nobody looked: the last is all that there is.
    assert_eq!(receiver.next().await.map(|one| one.name).as_deref(), Some("x"));
    assert_eq!(receiver.next().await, None);
}

#[test]
fn empty_streams_without_end_are_cut_off() {
    let limits = Limits { frames: 10_000, ..Limits::default() };
    let why = why(endless(&[r#"{"t":"stream"}"#, r#"{"t":"end"}"#], limits, None));
    assert!(why.contains("frames"), "{why}");
}

#[test]
fn a_save_that_takes_longer_than_what_it_brings_is_cut_off() {
    let limits = Limits { base: Duration::ZERO, bytes_per_second: u64::MAX, frames: u64::MAX, ..Limits::default() };
    let why = why(endless(&[r#"{"t":"busy","parts":[["name","slow"]]}"#], limits, None));
    assert!(why.contains("was not done after 0 s"), "{why}");
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let (ours, theirs) = Blocking::pair().unwrap();
    let stop = StopHandle::of(&ours).unwrap();
    let limits = Limits { silence: Duration::from_millis(1), ..Limits::default() };
    let unsaved = task(data.path(), None).take_in(ours, &stop, limits).unwrap_err();
    assert!(unsaved.failure.to_string().contains("said nothing"), "{}", unsaved.failure);
    drop(theirs);
}

/// Something else has the saver's end, and its pipe, and is silent: as a process that the session's code forked.
fn stopped_while(said: &str) {
    let data = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = Blocking::pair().unwrap();
    let stop = StopHandle::of(&ours).unwrap();
    let (task, stopped) = (task(data.path(), None), stop.clone());
    let work = thread::spawn(move || task.take_in(ours, &stopped, Limits::default()));
    let mut request = [0; 4];
    theirs.read_exact(&mut request).unwrap();
    theirs.write_all(&frame(said)).unwrap();
    stop.stop();
    assert!(work.join().unwrap().unwrap_err().failure.to_string().contains("stopped"));
    drop(theirs);
}

#[test]
fn it_is_stopped_though_somebody_keeps_the_channel() {
    stopped_while(r#"{"t":"stream"}"#);
}

#[test]
fn it_is_stopped_though_somebody_keeps_the_pipe() {
    stopped_while(r#"{"t":"buffer","n":1048576,"spliced":true}"#);
}

#[test]
fn what_keeps_the_rules_is_stored() {
    let data = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = Blocking::pair().unwrap();
    let stop = StopHandle::of(&ours).unwrap();
    let said = [
        frame(r#"{"t":"progress","done":0,"total":1,"name":"x"}"#),
        frame(r#"{"t":"stream"}"#),
        [frame(r#"{"t":"data","n":3}"#), b"abc".to_vec()].concat(),
        frame(r#"{"t":"end"}"#),
        frame(r#"{"t":"progress","done":1,"total":1,"name":""}"#),
        [frame(r#"{"t":"body","n":2}"#), b"{}".to_vec()].concat(),
    ];
    theirs.write_all(&said.concat()).unwrap();
    let task = task(data.path(), None);
    let store = task.store.clone();
    let saved = task.take_in(ours, &stop, Limits::default()).unwrap();
    assert_eq!(store.open().unwrap().read(&saved.manifest, 0).unwrap().read_all().unwrap(), b"abc");
}
