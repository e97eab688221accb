//! Supervisors die without a word, and another one takes over: through the engine, with real processes that are killed.

mod any_moment;
#[path = "../common/mod.rs"]
mod common;
mod journalled;
mod spares;
mod supervisor;

use common::{LIMIT, event, eventually, is_alive, marked, run};
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::protocol::message::{ErrorMessage, ResultMessage, SnapshotKind};
use pyrepl3_engine::{Code, Engine, Events, ExecuteRequest, Session};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use supervisor::{GRACE, Supervisor, ends, engine, is_of_type};

/// Run by other tests as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the supervisor of other tests"]
async fn a_supervisor() {
    supervisor::run().await;
}

fn data() -> tempfile::TempDir {
    common::surroundings::tidy();
    tempfile::tempdir().unwrap()
}

/// A supervisor with a session, and the session's id.
async fn started(data: &Path, options: Value) -> (Supervisor, String) {
    let mut supervisor = Supervisor::new(data);
    let started = supervisor.ask(json!({"do": "start", "options": options})).await;
    let id = started["session"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
    (supervisor, id)
}

async fn taken_over(data: &Path, id: &str) -> (Engine, Session) {
    let engine = engine(data, Duration::from_secs(GRACE));
    let session = engine.adopt(id).await.expect("it is taken over");
    (engine, session)
}

/// What is there of it when all is over.
async fn closed(engine: Engine, data: &Path, session: &Session) {
    let pid = pid(session).await;
    engine.shutdown().await;
    eventually("no process is left", || !is_alive(pid)).await;
    assert_eq!(left(data), [] as [String; 0], "its directory is gone");
}

/// Directories of sessions, with what is in each.
fn left(data: &Path) -> Vec<String> {
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let sessions = data.join("sessions");
    names(&sessions).into_iter().map(|id| format!("{id}: {:?}", names(&sessions.join(&id)))).collect()
}

/// Everything that a session has to say, from the earliest that is kept.
fn all_events(session: &Session) -> Events {
    session.follow(Some(session.event_numbers().0 - 1)).unwrap()
}

async fn next_error(events: &mut Events) -> ErrorMessage {
    match event(events, |one| matches!(one, Message::ErrorMessage(_))).await {
        Message::ErrorMessage(error) => error,
        other => panic!("{}", other.type_name()),
    }
}

async fn next_result(events: &mut Events) -> ResultMessage {
    match event(events, |one| matches!(one, Message::ResultMessage(_))).await {
        Message::ResultMessage(result) => result,
        other => panic!("{}", other.type_name()),
    }
}

async fn pid(session: &Session) -> i32 {
    session.status().await.unwrap().pid.unwrap()
}

#[tokio::test]
async fn a_session_outlives_its_supervisor_with_its_state_its_snapshots_and_its_numbers() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({"undo": 5})).await;
    assert_eq!(first.ask(json!({"do": "value", "code": "x = 41; x + 1"})).await["value"], "42");
    let snapshot = first.ask(json!({"do": "snapshot", "name": "here"})).await["answer"]["snapshot_id"].clone();
    first.ask(json!({"do": "value", "code": "x = 'changed'"})).await;
    let before = first.ask(json!({"do": "status"})).await["answer"].clone();
    let events = first.kill().await;
    let last = events.iter().filter_map(|event| event["seq"].as_u64()).max().unwrap();

    let (engine, session) = taken_over(data.path(), &id).await;
    assert_eq!(engine.session_ids(), std::slice::from_ref(&id));
    let (earliest, _) = session.event_numbers();
    assert!(earliest > last, "no number is used twice: {last}, then {earliest}");
    assert_eq!(session.follow(Some(last)).unwrap_err().code, Code::Gone);
    let after = session.status().await.unwrap();
    assert_eq!(json!(after.pid), before["pid"], "it is the same process");
    assert_eq!(json!(after.execution_count), before["execution_count"]);
    assert_eq!(run(&session, "x").await.repr(), "'changed'");
    let kept = session.snapshots().await.unwrap();
    let named = kept.iter().find(|one| one.kind == SnapshotKind::Named).expect("the snapshot is there");
    assert_eq!((json!(named.snapshot_id), named.name.as_deref()), (snapshot, Some("here")));
    let undone = session.undo().await.unwrap();
    assert!(undone.exact, "{}", undone.report);
    assert_eq!(run(&session, "x").await.repr(), "'changed'", "that was the execution that read it");
    let back = session.rollback_to(&named.snapshot_id, None).await.unwrap();
    assert!(back.exact && back.undone.contains(&2), "{back:?}");
    assert_eq!(run(&session, "x").await.repr(), "41");
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn code_that_runs_does_not_notice_and_ends_once() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    let code = "import time\nran = 0\nfor step in range(30):\n    time.sleep(0.05)\n    ran += 1\n'done'";
    first.tell(json!({"do": "execute", "id": "exe_long", "code": code})).await;
    first.tell(json!({"do": "execute", "id": "exe_next", "code": "ran"})).await;
    first.tell(json!({"do": "execute", "id": "exe_timed", "code": "time.sleep(60)", "timeout": 1.0})).await;
    let status = first.ask(json!({"do": "status"})).await;
    assert_eq!(status["answer"]["running"], "exe_long");
    first.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    let status = session.status().await.unwrap();
    assert_eq!(status.running.as_deref(), Some("exe_long"));
    assert_eq!(status.queued, ["exe_next", "exe_timed"]);
    let mut events = all_events(&session);
    let end = |wanted: &'static str| move |message: &Message| message.execution_id() == Some(wanted);
    let Message::ResultMessage(result) = event(&mut events, end("exe_long")).await else { panic!("no result") };
    assert_eq!((result.repr.as_deref(), result.execution_count), (Some("'done'"), 1));
    let Message::ResultMessage(result) = event(&mut events, end("exe_next")).await else { panic!("no result") };
    assert_eq!((result.repr.as_deref(), result.execution_count), (Some("30"), 2));
    let Message::ErrorMessage(error) = event(&mut events, end("exe_timed")).await else { panic!("no error") };
    assert_eq!(error.ename, "TimeoutError");
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn what_is_printed_meanwhile_comes_once_and_in_its_order() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    let code = "for line in range(60_000):\n    print('line', line)\n'z' * 200_000";
    first.tell(json!({"do": "execute", "id": "exe_out", "code": code})).await;
    first.event(|event| is_of_type(event, "output")).await;
    let told = first.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    let mut events = all_events(&session);
    let mut text = String::new();
    let last = loop {
        let message = tokio::time::timeout(LIMIT, events.next()).await.unwrap().expect("an event").into_message();
        match message {
            Message::OutputMessage(output) => text.push_str(&output.data),
            Message::ResultMessage(result) => break result,
            _ => {}
        }
    };
    // What the first had read went with it, in part: the rest is whole.
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let numbers = lines.iter().map(|line| line.strip_prefix("line ").unwrap().parse::<u32>().unwrap());
    let mut expected = 60_000 - u32::try_from(lines.len()).unwrap();
    for number in numbers {
        assert_eq!(number, expected);
        expected += 1;
    }
    assert_eq!(expected, 60_000);
    assert!(lines.len() > 1000, "most of it came to the second: {}, {}", lines.len(), told.len());
    assert!(last.repr.unwrap().contains("zzz"));
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn a_prompt_waits_on_and_is_answered_by_the_next() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.tell(json!({"do": "execute", "id": "exe_ask", "code": "name = input('Name? ')\nname.upper()"})).await;
    first.event(|event| is_of_type(event, "input")).await;
    first.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    let inputs = session.status().await.unwrap().inputs;
    assert_eq!(inputs.len(), 1);
    assert_eq!((inputs[0].prompt.as_str(), inputs[0].execution_id.as_deref()), ("Name? ", Some("exe_ask")));
    let mut events = all_events(&session);
    session.input_response(&inputs[0].id, Some("alice".into())).await.unwrap();
    let result = next_result(&mut events).await;
    assert_eq!(result.repr.as_deref(), Some("'ALICE'"));
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn an_open_transaction_is_open_and_can_be_rolled_back() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": "x = ['kept']"})).await;
    let transaction = first.ask(json!({"do": "begin"})).await["answer"].clone();
    first.ask(json!({"do": "value", "code": "x.append('pending')"})).await;
    first.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    assert_eq!(json!(session.status().await.unwrap().transaction), transaction);
    assert_eq!(run(&session, "x").await.repr(), "['kept', 'pending']");
    session.rollback(transaction.as_str()).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "['kept']");
    assert_eq!(session.commit(None).await.unwrap_err().code, Code::NoTransaction);
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn code_that_fails_without_a_supervisor_is_undone_by_the_next() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": "import time; x = 1"})).await;
    let code = "x = 2\nprint('begun', flush=True)\ntime.sleep(1)\nraise ValueError('no')";
    let request = json!({"do": "execute", "id": "exe_fails", "code": code, "policy": "commit_on_success"});
    first.tell(request).await;
    first.event(|event| is_of_type(event, "output")).await;
    first.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    let mut events = all_events(&session);
    let error = next_error(&mut events).await;
    assert_eq!((error.ename.as_str(), error.rolled_back), ("ValueError", true));
    assert_eq!(run(&session, "x").await.repr(), "1");
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn a_worker_that_dies_without_a_supervisor_is_replaced_by_the_next() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": "import os, time; x = 1"})).await;
    let code = "print('begun', flush=True)\ntime.sleep(0.5)\nos._exit(3)";
    first.tell(json!({"do": "execute", "id": "exe_dies", "code": code})).await;
    first.event(|event| is_of_type(event, "output")).await;
    first.kill().await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (engine, session) = taken_over(data.path(), &id).await;
    let mut events = all_events(&session);
    let error = next_error(&mut events).await;
    assert!(error.session_lost && error.exit.as_ref().is_some_and(|exit| exit.code == Some(3)), "{error:?}");
    assert_eq!(run(&session, "'x' in globals()").await.repr(), "False");
    closed(engine, data.path(), &session).await;
}

