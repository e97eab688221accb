//! The helper by itself, without an interpreter: C programs load it, freeze themselves with threads in every kind of wait, and are
//! woken. What they print says what is wrong.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The helper and a program, in a directory of its own that goes at the end.
struct Built {
    folder: PathBuf,
}

impl Built {
    fn new(name: &str, test: &str) -> Built {
        let folder = std::env::temp_dir().join(format!("pyrepl3-native-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("helper.so"), pyrepl3_native::IMAGE).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(format!("{name}.c"));
        let compiled = Command::new("cc")
            .args(["-O1", "-w", "-pthread", "-o"])
            .arg(folder.join("program"))
            .arg(source)
            .arg("-ldl")
            .output()
            .expect("a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Built { folder }
    }

    fn run(&self, arguments: &[&str]) {
        self.run_under(&[], arguments);
    }

    /// The same by another program that starts it.
    fn run_under(&self, starter: &[&str], arguments: &[&str]) {
        let program = self.folder.join("program");
        let mut command = match starter {
            [] => Command::new(program),
            [starter, options @ ..] => {
                let mut command = Command::new(starter);
                command.args(options).arg(program);
                command
            }
        };
        let ended = command.arg(self.folder.join("helper.so")).args(arguments).output().unwrap();
        assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn threads_go_on_in_every_kind_of_wait() {
    let built = Built::new("waits", "waits");
    for _ in 0..10 {
        built.run(&["1"]);
    }
}

#[test]
fn without_new_privileges_and_as_an_ordinary_user() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let built = Built::new("waits", "ordinary");
    std::fs::set_permissions(&built.folder, PermissionsExt::from_mode(0o755)).unwrap();
    let mut starter = vec!["setpriv", "--no-new-privs"];
    if std::fs::metadata(&built.folder).unwrap().uid() == 0 {
        starter.extend(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    }
    built.run_under(&starter, &["2"]);
}

#[test]
fn a_process_that_was_woken_is_frozen_again() {
    Built::new("waits", "deep").run(&["10"]);
}

#[test]
fn busy_threads_go_on_cycle_after_cycle() {
    let cycles = if std::env::var_os("PYREPL3_LONG").is_some() { "10000" } else { "300" };
    Built::new("storm", "storm").run(&[cycles]);
}

#[test]
fn an_answer_is_said_whole_or_not_at_all() {
    Built::new("answers", "answers").run(&[]);
}
