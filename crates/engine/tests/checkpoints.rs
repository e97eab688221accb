//! Checkpoints: saved while the session goes on, brought back into it, into others, after deaths.

mod common;

use common::*;
use pyrepl3_engine::protocol::message::{Autosave, Message, TransactionPolicy};
use pyrepl3_engine::{Code, Engine, EngineConfig, ExecuteRequest, SearchPath, Session, SessionOptions};
use std::path::Path;

fn engine_on(data: &Path) -> Engine {
    common::surroundings::tidy();
    Engine::new(EngineConfig { data: Some(data.to_owned()), ..EngineConfig::new(SearchPath::from_env()) })
}

async fn started(data: &Path) -> (Engine, Session) {
    let engine = engine_on(data);
    let session = engine.start(SessionOptions::default()).await.expect("a session starts");
    (engine, session)
}

async fn kill_worker(session: &Session) {
    let pid = session.status().await.unwrap().pid.unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

const STATE: &str = "
import math
shared = [1, 2]
holder = {'shared': shared}
base = 10
def area(r): return round(math.pi * r * r + base, 2)
class Point:
    def __init__(self, x): self.x = x
    def twice(self): return self.x * 2
p = Point(shared)
";
const LOOK: &str = "(shared, holder['shared'] is shared, p.x is shared, area(1), p.twice(), type(p) is Point)";
const SEEN: &str = "([1, 2], True, True, 13.14, [1, 2, 1, 2], True)";

#[tokio::test]
async fn a_state_comes_back_into_its_session_into_another_and_into_another_engine() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(&session, STATE).await.ok();
    let saved = session.checkpoint(Some("work")).await.unwrap();
    assert_eq!((saved.name.as_deref(), saved.execution_count), (Some("work"), 1));
    let tier = |name: &str| saved.variables.iter().find(|one| one.name == name).map(|one| one.tier.as_str());
    assert_eq!((tier("math"), tier("shared"), tier("area")), (Some("import"), Some("pickle"), Some("source")));
    assert!(saved.lost.is_empty(), "{:?}", saved.lost);

    run(&session, "shared.append(3); del area; base = 0; extra = 1").await.ok();
    let restored = session.restore("work", false).await.unwrap();
    assert_eq!(
        (restored.checkpoint_id.as_str(), restored.undone.as_slice()),
        (saved.checkpoint_id.as_str(), [2].as_slice())
    );
    assert_eq!(run(&session, LOOK).await.repr(), SEEN);
    assert_eq!(run(&session, "'extra' in globals()").await.repr(), "False");
    // A restored function lives in the session: what is assigned now is what it sees.
    assert_eq!(run(&session, "base = 0; area(1)").await.repr(), "3.14");

    let options = SessionOptions { from_checkpoint: Some("work".into()), ..SessionOptions::default() };
    let other = engine.start(options.clone()).await.unwrap();
    assert_eq!(run(&other, LOOK).await.repr(), SEEN);
    engine.shutdown().await;

    let second = engine_on(data.path());
    let third = second.start(options).await.unwrap();
    assert_eq!(run(&third, LOOK).await.repr(), SEEN);
    second.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_named_and_the_rest_is_saved() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(
        &session,
        "import threading\nlock = threading.Lock()\nlock.acquire()\nnumbers = (n for n in range(3))\nplain = 7",
    )
    .await
    .ok();
    let saved = session.checkpoint(None).await.unwrap();
    let mut names: Vec<&str> = saved.lost.iter().map(|lost| lost.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lock", "numbers"]);
    let restored = session.restore(&saved.checkpoint_id, false).await.unwrap();
    assert_eq!(restored.lost.len(), 2);
    assert_eq!(run(&session, "(plain, 'lock' in globals())").await.repr(), "(7, False)");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_restore_that_fails_leaves_the_session_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    let fuse = data.path().join("fuse");
    let code = format!(
        "import os\nclass Bad:\n    def __setstate__(self, state):\n        if os.path.exists({fuse:?}): os._exit(3)\n        self.x = state['x']\nbad = Bad(); bad.x = 1; keep = [1]"
    );
    run(&session, code.as_str()).await.ok();
    let saved = session.checkpoint(None).await.unwrap();
    assert!(saved.variables.iter().any(|one| one.name == "bad"), "{saved:?}");
    run(&session, "keep.append(0)").await.ok();
    std::fs::write(&fuse, "").unwrap();
    let died = session.restore(&saved.checkpoint_id, false).await.unwrap_err();
    assert_eq!(died.code, Code::RestoreFailed);
    assert!(died.why.contains("exited with code 3"), "{died}");
    let missing = session.restore("nothing of that name", false).await.unwrap_err();
    assert_eq!(missing.code, Code::CheckpointNotFound);
    assert!(missing.why.contains(&saved.checkpoint_id), "{missing}");
    assert_eq!(run(&session, "keep.append(2); (keep, bad.x)").await.repr(), "([1, 0, 2], 1)");
    engine.shutdown().await;
}

#[tokio::test]
async fn undo_undoes_a_restore() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine_on(data.path());
    let session = engine.start(SessionOptions { undo: 3, ..SessionOptions::default() }).await.unwrap();
    run(&session, "x = 1").await.ok();
    let saved = session.checkpoint(None).await.unwrap();
    run(&session, "x = 2").await.ok();
    session.restore(&saved.checkpoint_id, false).await.unwrap();
    assert_eq!(run(&session, "y = x").await.repr(), "None");
    session.undo().await.unwrap();
    session.undo().await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "2");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_checkpoint_while_code_runs_is_of_the_state_before_it() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(&session, "x = 1").await.ok();
    let policy = TransactionPolicy::RollbackOnFailure;
    let request = ExecuteRequest::from("x = 2\nname = input()\nx = 3").with_policy(policy);
    let mut execution = session.execute(request).unwrap();
    let Message::InputMessage(prompt) =
        until(&mut execution, |message| matches!(message, Message::InputMessage(_))).await
    else {
        unreachable!()
    };
    let saved = session.checkpoint(None).await.unwrap();
    assert_eq!(saved.execution_count, 1);
    session.input_response(&prompt.id, Some("go on".into())).await.unwrap();
    finish(execution).await.ok();
    assert_eq!(run(&session, "x").await.repr(), "3");
    session.restore(&saved.checkpoint_id, false).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_session_that_saves_itself_comes_back_after_a_crash_and_says_what_is_not_in_it() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine_on(data.path());
    let autosave = Some(Autosave { executions: Some(1), ..Autosave::default() });
    let options = SessionOptions { autosave, name: Some("mine".into()), ..SessionOptions::default() };
    let session = engine.start(options.clone()).await.unwrap();
    let mut events = session.events();
    run(&session, "x = 1").await.ok();
    event(&mut events, |message| matches!(message, Message::CheckpointCreated(_))).await;
    let crashed = run(&session, "x = 2\nimport os\nos._exit(3)").await;
    assert!(crashed.err().session_lost);
    let Message::Restored(restored) = event(&mut events, |message| matches!(message, Message::Restored(_))).await
    else {
        unreachable!()
    };
    assert_eq!(restored.undone, [2]);
    assert_eq!(run(&session, "x").await.repr(), "1");

    // While nothing runs, with everything saved: as if nothing had been.
    event(&mut events, |message| matches!(message, Message::CheckpointCreated(_))).await;
    kill_worker(&session).await;
    event(&mut events, |message| matches!(message, Message::Restored(_))).await;
    assert_eq!(run(&session, "x").await.repr(), "1");
    engine.shutdown().await;

    // What was begun after the last checkpoint is known to whoever starts a session of this name.
    let second = engine_on(data.path());
    let again = second.start(SessionOptions {
        autosave: Some(Autosave { seconds: Some(1e6), ..Autosave::default() }),
        ..options.clone()
    });
    let again = again.await.unwrap();
    assert_eq!(run(&again, "x").await.repr(), "1");
    again.checkpoint(None).await.unwrap();
    run(&again, "x = 5").await.ok();
    run(&again, "x = 6").await.ok();
    let count = again.status().await.unwrap().execution_count;
    second.shutdown().await;
    let third = engine_on(data.path());
    let last = third.start(options).await.unwrap();
    let mut events = last.events();
    let Message::Restored(restored) = event(&mut events, |message| matches!(message, Message::Restored(_))).await
    else {
        unreachable!()
    };
    assert_eq!(restored.undone, [count - 1, count]);
    assert_eq!(run(&last, "x").await.repr(), "1");
    third.shutdown().await;
}

