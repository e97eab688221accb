//! A worker that restores runs the session's own code: whatever keeps its end open holds neither a thread nor the lineage.

use super::*;
use pyrepl3_store::{LineageId, Meta};
use serde_json::value::RawValue;

/// A checkpoint with one blob, and its bytes.
fn saved(data: &std::path::Path) -> (Arc<CheckpointStore>, Arc<Manifest>, Vec<u8>) {
    let store = CheckpointStore::new(Some(data.to_owned()), None);
    let open = store.open().unwrap();
    let mut writer = open.begin(&LineageId::new(), Meta { session: "s".into(), ..Meta::default() }).unwrap();
    let bytes: Vec<u8> = (0..6_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut blob = writer.stream();
    blob.write(&bytes).unwrap();
    blob.finish().unwrap();
    let body = RawValue::from_string(r#"{"groups":[]}"#.into()).unwrap();
    (store, Arc::new(writer.commit(body).unwrap()), bytes)
}

fn answer(worker: &mut UnixStream) -> (serde_json::Value, Vec<u8>) {
    let mut head = [0; 4];
    worker.read_exact(&mut head).unwrap();
    let mut json = vec![0; u32::from_be_bytes(head) as usize];
    worker.read_exact(&mut json).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mut bytes = vec![0; usize::try_from(answer["n"].as_u64().unwrap_or(0)).unwrap()];
    worker.read_exact(&mut bytes).unwrap();
    (answer, bytes)
}

fn ask(worker: &mut UnixStream, request: &str) {
    worker.write_all(&encode(request.as_bytes()).unwrap()).unwrap();
}

/// The lineage is nobody's: what is deleted is freed at once.
fn is_free(store: &CheckpointStore, manifest: &Manifest) -> bool {
    !store.open().unwrap().delete(&manifest.id).unwrap().postponed
}

#[tokio::test]
async fn it_gives_what_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, bytes) = saved(data.path());
    let (service, theirs) = RestoreService::start(&store, manifest, true).unwrap();
    let talk = tokio::task::spawn_blocking(move || {
        let mut worker = UnixStream::from(theirs);
        assert_eq!(answer(&mut worker).0["partial"], true);
        ask(&mut worker, r#"{"get":0}"#);
        assert!(answer(&mut worker).1 == bytes);
        ask(&mut worker, r#"{"get":1}"#);
        assert!(answer(&mut worker).0["error"].as_str().unwrap().contains("no blob 1"));
    });
    talk.await.unwrap();
    service.finish().await.unwrap();
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_though_a_fork_keeps_the_channel() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, _) = saved(data.path());
    let (service, theirs) = RestoreService::start(&store, manifest.clone(), false).unwrap();
    let mut worker = UnixStream::from(theirs);
    // As a process does that was forked in `__setstate__`.
    let fork = worker.try_clone().unwrap();
    let talk = tokio::task::spawn_blocking(move || drop(answer(&mut worker)));
    talk.await.unwrap();
    service.finish().await.unwrap();
    assert!(is_free(&store, &manifest));
    drop(fork);
}

#[tokio::test]
async fn it_ends_when_it_is_dropped_though_nobody_reads() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, _) = saved(data.path());
    let (service, theirs) = RestoreService::start(&store, manifest.clone(), false).unwrap();
    let mut worker = UnixStream::from(theirs);
    let talk = tokio::task::spawn_blocking(move || {
        answer(&mut worker);
        // More than a socket takes: the service is within its answer, or about to be.
        ask(&mut worker, r#"{"get":0}"#);
        worker
    });
    let mut worker = talk.await.unwrap();
    drop(service);
    // The thread lets go before the channel ends on this side, or just after: its end is what there is to wait for.
    let rest = tokio::task::spawn_blocking(move || worker.read_to_end(&mut Vec::new()).map(|_| ()));
    rest.await.unwrap().unwrap();
}

#[tokio::test]
async fn each_wait_has_a_limit() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, _) = saved(data.path());
    let instant = Duration::from_millis(1);
    let silent = Limits { request: instant, ..Limits::default() };
    let slow = Limits { answer: instant, ..Limits::default() };
    let drops = Limits { answer: Duration::from_micros(1), bytes_per_second: u64::MAX, ..Limits::default() };
    for (limits, asks) in [(silent, false), (slow, true), (drops, true)] {
        let (mut service, theirs) = RestoreService::start_within(&store, manifest.clone(), false, limits).unwrap();
        let mut worker = UnixStream::from(theirs);
        if asks {
            // It may have ended already.
            _ = worker.write_all(&encode(br#"{"get":0}"#).unwrap());
        }
        // It ends by itself, and its end is kept open.
        (&mut service.serving).await.unwrap().unwrap();
        drop(worker);
    }
    assert!(is_free(&store, &manifest));
}

#[tokio::test]
async fn who_asks_without_end_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, _) = saved(data.path());
    let (service, theirs) = RestoreService::start(&store, manifest, false).unwrap();
    let talk = tokio::task::spawn_blocking(move || {
        let mut worker = UnixStream::from(theirs);
        answer(&mut worker);
        let mut answered = 0;
        while worker.write_all(&encode(br#"{"get":7}"#).unwrap()).is_ok() {
            let mut head = [0; 4];
            if worker.read_exact(&mut head).is_err() {
                break;
            }
            let mut json = vec![0; u32::from_be_bytes(head) as usize];
            worker.read_exact(&mut json).unwrap();
            answered += 1;
        }
        answered
    });
    assert_eq!(talk.await.unwrap(), REQUESTS.0 + REQUESTS.1);
    service.finish().await.unwrap();
}

#[tokio::test]
async fn why_the_store_could_not_go_on_is_answered() {
    let data = tempfile::tempdir().unwrap();
    let (store, manifest, _) = saved(data.path());
    store.open().unwrap().delete(&manifest.id).unwrap();
    let (service, theirs) = RestoreService::start(&store, manifest, false).unwrap();
    let mut worker = UnixStream::from(theirs);
    let end = tokio::task::spawn_blocking(move || worker.read_to_end(&mut Vec::new()).unwrap());
    assert_eq!(end.await.unwrap(), 0);
    assert_eq!(service.finish().await.unwrap_err().code, Code::CheckpointNotFound);
}
