//! What the programs of the tests inherit, of the engine's and of the command line's: the same, however the tests
//! themselves were started (by `nohup`, in the background of a shell, with another umask, locale or time zone, with few
//! descriptors).

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Once;
use tokio::signal::unix::{SignalKind, signal};

/// Descriptors that a program may have where nobody has changed it; the tests need no more, and not much less.
const FILES: u64 = 1024;
/// SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM.
const SIGNALS: [i32; 7] = [1, 2, 3, 10, 12, 14, 15];

/// Puts this process in order, once: what it does itself, its children inherit.
pub(crate) fn tidy() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A test may be within a runtime of its own, where none can be dropped.
        std::thread::spawn(heed_signals).join().unwrap();
        umask(Mode::from_raw_mode(0o022));
        let limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|files| files < FILES) && limit.maximum.is_none_or(|most| most >= FILES) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: limit.maximum }).unwrap();
        }
    });
}

/// A signal that is ignored stays ignored over `exec`. One that is handled is as in the beginning after it, so the
/// ignored ones get a handler.
fn heed_signals() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    for number in SIGNALS.into_iter().filter(|number| ignored & (1 << (number - 1)) != 0) {
        // The handler stays when this is gone.
        drop(signal(SignalKind::from_raw(number)).unwrap());
    }
}

/// Variables that no program of the tests gets: they change what Python does and prints.
pub(crate) fn removed() -> Vec<OsString> {
    let changes = |name: &str| {
        name.starts_with("LC_") || name.starts_with("PYTHON") || matches!(name, "LANGUAGE" | "TZ" | "NO_COLOR")
    };
    std::env::vars_os().map(|(name, _)| name).filter(|name| changes(&name.to_string_lossy())).collect()
}

/// Variables that all of them get.
pub(crate) fn variables(folder: &Path) -> Vec<(&'static str, String)> {
    let mut variables = vec![("LANG", "C.UTF-8".to_owned())];
    if std::env::var_os("HOME").is_none() {
        variables.push(("HOME", folder.display().to_string()));
    }
    variables
}
