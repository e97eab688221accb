//! What a session does to harm the supervisor, or its siblings, and does not.

mod common;

use common::{LIMIT, engine, eventually, run, session};
use pyrepl3_engine::protocol::message::{EndStatus, RandomState};
use std::time::Duration;

/// Code that forks a process with a duplicate of the control channel, which writes whole frames without end.
const CHATTERER: &str = r#"
import json, os, socket, sys
def channel():
    for fd in map(int, os.listdir('/proc/self/fd')):
        try:
            if fd > 2 and os.readlink(f'/proc/self/fd/{fd}').startswith('socket:'):
                yield os.dup(fd)
        except OSError:
            pass
mine = list(channel())
if os.fork() == 0:
    os.setsid()
    seq = 10**6
    while True:
        seq += 1
        body = json.dumps({'seq': seq, 't': 'input_closed', 'input': 1}).encode()
        for fd in mine:
            try:
                os.write(fd, len(body).to_bytes(4, 'big') + body)
            except OSError:
                pass
os.kill(os.getpid(), 9)
"#;

#[tokio::test(flavor = "current_thread")]
async fn who_goes_on_writing_on_a_dead_workers_channel_keeps_nobody() {
    let engine = engine();
    let hostile = engine.start(Default::default()).await.unwrap();
    let other = engine.start(Default::default()).await.unwrap();
    let execution = hostile.execute(CHATTERER).unwrap();
    // One thread runs both sessions: it is free while the other is being heard.
    for number in 0..20 {
        let ran = tokio::time::timeout(LIMIT, run(&other, format!("{number}"))).await.expect("it answers");
        assert_eq!(ran.value(), number.to_string());
    }
    let ended = tokio::time::timeout(LIMIT, execution.result()).await.expect("it ends");
    assert!(ended.is_err());
    tokio::time::timeout(LIMIT, hostile.shutdown()).await.expect("it is shut down");
    engine.shutdown().await;
}

/// What is left of the first is swept by the process that forked it; a pool's template is a child of that, too.
#[tokio::test]
async fn code_that_kills_its_session_init_ends_no_session_of_a_pool() {
    use pyrepl3_engine::PoolOptions;
    let engine = engine();
    // With warm-up code there is a template.
    let options = PoolOptions { warmup_code: Some("warm = 1".into()), ..PoolOptions::default() };
    let pool = engine.pool(options).await.unwrap();
    let lent = pool.acquire(None).await.unwrap();
    run(&lent, "x = 1").await.ok();
    let hostile = engine.start(Default::default()).await.unwrap();
    let killed = hostile.execute("import os\nos.kill(os.getppid(), 9)\nimport time; time.sleep(60)").unwrap();
    assert!(tokio::time::timeout(LIMIT, killed.result()).await.expect("it ends").is_err());
    tokio::time::timeout(LIMIT, hostile.shutdown()).await.expect("it is gone");
    // The sweep begins when the end was told.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(run(&lent, "x").await.value(), "1");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_session_init_that_is_stopped_holds_up_nobody() {
    let engine = engine();
    let hostile = engine.start(Default::default()).await.unwrap();
    let other = engine.start(Default::default()).await.unwrap();
    run(&hostile, "x = 1\nimport os, signal\nos.kill(os.getppid(), signal.SIGSTOP)").await.ok();
    assert_eq!(run(&other, "1 + 1").await.value(), "2");
    // What needs session init lets it go on.
    let snapshot = hostile.snapshot(None).await.unwrap().snapshot_id;
    run(&hostile, "os.kill(os.getppid(), signal.SIGSTOP)").await.ok();
    tokio::time::timeout(LIMIT, hostile.rollback_to(&snapshot, None)).await.expect("it answers").unwrap();
    assert_eq!(run(&hostile, "x").await.value(), "1");
    run(&hostile, "os.kill(os.getppid(), signal.SIGSTOP)").await.ok();
    tokio::time::timeout(LIMIT, hostile.shutdown()).await.expect("it is shut down");
    assert_eq!(run(&other, "2 + 2").await.value(), "4");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_branch_that_will_not_end_does_not_take_its_family_along() {
    let (engine, session) = session().await;
    run(&session, "x = 'kept'").await.ok();
    let branches = session.branch(2, RandomState::Same).await.unwrap();
    run(&branches[0], "x = 'branch'").await.ok();
    let running = session.execute("import time\ntime.sleep(0.5)\nx").unwrap();
    branches[0].shutdown().await;
    assert_eq!(running.result().await.unwrap().repr.as_deref(), Some("'kept'"));
    assert_eq!(run(&branches[1], "x").await.repr(), "'kept'");
    session.shutdown().await;
    assert_eq!(run(&branches[1], "x").await.repr(), "'kept'");
    engine.shutdown().await;
}

#[tokio::test]
async fn displays_count_with_all_that_they_carry() {
    let (engine, session) = session().await;
    // Nobody reads: what waits has a bound, whatever part of a display is large.
    let execution = session
        .execute(
            "from builtins import display\nfor _ in range(400):\n display({'text/plain': 'x'}, raw=True, metadata={'m': 'y' * 500_000})",
        )
        .unwrap();
    let status = async || session.status().await.unwrap();
    eventually("the worker waits for its reader", || true).await;
    let begun = std::time::Instant::now();
    // It comes to its end only when it is read.
    while begun.elapsed() < Duration::from_millis(300) {
        assert!(status().await.running.is_some());
    }
    let mut displays = 0;
    let mut execution = execution;
    while let Some(event) = execution.next().await {
        displays += usize::from(event.type_name() == "display");
    }
    assert_eq!(displays, 400);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_kill_is_not_blamed_on_memory_without_a_reason() {
    let (engine, session) = session().await;
    let ran = run(&session, "import os\nos.kill(os.getpid(), 9)").await;
    let error = ran.err();
    assert_eq!(error.status, EndStatus::Crashed);
    assert!(!error.exit.as_ref().unwrap().out_of_memory, "{error:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn who_goes_away_while_a_pool_starts_breaks_no_other() {
    let engine = engine();
    for _ in 0..20 {
        let options = pyrepl3_engine::PoolOptions {
            warmup_code: Some(format!("x = {:?}", "y".repeat(300_000))),
            ..Default::default()
        };
        // Dropped on the way, at another moment each time.
        let starting = engine.pool(options);
        _ = tokio::time::timeout(Duration::from_micros(200), starting).await;
    }
    let session = engine.start(Default::default()).await.unwrap();
    assert_eq!(run(&session, "6 * 7").await.value(), "42");
    engine.shutdown().await;
}
