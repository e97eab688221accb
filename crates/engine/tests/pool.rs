//! Pools: warm, fair, and clean.

mod common;

use common::{engine, eventually, finish, is_alive, run};
use pyrepl3_engine::{Code, PoolOptions, Reset};
use std::time::Duration;

#[tokio::test]
async fn warm_up_runs_once_and_every_session_has_it() {
    let engine = engine();
    let path = std::env::temp_dir().join(format!("pyrepl3-warm-{}", std::process::id()));
    let code = format!(
        "import json, os\nopen({:?}, 'a').write('warm ')\ndata = list(range(1000))\ndef f(): return len(data)",
        path.display().to_string()
    );
    let options = PoolOptions { min_idle: 3, warmup_code: Some(code), ..PoolOptions::default() };
    let pool = engine.pool(options).await.unwrap();
    assert_eq!(pool.stats().idle, 3);
    let mut leases = Vec::new();
    for _ in 0..5 {
        let lease = pool.acquire(None).await.unwrap();
        assert_eq!(run(&lease, "f(), data is globals()['data']").await.repr(), "(1000, True)");
        leases.push(lease);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "warm ");
    std::fs::remove_file(path).unwrap();
    // Functions of the warm-up see the session's own namespace.
    run(&leases[0], "data = [1]").await;
    assert_eq!(run(&leases[0], "f()").await.value(), "1");
    assert_eq!(run(&leases[1], "f()").await.value(), "1000");
    // A crash brings a session back as it was after warm-up.
    assert!(run(&leases[0], "os._exit(1)").await.err().session_lost);
    assert_eq!(run(&leases[0], "f()").await.value(), "1000");
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_released_session_never_shows_its_next_user_anything() {
    let engine = engine();
    let pool = engine.pool(PoolOptions { max_sessions: 1, ..PoolOptions::default() }).await.unwrap();
    let mut first = pool.acquire(None).await.unwrap();
    let old = first.clone();
    run(&first, "secret = 1\nimport os, builtins\nos.environ['SECRET'] = builtins.secret = '1'\nos.chdir('/')").await;
    first.release().await.unwrap();
    assert_eq!(first.release().await.unwrap_err().code, Code::NotAcquired);
    for handle in [&*first, &old] {
        assert_eq!(handle.execute("secret").map(drop).unwrap_err().code, Code::SessionClosed);
        assert_eq!(handle.variables().await.unwrap_err().code, Code::SessionClosed);
    }
    let second = pool.acquire(None).await.unwrap();
    assert_ne!(second.id(), first.id());
    let seen = run(&second, "import os, builtins\n'secret' in dir(), 'SECRET' in os.environ, hasattr(builtins, 'secret'), os.getcwd() == '/'").await;
    assert_eq!(seen.repr(), "(False, False, False, False)");
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_pool_that_keeps_says_so_and_revokes_old_handles() {
    let engine = engine();
    let options = PoolOptions { max_sessions: 1, max_uses: Some(2), reset: Reset::Keep, ..PoolOptions::default() };
    let pool = engine.pool(options).await.unwrap();
    let mut first = pool.acquire(None).await.unwrap();
    run(&first, "kept = 1").await;
    first.release().await.unwrap();
    let mut second = pool.acquire(None).await.unwrap();
    assert_eq!((run(&second, "kept").await.value(), second.id()), ("1", first.id()));
    assert_eq!(first.execute("kept").map(drop).unwrap_err().code, Code::SessionClosed);
    second.release().await.unwrap();
    // Used twice: worn out.
    let third = pool.acquire(None).await.unwrap();
    assert_eq!(run(&third, "'kept' in dir()").await.value(), "false");
    assert_eq!(pool.stats().replaced, 1);
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_busy_session_is_not_taken_back() {
    let engine = engine();
    let pool = engine.pool(PoolOptions::default()).await.unwrap();
    let mut lease = pool.acquire(None).await.unwrap();
    let spinning = lease.execute("while True: pass").unwrap();
    assert_eq!(lease.release().await.unwrap_err().code, Code::Busy);
    spinning.cancel().await.unwrap();
    finish(spinning).await;
    lease.release().await.unwrap();
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_full_pool_waits_in_order_and_times_out_in_words() {
    let engine = engine();
    let pool = engine.pool(PoolOptions { max_sessions: 1, ..PoolOptions::default() }).await.unwrap();
    let mut held = pool.acquire(None).await.unwrap();
    let failure = pool.acquire(Some(Duration::from_millis(20))).await.unwrap_err();
    assert_eq!(failure.code, Code::PoolTimeout);
    assert!(failure.to_string().contains("1 of at most 1"), "{failure}");
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let waiting: Vec<_> = (0..4)
        .map(|i| {
            let (pool, order) = (pool.clone(), order.clone());

            tokio::spawn(async move {
                let mut lease = pool.acquire(Some(common::LIMIT)).await.unwrap();
                order.lock().unwrap().push(i);
                lease.release().await.unwrap();
            })
        })
        .collect();
    while pool.stats().waiting < 4 {
        tokio::task::yield_now().await;
    }
    // One that goes away loses its place, and nothing else.
    let gone = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(Some(common::LIMIT)).await.map(drop) }
    });
    while pool.stats().waiting < 5 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    _ = gone.await;
    assert_eq!(pool.stats().waiting, 4);
    held.release().await.unwrap();
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    let stats = pool.stats();
    assert_eq!((stats.timeouts, stats.hits), (1, 1));
    assert!(stats.wait_seconds.max > 0.0 && stats.start_seconds.p50 > 0.0);
    // The call takes the place in the line, whichever future is polled first.
    let mut held = pool.acquire(None).await.unwrap();
    let (first, second) = (pool.acquire(Some(common::LIMIT)), pool.acquire(Some(common::LIMIT)));
    let second = tokio::spawn(second);
    held.release().await.unwrap();
    let first = first.await.unwrap();
    assert!(!second.is_finished());
    drop(first);
    drop(second.await.unwrap().unwrap());
    pool.shutdown().await;
    assert_eq!(pool.acquire(None).await.unwrap_err().code, Code::UnknownPool);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_died_is_replaced_and_what_is_spare_goes() {
    let engine = engine();
    let options = PoolOptions {
        min_idle: 1,
        max_sessions: 4,
        max_idle_seconds: Some(0.05),
        reset: Reset::Keep,
        ..PoolOptions::default()
    };
    let pool = engine.pool(options).await.unwrap();
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(pool.acquire(None).await.unwrap());
    }
    for lease in &mut leases {
        lease.release().await.unwrap();
    }
    eventually("spare ones are gone", || pool.stats().expired >= 2 && pool.stats().idle <= 2).await;
    // Session init is killed: the session is over, and another takes its place.
    let lease = pool.acquire(None).await.unwrap();
    let pid = lease.status().await.unwrap().pid.unwrap();
    _ = finish(lease.execute("import os; os.kill(os.getppid(), 9); input()").unwrap()).await;
    eventually("it is gone", || !is_alive(pid)).await;
    drop(lease);
    let next = pool.acquire(None).await.unwrap();
    assert_eq!(run(&next, "1").await.value(), "1");
    eventually("it was counted", || pool.stats().died >= 1).await;
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn bad_pools_are_refused_in_words() {
    let engine = engine();
    let refused = async |options: PoolOptions| engine.pool(options).await.unwrap_err();
    let failure = refused(PoolOptions { warmup_code: Some("x = 1\nboom()".into()), ..PoolOptions::default() }).await;
    assert_eq!(failure.code, Code::EnvironmentFailed);
    assert!(
        failure.why.contains("NameError") && failure.why.contains("boom()") && !failure.why.contains("pyrepl3"),
        "{failure}"
    );
    let died =
        refused(PoolOptions { warmup_code: Some("import os; os._exit(1)".into()), ..PoolOptions::default() }).await;
    assert_eq!(died.code, Code::EnvironmentFailed);
    assert_eq!(refused(PoolOptions { max_sessions: 0, ..PoolOptions::default() }).await.code, Code::BadRequest);
    assert_eq!(refused(PoolOptions { min_idle: 11, ..PoolOptions::default() }).await.code, Code::BadRequest);
    assert_eq!(
        refused(PoolOptions { acquire_timeout: f64::NAN, ..PoolOptions::default() }).await.code,
        Code::BadRequest
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn a_pool_that_nobody_holds_ends() {
    let engine = engine();
    let pool = engine
        .pool(PoolOptions { warmup_code: Some("x = 1".into()), min_idle: 2, ..PoolOptions::default() })
        .await
        .unwrap();
    let lease = pool.acquire(None).await.unwrap();
    let pid = lease.status().await.unwrap().pid.unwrap();
    drop((pool, lease));
    eventually("its sessions are gone", || !is_alive(pid)).await;
    engine.shutdown().await;
}