/// Supervisors that are killed in the middle of returns, wherever they are just then.
#[tokio::test]
async fn a_return_that_was_under_way_is_completed_or_did_not_happen() {
    let data = data();
    let (mut supervisor, id) = started(data.path(), json!({})).await;
    supervisor.ask(json!({"do": "value", "code": "x = [0]"})).await;
    let snapshot = supervisor.ask(json!({"do": "snapshot", "name": "zero"})).await["answer"]["snapshot_id"].clone();
    for round in 0..12u32 {
        let code = format!("x.append({round}); big = bytearray(8 << 20); x");
        let value = supervisor.ask(json!({"do": "value", "code": code})).await;
        assert_eq!(value["value"], format!("[0, {round}]"), "round {round}");
        supervisor.tell(json!({"do": "rollback_to", "id": snapshot})).await;
        // From before it has begun until after its end.
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 1500)).await;
        supervisor.kill().await;
        supervisor = Supervisor::new(data.path());
        let taken = supervisor.ask(json!({"do": "adopt", "id": id})).await;
        assert_eq!(taken["session"], json!(id), "round {round}: {taken}");
        let value = supervisor.ask(json!({"do": "value", "code": "x"})).await;
        let (back, not) = (json!("[0]"), json!(format!("[0, {round}]")));
        assert!(value["value"] == back || value["value"] == not, "round {round}: {value}");
        if value["value"] == not {
            let rolled_back = supervisor.ask(json!({"do": "rollback_to", "id": snapshot})).await;
            assert_eq!(rolled_back["answer"]["exact"], true, "round {round}: {rolled_back}");
        }
    }
    supervisor.kill().await;
    let (engine, session) = taken_over(data.path(), &id).await;
    closed(engine, data.path(), &session).await;
}

