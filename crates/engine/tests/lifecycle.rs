//! Zygotes, engines, and what is left of them: nothing.

mod common;

use common::{engine, eventually, is_alive, run};
use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions};
use std::process::{Command, Stdio};

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// worker → session init → zygote.
async fn zygote_of(session: &pyrepl3_engine::Session) -> i32 {
    parent_of(parent_of(session.status().await.unwrap().pid.unwrap()))
}

#[tokio::test]
async fn a_zygote_that_dies_is_started_again_and_its_sessions_live_on() {
    let engine = engine();
    let first = engine.start(SessionOptions::default()).await.unwrap();
    run(&first, "x = 1").await;
    let zygote = zygote_of(&first).await;
    rustix::process::kill_process(rustix::process::Pid::from_raw(zygote).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    eventually("the zygote is dead", || !is_alive(zygote)).await;
    let second = engine.start(SessionOptions::default()).await.unwrap();
    assert_ne!(zygote_of(&second).await, zygote);
    assert_eq!(run(&first, "x").await.value(), "1");
    // It can even lose its worker: session init makes another.
    assert!(run(&first, "import os; os._exit(1)").await.err().session_lost);
    assert_eq!(run(&first, "1 + 1").await.value(), "2");
    let pids = [first.status().await.unwrap().pid.unwrap(), second.status().await.unwrap().pid.unwrap()];
    engine.shutdown().await;
    for pid in pids {
        assert!(!is_alive(pid));
    }
}

#[tokio::test]
async fn sessions_of_one_environment_share_a_zygote_and_start_fresh() {
    let engine = engine();
    let preload = SessionOptions { preload: vec!["decimal".into()], ..SessionOptions::default() };
    let (a, b) = (engine.start(preload.clone()).await.unwrap(), engine.start(preload).await.unwrap());
    let other = engine.start(SessionOptions::default()).await.unwrap();
    assert_eq!(zygote_of(&a).await, zygote_of(&b).await);
    assert_ne!(zygote_of(&a).await, zygote_of(&other).await);
    assert_eq!(run(&a, "import sys; 'decimal' in sys.modules, 'decimal' in dir()").await.repr(), "(True, False)");
    // Random state is fresh in every session.
    let draw = "import random; random.random()";
    assert_ne!(run(&a, draw).await.value(), run(&b, draw).await.value());
    run(&a, "import os, builtins, json\nos.environ['LEAK'] = '1'\nbuiltins.leak = json.leak = 1").await;
    assert_eq!(
        run(&b, "import os, builtins, json\n'LEAK' in os.environ, hasattr(builtins, 'leak'), hasattr(json, 'leak')")
            .await
            .repr(),
        "(False, False, False)"
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn many_sessions_start_at_once() {
    let engine = engine();
    let starts: Vec<_> = (0..40)
        .map(|i| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let session = engine.start(SessionOptions::default()).await.unwrap();
                assert_eq!(run(&session, format!("{i} * 2").as_str()).await.value(), (i * 2).to_string());
                session
            })
        })
        .collect();
    let mut pids = Vec::new();
    for start in starts {
        pids.push(start.await.unwrap().status().await.map(|status| status.pid.unwrap()));
    }
    engine.shutdown().await;
    for pid in pids.into_iter().flatten() {
        assert!(!is_alive(pid));
    }
}

#[tokio::test]
async fn a_virtual_environment_brings_its_packages() {
    let directory = std::env::temp_dir().join(format!("pyrepl3-venv-{}", std::process::id()));
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&directory).status().unwrap();
    assert!(made.success());
    let site = std::fs::read_dir(directory.join("lib")).unwrap().next().unwrap().unwrap().path().join("site-packages");
    std::fs::write(site.join("only_here.py"), "VALUE = 5\n").unwrap();
    let by_flag = engine();
    let options = SessionOptions { python: Some(directory.display().to_string()), ..SessionOptions::default() };
    let session = by_flag.start(options).await.unwrap();
    assert_eq!(run(&session, "import only_here; only_here.VALUE").await.value(), "5");
    assert_eq!(session.python().unwrap().prefix, directory.display().to_string());
    by_flag.shutdown().await;
    let search = SearchPath { virtual_env: Some(directory.clone()), path: std::env::var_os("PATH") };
    let by_variable = Engine::new(EngineConfig::new(search));
    let session = by_variable.start(SessionOptions::default()).await.unwrap();
    assert_eq!(run(&session, "import only_here; only_here.VALUE").await.value(), "5");
    by_variable.shutdown().await;
    std::fs::remove_dir_all(directory).unwrap();
}

/// The test binary runs itself as the supervisor that is to be killed.
const VICTIM: &str = "PYREPL3_TEST_VICTIM";

#[tokio::test]
async fn a_killed_supervisor_leaves_nothing() {
    if std::env::var_os(VICTIM).is_some() {
        let engine = engine();
        let session = engine.start(SessionOptions::default()).await.unwrap();
        let code = "import subprocess, os\nps = [subprocess.Popen(['sleep', '1000'], start_new_session=True), subprocess.Popen(['sh', '-c', '(setsid sleep 1000 &) ; exit 0'])]\nps[1].wait()\nos.getpid()";
        run(&session, code).await;
        let busy = engine.start(SessionOptions::default()).await.unwrap();
        let _spinning =
            busy.execute("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass").unwrap();
        println!("\nready");
        std::future::pending::<()>().await;
    }
    let marker = format!("PYREPL3_MARK={}-killed", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["a_killed_supervisor_leaves_nothing", "--exact", "--nocapture"])
        .env(VICTIM, "1")
        .env(name, value)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "ready"));
    // The supervisor, a zygote, two session inits, two workers, two sleepers.
    eventually("all is there", || common::marked(&marker).len() >= 8).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("nothing is left", || common::marked(&marker).is_empty()).await;
}

#[tokio::test]
async fn an_engine_leaves_no_descriptor_behind() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let warm = engine();
    warm.shutdown().await;
    let before = count();
    for _ in 0..3 {
        let engine = engine();
        let session = engine.start(SessionOptions::default()).await.unwrap();
        run(&session, "print(1)").await;
        run(&session, "import os; os._exit(1)").await;
        run(&session, "2").await;
        engine.shutdown().await;
        drop((engine, session));
    }
    // Other tests of this binary run beside this one unless each has a process of its own.
    eventually("descriptors are closed", || count() <= before + 2 || std::env::var_os("NEXTEST").is_none()).await;
}
