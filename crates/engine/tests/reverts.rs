//! What a return to an earlier state tells, and what it costs elsewhere: limits, repeats, deaths.

mod common;

use common::*;
use pyrepl3_engine::protocol::message::{EndStatus, Message};
use pyrepl3_engine::{Code, Engine, EngineConfig, ExecuteRequest, Limits, SearchPath, SessionOptions};

#[tokio::test]
async fn code_that_leaves_no_step_of_undo_says_so_and_runs() {
    let limits = Limits { snapshots: Some(1), ..Limits::default() };
    let (engine, session) = session_with(SessionOptions { undo: 3, limits, ..SessionOptions::default() }).await;
    session.begin(None).await.unwrap();
    let mut execution = session.execute("x = 1; x").unwrap();
    let Message::Warning(warning) = until(&mut execution, |message| matches!(message, Message::Warning(_))).await
    else {
        unreachable!()
    };
    assert!(warning.text.contains("cannot be undone"), "{}", warning.text);
    assert!(warning.text.contains("as many snapshots as its limit allows"), "{}", warning.text);
    assert_eq!(finish(execution).await.repr(), "1");
    // Told once.
    run(&session, "x = 2").await.ok();
    assert_eq!(session.undo().await.unwrap_err().code, Code::NothingToUndo);
    session.rollback(None).await.unwrap();
    assert_eq!(run(&session, "'x' in globals()").await.repr(), "False");
    engine.shutdown().await;
}

#[tokio::test]
async fn an_engine_with_too_many_snapshots_takes_one_from_the_session_that_has_most() {
    let engine = Engine::new(EngineConfig { snapshots: Some(3), ..EngineConfig::new(SearchPath::from_env()) });
    let many = engine.start(SessionOptions::default()).await.unwrap();
    let few = engine.start(SessionOptions::default()).await.unwrap();
    let mut events = many.events();
    let first = many.snapshot(Some("first")).await.unwrap();
    many.snapshot(Some("second")).await.unwrap();
    let kept = few.snapshot(Some("kept")).await.unwrap();
    many.snapshot(Some("third")).await.unwrap();
    let evicted = event(&mut events, |message| matches!(message, Message::Evicted(_))).await;
    let Message::Evicted(evicted) = evicted else { unreachable!() };
    assert_eq!((evicted.snapshot_id.as_str(), evicted.name.as_deref()), (first.snapshot_id.as_str(), Some("first")));
    let gone = many.rollback_to(&first.snapshot_id, None).await.unwrap_err();
    assert_eq!(gone.code, Code::SnapshotNotFound);
    few.rollback_to(&kept.snapshot_id, None).await.unwrap();
    engine.shutdown().await;
}

#[tokio::test]
async fn a_repeat_of_what_was_undone_runs() {
    let (engine, session) = session().await;
    run(&session, "x = 0").await.ok();
    let before = session.snapshot(None).await.unwrap();
    let once = || ExecuteRequest::from("x += 1; x").with_idempotency_key("pay");
    assert_eq!(run(&session, once()).await.repr(), "1");
    assert!(run(&session, once()).await.ok().replayed);
    let back = session.rollback_to(&before.snapshot_id, None).await.unwrap();
    assert_eq!(back.undone, [2]);
    let again = run(&session, once()).await;
    assert!(!again.ok().replayed);
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_crash_names_every_execution_that_it_undid() {
    let (engine, session) = session().await;
    run(&session, "x = 1").await.ok();
    session.snapshot(Some("early")).await.unwrap();
    run(&session, "x = 2").await.ok();
    run(&session, "x = 3").await.ok();
    let ran = run(&session, "import os; os._exit(3)").await;
    let error = ran.err();
    assert_eq!((error.status, error.rolled_back, error.session_lost), (EndStatus::Crashed, true, false));
    assert_eq!(error.undone, [2, 3, 4]);
    assert_eq!(error.report.as_deref(), Some("The snapshot \"early\" is back, exactly. Undone: executions 2 to 4."));
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_death_while_nothing_ran_is_told_with_what_is_back() {
    let (engine, session) = session().await;
    let mut events = session.events();
    run(&session, "x = 1").await.ok();
    session.snapshot(Some("early")).await.unwrap();
    run(&session, "x = 2").await.ok();
    let pid = session.status().await.unwrap().pid.unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    let back = event(&mut events, |message| matches!(message, Message::RolledBack(_))).await;
    let Message::RolledBack(back) = back else { unreachable!() };
    assert_eq!((back.undone.as_slice(), back.exact), ([2].as_slice(), true));
    // Said once, so that no code runs unwittingly on another state than it was meant for.
    let mut execution = session.execute("x").unwrap();
    assert!(execution.next().await.is_none());
    let refusal = execution.refusal().unwrap();
    assert_eq!(refusal.code, Code::SessionLost);
    assert!(refusal.what.contains("an earlier one is back"), "{refusal}");
    assert!(refusal.why.contains("Undone: execution 2."), "{refusal}");
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}
