//! The server's own life: it drains, ends its sessions, or leaves them to the next one.

use crate::support::{LIMIT, Service, is_alive, read, records};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn before_the_end_nothing_new_is_taken_on_and_what_runs_may_end() {
    let mut service = Service::start_with(|config| config.drain = Duration::from_secs(60)).await;
    service.session("a").await;
    let pid = service.run("a", "import os; os.getpid()").await["end"]["value"].as_i64().unwrap();
    let running = service.hand_over("a", "input('go on? ')").await;
    let session = service.until("a", "waiting").await;
    let events = service.request(Method::GET, "/v1/sessions/a/events").send().await.unwrap();
    service.begin_stop();
    let began = Instant::now();
    while read(service.bare(Method::GET, "/readyz")).await.status != 503 {
        assert!(began.elapsed() < LIMIT);
    }
    read(service.bare(Method::GET, "/healthz")).await.expect(200);
    for (method, path) in [(Method::PUT, "/v1/sessions/b"), (Method::POST, "/v1/sessions/a/executions")] {
        let answer = read(service.request(method, path).json(&json!({}))).await;
        let problem = answer.problem(503, "draining");
        assert_eq!((&problem["retryable"], &problem["admitted"]), (&json!(true), &json!("no")));
        assert!(answer.headers.contains_key("retry-after"));
    }
    let path = format!("/v1/sessions/a/executions/{}?wait=60", running["execution_id"].as_str().unwrap());
    let waiting = service.request(Method::GET, &path).send();
    let answer = json!({ "input_id": session["input"]["id"], "value": "yes" });
    let (waited, answered) = tokio::join!(waiting, service.post("/v1/sessions/a/input", answer));
    answered.expect(204);
    assert_eq!(crate::support::whole(waited.unwrap()).await.expect(200)["end"]["value"], "yes");
    let events = crate::support::whole(events).await;
    assert_eq!(records(&events.text).last().unwrap()["reason"], "server_stopping");
    service.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_ended() {
    let service = Service::start_with(|config| config.drain = Duration::from_millis(200)).await;
    service.session("a").await;
    let pid = service.run("a", "import os; os.getpid()").await["end"]["value"].as_i64().unwrap();
    service.hand_over("a", "while True: pass").await;
    service.until("a", "busy").await;
    service.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn the_next_server_takes_sessions_over() {
    let service = Service::start_with(|config| config.keep_sessions = true).await;
    let spec = json!({ "labels": { "kind": "x" }, "undo": 2, "env": { "SECRET": "s3cret" } });
    service.put("/v1/sessions/a", spec.clone()).await.expect(201);
    service.run("a", "x = 1").await;
    let taken = service.hand_over("a", "name = input('? ')\nx, name").await;
    let waiting = service.until("a", "waiting").await;
    assert!(!waiting.to_string().contains("s3cret"));
    let token = service.token.clone();
    let last = waiting["last"].as_u64().unwrap();
    // The prompt does not end: the time for what runs is over, and the session is left to the next server.
    let folder = service.stop().await;
    let service = Service::start_in(folder, |_| {}).await;
    assert_eq!(service.token, token);
    let session = service.until("a", "waiting").await;
    assert_eq!((&session["input"]["prompt"], &session["labels"]["kind"]), (&json!("? "), &json!("x")));
    assert!(session["last"].as_u64().unwrap() > last);
    let missed = service.get(&format!("/v1/sessions/a/events?after={last}&follow=false")).await;
    assert_eq!(records(&missed.text)[0]["seq"], json!(last + 1), "numbers have no gap");
    service.put("/v1/sessions/a", spec).await.expect(200);
    service.put("/v1/sessions/a", json!({ "env": {} })).await.problem(409, "session_exists");
    service
        .post("/v1/sessions/a/input", json!({ "input_id": session["input"]["id"], "value": "Ada" }))
        .await
        .expect(204);
    let path = format!("/v1/sessions/a/executions/{}?wait=60", taken["execution_id"].as_str().unwrap());
    let began = Instant::now();
    let ended = loop {
        // It is known here once it has said something here.
        let answer = service.get(&path).await;
        if answer.status == 200 {
            break answer.json();
        }
        assert!(began.elapsed() < LIMIT, "{}", answer.text);
    };
    assert_eq!(ended["end"]["repr"], "(1, 'Ada')");
    service.stop().await;
}
