//! Snapshots, returns and branches, through the Rust API.

use super::report::Table;
use crate::Done;
use pyrepl3_engine::protocol::message::{Message, RandomState, TransactionPolicy};
use pyrepl3_engine::{Engine, EngineConfig, ExecuteRequest, SearchPath, Session, SessionOptions};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const IMPORTS: &str = "import numpy as np, pandas as pd";
const GIB: &str = "big = np.ones(2**27)";
const THREADS: &str = "import threading; go_on = threading.Event()\n\
                       for _ in range(100): threading.Thread(target=go_on.wait, daemon=True).start()";
const DICTS: &str = "dicts = [{i: str(i)} for i in range(1_000_000)]";

pub(super) async fn measure(table: &mut Table, interpreter: &Path) -> Done {
    let mut config = EngineConfig::new(SearchPath::from_env());
    config.python = Some(interpreter.to_path_buf());
    let engine = Engine::new(config);
    // The zygote loads what checkpoints need when nobody asks it for anything. That takes a processor, once for each engine.
    session(&engine, &[]).await?.shutdown().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    snapshots(table, &engine).await?;
    small(table, &engine).await?;
    returns(table, &engine).await?;
    branches(table, &engine).await?;
    engine.shutdown().await;
    Ok(())
}

async fn session(engine: &Engine, setup: &[&str]) -> Done<Session> {
    let session = engine.start(SessionOptions::default()).await.map_err(why)?;
    for code in setup {
        session.execute(*code).map_err(why)?.result().await.map_err(why)?;
    }
    Ok(session)
}

/// Until a process that has ended has given its memory back, the next step would be measured against that: the bare fork beside it
/// waits for its child, and as long as this, too.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(6)).await;
}

/// How long a session that goes on pauses for a snapshot, and how long a return takes once everything is there.
async fn snapshots(table: &mut Table, engine: &Engine) -> Done {
    for (pause, back, setup) in [
        ("pause_bare", "back_bare", &[][..]),
        ("pause_pandas", "back_pandas", &[IMPORTS][..]),
        ("pause_gib", "back_gib", &[IMPORTS, GIB][..]),
        ("pause_dicts", "back_dicts", &[IMPORTS, DICTS][..]),
        ("threads_pause", "threads_back", &[THREADS][..]),
    ] {
        let session = session(engine, setup).await?;
        let (mut pauses, mut backs) = (Vec::new(), Vec::new());
        for returns in [false, true] {
            for i in 0..table.times(200) + 3 {
                let taken = session.snapshot(Some("bench")).await.map_err(why)?;
                session.execute("x = 1").map_err(why)?.result().await.map_err(why)?;
                if pause == "pause_bare" && !returns {
                    let listed = session.snapshots().await.map_err(why)?;
                    let held = listed.first().and_then(|one| one.memory).ok_or("a snapshot's memory is not told")?;
                    table.add("snapshot_memory", vec![held as f64 / 1e6]);
                }
                let (samples, took) = if returns {
                    let begin = Instant::now();
                    session.rollback_to(&taken.snapshot_id, None).await.map_err(why)?;
                    (&mut backs, begin.elapsed().as_secs_f64())
                } else {
                    (&mut pauses, taken.duration)
                };
                if i >= 3 {
                    samples.push(took);
                }
                session.drop_snapshot(&taken.snapshot_id).await.map_err(why)?;
                settle().await;
            }
        }
        table.add(pause, pauses);
        table.add(back, backs);
        session.shutdown().await;
    }
    Ok(())
}

fn under(code: &str, policy: TransactionPolicy) -> ExecuteRequest {
    let mut request = ExecuteRequest::from(code);
    request.policy = Some(policy);
    request
}

/// What a guard costs where nothing fails.
async fn small(table: &mut Table, engine: &Engine) -> Done {
    let session = session(engine, &[IMPORTS]).await?;
    for _ in 0..table.times(500) {
        for (key, policy) in
            [("small_kept", TransactionPolicy::CommitAlways), ("small_guarded", TransactionPolicy::RollbackOnFailure)]
        {
            let begin = Instant::now();
            session.execute(under("x = 1", policy)).map_err(why)?.result().await.map_err(why)?;
            table.add(key, vec![begin.elapsed().as_secs_f64()]);
        }
    }
    session.shutdown().await;
    Ok(())
}

