//! All tests, in lanes beside each other: most of them wait more than they compute.

use crate::{Done, cargo, root, run as command, show, target, venv};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// What is to be tested, and how.
#[derive(Debug, Default)]
struct Wanted {
    rust: bool,
    python: bool,
    /// Also what takes long.
    long: bool,
    /// The seed of another order.
    shuffle: Option<String>,
}

/// The Python tests that are run by themselves; the rest are the client's. All take 3.14 and 3.15, too, where `.ci/newer-pythons` has
/// unpacked them.
const APART: [(&str, &[&str]); 3] = [
    ("the codec of checkpoints", &["tests/python/serializer", "tests/python/serializer_context"]),
    ("hazards", &["tests/python/hazards"]),
    ("transactions", &["tests/python/transactions"]),
];

/// What the client's part has beside the client's own tests.
const NOT_THE_CLIENT: [&str; 4] =
    ["tests/python/adoption", "tests/python/faults", "tests/python/libraries", "tests/python/prompt"];

/// A command and what it tests.
struct Job {
    what: String,
    command: Command,
}

pub(crate) fn run(args: &[String]) -> Done {
    run_all(&read(args)?)
}

fn read(args: &[String]) -> Done<Wanted> {
    let mut wanted = Wanted::default();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rust" => wanted.rust = true,
            "--python" => wanted.python = true,
            "--long" => wanted.long = true,
            "--shuffle" => {
                let seed = args.next_if(|next| !next.starts_with("--")).cloned();
                wanted.shuffle = Some(seed.unwrap_or_else(|| std::process::id().to_string()));
            }
            other => {
                return Err(format!(
                    "cargo xtask test takes --rust, --python, --long and --shuffle [SEED], not {other}"
                ));
            }
        }
    }
    if !wanted.rust && !wanted.python {
        (wanted.rust, wanted.python) = (true, true);
    }
    Ok(wanted)
}

fn run_all(wanted: &Wanted) -> Done {
    let interpreter = venv::make()?;
    if let Some(seed) = &wanted.shuffle {
        eprintln!("shuffled: --shuffle {seed}");
    }
    let mut jobs = VecDeque::new();
    if wanted.python {
        // Copies: the tests in Rust, which run beside, build theirs in their place.
        command(cargo().args(["build", "-p", "pyrepl3", "--features", "faults"]))?;
        copy_binary(&faulty_binary())?;
        command(cargo().args(["build", "-p", "pyrepl3"]))?;
        copy_binary(&binary())?;
    }
    if wanted.rust {
        // First: its compiler computes while the others wait.
        jobs.push_back(Job { what: "Rust".into(), command: rust(&interpreter, wanted.long) });
    }
    if wanted.python {
        let mut types = Command::new(&interpreter);
        types.args(["-m", "mypy", "--strict", "python/src"]);
        jobs.push_back(Job { what: "types".into(), command: types });
        jobs.extend(python(&interpreter, wanted));
        if wanted.long {
            jobs.push_back(libraries(&venv::make_libraries()?));
        }
    }
    in_lanes(jobs)?;
    if wanted.rust {
        command(known(&interpreter).args(cargo_words(&["test", "--workspace", "--all-features", "--doc"])))?;
    }
    if wanted.python {
        // What was tried of transactions, what is exact, and what is refused.
        let mut table = Command::new(&interpreter);
        command(table.args(["-m", "transactions.table"]).env("PYTHONPATH", root().join("tests/python")))?;
    }
    Ok(())
}

fn rust(interpreter: &Path, long: bool) -> Command {
    let words: &[&str] = if has_nextest() {
        &["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"]
    };
    let mut tests = known(interpreter);
    tests.args(cargo_words(words));
    // Tests of figures and data frames use the environment's packages.
    tests.env("PYREPL3_TEST_PYTHON", interpreter);
    if long {
        tests.env("PYREPL3_LONG", "1");
    }
    tests
}

