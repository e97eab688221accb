//! Checkpoints, through the Rust API: what a save asks of the session and of the disk, and what a restore does.

use super::report::Table;
use crate::{Done, target};
use pyrepl3_engine::protocol::message::CheckpointCreated;
use pyrepl3_engine::{Engine, EngineConfig, SearchPath, Session, SessionOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const GIB: usize = 1 << 30;
/// What every client runs in its twenty steps.
const STEPS: &str = include_str!("steps.py");
/// A session of about a megabyte, with something of each kind.
const SMALL: &str = "
import math, random
rows = [{'id': i, 'name': f'row {i}', 'value': i / 3} for i in range(6000)]
text = random.Random(1).randbytes(400_000)
def area(r): return math.pi * r * r
class Point:
    def __init__(self, x): self.x = x
points = [Point(i) for i in range(1000)]
";

pub(super) async fn measure(table: &mut Table, interpreter: &Path) -> Done {
    let shared = PathBuf::from("/dev/shm");
    let on = |parent: &Path| Place::new(parent, interpreter);
    small(table, &on(&target())?, "disk").await?;
    small(table, &on(&shared)?, "tmpfs").await?;
    for _ in 0..table.times(30).min(3) {
        steps(table, &on(&target())?).await?;
    }
    restores(table, &on(&target())?).await?;
    increments(table, &on(&target())?).await?;
    let bytes = RandomBytes::new()?;
    for (disk, parent) in [("disk", target()), ("tmpfs", shared)] {
        for _ in 0..table.times(30).min(5) {
            first(table, &on(&parent)?, &bytes, disk).await?;
        }
    }
    Ok(())
}

/// An engine with a data directory of its own, which goes with it: what was measured before is not there.
struct Place {
    directory: PathBuf,
    engine: Engine,
}

impl Place {
    fn new(parent: &Path, interpreter: &Path) -> Done<Place> {
        let directory = parent.join(format!("pyrepl3-bench-{}", std::process::id()));
        std::fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut config = EngineConfig::new(SearchPath::from_env());
        config.python = Some(interpreter.to_path_buf());
        config.data = Some(directory.join("data"));
        Ok(Place { engine: Engine::new(config), directory })
    }

    async fn session(&self, setup: &[&str]) -> Done<Session> {
        let session = self.engine.start(SessionOptions::default()).await.map_err(why)?;
        for code in setup {
            run(&session, code).await?;
        }
        Ok(session)
    }

    /// Megabytes that its checkpoints take, as the sizes of their files say.
    fn megabytes(&self) -> f64 {
        fn sum(directory: &Path) -> u64 {
            let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
            let sizes = entries.flatten().map(|entry| match entry.metadata() {
                Ok(found) if found.is_dir() => sum(&entry.path()),
                found => found.map_or(0, |found| found.len()),
            });
            sizes.sum()
        }
        sum(&self.directory.join("data")) as f64 / 1e6
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("xtask: {} is left behind: {error}", self.directory.display());
        }
    }
}

async fn run(session: &Session, code: &str) -> Done<Option<String>> {
    Ok(session.execute(code).map_err(why)?.result().await.map_err(why)?.repr)
}

/// All of it must be in a checkpoint that is measured.
fn whole(saved: CheckpointCreated) -> Done<CheckpointCreated> {
    match saved.lost.first() {
        None => Ok(saved),
        Some(lost) => Err(format!("the checkpoint has lost {}: {}", lost.name, lost.reason)),
    }
}

/// Saves, and answers how long an execution that is asked for at once has to wait, beside what was saved.
async fn save(session: &Session) -> Done<(CheckpointCreated, f64, f64)> {
    let begin = Instant::now();
    let saving = session.begin_checkpoint(None).map_err(why)?;
    run(session, "0").await?;
    let blocked = begin.elapsed().as_secs_f64();
    let saved = whole(saving.finish().await.map_err(why)?)?;
    Ok((saved, blocked, begin.elapsed().as_secs_f64()))
}

/// A session of a megabyte.
async fn small(table: &mut Table, place: &Place, disk: &str) -> Done {
    for i in 0..table.times(50) + 1 {
        let session = place.session(&[SMALL]).await?;
        let begin = Instant::now();
        whole(session.checkpoint(None).await.map_err(why)?)?;
        let first = begin.elapsed().as_secs_f64();
        run(&session, "rows[0]['value'] += 1").await?;
        let begin = Instant::now();
        let saved = whole(session.checkpoint(None).await.map_err(why)?)?;
        let again = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        session.restore(&saved.checkpoint_id, false).await.map_err(why)?;
        let restored = begin.elapsed().as_secs_f64();
        // The zygote has nothing loaded yet for the first.
        if i > 0 {
            table.note(&format!("small_first_{disk}"), first);
            table.note(&format!("small_again_{disk}"), again);
            table.note(&format!("small_restore_{disk}"), restored);
        }
        session.shutdown().await;
    }
    Ok(())
}