/// From the moment at which code fails until its session is usable again in its previous state.
async fn returns(table: &mut Table, engine: &Engine) -> Done {
    for (key, rollback, setup) in [
        ("failed_bare", "rollback_bare", &["import time"][..]),
        ("failed_gib", "rollback_gib", &["import time", IMPORTS, GIB][..]),
        ("failed_4gib", "rollback_4gib", &["import time", IMPORTS, "big = np.ones(2**29)"][..]),
    ] {
        let session = session(engine, setup).await?;
        for i in 0..table.times(200) + 3 {
            let request = under("x = 1; raise ValueError(time.time_ns())", TransactionPolicy::RollbackOnFailure);
            let mut execution = session.execute(request).map_err(why)?;
            while let Some(message) = execution.next().await {
                if let Message::ErrorMessage(error) = message.into_message() {
                    if !error.rolled_back {
                        return Err(format!("it was not rolled back: {}", error.traceback));
                    }
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(why)?;
                    let failed = Duration::from_nanos(error.evalue.parse().map_err(why)?);
                    if i >= 3 {
                        table.add(key, vec![now.saturating_sub(failed).as_secs_f64()]);
                    }
                }
            }
            settle().await;
            session.execute("x = 'x' in globals(); assert not x; del x").map_err(why)?.result().await.map_err(why)?;
        }
        for i in 0..table.times(200) + 3 {
            session.begin(None).await.map_err(why)?;
            session.execute("x = 1").map_err(why)?.result().await.map_err(why)?;
            let begin = Instant::now();
            session.rollback(None).await.map_err(why)?;
            if i >= 3 {
                table.add(rollback, vec![begin.elapsed().as_secs_f64()]);
            }
            settle().await;
            session.execute("assert 'x' not in globals()").map_err(why)?.result().await.map_err(why)?;
        }
        session.shutdown().await;
    }
    Ok(())
}

/// Bytes that a process holds alone, and its page tables, in MB.
fn alone(pid: i32) -> f64 {
    let sum = |path: String, names: &[&str]| -> f64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
    };
    let own = sum(format!("/proc/{pid}/smaps_rollup"), &["Private_Clean:", "Private_Dirty:"]);
    (own + sum(format!("/proc/{pid}/status"), &["VmPTE:"])) * 1024.0 / 1e6
}

async fn branches(table: &mut Table, engine: &Engine) -> Done {
    for (key, memory, huge) in
        [("branch_huge", "branch_huge_memory", "1"), ("branch_small", "branch_small_memory", "0")]
    {
        let options = SessionOptions {
            env: [("NUMPY_MADVISE_HUGEPAGE".to_owned(), Some(huge.to_owned()))].into(),
            ..SessionOptions::default()
        };
        let session = engine.start(options).await.map_err(why)?;
        for code in [IMPORTS, "big = np.ones(175_000_000)"] {
            session.execute(code).map_err(why)?.result().await.map_err(why)?;
        }
        for _ in 0..table.times(20) {
            let begin = Instant::now();
            let made = session.branch(16, RandomState::Same).await.map_err(why)?;
            table.add(key, vec![begin.elapsed().as_secs_f64()]);
            for branch in &made {
                let pid = branch.status().await.map_err(why)?.pid.ok_or("a branch has no process")?;
                table.add(memory, vec![alone(pid)]);
            }
            for branch in made {
                branch.shutdown().await;
            }
        }
        session.shutdown().await;
    }
    let bare = session(engine, &[]).await?;
    for _ in 0..table.times(20) {
        for branch in bare.branch(4, RandomState::Same).await.map_err(why)? {
            let pid = branch.status().await.map_err(why)?.pid.ok_or("a branch has no process")?;
            table.add("branch_memory", vec![alone(pid)]);
            branch.shutdown().await;
        }
    }
    bare.shutdown().await;
    Ok(())
}
