//! The engine, through its Rust API.

use super::report::Table;
use crate::Done;
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::{Engine, EngineConfig, Event, PoolOptions, SearchPath, Session, SessionOptions};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) async fn measure(table: &mut Table, interpreter: &Path) -> Done {
    let mut config = EngineConfig::new(SearchPath::from_env());
    config.python = Some(interpreter.to_path_buf());
    let engine = Engine::new(config);
    starts(table, &engine).await?;
    executions(table, &engine).await?;
    output(table, &engine).await?;
    readers(table, &engine).await?;
    memory(table, &engine).await?;
    pools(table, &engine).await?;
    engine.shutdown().await;
    lingering(table, interpreter).await
}

/// What it costs that a session can outlive its engine, and how long it takes the next one to go on with it.
async fn lingering(table: &mut Table, interpreter: &Path) -> Done {
    let data = crate::target().join(format!("bench-data-{}", std::process::id()));
    let engine = || {
        let mut config = EngineConfig::new(SearchPath::from_env());
        config.python = Some(interpreter.to_path_buf());
        (config.data, config.linger) = (Some(data.clone()), Some(Duration::from_secs(60)));
        Engine::new(config)
    };
    let mut now = engine();
    let mut session = now.start(SessionOptions::default()).await.map_err(why)?;
    table.add("execute_lingering", one_plus_one(&session, table.times(20_000)).await?);
    let mut samples = Vec::new();
    for _ in 0..table.times(200) {
        let id = session.id().to_owned();
        now.hand_over().await;
        now = engine();
        let begin = Instant::now();
        session = now.adopt(&id).await.map_err(why)?;
        session.execute("1+1").map_err(why)?.result().await.map_err(why)?;
        samples.push(begin.elapsed().as_secs_f64());
    }
    table.add("take_over", samples);
    now.shutdown().await;
    std::fs::remove_dir_all(&data).map_err(why)
}

async fn one_plus_one(session: &Session, times: usize) -> Result<Vec<f64>, String> {
    let mut samples = Vec::new();
    for i in 0..times + 500 {
        let begin = Instant::now();
        session.execute("1+1").map_err(why)?.result().await.map_err(why)?;
        if i >= 500 {
            samples.push(begin.elapsed().as_secs_f64());
        }
    }
    Ok(samples)
}

fn pandas() -> SessionOptions {
    SessionOptions { preload: vec!["numpy".into(), "pandas".into()], ..SessionOptions::default() }
}

async fn starts(table: &mut Table, engine: &Engine) -> Done {
    for (key, options) in [("start_bare", SessionOptions::default()), ("start_pandas", pandas())] {
        // The zygote is running.
        engine.start(options.clone()).await.map_err(why)?.shutdown().await;
        let mut samples = Vec::new();
        for _ in 0..table.times(200) {
            let begin = Instant::now();
            let session = engine.start(options.clone()).await.map_err(why)?;
            samples.push(begin.elapsed().as_secs_f64());
            session.shutdown().await;
        }
        table.add(key, samples);
    }
    Ok(())
}

async fn executions(table: &mut Table, engine: &Engine) -> Done {
    let session = engine.start(SessionOptions::default()).await.map_err(why)?;
    table.add("execute_rust", one_plus_one(&session, table.times(20_000)).await?);
    let mut samples = Vec::new();
    session.execute("import time").map_err(why)?.result().await.map_err(why)?;
    for _ in 0..table.times(2000) {
        let mut execution = session.execute("print(time.time_ns())").map_err(why)?;
        while let Some(message) = execution.next().await {
            if let Message::OutputMessage(output) = &*message {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(why)?;
                let printed = Duration::from_nanos(output.data.trim().parse::<u64>().map_err(why)?);
                samples.push(now.saturating_sub(printed).as_secs_f64());
            }
        }
    }
    table.add("print", samples);
    // Streamed or buffered, the seeds' open choice: when is the first of 2,000 lines, printed over 200 ms, seen?
    let code = "import time\nfor i in range(2000):\n    print(time.time_ns())\n    if i % 100 == 0: time.sleep(0.01)";
    for (key, buffered) in [("buffered_first", false), ("buffered_whole", true)] {
        let mut samples = Vec::new();
        for _ in 0..table.times(10) {
            let text = if buffered {
                format!(
                    "import io, contextlib\nbuffer = io.StringIO()\nwith contextlib.redirect_stdout(buffer):\n    {}\nprint(buffer.getvalue(), end='')",
                    code.replace('\n', "\n    ")
                )
            } else {
                code.to_owned()
            };
            let mut execution = session.execute(text.as_str()).map_err(why)?;
            let mut first = None;
            while let Some(message) = execution.next().await {
                if let (Message::OutputMessage(output), None) = (&*message, first) {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(why)?;
                    let line = output.data.lines().next().unwrap_or("0");
                    first = Some(now.saturating_sub(Duration::from_nanos(line.parse().map_err(why)?)).as_secs_f64());
                }
            }
            samples.extend(first);
        }
        table.add(key, samples);
    }
    session.shutdown().await;
    Ok(())
}

/// Bytes of output, and seconds from the request to the end.
async fn printed(session: &Session, code: &str) -> Done<(usize, f64)> {
    let begin = Instant::now();
    let mut execution = session.execute(code).map_err(why)?;
    let mut bytes = 0;
    while let Some(message) = execution.next().await {
        match &*message {
            Message::OutputMessage(output) => bytes += output.data.len(),
            Message::ErrorMessage(error) => return Err(error.traceback.clone()),
            _ => {}
        }
    }
    Ok((bytes, begin.elapsed().as_secs_f64()))
}

