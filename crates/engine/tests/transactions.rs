//! Policies, explicit transactions, snapshots, undo and branches, over real processes.

mod common;

use common::*;
use pyrepl3_engine::protocol::message::{EndStatus, RandomState, TransactionPolicy};
use pyrepl3_engine::{Code, ExecuteRequest, Limits, SessionOptions};
use std::time::Duration;

fn under(policy: TransactionPolicy, code: &str) -> ExecuteRequest {
    ExecuteRequest::from(code).with_policy(policy)
}

fn guarded(code: &str) -> ExecuteRequest {
    under(TransactionPolicy::RollbackOnFailure, code)
}

#[tokio::test]
async fn a_failure_is_undone_exactly() {
    let (engine, session) = session().await;
    run(&session, "x = 10; l = [1]; alias = l; before = id(l)").await.ok();
    let ran = run(&session, guarded("x = 20; y = 30; l.append(2); print('seen'); raise ValueError('no')")).await;
    assert_eq!(ran.stdout, "seen\n");
    let error = ran.err();
    assert_eq!((error.ename.as_str(), error.rolled_back), ("ValueError", true));
    assert_eq!(error.report.as_deref(), Some("The state after execution 1 is back, exactly. Undone: execution 2."));
    let ran = run(&session, "x, l, 'y' in dir(), alias is l, id(l) == before").await;
    assert_eq!(ran.repr(), "(10, [1], False, True, True)");
    engine.shutdown().await;
}

#[tokio::test]
async fn success_is_kept_and_leaves_no_snapshot() {
    let (engine, session) = session().await;
    for policy in [TransactionPolicy::RollbackOnFailure, TransactionPolicy::CommitOnSuccess] {
        run(&session, under(policy, "x = globals().get('x', 0) + 1")).await.ok();
    }
    assert_eq!(run(&session, "x").await.repr(), "2");
    assert!(session.snapshots().await.unwrap().is_empty());
    engine.shutdown().await;
}

#[tokio::test]
async fn a_crash_under_a_policy_that_undoes_loses_nothing() {
    let (engine, session) = session_with(impatient()).await;
    run(&session, "x = [1]").await.ok();
    let crashes = [
        "x.append(2); import os; os._exit(3)",
        "x.append(2); import os; os.kill(os.getpid(), 9)",
        "x.append(2); import ctypes; ctypes.string_at(0)",
        "x.append(2); import os; os.abort()",
    ];
    for code in crashes {
        let ran = run(&session, guarded(code)).await;
        let error = ran.err();
        assert_eq!(error.status, EndStatus::Crashed, "{code}");
        assert!(error.rolled_back && !error.session_lost, "{code}: {error:#?}");
        assert_eq!(run(&session, "x").await.repr(), "[1]", "{code}");
    }
    let stuck = guarded(
        "x.append(2)\nimport signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\ntime.sleep(60)",
    )
    .with_timeout(Duration::from_millis(100));
    let ran = run(&session, stuck).await;
    let error = ran.err();
    assert_eq!((error.status, error.rolled_back), (EndStatus::TimedOut, true));
    assert_eq!(run(&session, "x").await.repr(), "[1]");
    engine.shutdown().await;
}

