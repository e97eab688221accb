//! Files are their owner's alone, whatever the umask, and also in directories that others may read.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{in_memory, meta, noise, open, save};
use pyrepl3_store::{BlobKind, LineageId, Retention};

const DATA: &str = "PYREPL3_TEST_DATA";

/// Run in a process of its own, as a umask is all of a process's.
#[test]
#[ignore = "the other tests start it"]
fn child() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let (store, lineage) = (open(Path::new(&data)), LineageId::parse("kept").unwrap());
    let first = save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, noise(1, 300_000))]).unwrap();
    let mixed = [noise(1, 65_536), noise(2, 300_000)].concat();
    save(&store, &lineage, meta("s", None), &[(BlobKind::Buffer, mixed[..65_536].to_vec())]).unwrap();
    // A pack of which little is needed is written anew.
    store.delete(&first.id).unwrap();
    store.collect(&Retention::default()).unwrap();
}

fn modes(path: &Path, seen: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        seen.push((path.display().to_string(), fs::metadata(&path).unwrap().permissions().mode() & 0o777));
        if path.is_dir() {
            modes(&path, seen);
        }
    }
}

fn saved_under(umask: &str, data: &Path) -> Vec<(String, u32)> {
    let shell = Command::new("sh")
        .args(["-c", r#"umask "$1"; shift; exec "$@""#, "sh", umask])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(DATA, data)
        .output()
        .unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stdout));
    let mut seen = Vec::new();
    modes(data, &mut seen);
    assert!(seen.iter().any(|(path, _)| path.contains("/pck_")), "{seen:?}");
    for name in ["/lock", "/sessions", ".json"] {
        assert!(seen.iter().any(|(path, _)| path.ends_with(name)), "{name}: {seen:?}");
    }
    seen
}

#[test]
fn whatever_the_umask() {
    for umask in ["0000", "0022", "0077", "0277", "0777"] {
        let directory = in_memory();
        let data = directory.path().join("new/data");
        for (path, mode) in saved_under(umask, &data) {
            let expected = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{path} under {umask}");
        }
        for directory in [&data, data.parent().unwrap()] {
            assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}

#[test]
fn also_in_directories_that_are_open_to_others() {
    let directory = in_memory();
    let lineage = directory.path().join("checkpoints/lineages/kept");
    for name in ["packs", "manifests"] {
        fs::create_dir_all(lineage.join(name)).unwrap();
    }
    for path in lineage.join("packs").ancestors().take(5) {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    for (path, mode) in saved_under("0000", directory.path()) {
        if !Path::new(&path).is_dir() {
            assert_eq!(mode, 0o600, "{path}");
        }
    }
}