async fn output(table: &mut Table, engine: &Engine) -> Done {
    let session = engine.start(SessionOptions::default()).await.map_err(why)?;
    for _ in 0..table.times(5) {
        let (bytes, seconds) = printed(&session, "chunk = 'x' * 999_999\nfor _ in range(1000): print(chunk)").await?;
        if bytes != 1_000_000_000 {
            return Err(format!("{bytes} bytes came of a billion"));
        }
        table.add("output", vec![bytes as f64 / 1e6 / seconds]);
        let (_, seconds) = printed(&session, "for i in range(1_000_000): print(i)").await?;
        table.add("prints", vec![seconds]);
    }
    session.shutdown().await;
    Ok(())
}

/// Seconds of processor time that this process has used.
fn used() -> Done<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(why)?;
    // After the name: fields 14 and 15 of proc(5), in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or("no processor time");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Reads to the end of an execution: bytes of output, and the most memory that the supervisor held meanwhile, in MB.
async fn read_all<Next: AsyncFnMut() -> Option<Event>>(mut next: Next) -> (usize, f64) {
    let (mut bytes, mut most) = (0, 0.0_f64);
    while let Some(event) = next().await {
        match &*event {
            Message::OutputMessage(output) => {
                bytes += output.data.len();
                most = most.max(resident());
            }
            Message::ResultMessage(_) => break,
            _ => {}
        }
    }
    (bytes, most)
}

/// What it costs that many read one session: processor time of the supervisor for each GB that a reader got, and by how
/// much its memory grew meanwhile.
async fn readers(table: &mut Table, engine: &Engine) -> Done {
    let session = engine.start(SessionOptions::default()).await.map_err(why)?;
    for (key, memory, count) in [("one_reader", "one_memory", 1), ("sixteen_readers", "sixteen_memory", 16)] {
        for _ in 0..table.times(5) {
            let (before, resident_before) = (used()?, resident());
            // Begun before the execution, whose own reader is the last of them.
            let mut reading = Vec::new();
            for _ in 1..count {
                let mut events = session.follow(None).map_err(why)?;
                reading.push(tokio::spawn(async move { read_all(async move || events.next().await).await }));
            }
            let mut execution =
                session.execute("chunk = 'x' * 999_999\nfor _ in range(1000): print(chunk)").map_err(why)?;
            reading.push(tokio::spawn(async move { read_all(async move || execution.next().await).await }));
            let mut most = resident_before;
            for one in reading {
                let (bytes, seen) = one.await.map_err(why)?;
                if bytes != 1_000_000_000 {
                    return Err(format!("a reader got {bytes} bytes of a billion"));
                }
                most = most.max(seen);
            }
            table.add(key, vec![(used()? - before) / f64::from(count)]);
            table.add(memory, vec![most - resident_before]);
        }
    }
    session.shutdown().await;
    Ok(())
}

/// PSS in MB of the processes of sessions: each worker and its session init.
fn pss(pids: &[i32]) -> f64 {
    let one = |pid: i32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
        line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let parent = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    pids.iter().map(|&pid| one(pid) + parent(pid).map_or(0.0, one)).sum()
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0 / 1e6
}

async fn pids(sessions: impl Iterator<Item = &Session>) -> Vec<i32> {
    let mut found = Vec::new();
    for session in sessions {
        if let Ok(status) = session.status().await {
            found.extend(status.pid);
        }
    }
    found
}

async fn memory(table: &mut Table, engine: &Engine) -> Done {
    let before = resident();
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions.push(engine.start(SessionOptions::default()).await.map_err(why)?);
    }
    let pids = pids(sessions.iter()).await;
    table.add("idle_pss", vec![pss(&pids) / 100.0]);
    table.add("supervisor", vec![(resident() - before).max(0.0) / 100.0]);
    for session in sessions {
        session.shutdown().await;
    }
    Ok(())
}

async fn pools(table: &mut Table, engine: &Engine) -> Done {
    let options = PoolOptions { min_idle: 8, max_sessions: 16, session: pandas(), ..PoolOptions::default() };
    let pool = engine.pool(options).await.map_err(why)?;
    let mut samples = Vec::new();
    for _ in 0..table.times(1000) {
        while pool.stats().idle < 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begin = Instant::now();
        let mut lease = pool.acquire(None).await.map_err(why)?;
        samples.push(begin.elapsed().as_secs_f64());
        lease.release().await.map_err(why)?;
    }
    table.add("acquire_rust", samples);
    pool.shutdown().await;
    for _ in 0..table.times(5) {
        let warm = "import numpy, pandas";
        let options = PoolOptions {
            min_idle: 0,
            max_sessions: 100,
            acquire_timeout: 60.0,
            warmup_code: Some(warm.into()),
            session: pandas(),
            ..PoolOptions::default()
        };
        let pool = engine.pool(options).await.map_err(why)?;
        let begin = Instant::now();
        let acquiring: Vec<_> = (0..100)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.acquire(None).await })
            })
            .collect();
        let mut leases = Vec::new();
        for one in acquiring {
            leases.push(one.await.map_err(why)?.map_err(why)?);
        }
        table.add("pool_100", vec![begin.elapsed().as_secs_f64()]);
        let pids = pids(leases.iter().map(|lease| &**lease)).await;
        table.add("pool_100_pss", vec![pss(&pids) / 100.0]);
        drop(leases);
        pool.shutdown().await;
    }
    Ok(())
}