/// The first checkpoint of 1 GiB that does not compress, while the session goes on, beside `dd` of such bytes.
async fn first(table: &mut Table, place: &Place, bytes: &RandomBytes, disk: &str) -> Done {
    let rate = |seconds: f64| GIB as f64 / 1e6 / seconds;
    table.note(&format!("dd_{disk}"), rate(bytes.dd(&place.directory)?));
    let session = place.session(&["import numpy as np\nbig = np.random.default_rng().random(2**27)"]).await?;
    let begin = Instant::now();
    let saving = session.begin_checkpoint(None).map_err(why)?;
    let finished = saving.finish();
    tokio::pin!(finished);
    let mut waits = Vec::new();
    let saved = loop {
        let asked = Instant::now();
        run(&session, "sum(range(1000))").await?;
        waits.push(asked.elapsed().as_secs_f64());
        tokio::select! {
            saved = &mut finished => break saved,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    };
    let saved = whole(saved.map_err(why)?)?;
    table.note(&format!("first_{disk}"), rate(begin.elapsed().as_secs_f64()));
    // The first one waited for the fork.
    table.add(&format!("meanwhile_{disk}"), waits.split_off(1));
    if saved.stored_bytes < GIB as u64 {
        return Err(format!("{} bytes were stored of random numbers", saved.stored_bytes));
    }
    session.shutdown().await;
    Ok(())
}

/// 1 GiB of random bytes in memory, for `dd`.
struct RandomBytes(PathBuf);

impl RandomBytes {
    fn new() -> Done<RandomBytes> {
        let bytes = RandomBytes(PathBuf::from(format!("/dev/shm/pyrepl3-bench-bytes-{}", std::process::id())));
        command(Command::new("sh").arg("-c").arg(format!("head -c {GIB} /dev/urandom > {}", bytes.0.display())))?;
        Ok(bytes)
    }

    /// Seconds that `dd conv=fsync` takes to write them to a file in a directory.
    fn dd(&self, directory: &Path) -> Done<f64> {
        let copy = directory.join("dd");
        let (from, to) = (format!("if={}", self.0.display()), format!("of={}", copy.display()));
        let begin = Instant::now();
        command(Command::new("dd").args([&from, &to, "bs=4M", "conv=fsync", "status=none"]))?;
        let seconds = begin.elapsed().as_secs_f64();
        std::fs::remove_file(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
        Ok(seconds)
    }
}

impl Drop for RandomBytes {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("xtask: {} is left behind: {error}", self.0.display());
        }
    }
}

fn command(command: &mut Command) -> Done {
    let status = command.status().map_err(why)?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

/// 4 GiB, of which 1 MB is changed between two checkpoints. The four arrays hold the same numbers, so that the first
/// checkpoint writes 1 GiB only; the process has all of it. Multiplying matrices has made the threads of the BLAS library.
async fn increments(table: &mut Table, place: &Place) -> Done {
    let setup = "import numpy as np\nrng = np.random.default_rng()\nsmall = np.ones((300, 300))\nsmall = small @ small\n\
                 big = [rng.random(2**27)]\nbig += [big[0].copy() for _ in range(3)]";
    for _ in 0..table.times(20).max(3) {
        let session = place.session(&[setup]).await?;
        for key in ["", "increment_first", "increment_later"] {
            run(&session, "at = int(rng.integers(0, 2**26)); big[2][at : at + 125_000] = rng.random(125_000)").await?;
            let before = place.megabytes();
            let (saved, blocked, took) = save(&session).await?;
            table.note("pause_4gib", saved.pause);
            table.note("blocked_4gib", blocked);
            if !key.is_empty() {
                table.note(key, took);
                table.note("increment_stored", saved.stored_bytes as f64 / 1e6);
                table.note("increment_written", place.megabytes() - before);
            }
        }
        session.shutdown().await;
    }
    Ok(())
}

async fn steps(table: &mut Table, place: &Place) -> Done {
    let session = place.session(&[]).await?;
    let (mut all, mut pauses, mut waited) = (0.0, 0.0, 0.0);
    for step in STEPS.split("\n# %%").skip(1) {
        run(&session, &format!("#{step}")).await?;
        let (saved, blocked, took) = save(&session).await?;
        pauses += saved.pause;
        waited += blocked;
        all += took;
    }
    table.note("steps_bytes", place.megabytes());
    table.note("steps_pause", pauses);
    table.note("steps_blocked", waited);
    table.note("steps_all", all);
    session.shutdown().await;
    Ok(())
}

/// 1 GiB into another session, to the first use of one of its numbers.
async fn restores(table: &mut Table, place: &Place) -> Done {
    for (key, numbers) in
        [("restore_mapped", "rng.random(2**24)"), ("restore_packed", "rng.integers(0, 1000, 2**24).astype(float)")]
    {
        let setup = format!("import numpy as np\nrng = np.random.default_rng()\nbig = [{numbers} for _ in range(8)]");
        let session = place.session(&[&setup]).await?;
        let saved = whole(session.checkpoint(None).await.map_err(why)?)?;
        session.shutdown().await;
        for _ in 0..table.times(10).max(3) {
            let session = place.session(&["import numpy"]).await?;
            let begin = Instant::now();
            session.restore(&saved.checkpoint_id, false).await.map_err(why)?;
            run(&session, "big[5][1_000_000]").await?;
            table.note(key, begin.elapsed().as_secs_f64());
            session.shutdown().await;
        }
    }
    Ok(())
}
