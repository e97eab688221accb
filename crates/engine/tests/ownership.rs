//! The engine owns sessions by their ids; clients come and go. Everything that a session has to say stands in its log.

mod common;

use common::{LIMIT, engine, eventually, is_alive, marked, run, session};
use pyrepl3_engine::protocol::message::{Message, PoolOptions, Reset};
use pyrepl3_engine::{Code, Events, ExecuteRequest, SessionOptions};

async fn next(events: &mut Events) -> Option<pyrepl3_engine::Event> {
    tokio::time::timeout(LIMIT, events.next()).await.expect("an event within the limit")
}

#[tokio::test]
async fn a_detached_session_lives_on_without_a_client_and_is_found_by_its_id() {
    let engine = engine();
    let options = SessionOptions { detached: true, ..SessionOptions::default() };
    let session = engine.start(options).await.unwrap();
    let id = session.id().to_owned();
    run(&session, "x = 41").await.ok();
    drop(session);
    assert_eq!(engine.session_ids(), std::slice::from_ref(&id));
    let again = engine.session(&id).expect("it lives");
    assert_eq!(run(&again, "x + 1").await.value(), "42");
    again.shutdown().await;
    assert!(engine.session(&id).is_none());
    engine.shutdown().await;
}

#[tokio::test]
async fn a_session_ends_with_the_last_of_its_clients() {
    let (engine, session) = session().await;
    let (id, pid) = (session.id().to_owned(), session.status().await.unwrap().pid.unwrap());
    let other = engine.session(&id).expect("another client");
    drop(session);
    assert_eq!(run(&other, "1 + 1").await.value(), "2");
    drop(other);
    eventually("the session is gone", || engine.session_ids().is_empty() && !is_alive(pid)).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_was_shut_down_starts_nothing_any_more() {
    let marker = format!("PYREPL3_OWNERSHIP_{}", std::process::id());
    let engine = engine();
    let env = [(marker.clone(), Some("1".to_owned()))].into();
    let options = SessionOptions { detached: true, env, ..SessionOptions::default() };
    let session = engine.start(options.clone()).await.unwrap();
    engine.shutdown().await;
    assert!(session.is_closed());
    assert_eq!(engine.start(options).await.unwrap_err().code, Code::SessionClosed);
    assert_eq!(engine.pool(PoolOptions::default()).await.unwrap_err().code, Code::SessionClosed);
    eventually("no process is left", || marked(&marker).is_empty()).await;
}

#[tokio::test]
async fn any_number_of_readers_get_everything_with_the_same_numbers() {
    let (engine, session) = session().await;
    let mut one = session.follow(Some(0)).unwrap();
    run(&session, "print('first')").await.ok();
    let mut two = session.follow(Some(0)).unwrap();
    let mut from_now = session.follow(None).unwrap();
    run(&session, "print('second')").await.ok();
    let last = session.event_numbers().1;
    let mut seen = Vec::new();
    for events in [&mut one, &mut two] {
        let mut texts = String::new();
        let mut number = 0;
        while number < last {
            let event = next(events).await.unwrap();
            assert_eq!(event.seq(), Some(number + 1), "numbers have no gaps");
            number += 1;
            if let Message::OutputMessage(output) = &*event {
                texts.push_str(&output.data);
            }
        }
        seen.push(texts);
    }
    assert_eq!(seen, ["first\nsecond\n", "first\nsecond\n"]);
    assert!(
        matches!(&*next(&mut from_now).await.unwrap(), Message::OutputMessage(output) if output.data == "second\n")
    );
    let middle = session.follow(Some(last - 1)).unwrap().next().await.unwrap();
    assert_eq!(middle.seq(), Some(last));
    assert_eq!(session.follow(Some(last + 1)).unwrap_err().code, Code::BadRequest);
    engine.shutdown().await;
    assert!(one.next().await.is_none(), "the session has ended");
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_said_with_what_is() {
    let (engine, session) = session().await;
    // Warnings are no output: they are kept as long as there is room, which there is not for all of these.
    for _ in 0..40 {
        let failing = "raise ValueError('x' * 20000)";
        assert_eq!(run(&session, failing).await.err().ename, "ValueError");
    }
    let (earliest, last) = session.event_numbers();
    assert!(earliest > 2 && last >= 40, "{earliest} {last}");
    let gone = session.follow(Some(1)).unwrap_err();
    assert_eq!(gone.code, Code::Gone);
    assert!(gone.why.contains(&format!("the earliest that is kept has the number {earliest}")), "{gone}");
    assert_eq!(session.follow(Some(earliest - 1)).unwrap().next().await.unwrap().seq(), Some(earliest));
    engine.shutdown().await;
}

#[tokio::test]
async fn each_loan_of_a_session_has_a_log_of_its_own() {
    let engine = engine();
    let options = PoolOptions { min_idle: 1, max_sessions: 1, reset: Reset::Keep, ..PoolOptions::default() };
    let pool = engine.pool(options).await.unwrap();
    let mut lease = pool.acquire(None).await.unwrap();
    let mut first = lease.events();
    run(&lease, "import threading, time\ngo = threading.Event()\ndef late():\n go.wait()\n while True: print('late'), time.sleep(0.01)\nthreading.Thread(target=late, daemon=True).start()").await.ok();
    let mut all = lease.follow(Some(0)).unwrap();
    lease.release().await.unwrap();
    assert!(next(&mut first).await.is_none(), "the loan is over");
    while let Some(event) = next(&mut all).await {
        assert!(event.seq().is_some());
    }
    let again = pool.acquire(None).await.unwrap();
    let mut second = again.events();
    // What the thread prints before this has ended is the execution's output.
    run(&again, "go.set()").await.ok();
    let event = next(&mut second).await.unwrap();
    assert!(matches!(&*event, Message::OutputMessage(output) if output.data.starts_with("late\n")), "{event:?}");
    assert_eq!(again.follow(Some(0)).unwrap().next().await.unwrap().seq(), Some(1), "numbers begin anew");
    drop(again);
    pool.shutdown().await;
    engine.shutdown().await;
}

#[tokio::test]
async fn the_order_of_calls_is_the_order_of_effects_for_every_operation() {
    let (engine, session) = session().await;
    run(&session, "x = 1").await.ok();
    let snapshot = session.snapshot(Some("one")).await.unwrap().snapshot_id;
    // None of these is awaited before the next is made.
    let set = session.execute("x = 2").unwrap();
    let begun = session.begin(None);
    let inside = session.execute("x = 3").unwrap();
    let rolled = session.rollback(None);
    let seen = session.execute("x").unwrap();
    let back = session.rollback_to(&snapshot, None);
    let last = session.execute("x").unwrap();
    let after = session.status();
    for one in [set, inside, seen] {
        // What waits when a return to a snapshot is asked for is cancelled.
        _ = one.result().await;
    }
    _ = (begun.await, rolled.await);
    back.await.unwrap();
    assert_eq!(last.result().await.unwrap().value.unwrap().get(), "1");
    assert!(after.await.is_ok());
    // An interrupt hits what was asked for before it, and never what comes after.
    let looping = session.execute("while True: pass").unwrap();
    let interrupted = session.interrupt();
    let next = session.execute("'not interrupted'").unwrap();
    assert!(looping.result().await.is_err());
    interrupted.await.unwrap();
    assert_eq!(next.result().await.unwrap().repr.as_deref(), Some("'not interrupted'"));
    engine.shutdown().await;
}

#[tokio::test]
async fn what_is_asked_for_happens_also_where_nobody_waits_for_the_answer() {
    let (engine, session) = session().await;
    let looping = session.execute("while True: pass").unwrap();
    let waiting = session.execute("'it ran'").unwrap();
    drop(waiting.cancel());
    drop(session.interrupt());
    assert!(looping.result().await.is_err());
    assert!(waiting.result().await.is_err(), "it was cancelled before its turn came");
    drop(session.shutdown());
    eventually("the session ends", || session.is_closed()).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_return_that_is_refused_stops_nothing() {
    let (engine, session) = session().await;
    let id = session.begin(None).await.unwrap();
    let point = session.savepoint(None).await.unwrap().snapshot_id;
    let named = session.snapshot(Some("named")).await.unwrap().snapshot_id;
    session.commit(Some(&id)).await.unwrap();
    let mut running = session.execute("name = input()\n'went on with ' + name").unwrap();
    let prompt = common::until(&mut running, |message| matches!(message, Message::InputMessage(_))).await;
    let stale = session.rollback_to(&named, Some(&id)).await.unwrap_err();
    assert_eq!(stale.code, Code::NoTransaction);
    assert_eq!(session.rollback_to(&point, None).await.unwrap_err().code, Code::SnapshotNotFound);
    session.input_response(prompt.id(), Some("it".into())).await.unwrap();
    assert_eq!(running.result().await.unwrap().repr.as_deref(), Some("'went on with it'"));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_restore_of_nothing_stops_nothing_and_keeps_the_order() {
    let data = tempfile::tempdir().unwrap();
    let mut config = pyrepl3_engine::EngineConfig::new(pyrepl3_engine::SearchPath::from_env());
    config.data = Some(data.path().to_owned());
    let engine = pyrepl3_engine::Engine::new(config);
    let session = engine.start(SessionOptions::default()).await.unwrap();
    run(&session, "x = 'saved'").await.ok();
    session.checkpoint(Some("it")).await.unwrap();
    let mut running = session.execute("x = input()").unwrap();
    let prompt = common::until(&mut running, |message| matches!(message, Message::InputMessage(_))).await;
    assert_eq!(session.restore("nothing", false).await.unwrap_err().code, Code::CheckpointNotFound);
    session.input_response(prompt.id(), Some("typed".into())).await.unwrap();
    running.result().await.unwrap();
    // Asked for behind a restore, it runs behind it.
    let restored = session.restore("it", false);
    let seen = session.execute("x").unwrap();
    restored.await.unwrap();
    assert_eq!(seen.result().await.unwrap().repr.as_deref(), Some("'saved'"));
    engine.shutdown().await;
}

#[tokio::test]
async fn what_no_frame_can_carry_is_refused_and_costs_nothing() {
    let (engine, session) = session().await;
    run(&session, "x = 1").await.ok();
    let large = "#".repeat(70 << 20);
    let refused = session.execute(large.as_str()).unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.to_string().contains("too large"), "{refused}");
    assert_eq!(session.complete(large.as_str(), None).await.unwrap_err().code, Code::BadRequest);
    let mut asking = session.execute("len(input())").unwrap();
    let prompt = common::until(&mut asking, |message| matches!(message, Message::InputMessage(_))).await;
    let answer = session.input_response(prompt.id(), Some(large.as_str().into())).await;
    assert_eq!(answer.unwrap_err().code, Code::BadRequest);
    session.input_response(prompt.id(), Some("four".into())).await.unwrap();
    assert_eq!(asking.result().await.unwrap().repr.as_deref(), Some("4"));
    let long = ExecuteRequest::from(format!("x += 1  # {}", "y".repeat(20 << 20)));
    run(&session, long).await.ok();
    assert_eq!(run(&session, "x").await.value(), "2");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_transaction_may_have_all_the_time_there_is() {
    let (engine, session) = session().await;
    session.begin(Some(std::time::Duration::MAX)).await.unwrap();
    run(&session, "x = 1").await.ok();
    session.rollback(None).await.unwrap();
    engine.shutdown().await;
}