#[tokio::test]
async fn interrupts_are_undone_only_where_success_is_what_counts() {
    let (engine, session) = session().await;
    run(&session, "x = 0\nimport time").await.ok();
    for (policy, undone) in [(TransactionPolicy::CommitOnSuccess, true), (TransactionPolicy::RollbackOnFailure, false)]
    {
        let mut execution = session.execute(under(policy, "x += 1\nprint('on')\ntime.sleep(60)")).unwrap();
        until(&mut execution, |message| message.type_name() == "output").await;
        session.interrupt().await.unwrap();
        let ran = finish(execution).await;
        assert_eq!((ran.err().status, ran.err().rolled_back), (EndStatus::Interrupted, undone));
    }
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn explicit_transactions_span_executions_and_have_savepoints() {
    let (engine, session) = session().await;
    run(&session, "x = 0").await.ok();
    let explicit = |code: &str| under(TransactionPolicy::Explicit, code);
    run(&session, explicit("x = 1")).await.ok();
    let savepoint = session.savepoint(None).await.unwrap();
    run(&session, explicit("x = 2")).await.ok();
    assert!(!run(&session, explicit("x = 3; 1/0")).await.err().rolled_back);
    assert_eq!(run(&session, "x").await.repr(), "3");
    let back = session.rollback_to(&savepoint.snapshot_id, None).await.unwrap();
    assert!(back.exact, "{}", back.report);
    assert_eq!(run(&session, "x").await.repr(), "1");
    // Other policies inside act as savepoints.
    run(&session, guarded("x = 9; 1/0")).await.err();
    assert_eq!(run(&session, "x").await.repr(), "1");
    session.rollback(None).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "0");
    assert_eq!(session.commit(None).await.unwrap_err().code, Code::NoTransaction);
    assert!(session.snapshots().await.unwrap().is_empty());

    let id = session.begin(None).await.unwrap();
    assert_eq!(session.begin(None).await.unwrap_err().code, Code::TransactionOpen);
    let mine = explicit("x = 5").with_transaction(id.clone());
    run(&session, mine.clone()).await.ok();
    session.commit(Some(&id)).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "5");
    let late = session.execute(mine).unwrap().result().await;
    assert!(late.unwrap_err().to_string().contains("no such transaction"));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_crash_inside_a_transaction_goes_back_to_before_that_execution() {
    let (engine, session) = session().await;
    let explicit = |code: &str| under(TransactionPolicy::Explicit, code);
    run(&session, explicit("x = 1")).await.ok();
    run(&session, explicit("x = 2")).await.ok();
    let ran = run(&session, explicit("x = 3; import os; os._exit(1)")).await;
    assert!(ran.err().rolled_back);
    assert_eq!(run(&session, "x").await.repr(), "2");
    session.rollback(None).await.unwrap();
    assert!(run(&session, "x").await.err().evalue.contains("not defined"));
    engine.shutdown().await;
}

#[tokio::test]
async fn an_abandoned_transaction_rolls_back() {
    let (engine, session) = session().await;
    run(&session, "x = 0").await.ok();
    session.begin(Some(Duration::from_millis(50))).await.unwrap();
    run(&session, "x = 1").await.ok();
    let mut events = session.events();
    let message = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap();
    assert_eq!(message.type_name(), "rolled_back", "{message:?}");
    assert_eq!(run(&session, "x").await.repr(), "0");
    assert_eq!(session.commit(None).await.unwrap_err().code, Code::NoTransaction);
    engine.shutdown().await;
}

#[tokio::test]
async fn snapshots_are_returned_to_again_and_again() {
    let (engine, session) = session().await;
    run(&session, "x = ['a']").await.ok();
    let first = session.snapshot(Some("first")).await.unwrap();
    run(&session, "x.append('b')").await.ok();
    let second = session.snapshot(None).await.unwrap();
    run(&session, "x.append('c')").await.ok();
    assert_eq!(session.snapshots().await.unwrap().len(), 2);
    session.rollback_to(&second.snapshot_id, None).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "['a', 'b']");
    for _ in 0..3 {
        session.rollback_to(&first.snapshot_id, None).await.unwrap();
        assert_eq!(run(&session, "x.append('z'); x").await.repr(), "['a', 'z']");
    }
    let listed = session.snapshots().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name.as_deref(), Some("first"));
    // The process that waits in place of the one that was woken may not have said that it is there.
    let begun = std::time::Instant::now();
    while session.snapshots().await.unwrap()[0].memory.is_none() {
        assert!(begun.elapsed() < LIMIT, "its memory is never told");
    }
    let gone = session.rollback_to(&second.snapshot_id, None).await.unwrap_err();
    assert_eq!(gone.code, Code::SnapshotNotFound);
    session.drop_snapshot(&first.snapshot_id).await.unwrap();
    assert!(session.snapshots().await.unwrap().is_empty());
    engine.shutdown().await;
}

#[tokio::test]
async fn rollback_to_stops_what_runs_and_cancels_what_waits() {
    let (engine, session) = session().await;
    run(&session, "x = 1").await.ok();
    let snapshot = session.snapshot(None).await.unwrap();
    let mut running = session.execute("x = 2\nprint('on')\nwhile True: pass").unwrap();
    let waiting = session.execute("x = 3").unwrap();
    until(&mut running, |message| message.type_name() == "output").await;
    session.rollback_to(&snapshot.snapshot_id, None).await.unwrap();
    assert_eq!(finish(running).await.err().status, EndStatus::Interrupted);
    assert_eq!(finish(waiting).await.err().status, EndStatus::Cancelled);
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn undo_and_redo_walk_through_the_executions() {
    let (engine, session) = session_with(SessionOptions { undo: 5, ..SessionOptions::default() }).await;
    assert_eq!(session.undo().await.unwrap_err().code, Code::NothingToUndo);
    for n in 0..4 {
        run(&session, format!("x = {n}")).await.ok();
    }
    session.undo().await.unwrap();
    session.undo().await.unwrap();
    assert_eq!(session.redo().await.unwrap().reason, "redo");
    session.undo().await.unwrap();
    session.redo().await.unwrap();
    session.redo().await.unwrap();
    assert_eq!(session.redo().await.unwrap_err().code, Code::NothingToRedo);
    session.undo().await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "2");
    assert_eq!(session.redo().await.unwrap_err().code, Code::NothingToRedo);
    // The question was an execution too.
    session.undo().await.unwrap();
    for _ in 0..2 {
        session.undo().await.unwrap();
    }
    assert_eq!(run(&session, "x").await.repr(), "0");
    // A crash is undone by what undo keeps.
    let ran = run(&session, "x = 7; import os; os._exit(1)").await;
    assert!(ran.err().rolled_back, "{:#?}", ran.err());
    assert_eq!(run(&session, "x").await.repr(), "0");
    engine.shutdown().await;
}