fn python(interpreter: &Path, wanted: &Wanted) -> Vec<Job> {
    let pytest = |what: &str, paths: &[&str]| {
        let mut tests = known(interpreter);
        tests.arg(interpreter).args(["-m", "pytest", "-q"]).args(paths);
        tests.env("PYREPL3_BIN", binary()).env("PYREPL3_FAULTS_BIN", faulty_binary()).env("PYREPL3_HELPER", helper());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(target().join("pythons/bin")).chain(std::env::split_paths(&path));
        tests.env("PYREPL3_TEST_NEWEST", "15");
        tests.env("PATH", std::env::join_paths(all).unwrap_or(path));
        if wanted.long {
            tests.arg("--long");
        }
        if let Some(seed) = &wanted.shuffle {
            tests.args(["--shuffle", seed]);
        }
        Job { what: what.into(), command: tests }
    };
    let mut client = vec!["tests/python"];
    client.extend(APART.iter().flat_map(|(_, paths)| paths.iter().flat_map(|path| ["--ignore", *path])));
    let mut jobs = vec![pytest("the client", &client)];
    jobs.extend(APART.iter().map(|(what, paths)| pytest(what, paths)));
    // The client's own tests once more, with sessions of a service.
    let mut served: Vec<&str> = client.iter().skip(1).copied().collect();
    served.extend(NOT_THE_CLIENT.iter().flat_map(|path| ["--ignore", *path]));
    served.extend(["--service", "tests/python"]);
    jobs.push(pytest("the client through a service", &served));
    jobs
}

/// The matrix of libraries, with all of them. Those that the other tests need, too, are in the client's part.
fn libraries(interpreter: &Path) -> Job {
    let mut tests = known(interpreter);
    tests.arg(interpreter).args(["-m", "pytest", "-q", "tests/python/libraries"]);
    tests.env("PYREPL3_BIN", binary()).env("PYREPL3_HELPER", helper());
    Job { what: "libraries".into(), command: tests }
}

/// The native helper, as a file, for tests that speak to workers themselves.
fn helper() -> PathBuf {
    let path = root().join("target/helper.so");
    if let Err(error) = std::fs::write(&path, pyrepl3_native::IMAGE) {
        eprintln!("{} cannot be written: {error}", path.display());
    }
    path
}

/// The binary that the Python tests run.
fn binary() -> PathBuf {
    target().join("tests/pyrepl3")
}

/// The one that fails on demand, for the fault harness.
fn faulty_binary() -> PathBuf {
    target().join("faults/pyrepl3")
}

fn copy_binary(to: &Path) -> Done {
    std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_file(to); // One that still runs cannot be written.
    std::fs::copy(target().join("debug/pyrepl3"), to).map(drop).map_err(|error| error.to_string())
}

/// A command that begins in a known state, whatever was inherited: give it the command's words.
fn known(interpreter: &Path) -> Command {
    let mut launcher = Command::new(interpreter);
    launcher.arg("-E").arg(root().join("tests/python/known_state.py")).stdin(Stdio::null());
    launcher
}

fn cargo_words(words: &[&str]) -> Vec<String> {
    let program = cargo().get_program().to_string_lossy().into_owned();
    std::iter::once(program).chain(words.iter().map(ToString::to_string)).collect()
}

/// Runs the jobs, one more at a time than there are processors. What each of them says is shown when it has ended.
fn in_lanes(jobs: VecDeque<Job>) -> Done {
    let lanes = std::thread::available_parallelism().map_or(2, |number| number.get() + 1);
    let (jobs, failed) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || jobs.lock().ok().and_then(|mut jobs| jobs.pop_front());
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(job) = next() {
                    if let (Err(why), Ok(mut failed)) = (job.run(), failed.lock()) {
                        failed.push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

impl Job {
    fn run(mut self) -> Done {
        let what = &self.what;
        eprintln!("{what}: $ {}", show(&self.command));
        let begin = Instant::now();
        let ended = self.command.current_dir(root()).output().map_err(|error| format!("{what}: {error}"))?;
        let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        // In one piece, so that lanes do not mix.
        println!("\n--- {what}: {} after {} s\n{said}{told}", ended.status, begin.elapsed().as_secs());
        if ended.status.success() { Ok(()) } else { Err(format!("{what}: {}", ended.status)) }
    }
}

fn has_nextest() -> bool {
    cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}
