use super::file::decode;
use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn session() -> String {
    pyrepl3_protocol::id::new(pyrepl3_protocol::id::IdKind::Session)
}

fn journal(data: &Path, session: &str) -> Journal {
    Journal::new(data, "work", session, |error| panic!("{error}"))
}

fn unsaved(data: &Path, after: u64) -> Unsaved {
    Unsaved::read(data, "work", &session(), after)
}

fn files(data: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(data.join("journals")).into_iter().flatten().map(|folder| folder.unwrap().path());
    folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path())).collect()
}

/// Closes it and waits until that is done, as for a supervisor that is gone.
async fn end(journal: Journal) {
    journal.written().await.unwrap();
    journal.close().await;
}

#[tokio::test]
async fn what_came_after_the_checkpoint_is_told_until_it_is_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let first = journal(data.path(), &session());
    (1..=4).for_each(|execution| first.begun(execution));
    first.saved(vec![3, 4]);
    first.begun(5);
    end(first).await;
    assert_eq!(unsaved(data.path(), 3).executions, [4, 5]);
    let told = unsaved(data.path(), 3);
    assert_eq!(told.executions, [4, 5], "to read is not to forget: the restore may fail");
    told.forget().unwrap();
    assert_eq!(unsaved(data.path(), 0).executions, [0; 0]);
    assert!(fs::read_dir(data.path().join("journals")).unwrap().next().is_none());
    assert_eq!(Unsaved::read(data.path(), "work", "../../etc/passwd", 0).executions, [0; 0]);
}

#[tokio::test]
async fn a_second_death_forgets_neither_tail() {
    let data = tempfile::tempdir().unwrap();
    let first = journal(data.path(), &session());
    first.begun(4);
    end(first).await;
    // Started again, but killed before the checkpoint was back: nothing was told.
    drop(unsaved(data.path(), 3));
    let second = journal(data.path(), &session());
    second.begun(5);
    end(second).await;
    let told = unsaved(data.path(), 3);
    assert_eq!(told.executions, [4, 5]);
    // Between reading and forgetting, a third one dies: what it did was not told yet.
    let third = journal(data.path(), &session());
    third.begun(6);
    end(third).await;
    told.forget().unwrap();
    assert_eq!(unsaved(data.path(), 3).executions, [6]);
}

#[tokio::test]
async fn what_a_session_has_that_lives_is_neither_missing_nor_removed() {
    let data = tempfile::tempdir().unwrap();
    let living = journal(data.path(), &session());
    living.begun(1);
    living.written().await.unwrap();
    let told = unsaved(data.path(), 0);
    assert_eq!(told.executions, [0; 0]);
    told.forget().unwrap();
    // Also once it was replaced.
    living.saved(vec![1, 2]);
    living.begun(3);
    living.written().await.unwrap();
    assert_eq!(unsaved(data.path(), 0).executions, [0; 0]);
    end(living).await;
    assert_eq!(unsaved(data.path(), 0).executions, [1, 2, 3]);
}

#[tokio::test]
async fn files_are_their_owners_and_go_when_all_is_saved() {
    let data = tempfile::tempdir().unwrap();
    let wide = data.path().join("journals");
    fs::create_dir(&wide).unwrap();
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o777)).unwrap();
    let one = journal(data.path(), &session());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    one.begun(1);
    one.written().await.unwrap();
    assert_eq!(files(data.path()).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    one.saved(vec![1]);
    one.written().await.unwrap();
    assert_eq!(files(data.path()).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    assert_eq!(mode(files(data.path())[0].parent().unwrap()), 0o700);
    one.saved(Vec::new());
    one.written().await.unwrap();
    assert!(files(data.path()).is_empty());
    end(one).await;
}

const DATA: &str = "PYREPL3_TEST_DATA";

/// In a process of its own, as a umask is all of a process's.
#[tokio::test]
#[ignore = "the next test starts it"]
async fn child() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let one = journal(Path::new(&data), &session());
    one.begun(1);
    end(one).await;
}

#[test]
fn files_are_their_owners_whatever_the_umask() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for umask in ["0000", "0022", "0077", "0277", "0777"] {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("new/data");
        let (_, module) = module_path!().split_once("::").unwrap();
        let child = std::process::Command::new("sh")
            .args(["-c", r#"umask "$1"; shift; exec "$@""#, "sh", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::child"), "--ignored"])
            .env(DATA, &data)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        let written = files(&data);
        assert_eq!(written.len(), 1, "{umask}");
        assert_eq!(mode(&written[0]), 0o600, "{umask}");
        for folder in written[0].ancestors().skip(1).take_while(|&folder| folder != parent.path()) {
            assert_eq!(mode(folder), 0o700, "{} under {umask}", folder.display());
        }
    }
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_told_too() {
    let (data, session) = (tempfile::tempdir().unwrap(), session());
    fs::create_dir(data.path().join("journals")).unwrap();
    let path = data.path().join("journals").join(format!("{session}.jsonl"));
    fs::write(&path, "{\"execution\":4}\n{\"execution\":5}\n{\"exec").unwrap();
    let told = Unsaved::read(data.path(), "work", &session, 4);
    assert_eq!(told.executions, [5]);
    told.forget().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_failure_is_told_once_and_to_whoever_waits_until_it_works_again() {
    let data = tempfile::tempdir().unwrap();
    let blocked = data.path().join("journals");
    fs::write(&blocked, "in the way").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let one =
        Journal::new(data.path(), "work", &session(), move |error| telling.lock().unwrap().push(error.to_string()));
    for execution in 1..=3 {
        one.begun(execution);
        assert_eq!(one.written().await.unwrap_err().code, Code::Internal);
    }
    assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
    fs::remove_file(&blocked).unwrap();
    one.begun(4);
    one.written().await.unwrap();
    end(one).await;
    assert_eq!(unsaved(data.path(), 0).executions, [4]);
}

#[tokio::test]
async fn a_line_that_was_cut_costs_no_other() {
    let (data, id) = (tempfile::tempdir().unwrap(), session());
    let one = journal(data.path(), &id);
    one.begun(1);
    end(one).await;
    let path = files(data.path()).remove(0);
    fs::write(&path, "{\"execution\":1}\n{\"execut").unwrap();
    let again = journal(data.path(), &id);
    again.begun(2);
    end(again).await;
    assert_eq!(unsaved(data.path(), 0).executions, [1, 2]);
}

proptest! {
    #[test]
    fn whatever_is_in_the_file_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode(&bytes);
    }
}