#[tokio::test]
async fn branches_have_a_common_past_and_their_own_future() {
    let (engine, parent) = session().await;
    run(&parent, "import random; random.seed(1); x = [0]").await.ok();
    let branches = parent.branch(3, RandomState::Same).await.unwrap();
    for (n, branch) in branches.iter().enumerate() {
        assert_eq!(branch.lineage().unwrap().parent, parent.id());
        assert_eq!(branch.lineage().unwrap().branched_at, 1);
        run(branch, format!("x.append({n}); print({n})")).await.ok();
    }
    for (n, branch) in branches.iter().enumerate() {
        assert_eq!(run(branch, "x").await.repr(), format!("[0, {n}]"));
    }
    assert_eq!(run(&parent, "x").await.repr(), "[0]");
    let drawn = run(&parent, "random.random()").await.repr().to_owned();
    assert_eq!(run(&branches[0], "random.random()").await.repr(), drawn);
    // One that dies does not touch its siblings, and comes back with a fresh namespace.
    assert!(run(&branches[1], "import os; os._exit(1)").await.err().session_lost);
    run(&branches[1], "y = 1").await.ok();
    assert_eq!(run(&branches[2], "x").await.repr(), "[0, 2]");
    // A branch has snapshots, and branches, of its own.
    let snapshot = branches[2].snapshot(None).await.unwrap();
    run(&branches[2], "x.clear()").await.ok();
    branches[2].rollback_to(&snapshot.snapshot_id, None).await.unwrap();
    assert_eq!(run(&branches[2], "x").await.repr(), "[0, 2]");
    let grandchild = branches[2].branch(1, RandomState::Same).await.unwrap().remove(0);
    parent.shutdown().await;
    assert_eq!(run(&grandchild, "x").await.repr(), "[0, 2]");
    engine.shutdown().await;
}

#[tokio::test]
async fn branches_draw_their_own_numbers_on_request() {
    let (engine, parent) = session().await;
    run(&parent, "import random; random.seed(1); own = random.Random(2)").await.ok();
    let mut seen = std::collections::BTreeSet::new();
    let code = "(random.random(), own.random())";
    for _ in 0..2 {
        for branch in parent.branch(2, RandomState::Split).await.unwrap() {
            seen.insert(run(&branch, code).await.repr().to_owned());
        }
    }
    seen.insert(run(&parent, code).await.repr().to_owned());
    assert_eq!(seen.len(), 3, "{seen:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn the_oldest_steps_of_undo_go_first_then_named_ones_with_an_event() {
    let limits = Limits { snapshots: Some(3), ..Limits::default() };
    let (engine, session) = session_with(SessionOptions { undo: 10, limits, ..SessionOptions::default() }).await;
    let mut events = session.events();
    run(&session, "x = 1").await.ok();
    run(&session, "x = 2").await.ok();
    let first = session.snapshot(Some("first")).await.unwrap();
    session.snapshot(Some("second")).await.unwrap();
    session.snapshot(Some("third")).await.unwrap();
    session.snapshot(Some("fourth")).await.unwrap();
    let names: Vec<_> =
        session.snapshots().await.unwrap().into_iter().map(|one| one.name.unwrap_or_default()).collect();
    assert_eq!(names, ["second", "third", "fourth"]);
    let mut evicted = Vec::new();
    while evicted.len() < 3 {
        let message = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap();
        if let pyrepl3_engine::protocol::Message::Evicted(one) = message.into_message() {
            evicted.push(one);
        }
    }
    assert_eq!(evicted[2].snapshot_id, first.snapshot_id);
    engine.shutdown().await;
}