/// The same in the middle of branches being made: they are all there, or none is.
#[tokio::test]
async fn branches_that_were_being_made_are_ended_and_those_that_were_made_live() {
    let data = data();
    let marker = format!("PYREPL3_ADOPTION_{}", std::process::id());
    for wait in [0, 10, 25, 40, 60, 90] {
        let (mut first, id) = started(data.path(), json!({"env": {&marker: "1"}})).await;
        first.ask(json!({"do": "value", "code": "x = 7"})).await;
        first.tell(json!({"do": "branch", "count": 3})).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let told = first.kill().await;
        let made = told.iter().find_map(|line| line["branches"].as_array());

        let (engine, session) = taken_over(data.path(), &id).await;
        assert_eq!(run(&session, "x").await.repr(), "7");
        let mut alive = Vec::new();
        for orphan in engine.orphans().await.unwrap() {
            match engine.adopt(&orphan).await {
                Ok(branch) => {
                    assert_eq!(branch.lineage().map(|lineage| lineage.parent.as_str()), Some(id.as_str()));
                    assert_eq!(run(&branch, "x").await.repr(), "7");
                    alive.push(branch);
                }
                Err(failure) => assert_eq!(failure.code, Code::SessionClosed, "{failure}"),
            }
        }
        if let Some(made) = made {
            assert_eq!(alive.len(), made.len());
        }
        // Another one gets a number that none of these has.
        let more = session.branch(1, Default::default()).await.unwrap();
        assert_eq!(run(&more[0], "x").await.repr(), "7");
        engine.shutdown().await;
        eventually("no process is left", || marked(&marker).is_empty()).await;
        assert_eq!(left(data.path()), [] as [String; 0]);
    }
}

