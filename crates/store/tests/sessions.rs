//! The newest checkpoint of a session's name: found whatever happened to what is remembered, and without reading what is known.

mod common;

use std::fs;
use std::path::Path;

use common::{in_memory, meta, noise, open};
use pyrepl3_store::{LineageId, Manifest, Retention, Store, Untrusted};
use serde_json::value::RawValue;

fn save(store: &Store, lineage: &LineageId, session: Option<&str>) -> Manifest {
    let mut writer = store.begin(lineage, meta("ses", None)).unwrap();
    let mut blob = writer.stream();
    blob.write(&noise(1, 100)).unwrap();
    blob.finish().unwrap();
    let body = serde_json::json!({"session": {"session_name": session, "automatic": true}});
    writer.commit(RawValue::from_string(body.to_string()).unwrap()).unwrap()
}

fn newest(store: &Store, name: &str) -> Option<String> {
    store.newest_of_session(name).unwrap().map(|manifest| manifest.id.to_string())
}

fn manifest_of(data: &Path, manifest: &Manifest) -> std::path::PathBuf {
    data.join(format!("checkpoints/lineages/{}/manifests/{}.json", manifest.lineage, manifest.id))
}

#[test]
fn it_is_the_newest_of_its_name_also_after_others_came_and_it_went() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    assert_eq!(newest(&store, "a"), None);
    let first = save(&store, &lineage, Some("a"));
    let second = save(&store, &LineageId::new(), Some("a"));
    save(&store, &lineage, Some("b"));
    save(&store, &lineage, None);
    assert_eq!(newest(&store, "a").as_deref(), Some(second.id.as_str()));
    store.delete(&second.id).unwrap();
    assert_eq!(newest(&store, "a").as_deref(), Some(first.id.as_str()));
    store.delete(&first.id).unwrap();
    assert_eq!(newest(&open(directory.path()), "a"), None);
}

#[test]
fn manifests_that_are_known_are_not_read() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let wanted = save(&store, &lineage, Some("a"));
    let other = save(&store, &lineage, Some("b"));
    // What is not read does not show that it is damaged: it would be passed over, and be the newest no more.
    fs::write(manifest_of(directory.path(), &other), "{}").unwrap();
    assert_eq!(newest(&store, "a").as_deref(), Some(wanted.id.as_str()));
    let sessions = directory.path().join("checkpoints/sessions");
    let before = fs::read(&sessions).unwrap();
    assert_eq!(newest(&open(directory.path()), "a").as_deref(), Some(wanted.id.as_str()));
    assert_eq!(fs::read(&sessions).unwrap(), before, "nothing was there to be learned");
}

#[test]
fn what_is_remembered_may_be_gone_cut_or_wrong() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let old = save(&store, &lineage, Some("a"));
    let new = save(&store, &lineage, Some("a"));
    let sessions = directory.path().join("checkpoints/sessions");
    let whole = fs::read(&sessions).unwrap();
    // As a version wrote it that remembers nothing, and as a process left it that died.
    for at in 0..=whole.len() {
        fs::write(&sessions, &whole[..at]).unwrap();
        assert_eq!(newest(&store, "a").as_deref(), Some(new.id.as_str()), "{at}");
    }
    fs::remove_file(&sessions).unwrap();
    assert_eq!(newest(&open(directory.path()), "a").as_deref(), Some(new.id.as_str()));
    assert!(fs::read_to_string(&sessions).unwrap().contains(new.id.as_str()), "it is learned again");
    fs::write(manifest_of(directory.path(), &new), "{}").unwrap();
    assert_eq!(newest(&store, "a").as_deref(), Some(old.id.as_str()));
}

#[test]
fn what_is_deleted_is_forgotten_in_the_end() {
    let directory = in_memory();
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let kept = save(&store, &lineage, Some("a"));
    let sessions = directory.path().join("checkpoints/sessions");
    let line = fs::read_to_string(&sessions).unwrap();
    let other = Store::open(in_memory().path(), pyrepl3_store::StoreConfig::default()).unwrap();
    assert!(newest(&other, "a").is_none());
    // Three hundred that are there, remembered, and deleted.
    for _ in 0..300 {
        let passing = save(&store, &lineage, Some("b"));
        store.delete(&passing.id).unwrap();
    }
    assert_eq!(newest(&store, "a").as_deref(), Some(kept.id.as_str()));
    assert_eq!(fs::read_to_string(&sessions).unwrap(), line);
    assert_eq!(fs::read_dir(directory.path().join("checkpoints")).unwrap().count(), 2);
    store.delete(&kept.id).unwrap();
    assert!(common::files(directory.path()).is_empty());
}

#[test]
fn an_import_is_resumed_by_nobody_and_replaces_nothing() {
    let (directory, elsewhere) = (in_memory(), in_memory());
    let (store, lineage) = (open(directory.path()), LineageId::new());
    let mut file = Vec::new();
    let theirs = save(&open(elsewhere.path()), &lineage, Some("a"));
    open(elsewhere.path()).export(&theirs, &mut file).unwrap();
    let imported = store.import(Untrusted::new(&file[..]).accept()).unwrap();
    assert_eq!(newest(&store, "a"), None);
    let ours = save(&store, &lineage, Some("a"));
    let again = store.import(Untrusted::new(&file[..]).accept()).unwrap();
    assert_eq!(newest(&store, "a").as_deref(), Some(ours.id.as_str()));
    fs::remove_file(directory.path().join("checkpoints/sessions")).unwrap();
    assert_eq!(newest(&store, "a").as_deref(), Some(ours.id.as_str()));
    // It is there for whoever asks for it, and does not push out what a session made.
    assert!(again.is_imported() && store.find(imported.id.as_str(), None).is_ok());
    let rule = Retention { keep_last: Some(1), ..Retention::default() };
    assert_eq!(store.collect(&rule).unwrap().deleted, [imported.id]);
    assert_eq!(newest(&store, "a").as_deref(), Some(ours.id.as_str()));
}
