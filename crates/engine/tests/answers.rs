//! Questions while code runs: a fork of the state before answers, where there is one.

mod common;

use common::*;
use pyrepl3_engine::protocol::message::{CompletenessStatus, EndStatus, TransactionPolicy, VariableInfo};
use pyrepl3_engine::{Answered, Code, ExecuteRequest, Execution, Session, SessionOptions};
use std::time::{Duration, Instant};

fn undoing() -> SessionOptions {
    SessionOptions { undo: 3, ..SessionOptions::default() }
}

/// Runs code to the point where it prints something.
async fn begun(session: &Session, code: impl Into<ExecuteRequest>) -> Execution {
    let mut execution = session.execute(code).unwrap();
    until(&mut execution, |message| message.type_name() == "output").await;
    execution
}

/// What a variable looks like.
fn repr<'a>(found: &'a Answered<Vec<VariableInfo>>, name: &str) -> Option<&'a str> {
    found.iter().find(|one| one.name == name).map(|one| one.repr.as_str())
}

/// Processes below this one that answer.
fn answering() -> usize {
    let mut found = 0;
    let mut todo = vec![std::process::id()];
    while let Some(pid) = todo.pop() {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let below = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            todo.extend(below.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        found += usize::from(name.trim() == "pyrepl3-answer" && is_alive(pid.cast_signed()));
    }
    found
}

const WAIT: &str = "import time\nx = 2; y = 3\nprint('on')\ntime.sleep(60)";

#[tokio::test]
async fn the_state_before_what_runs_answers_at_once() {
    let (engine, session) = session_with(undoing()).await;
    run(&session, "x = 1\ndef before(): 'Says so.'").await.ok();
    let running = begun(&session, WAIT).await;
    let found = session.variables().await.unwrap();
    assert_eq!((found.as_of, repr(&found, "x"), repr(&found, "y")), (Some(1), Some("1"), None));
    let found = session.complete("befo", None).await.unwrap();
    assert_eq!((found.as_of, found.matches[0].text.as_str()), (Some(1), "before"));
    let found = session.inspect("before").await.unwrap();
    assert_eq!((found.as_of, found.doc.as_deref()), (Some(1), Some("Says so.")));
    assert_eq!(session.is_complete("if x:").await.unwrap().status, CompletenessStatus::Incomplete);
    assert_eq!(session.status().await.unwrap().running.as_deref(), Some(running.id()));
    session.interrupt().await.unwrap();
    assert_eq!(finish(running).await.err().status, EndStatus::Interrupted);
    // When nothing runs, the session itself is asked.
    let found = session.variables().await.unwrap();
    assert_eq!((found.as_of, repr(&found, "x"), repr(&found, "y")), (None, Some("2"), Some("3")));
    eventually("those that answered are gone", || answering() == 0).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_policy_that_undoes_is_enough_and_nothing_may_have_run_before() {
    let (engine, session) = session().await;
    let guarded = ExecuteRequest::from(WAIT).with_policy(TransactionPolicy::RollbackOnFailure);
    let running = begun(&session, guarded).await;
    let found = session.variables().await.unwrap();
    assert_eq!((found.as_of, found.len()), (Some(0), 0));
    session.interrupt().await.unwrap();
    finish(running).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn without_a_snapshot_they_wait_their_turn() {
    let (engine, session) = session().await;
    let running = begun(&session, "import time\nprint('on')\ntime.sleep(0.5)\nx = 1").await;
    let found = session.variables().await.unwrap();
    assert_eq!((found.as_of, repr(&found, "x")), (None, Some("1")));
    finish(running).await.ok();
    // A snapshot of an earlier state than that before what runs is none that answers.
    session.snapshot(None).await.unwrap();
    run(&session, "x = 2").await.ok();
    let running = begun(&session, "print('on')\ntime.sleep(0.5)\nx = 3").await;
    let found = session.variables().await.unwrap();
    assert_eq!((found.as_of, repr(&found, "x")), (None, Some("3")));
    finish(running).await.ok();
    engine.shutdown().await;
}

#[tokio::test]
async fn what_an_answer_does_is_not_done_in_the_session() {
    let (engine, session) = session_with(undoing()).await;
    let code = "import os, subprocess, sys, threading\nlog = []\nmine = os.getpid()\n\
        class C:\n    def __repr__(self):\n        log.append(1)\n        print('heard')\n        sys.stderr.flush()\n        \
        if os.getpid() != mine:\n            subprocess.Popen(['sleep', '321'])\n        return f'C {len(log)}'\nc = C()";
    run(&session, code).await.ok();
    let running = begun(&session, "print('on', flush=True)\nsys.stdin.readline()").await;
    for _ in 0..2 {
        let found = session.variables().await.unwrap();
        assert_eq!((found.as_of, repr(&found, "c")), (Some(1), Some("C 1")));
    }
    let sleeps = || {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter(|entry| {
                std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x00321\x00")
                    && is_alive(entry.file_name().to_str().and_then(|pid| pid.parse().ok()).unwrap_or(0))
            })
            .count()
    };
    eventually("what it started is gone", || sleeps() == 0).await;
    session.interrupt().await.unwrap();
    let ran = finish(running).await;
    assert!(!ran.stdout.contains("heard"), "{ran:?}");
    assert_eq!(run(&session, "log").await.repr(), "[]");
    engine.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_limited() {
    let (engine, session) = session_with(undoing()).await;
    let code = "import time, os\nmine = os.getpid()\nclass C:\n    def __repr__(self):\n        while os.getpid() != mine: time.sleep(1)\n        return 'C'\n\
        class E:\n    def __repr__(self):\n        os.getpid() == mine or os._exit(3)\n        return 'E'\nc, e = C(), E()";
    run(&session, code).await.ok();
    let running = begun(&session, "print('on')\ntime.sleep(60)").await;
    let ended = session.inspect("e").await.unwrap_err();
    assert_eq!((ended.code, ended.why.contains("has ended")), (Code::Interrupted, true), "{ended}");
    let start = Instant::now();
    let hanging = session.inspect("c");
    // Others are answered meanwhile.
    assert_eq!(session.inspect("mine").await.unwrap().as_of, Some(1));
    let failure = hanging.await.unwrap_err();
    assert_eq!((failure.code, failure.why.contains("within 5 s")), (Code::Interrupted, true), "{failure}");
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    eventually("the process that hung is gone", || answering() == 0).await;
    assert_eq!(session.status().await.unwrap().running.as_deref(), Some(running.id()));
    session.interrupt().await.unwrap();
    finish(running).await;
    assert_eq!(session.inspect("c").await.unwrap().repr.as_deref(), Some("C"));
    engine.shutdown().await;
}

#[tokio::test]
async fn so_many_are_answered_at_once_and_others_wait_their_turn() {
    let (engine, session) = session_with(undoing()).await;
    let slow = "import time, os\nmine = os.getpid()\nclass C:\n    def __repr__(self):\n        if os.getpid() != mine: time.sleep(2)\n        return 'C'\nc = C()";
    run(&session, slow).await.ok();
    let running = begun(&session, "print('on')\ntime.sleep(60)").await;
    let asked: Vec<_> = (0..4).map(|_| session.inspect("c")).collect();
    let beyond = session.inspect("c");
    for one in asked {
        assert_eq!(one.await.unwrap().as_of, Some(1));
    }
    // There is room again.
    assert_eq!(session.inspect("mine").await.unwrap().as_of, Some(1));
    session.interrupt().await.unwrap();
    finish(running).await;
    assert_eq!(beyond.await.unwrap().as_of, None);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_return_that_comes_meanwhile_spares_what_answers_and_does_not_name_it() {
    let (engine, session) = session_with(undoing()).await;
    let slow = "import time, os\nmine = os.getpid()\nclass C:\n    def __repr__(self):\n        if os.getpid() != mine: time.sleep(1)\n        return 'C'\nc = C()";
    run(&session, slow).await.ok();
    let snapshot = session.snapshot(None).await.unwrap();
    let guarded = |code: &str| ExecuteRequest::from(code).with_policy(TransactionPolicy::RollbackOnFailure);
    let running = begun(&session, guarded("print('on')\ntime.sleep(0.3)\nraise ValueError")).await;
    let asked = session.inspect("c");
    let ran = finish(running).await;
    assert_eq!(ran.err().report.as_deref(), Some("The state after execution 1 is back, exactly. Undone: execution 2."));
    let found = asked.await.unwrap();
    assert_eq!((found.as_of, found.repr.as_deref()), (Some(1), Some("C")));
    // One that was only just asked: whether it is known already or not.
    for _ in 0..5 {
        let running = begun(&session, "print('on')\ntime.sleep(60)").await;
        let asked = session.inspect("mine");
        let back = session.rollback_to(&snapshot.snapshot_id, None).await.unwrap();
        assert!(back.exact && !back.report.contains("answer"), "{}", back.report);
        finish(running).await;
        match asked.await {
            Ok(found) => assert_eq!(found.as_of, Some(1)),
            Err(failure) => panic!("{failure}"),
        }
    }
    eventually("those that answered are gone", || answering() == 0).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_session_ends_what_answers() {
    let (engine, session) = session_with(undoing()).await;
    let code = "import time, os\nmine = os.getpid()\nclass C:\n    def __repr__(self):\n        while os.getpid() != mine: time.sleep(1)\n        return 'C'\nc = C()";
    run(&session, code).await.ok();
    let running = begun(&session, "print('on')\ntime.sleep(60)").await;
    let asked = session.inspect("c");
    eventually("it is being answered", || answering() == 1).await;
    session.shutdown().await;
    assert_eq!(answering(), 0);
    assert_eq!(asked.await.unwrap_err().code, Code::SessionClosed);
    drop(running);
    engine.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_was_tampered_with_is_refused() {
    let (engine, session) = session_with(undoing()).await;
    let attacks = [
        "b'\\x00\\x00\\x00\\x05hello'",
        "b'\\xff\\xff\\xff\\xff'",
        "struct.pack('>I', 1_000_000) + b'[' * 1_000_000",
        "struct.pack('>I', 13) + b'{\"hello\": {} }'",
        "struct.pack('>I', 11) + b'{\"data\": 5}'",
    ];
    run(&session, "import os, socket, stat, struct\nmine = os.getpid()").await.ok();
    for attack in attacks {
        let code = format!(
            "class C:\n    def __repr__(self):\n        if os.getpid() != mine:\n            for fd in map(int, os.listdir('/proc/self/fd')):\n                \
             try:\n                    os.write(fd, {attack})\n                except OSError: pass\n        return 'C'\nc = C()"
        );
        run(&session, code.as_str()).await.ok();
        let running = begun(&session, "import time\nprint('on')\ntime.sleep(60)").await;
        let failure = session.inspect("c").await.unwrap_err();
        assert_eq!(failure.code, Code::ProtocolError, "{attack}: {failure}");
        session.interrupt().await.unwrap();
        finish(running).await;
        assert_eq!(session.inspect("c").await.unwrap().repr.as_deref(), Some("C"));
    }
    engine.shutdown().await;
}