/// Values whose own code is slow to be saved and to be loaded.
const SLOW: &str = "import time
class Slow:
    def __init__(self, name): self.name = name
    def __reduce__(self): time.sleep(0.3); return (load, (self.name,))
def load(name):
    time.sleep(0.3)
    return Slow(name)
x = [Slow(name) for name in 'abc']
state = 'first'";

#[tokio::test]
async fn a_checkpoint_or_a_restore_that_was_under_way_did_not_happen() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": SLOW})).await;
    let saved = first.ask(json!({"do": "checkpoint"})).await["answer"]["checkpoint_id"].clone();
    assert!(saved.is_string());
    first.ask(json!({"do": "value", "code": "state = 'second'"})).await;
    first.tell(json!({"do": "checkpoint"})).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.kill().await;

    let mut second = Supervisor::new(data.path());
    assert_eq!(second.ask(json!({"do": "adopt", "id": id})).await["session"], json!(id));
    assert_eq!(second.ask(json!({"do": "value", "code": "state"})).await["value"], "'second'");
    second.tell(json!({"do": "restore", "id": saved})).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    second.kill().await;

    let (engine, session) = taken_over(data.path(), &id).await;
    assert_eq!(engine.checkpoints().await.unwrap().len(), 1, "of the second nothing is there");
    assert_eq!(run(&session, "state, [one.name for one in x]").await.repr(), "('second', ['a', 'b', 'c'])");
    assert!(session.snapshots().await.unwrap().is_empty(), "nothing is kept for what did not happen");
    // Both can be asked for again.
    let restored = session.restore(saved.as_str().unwrap(), false).await.unwrap();
    assert!(restored.lost.is_empty(), "{restored:?}");
    assert_eq!(run(&session, "state").await.repr(), "'first'");
    session.checkpoint(None).await.unwrap();
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn a_savepoint_and_a_step_of_undo_are_there_in_a_data_directory_with_a_long_name() {
    let folder = data();
    let data = folder.path().join("long".repeat(40)).join("name".repeat(40));
    let (mut first, id) = started(&data, json!({"undo": 3})).await;
    first.ask(json!({"do": "begin"})).await;
    first.ask(json!({"do": "value", "code": "x = 1"})).await;
    let savepoint = first.ask(json!({"do": "savepoint"})).await["answer"]["snapshot_id"].clone();
    first.ask(json!({"do": "value", "code": "x = 2"})).await;
    first.ask(json!({"do": "value", "code": "x = 3"})).await;
    first.ask(json!({"do": "undo"})).await;
    first.kill().await;

    let (engine, session) = taken_over(&data, &id).await;
    assert_eq!(run(&session, "1").await.repr(), "1");
    let redone = session.undo().await.unwrap();
    assert!(redone.exact);
    session.rollback_to(savepoint.as_str().unwrap(), None).await.unwrap();
    assert_eq!(run(&session, "x").await.repr(), "1");
    session.commit(None).await.unwrap();
    closed(engine, &data, &session).await;
}

/// What is too much to be written down is named, and neither run as something else nor taken for done.
#[tokio::test]
async fn code_that_did_not_arrive_and_was_too_much_to_keep_is_not_run() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    let told = first.ask(json!({"do": "value", "code": "import os; x = 'old'; os.getpid()"})).await;
    let worker = told["value"].as_str().unwrap().to_owned();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &worker]).status().unwrap();
        assert!(sent.success());
    };
    // Its request is larger than the channel, so that it does not arrive whole.
    signal("-STOP");
    let code = format!("x = 'new'\n#{}", "y".repeat(600_000));
    first.tell(json!({"do": "execute", "id": "exe_large", "code": code, "key": "k"})).await;
    first.ask(json!({"do": "status"})).await;
    first.kill().await;
    signal("-CONT");

    let (engine, session) = taken_over(data.path(), &id).await;
    let mut events = all_events(&session);
    let of_it = |message: &Message| matches!(message, Message::Warning(warning) if warning.text.contains("exe_large"));
    event(&mut events, of_it).await;
    let end = event(&mut events, |message| message.execution_id() == Some("exe_large")).await;
    let Message::ErrorMessage(error) = end else { panic!("{end:?}") };
    assert_eq!(error.ename, "Cancelled");
    assert_eq!(run(&session, "x").await.repr(), "'old'");
    // A retry with its key runs.
    let again = ExecuteRequest::from(code.as_str()).with_idempotency_key("k");
    assert!(!session.execute(again).unwrap().result().await.unwrap().replayed);
    assert_eq!(run(&session, "x").await.repr(), "'new'");
    closed(engine, data.path(), &session).await;
}

