//! What a session costs the engine: many at once, whose workers are scripted (`interpreter.py`). For the tests, and for
//! `cargo xtask bench --only many`.

use pyrepl3_engine::{Engine, EngineConfig, SearchPath, Session, SessionOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;

/// Descriptors of a session in this process, at most, and what is left for all else.
const OF_A_SESSION: usize = 9;
const RESERVE: usize = 100;
/// Sessions that are there before anything is measured: what all share has been made by then.
const BEFORE: usize = 20;
/// Bytes that each prints: 16 KiB.
const PRINT: &str = "print('x' * 16_383)";

/// What sessions cost this process, for each of them.
#[derive(Debug)]
pub(crate) struct Cost {
    /// How many there were.
    pub(crate) sessions: usize,
    /// Descriptors.
    pub(crate) descriptors: f64,
    /// Bytes of memory (PSS), idle, after one `1+1`.
    pub(crate) idle: f64,
    /// The same, after 16 KiB of output, which the log keeps for readers to come.
    pub(crate) printed: f64,
}

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Measures so many sessions, or as many as the hard limit of descriptors allows.
///
/// # Errors
/// Something did not work, in words.
pub(crate) async fn measure(interpreter: &Path, sessions: usize) -> Result<Cost, String> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.and_then(|hard| usize::try_from(hard).ok()).unwrap_or(usize::MAX);
    let most = (hard.saturating_sub(RESERVE) / OF_A_SESSION).saturating_sub(BEFORE);
    set_soft(limit.maximum)?;
    let cost = measure_so_many(interpreter, sessions.min(most)).await;
    // What is measured next in this process hands on what it was started with.
    set_soft(limit.current)?;
    cost
}

fn set_soft(current: Option<u64>) -> Result<(), String> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).map_err(why)
}

async fn measure_so_many(interpreter: &Path, sessions: usize) -> Result<Cost, String> {
    let mut config = EngineConfig::new(SearchPath::default());
    config.python = Some(interpreter.to_path_buf());
    let engine = Engine::new(config);
    let before = start(&engine, BEFORE).await?;
    run_all(&before, PRINT).await?;
    let (memory_before, descriptors_before) = (memory()?, descriptors()?);
    let each = |now: f64, before: f64| (now - before) / sessions as f64;
    let all = start(&engine, sessions).await?;
    run_all(&all, "1+1").await?;
    let idle = each(memory()?, memory_before);
    let descriptors = each(descriptors()?, descriptors_before);
    run_all(&all, PRINT).await?;
    let printed = each(memory()?, memory_before);
    engine.shutdown().await;
    Ok(Cost { sessions, descriptors, idle, printed })
}

async fn start(engine: &Engine, count: usize) -> Result<Vec<Session>, String> {
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        sessions.push(engine.start(SessionOptions::default()).await.map_err(why)?);
    }
    Ok(sessions)
}

/// Runs code in each, to its end.
async fn run_all(sessions: &[Session], code: &str) -> Result<(), String> {
    for session in sessions {
        session.execute(code).map_err(why)?.result().await.map_err(why)?;
    }
    Ok(())
}

/// Bytes of memory of this process: what it shares counts in part.
fn memory() -> Result<f64, String> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").map_err(why)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss in smaps_rollup")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().map_err(why)?;
    Ok(kilobytes * 1024.0)
}

fn descriptors() -> Result<f64, String> {
    Ok(std::fs::read_dir("/proc/self/fd").map_err(why)?.count() as f64)
}
