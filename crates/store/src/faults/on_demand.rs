//! The faults that `PYREPL3_FAULTS` asks for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use super::{Plant, Torn};
use crate::disk::{Change, Step};

/// What now and then goes wrong does so each time this many times.
const NOW_AND_THEN: u64 = 5;

#[derive(Debug, Default)]
struct Plan {
    kill_at: Option<u64>,
    fail_at: Option<(u64, Errno)>,
    full: Option<(u64, u64)>,
    plant: Option<Plant>,
    trace: Option<Mutex<Trace>>,
}

/// The file that has what was changed, and the directory beside it for what was removed.
#[derive(Debug)]
struct Trace {
    file: File,
    removed: PathBuf,
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let text = std::env::var("PYREPL3_FAULTS").unwrap_or_default();
    // A word that was meant otherwise would be a test that tests nothing.
    Plan::parse(&text).unwrap_or_else(|| panic!("PYREPL3_FAULTS={text:?} cannot be understood"))
});
static STEPS: AtomicU64 = AtomicU64::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);

impl Plan {
    fn parse(text: &str) -> Option<Plan> {
        let mut plan = Plan::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.split_once('=')? {
                ("kill_at", step) => plan.kill_at = Some(step.parse().ok()?),
                ("fail_at", value) => {
                    let (step, error) = value.split_once(':')?;
                    let error = match error {
                        "ENOSPC" => Errno::NOSPC,
                        "EIO" => Errno::IO,
                        _ => return None,
                    };
                    plan.fail_at = Some((step.parse().ok()?, error));
                }
                ("full_from", value) => {
                    let (from, count) = value.split_once(':').unwrap_or((value, "18446744073709551615"));
                    plan.full = Some((from.parse().ok()?, count.parse().ok()?));
                }
                ("plant", name) => {
                    plan.plant = Some(match name {
                        "skip_sync" => Plant::SkipSync,
                        "repeat" => Plant::Repeat,
                        "drop_output" => Plant::DropOutput,
                        "reuse_number" => Plant::ReuseNumber,
                        _ => return None,
                    });
                }
                ("trace", path) => {
                    let (path, removed) = (PathBuf::from(path), PathBuf::from(format!("{path}.removed")));
                    fs::create_dir_all(&removed).ok()?;
                    let file = OpenOptions::new().create(true).append(true).open(&path).ok()?;
                    plan.trace = Some(Mutex::new(Trace { file, removed }));
                }
                _ => return None,
            }
        }
        Some(plan)
    }
}

/// Whether something is wrong on purpose, this time.
#[must_use]
pub fn happens(plant: Plant) -> bool {
    let always = matches!(plant, Plant::SkipSync | Plant::Repeat);
    PLAN.plant == Some(plant) && (always || ASKED.fetch_add(1, Ordering::Relaxed) % NOW_AND_THEN == NOW_AND_THEN - 1)
}

/// Called before each step.
pub(crate) fn before(step: Step, path: &Path, torn: Option<Torn<'_>>) -> io::Result<()> {
    let count = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    if PLAN.kill_at == Some(count) {
        tear(torn);
        _ = kill_process(getpid(), Signal::KILL);
    }
    if let Some((_, error)) = PLAN.fail_at.filter(|(step, _)| *step == count) {
        tear(torn);
        return Err(error.into());
    }
    let takes_room = matches!(step, Step::Create | Step::CreateDirectory | Step::Write);
    if takes_room && PLAN.full.is_some_and(|(from, steps)| count >= from && count - from < steps) {
        return Err(Errno::NOSPC.into());
    }
    if matches!(step, Step::Remove | Step::Rename) {
        keep(path);
    }
    Ok(())
}

/// Writes half of what is about to be written.
fn tear(torn: Option<Torn<'_>>) {
    let Some(Torn { file, bytes, at }) = torn else { return };
    let (mut end, half) = (file, &bytes[..bytes.len() / 2]);
    _ = at.map_or_else(|| end.write_all(half), |at| file.write_all_at(half, at));
}

/// A file that a name is about to stand for no more can come back when the power goes.
fn keep(path: &Path) {
    let Some(trace) = &PLAN.trace else { return };
    let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(file) = path.symlink_metadata()
        && file.is_file()
    {
        // One that was kept before is the same file: its number is not given to another one.
        let place = trace.removed.join(file.ino().to_string());
        if fs::hard_link(path, &place).is_ok() || place.exists() {
            trace.write(&json!({"step": "keep", "path": path, "kept": place}));
        }
    }
}

impl Trace {
    fn write(&self, line: &serde_json::Value) {
        // One call, so that a line is there whole or not at all when the process is killed.
        _ = (&self.file).write_all(format!("{line}\n").as_bytes());
    }
}

/// How much is in a file: what it has for certain once it is synced.
pub(crate) fn length(file: &File) -> u64 {
    file.metadata().map_or(0, |file| file.len())
}

/// How much of the trace there is: what a directory has for certain once it is synced.
pub(crate) fn mark() -> u64 {
    let Some(trace) = &PLAN.trace else { return 0 };
    let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    length(&trace.file)
}

/// Called after each change.
pub(crate) fn done(change: Change<'_>) {
    let Some(trace) = &PLAN.trace else { return };
    let line = match change {
        Change::Created(path) => json!({"step": "create", "path": path}),
        Change::CreatedDirectory(path) => json!({"step": "create_directory", "path": path}),
        Change::Written { path, file, at, length: written } => {
            let end = at.map_or_else(|| length(file), |at| at + written);
            json!({"step": "write", "path": path, "from": end.saturating_sub(written), "to": end})
        }
        Change::Synced { path, length } => json!({"step": "sync", "path": path, "length": length}),
        Change::SyncedDirectory { path, mark } => json!({"step": "sync_directory", "path": path, "mark": mark}),
        Change::Renamed { from, to } => json!({"step": "rename", "from": from, "path": to}),
        Change::Removed(path) => json!({"step": "remove", "path": path}),
    };
    trace.lock().unwrap_or_else(PoisonError::into_inner).write(&line);
}
