//! What the tests share: a folder, a mark on every process that a test starts, and programs with a deadline.

use crate::surroundings;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

/// How long anything may take. Generous: it says that something hangs, not how fast it is.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const MARK: &str = "PYREPL3_TEST_MARK";

/// A test's own place. When it goes, every process that carries its mark must be gone.
#[derive(Debug)]
pub(crate) struct Bench {
    mark: String,
    folder: tempfile::TempDir,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        surroundings::tidy();
        static LAST: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        Bench { mark, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file; its name is what a command in this folder calls it.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), contents).unwrap();
        name.to_owned()
    }

    /// Variables that every program here gets.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let data = self.path("data").display().to_string();
        let mut variables = surroundings::variables(self.folder());
        variables.extend([(MARK, self.mark.clone()), ("XDG_DATA_HOME", data), ("COLUMNS", "100".into())]);
        variables
    }

    fn prepared(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in surroundings::removed() {
            command.env_remove(name);
        }
        command.current_dir(self.folder()).envs(self.environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program under test.
    pub(crate) fn pyrepl3(&self, arguments: &[&str]) -> Command {
        let mut command = self.prepared(env!("CARGO_BIN_EXE_pyrepl3"));
        command.args(arguments);
        command
    }

    /// A line of a shell, in which `$0` is the program under test, and `$1`, `$2`, … are the arguments.
    pub(crate) fn shell(&self, shell: &str, line: &str, arguments: &[&str]) -> Command {
        let mut command = self.prepared(shell);
        command.args(["-c", line, env!("CARGO_BIN_EXE_pyrepl3")]).args(arguments);
        command
    }

    /// The interpreter that it finds.
    pub(crate) fn python(&self, arguments: &[&str]) -> Command {
        let mut command = self.prepared(interpreter());
        command.args(arguments);
        command
    }

    /// `pyrepl3 run` with these arguments and nothing on standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let all: Vec<_> = std::iter::once("run").chain(arguments.iter().copied()).collect();
        finish(self.pyrepl3(&all), b"").text()
    }

    /// `pyrepl3 run -c CODE`.
    pub(crate) fn code(&self, code: &str) -> Outcome {
        self.run(&["-c", code])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = marked(&self.mark);
            if left.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                let text = format!("processes were left behind: {left:?}");
                // Panicking while another panic unwinds would end the whole run without a word.
                if std::thread::panicking() {
                    eprintln!("{text}");
                    return;
                }
                panic!("{text}");
            }
            std::thread::yield_now();
        }
    }
}

/// Processes that carry a mark, with their command lines.
fn marked(mark: &str) -> Vec<(String, String)> {
    let wanted = format!("{MARK}={mark}\0");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let environment = read("environ");
        if environment.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
            found.push((name, String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
        }
    }
    found
}

/// The interpreter that `pyrepl3` uses when nothing is said.
pub(crate) fn interpreter() -> &'static str {
    static FOUND: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    FOUND.get_or_init(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_pyrepl3"))
            .args(["run", "-c", "import sys; print(sys.executable)"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

/// What a program left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

impl Raw {
    pub(crate) fn text(self) -> Outcome {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome { status: self.status, out: text(self.out), err: text(self.err) }
    }
}

/// Runs a program to its end, with this on its standard input.
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Raw {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut running = Running::start(command);
    if let Some(mut stdin) = running.child.stdin.take() {
        // A program that does not want it may have gone.
        _ = stdin.write_all(input);
    }
    running.finish()
}

/// As a shell counts: a signal is 128 and its number.
pub(crate) fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A program that runs, and what it has printed so far.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    out: Arc<Collected>,
    err: Arc<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    bytes: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Collected {
    fn read(mut from: impl Read + Send + 'static) -> Arc<Collected> {
        let collected = Arc::new(Collected::default());
        let filling = collected.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                filling.lock().0.extend_from_slice(&buffer[..count]);
                filling.more.notify_all();
            }
            filling.lock().1 = true;
            filling.more.notify_all();
        });
        collected
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.bytes.lock().unwrap()
    }

    /// Waits until a condition holds, or the stream ends.
    fn wait(&self, condition: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        let mut bytes = self.lock();
        while !bytes.1 && !condition(&bytes.0) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain; so far: {:?}", String::from_utf8_lossy(&bytes.0));
            bytes = self.more.wait_timeout(bytes, left).unwrap().0;
        }
        bytes.0.clone()
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let out = Collected::read(child.stdout.take().unwrap());
        let err = child.stderr.take().map_or_else(Arc::default, Collected::read);
        Running { child, out, err }
    }

    /// Waits until the program has printed a text.
    pub(crate) fn expect(&self, text: &str) {
        let seen = self.out.wait(|bytes| contains(bytes, text));
        assert!(contains(&seen, text), "{text:?} never came: {:?}", String::from_utf8_lossy(&seen));
    }

    /// Waits until the program has printed a line, and returns it.
    pub(crate) fn line(&self) -> String {
        let seen = self.out.wait(|bytes| bytes.contains(&b'\n'));
        String::from_utf8_lossy(&seen).lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn finish(mut self) -> Raw {
        drop(self.child.stdin.take());
        let pid = rustix::process::Pid::from_child(&self.child);
        let (ended, waited) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if waited.recv_timeout(DEADLINE).is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout) {
                _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        watch.join().unwrap();
        let (out, err) = (
            self.out.wait(|_| false),
            if self.err.lock().1 { self.err.lock().0.clone() } else { self.err.wait(|_| false) },
        );
        Raw { status: number(status), out, err }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