/// Each of two engines has one session of a family, and makes branches of it: the end of one ends no other.
#[tokio::test]
async fn branches_of_one_family_that_two_engines_have_do_not_end_each_other() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    let made = first.ask(json!({"do": "branch", "count": 1})).await;
    let branch_id = made["branches"][0].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    first.kill().await;
    let (one, parent) = taken_over(data.path(), &id).await;
    let (two, branch) = taken_over(data.path(), &branch_id).await;
    let mut of_one = parent.branch(3, Default::default()).await.unwrap();
    let mut of_two = branch.branch(3, Default::default()).await.unwrap();
    for session in of_one.iter().chain(&of_two) {
        run(session, "y = 5").await.ok();
    }
    of_one.remove(0).shutdown().await;
    of_two.remove(0).shutdown().await;
    for session in of_one.iter().chain(&of_two) {
        assert_eq!(run(session, "y").await.repr(), "5");
    }
    two.shutdown().await;
    closed(one, data.path(), &parent).await;
}

#[tokio::test]
async fn supervisors_die_at_any_moment() {
    let (lives, steps) = any_moment::lives();
    for seed in 0..lives {
        let data = data();
        let mut life = any_moment::Life::begin(data.path(), seed, false).await;
        for _ in 0..steps {
            life.step().await;
        }
        let (id, supervisor, _) = life.end();
        supervisor.kill().await;
        let (engine, session) = taken_over(data.path(), &id).await;
        closed(engine, data.path(), &session).await;
    }
}

#[tokio::test]
async fn one_engine_at_a_time_has_a_session() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    let other = engine(data.path(), Duration::from_secs(GRACE));
    assert_eq!(other.adopt(&id).await.unwrap_err().code, Code::Busy);
    assert!(other.orphans().await.unwrap().is_empty());
    assert_eq!(first.ask(json!({"do": "value", "code": "1 + 1"})).await["value"], "2");
    first.kill().await;
    assert_eq!(other.orphans().await.unwrap(), std::slice::from_ref(&id));
    let session = other.adopt(&id).await.unwrap();
    assert!(other.orphans().await.unwrap().is_empty());
    closed(other, data.path(), &session).await;
    let next = engine(data.path(), Duration::from_secs(GRACE));
    assert_eq!(next.adopt(&id).await.unwrap_err().code, Code::SessionClosed);
    assert_eq!(next.adopt("../../etc").await.unwrap_err().code, Code::BadRequest);
}

#[tokio::test]
async fn a_session_that_is_handed_over_goes_on_with_the_next() {
    let data = data();
    let first = engine(data.path(), Duration::from_secs(GRACE));
    let session = first.start(Default::default()).await.unwrap();
    run(&session, "x = 5").await.ok();
    let running = session.execute("import time\nfor _ in range(20): time.sleep(0.05)\nx").unwrap();
    let id = session.id().to_owned();
    first.hand_over().await;
    assert_eq!(session.execute("x").unwrap_err().code, Code::SessionClosed);
    let error = running.result().await.unwrap_err();
    assert!(error.to_string().contains("left it to another"), "{error}");
    let (second, session) = taken_over(data.path(), &id).await;
    let mut events = all_events(&session);
    let result = next_result(&mut events).await;
    assert_eq!(result.repr.as_deref(), Some("5"));
    closed(second, data.path(), &session).await;
}

