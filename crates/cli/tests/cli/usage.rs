//! Help, and the command line as a whole.

use crate::support::{Bench, finish};

fn help(arguments: &[&str]) -> String {
    let outcome = finish(Bench::new().pyrepl3(arguments), b"").text();
    assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
    outcome.out
}

#[test]
fn help_is_as_it_was() {
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help_run", help(&["run", "--help"]));
    insta::assert_snapshot!("help_repl", help(&["repl", "--help"]));
    insta::assert_snapshot!("help_doctor", help(&["doctor", "--help"]));
}

#[test]
fn the_version_is_printed() {
    assert_eq!(help(&["--version"]), format!("pyrepl3 {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_forgotten_run_is_pointed_out() {
    let bench = Bench::new();
    let script = bench.file("script.py", "print(1)");
    let outcome = finish(bench.pyrepl3(&[&script]), b"").text();
    assert_eq!(outcome.status, 2);
    assert!(outcome.err.contains("pyrepl3 run script.py"), "{}", outcome.err);
}