#[tokio::test]
async fn paid_for_results_are_carried_out_of_a_failure() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(&session, "results, other = [], 1").await.ok();
    let policy = TransactionPolicy::RollbackOnFailure;
    let salvage = vec!["results".to_owned(), "missing".to_owned()];
    let request = |code: &str| ExecuteRequest::from(code).with_policy(policy).with_salvage(salvage.clone());
    let failed = run(&session, request("results = [1, 2]; other = 2; 1 / 0")).await;
    let error = failed.err();
    assert!(error.rolled_back);
    assert_eq!(error.salvaged, ["results"]);
    let report = error.report.as_deref().unwrap();
    assert!(report.contains("Could not be carried over: missing (the failed state has no such variable)"), "{report}");
    assert_eq!(run(&session, "(results, other)").await.repr(), "([1, 2], 1)");
    let killed = run(&session, request("results = [9]\nimport os\nos._exit(3)")).await;
    assert!(killed.err().salvaged.is_empty());
    assert!(killed.err().report.as_deref().unwrap().contains("the process ended before"), "{:?}", killed.err().report);
    assert_eq!(run(&session, "results").await.repr(), "[1, 2]");
    let useless = session.execute(ExecuteRequest::from("1").with_salvage(salvage)).unwrap_err();
    assert_eq!(useless.code, Code::BadRequest);
    engine.shutdown().await;
}

