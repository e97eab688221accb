//! With a journal nothing that was told is lost with a supervisor: each event comes once, in its order, with its number.

use super::any_moment::{self, Life};
use super::supervisor::{Supervisor, ends, is_of_type, keeping_engine};
use super::{closed, data};
use crate::common::{LIMIT, run};
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::{Engine, Session, SessionOptions};
use serde_json::{Value, json};
use std::path::Path;

async fn started(data: &Path) -> (Supervisor, String) {
    let mut supervisor = Supervisor::keeping(data);
    let started = supervisor.ask(json!({"do": "start", "options": {}})).await;
    (supervisor, started["session"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned())
}

async fn taken_over(data: &Path, id: &str) -> (Engine, Session) {
    let engine = keeping_engine(data);
    let session = engine.adopt(id).await.expect("it is taken over");
    (engine, session)
}

/// All events from the first, until one that fits.
async fn all_until(session: &Session, fits: impl Fn(&Message) -> bool) -> Vec<Message> {
    let (earliest, _) = session.event_numbers();
    assert_eq!(earliest, 1, "everything is kept");
    let mut events = session.follow(Some(0)).unwrap();
    let mut all = Vec::new();
    loop {
        let event = tokio::time::timeout(LIMIT, events.next()).await.expect("it comes in time").expect("an event");
        let message = event.into_message();
        assert_eq!(message.seq(), Some(all.len() as u64 + 1), "numbers have no gaps");
        let is_last = fits(&message);
        all.push(message);
        if is_last {
            return all;
        }
    }
}

fn written(all: &[Message]) -> String {
    let of = |message: &Message| match message {
        Message::OutputMessage(output) => {
            assert_eq!(output.dropped, 0);
            output.data.clone()
        }
        _ => String::new(),
    };
    all.iter().map(of).collect()
}

fn ends_of(all: &[Message], execution: &str) -> usize {
    let is_end = |message: &&Message| matches!(message, Message::ResultMessage(_) | Message::ErrorMessage(_));
    all.iter().filter(is_end).filter(|message| message.execution_id() == Some(execution)).count()
}

/// What a killed supervisor had told is what the next one has, to the byte.
fn told_is_kept(told: &[Value], all: &[Message]) {
    for event in told.iter().filter(|event| event["seq"].is_u64()) {
        let seq = event["seq"].as_u64().unwrap() as usize;
        let kept: Value = serde_json::from_slice(&all[seq - 1].to_json().unwrap()).unwrap();
        assert_eq!(kept, *event);
    }
}

#[tokio::test]
async fn output_comes_once_to_the_byte_whoever_dies() {
    let data = data();
    let (mut supervisor, id) = started(data.path()).await;
    let code = "import time\nfor line in range(40_000):\n    print('line', line, 'é')\n'z' * 200_000";
    supervisor.tell(json!({"do": "execute", "id": "exe_out", "code": code})).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        supervisor.event(|event| is_of_type(event, "output")).await;
        told.extend(supervisor.kill().await);
        supervisor = Supervisor::keeping(data.path());
        let adopted = supervisor.ask(json!({"do": "adopt", "id": id})).await;
        assert_eq!(adopted["session"], json!(id), "{adopted}");
    }
    told.extend(supervisor.kill().await);
    let (engine, session) = taken_over(data.path(), &id).await;
    let all = all_until(&session, |message| matches!(message, Message::ResultMessage(_))).await;
    let expected: String = (0..40_000).map(|line| format!("line {line} é\n")).collect();
    assert!(written(&all) == expected, "{} of {} bytes", written(&all).len(), expected.len());
    assert_eq!(ends_of(&all, "exe_out"), 1);
    told_is_kept(&told, &all);
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn a_prompt_that_was_told_is_answered_by_its_id() {
    let data = data();
    let (mut supervisor, id) = started(data.path()).await;
    supervisor.tell(json!({"do": "execute", "id": "exe_ask", "code": "name = input('Name? ')\nname.upper()"})).await;
    let asked = supervisor.event(|event| is_of_type(event, "input")).await;
    let told = supervisor.kill().await;
    let (engine, session) = taken_over(data.path(), &id).await;
    session.input_response(asked["id"].as_str().unwrap(), Some("alice".into())).await.unwrap();
    let all = all_until(&session, |message| matches!(message, Message::ResultMessage(_))).await;
    assert_eq!(all.iter().filter(|message| matches!(message, Message::InputMessage(_))).count(), 1);
    assert_eq!(all.iter().filter(|message| matches!(message, Message::Answered(_))).count(), 1);
    told_is_kept(&told, &all);
    closed(engine, data.path(), &session).await;
}

#[tokio::test]
async fn executions_that_were_taken_end_once_however_often_supervisors_die() {
    let data = data();
    let (mut supervisor, id) = started(data.path()).await;
    let mut told = Vec::new();
    supervisor.ask(json!({"do": "value", "code": "ran = []"})).await;
    for number in 0..8 {
        let execution = format!("exe_{number}");
        let code = format!("ran.append({number}); print({number}); ran");
        supervisor.tell(json!({"do": "execute", "id": execution, "code": code})).await;
        let when = number % 4;
        match when {
            0 => {}
            1 => drop(
                supervisor
                    .event(|event| is_of_type(event, "accepted") && event["execution_id"] == json!(execution))
                    .await,
            ),
            2 => drop(
                supervisor
                    .event(|event| is_of_type(event, "output") && event["execution_id"] == json!(execution))
                    .await,
            ),
            _ => drop(supervisor.event(|event| ends(event, &execution)).await),
        }
        told.extend(supervisor.kill().await);
        supervisor = Supervisor::keeping(data.path());
        supervisor.ask(json!({"do": "adopt", "id": id})).await;
    }
    told.extend(supervisor.kill().await);
    let (engine, session) = taken_over(data.path(), &id).await;
    let ran = run(&session, "ran").await.repr().to_owned();
    let ran: Vec<u64> = serde_json::from_str(&ran).unwrap();
    let all = all_until(&session, |message| matches!(message, Message::ResultMessage(last) if last.repr.as_deref() == Some(&format!("{ran:?}")) && last.execution_id.as_deref().is_some_and(|id| !id.starts_with("exe_7")))).await;
    told_is_kept(&told, &all);
    for number in 0..8 {
        let execution = format!("exe_{number}");
        let accepted = all
            .iter()
            .any(|message| matches!(message, Message::Accepted(_)) && message.execution_id() == Some(&execution));
        assert_eq!(ends_of(&all, &execution), usize::from(accepted), "{execution}");
        let times = ran.iter().filter(|one| **one == number).count();
        assert!(times <= 1, "{execution} ran {times} times");
        // Whoever heard more of it than that it was taken has it run.
        if number % 4 > 1 {
            assert_eq!(times, 1, "{execution}");
        }
    }
    closed(engine, data.path(), &session).await;
}

/// A session that is left to the next supervisor is not lost: nothing of that kind stands in its events, and they go on without a gap.
#[tokio::test]
async fn what_is_handed_over_is_not_lost() {
    let data = data();
    let engine = keeping_engine(data.path());
    let session = engine.start(SessionOptions { detached: true, ..SessionOptions::default() }).await.unwrap();
    let id = session.id().to_owned();
    run(&session, "x = 1").await;
    let mut events = session.follow(None).unwrap();
    let last = session.event_numbers().1;
    engine.hand_over().await;
    assert!(events.next().await.is_none(), "whoever read hears nothing more");
    assert!(session.is_left(), "and can know why");
    drop((session, events));
    let (engine, session) = taken_over(data.path(), &id).await;
    assert_eq!(run(&session, "x").await.repr(), "1");
    let is_last =
        |message: &Message| matches!(message, Message::ResultMessage(last) if last.repr.as_deref() == Some("1"));
    let all = all_until(&session, is_last).await;
    assert!(!all.iter().any(|message| matches!(message, Message::SessionLost(_))));
    assert!(matches!(&all[usize::try_from(last).unwrap()], Message::Warning(_)), "the next one says that it is there");
    closed(engine, data.path(), &session).await;
}

/// Each execution that was told to be taken ends once, and nothing is in the log that a killed supervisor had told otherwise.
#[tokio::test]
async fn supervisors_that_keep_events_die_at_any_moment() {
    let (lives, steps) = any_moment::lives();
    for seed in 100..100 + lives {
        let data = data();
        let mut life = Life::begin(data.path(), seed, true).await;
        for _ in 0..steps {
            life.step().await;
        }
        let (id, supervisor, mut told) = life.end();
        told.extend(supervisor.kill().await);
        let (engine, session) = taken_over(data.path(), &id).await;
        run(&session, "'the last'").await;
        let is_last = |message: &Message| matches!(message, Message::ResultMessage(last) if last.repr.as_deref() == Some("'the last'"));
        let all = all_until(&session, is_last).await;
        told_is_kept(&told, &all);
        for message in all.iter().filter(|message| matches!(message, Message::Accepted(_))) {
            let execution = message.execution_id().unwrap();
            assert_eq!(ends_of(&all, execution), 1, "{execution} of life {seed}");
        }
        closed(engine, data.path(), &session).await;
    }
}
