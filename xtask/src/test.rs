//! All tests.

use crate::{Done, cargo, root, run as command, target, venv};
use std::process::{Command, Stdio};

/// Runs every test. With `--rust` or `--python` only those.
pub(crate) fn run_all(rust: bool, python: bool) -> Done {
    let interpreter = venv::make()?;
    if rust {
        // Tests of figures and data frames use the environment's packages.
        let with = |one: &mut Command| {
            one.env("PYREPL3_TEST_PYTHON", &interpreter);
            command(one)
        };
        if has_nextest() {
            with(cargo().args(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]))?;
        } else {
            with(cargo().args(["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"]))?;
        }
        with(cargo().args(["test", "--workspace", "--all-features", "--doc"]))?;
    }
    if python {
        command(cargo().args(["build", "-p", "pyrepl3"]))?;
        let binary = target().join("debug/pyrepl3");
        command(Command::new(&interpreter).args(["-m", "mypy", "--strict", "python/src"]))?;
        let pytest = |args: &[&str]| {
            let mut one = Command::new(&interpreter);
            one.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).args(args);
            one.env("PYREPL3_BIN", &binary).env("PYTHONPATH", root().join("python/src"));
            one
        };
        // They wait more than they compute, so they run beside the others.
        let beside = [
            ("hazards", vec!["tests/python/hazards"]),
            ("the codec of checkpoints", vec!["tests/python/keep", "tests/python/keep_context"]),
        ];
        let mut running = Vec::new();
        for (what, paths) in &beside {
            let mut tests = pytest(paths);
            running.push((what, tests.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?));
        }
        let mut others = vec!["tests/python"];
        others.extend(beside.iter().flat_map(|(_, paths)| paths.iter().flat_map(|path| ["--ignore", *path])));
        let others = command(&mut pytest(&others));
        let mut failed = Vec::new();
        for (what, tests) in running {
            let ended = tests.wait_with_output().map_err(|error| error.to_string())?;
            println!("{}", String::from_utf8_lossy(&ended.stdout));
            if !ended.status.success() {
                failed.push(format!("the tests of {what}: {}", ended.status));
            }
        }
        others?;
        if !failed.is_empty() {
            return Err(failed.join("; "));
        }
        // What was tried of transactions, what is exact, and what is refused.
        command(
            Command::new(&interpreter)
                .args(["-m", "transactions.table"])
                .env("PYTHONPATH", root().join("tests/python")),
        )?;
    }
    Ok(())
}

pub(crate) fn run(args: &[String]) -> Done {
    match args.first().map(String::as_str) {
        None => run_all(true, true),
        Some("--rust") => run_all(true, false),
        Some("--python") => run_all(false, true),
        Some(other) => Err(format!("cargo xtask test takes --rust or --python, not {other}")),
    }
}

fn has_nextest() -> bool {
    cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