#[tokio::test]
async fn two_checkpoints_and_the_present_are_compared_by_name() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(&session, "same, changed, gone = [1], [2], [3]").await.ok();
    let first = session.checkpoint(Some("first")).await.unwrap();
    run(&session, "changed.append(9); del gone; new = 'n'").await.ok();
    let present = session.diff("first", None).await.unwrap();
    session.checkpoint(Some("second")).await.unwrap();
    let stored = session.diff(&first.checkpoint_id, Some("second")).await.unwrap();
    assert_eq!(present, stored);
    let told: Vec<(&str, &str)> = stored.iter().map(|one| (one.name.as_str(), one.change.as_str())).collect();
    assert_eq!(told, [("changed", "changed"), ("gone", "removed"), ("new", "added")]);
    // What was made for the comparison is gone again.
    assert_eq!(session.checkpoints().await.unwrap().len(), 2);
    engine.shutdown().await;
}

#[tokio::test]
async fn without_a_data_directory_it_says_so() {
    let (engine, session) = session().await;
    let failure = session.checkpoint(None).await.unwrap_err();
    assert_eq!(failure.code, Code::Unsupported);
    assert_eq!(run(&session, "1").await.repr(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn no_process_is_left_of_a_checkpoint() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    run(&session, "x = 1").await.ok();
    for _ in 0..3 {
        session.checkpoint(None).await.unwrap();
    }
    let seen =
        run(&session, "import os\ntry: os.wait(); seen = 'a child'\nexcept ChildProcessError: seen = 'none'\nseen")
            .await;
    assert_eq!(seen.repr(), "'none'");
    engine.shutdown().await;
}

fn named() -> SessionOptions {
    let autosave = Some(Autosave { seconds: Some(1e6), ..Autosave::default() });
    SessionOptions { autosave, name: Some("mine".into()), ..SessionOptions::default() }
}

async fn restored(session: &Session) -> pyrepl3_engine::protocol::message::Restored {
    match event(&mut session.events(), |message| matches!(message, Message::Restored(_))).await {
        Message::Restored(restored) => restored,
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn each_session_of_a_name_is_told_what_the_one_before_it_did_not_save() {
    let data = tempfile::tempdir().unwrap();
    let engine = engine_on(data.path());
    let session = engine.start(named()).await.unwrap();
    run(&session, "x = 1").await.ok();
    session.checkpoint(None).await.unwrap();
    run(&session, "x = 2").await.ok();
    engine.shutdown().await;
    // Of those that follow none is saved, so all go on from the first one's checkpoint.
    for (lines, missing) in [(2, vec![2]), (0, vec![2, 3]), (0, vec![])] {
        let engine = engine_on(data.path());
        let session = engine.start(named()).await.unwrap();
        assert_eq!(restored(&session).await.undone, missing);
        for _ in 0..lines {
            run(&session, "x += 10").await.ok();
        }
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn an_import_is_resumed_by_nobody_and_restored_by_whoever_asks() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine_on(elsewhere.path());
    let session = engine.start(named()).await.unwrap();
    run(&session, "x = 'theirs'").await.ok();
    let saved = session.checkpoint(None).await.unwrap();
    let file = elsewhere.path().join("exported");
    engine.export_checkpoint(&saved.checkpoint_id, &file).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    engine.shutdown().await;

    let engine = engine_on(data.path());
    let imported = engine.import_trusted_checkpoint(&file).await.unwrap();
    let session = engine.start(named()).await.unwrap();
    assert_eq!(run(&session, "'x' in globals()").await.repr(), "False");
    session.restore(&imported.checkpoint_id, false).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "'theirs'");
    // What is saved after that is the session's own.
    let own = session.checkpoint(None).await.unwrap();
    engine.import_trusted_checkpoint(&file).await.unwrap();
    engine.shutdown().await;
    let engine = engine_on(data.path());
    let session = engine.start(named()).await.unwrap();
    assert_eq!(restored(&session).await.checkpoint_id, own.checkpoint_id);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_process_that_is_forked_while_it_loads_holds_nothing_up() {
    let data = tempfile::tempdir().unwrap();
    let (engine, session) = started(data.path()).await;
    let forks = "
import os, signal
class Forks:
    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.fork() == 0:
            signal.pause()
            os._exit(0)
forks = Forks()
forks.x = 1
";
    run(&session, forks).await.ok();
    let saved = session.checkpoint(None).await.unwrap();
    let restored = session.restore(&saved.checkpoint_id, false).await.unwrap();
    assert!(restored.lost.is_empty(), "{:?}", restored.lost);
    assert_eq!(run(&session, "forks.x").await.repr(), "1");
    // What it holds up, the end would wait for.
    engine.shutdown().await;
}