#[tokio::test]
async fn a_session_that_nobody_takes_over_ends_when_its_time_is_up() {
    let data = data();
    let first = engine(data.path(), Duration::from_millis(500));
    let options = pyrepl3_engine::SessionOptions { detached: true, ..Default::default() };
    let session = first.start(options).await.unwrap();
    let (id, pid) = (session.id().to_owned(), pid(&session).await);
    run(&session, "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True).pid").await.ok();
    first.hand_over().await;
    eventually("its processes end", || !is_alive(pid)).await;
    let second = engine(data.path(), Duration::from_secs(GRACE));
    eventually("nobody is there", || {
        std::os::unix::net::UnixStream::connect(data.path().join("sessions").join(&id).join("init.sock")).is_err()
    })
    .await;
    assert!(second.orphans().await.unwrap().is_empty());
    assert_eq!(second.adopt(&id).await.unwrap_err().code, Code::SessionClosed);
    assert_eq!(left(data.path()), [] as [String; 0], "what was left is removed");
}

#[tokio::test]
async fn a_key_that_was_used_is_known_to_the_next() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": "ran = 0"})).await;
    first.tell(json!({"do": "execute", "id": "exe_key", "code": "ran += 1; ran", "key": "k"})).await;
    first.event(|event| ends(event, "exe_key")).await;
    first.ask(json!({"do": "status"})).await;
    first.kill().await;
    let (engine, session) = taken_over(data.path(), &id).await;
    let again = ExecuteRequest::from("ran += 1; ran").with_idempotency_key("k");
    let result = session.execute(again).unwrap().result().await.unwrap();
    assert_eq!((result.repr.as_deref(), result.replayed), (Some("1"), true));
    assert_eq!(run(&session, "ran").await.repr(), "1");
    let mut other = session.execute(ExecuteRequest::from("ran").with_idempotency_key("k")).unwrap();
    assert!(other.next().await.is_none());
    assert_eq!(other.refusal().unwrap().code, Code::IdempotencyMismatch);
    let again = ExecuteRequest::from("ran").with_id("exe_key");
    let mut again = session.execute(again).unwrap();
    assert!(again.next().await.is_none());
    assert_eq!(again.refusal().unwrap().code, Code::DuplicateId);
    closed(engine, data.path(), &session).await;
}

/// However much a client has it remember, a session can be taken over; what is not known any more is refused, not run.
#[tokio::test]
async fn long_keys_and_large_results_cost_no_session() {
    let data = data();
    let (mut first, id) = started(data.path(), json!({})).await;
    first.ask(json!({"do": "value", "code": "ran = 0"})).await;
    for number in 0..60 {
        let key = format!("{number}").repeat(20_000);
        let id = format!("exe_{number}");
        first.tell(json!({"do": "execute", "id": id, "code": "ran += 1; 'y' * 3_000", "key": key})).await;
        first.event(|event| ends(event, &id)).await;
    }
    first.ask(json!({"do": "status"})).await;
    first.kill().await;
    let (engine, session) = taken_over(data.path(), &id).await;
    let again = |number: u32| {
        let key = format!("{number}").repeat(20_000);
        session.execute(ExecuteRequest::from("ran += 1; 'y' * 3_000").with_idempotency_key(key)).unwrap()
    };
    assert!(again(59).result().await.unwrap().replayed, "the newest are known");
    let mut oldest = again(0);
    assert!(oldest.next().await.is_none());
    assert_eq!(oldest.refusal().unwrap().code, Code::Gone);
    assert_eq!(run(&session, "ran").await.repr(), "60");
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn an_engine_says_what_it_cannot_do() {
    let data = data();
    let mut config = pyrepl3_engine::EngineConfig::new(pyrepl3_engine::SearchPath::from_env());
    config.linger = Some(Duration::from_secs(5));
    let engine = Engine::new(config.clone());
    assert_eq!(engine.start(Default::default()).await.unwrap_err().code, Code::BadRequest);
    config.data = Some(data.path().to_owned());
    config.linger = None;
    let engine = Engine::new(config.clone());
    assert_eq!(engine.adopt("ses_1").await.unwrap_err().code, Code::BadRequest);
    assert!(engine.orphans().await.unwrap().is_empty());
    config.linger = Some(Duration::ZERO);
    let engine = Engine::new(config.clone());
    assert_eq!(engine.start(Default::default()).await.unwrap_err().code, Code::BadRequest);
    config.linger = Some(Duration::from_secs(5));
    let env = (0..20).map(|number| (format!("LARGE_{number}"), Some("x".repeat(10_000)))).collect();
    let options = pyrepl3_engine::SessionOptions { env, ..Default::default() };
    let refused = Engine::new(config).start(options).await.unwrap_err();
    assert!(refused.why.contains("options"), "{refused}");
}
