//! Events: from any number on, as they come, refused before a stream begins.

use crate::support::{LIMIT, Service, read, records};
use pyrepl3_engine::JournalLimits;
use pyrepl3_server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn lines(service: &Service, query: &str) -> Vec<Value> {
    let request = service.request(Method::GET, &format!("/v1/sessions/a/events{query}"));
    let answer = read(request.header("accept", "application/x-ndjson")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    records(&answer.text)
}

#[tokio::test]
async fn every_event_comes_once_in_order_from_any_number_on() {
    let service = Service::start().await;
    service.session("a").await;
    for n in 0..5 {
        service.run("a", &format!("print({n})")).await;
    }
    let all = lines(&service, "?after=0&follow=false").await;
    let seqs: Vec<u64> = all.iter().filter_map(|record| record["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=15).collect::<Vec<_>>());
    assert_eq!(*all.last().unwrap(), json!({ "type": "end_of_stream", "reason": "caught_up", "last": 15 }));
    for after in 0..=15 {
        let some = lines(&service, &format!("?after={after}&follow=false")).await;
        assert_eq!(some[..some.len() - 1], all[after..15]);
    }
    // As server-sent events, with what a browser sends when it comes back.
    let request =
        service.request(Method::GET, "/v1/sessions/a/events?follow=false&after=2").header("last-event-id", "13");
    let answer = read(request).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert!(answer.text.starts_with("id: 14\ndata: {"), "{}", answer.text);
    assert_eq!(records(&answer.text).len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_follows_and_says_why_it_ends() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.keep_alive = Duration::from_millis(50);
    })
    .await;
    service.session("a").await;
    let mut stream = service.request(Method::GET, "/v1/sessions/a/events").send().await.unwrap();
    let mut text = String::new();
    let mut until = async |wanted: &str| {
        while !text.contains(wanted) {
            let chunk = tokio::time::timeout(LIMIT, stream.chunk()).await.unwrap().unwrap();
            let Some(chunk) = chunk else { panic!("no {wanted} in {text}") };
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        text.clone()
    };
    until(": keep-alive\n\n").await;
    service.hand_over("a", "print('hello')\ninput('?')").await;
    until("\"prompt\":\"?\"").await;
    service.delete("/v1/sessions/a").await.expect(204);
    let text = until("end_of_stream").await;
    assert!(records(&text).last().unwrap()["reason"] == "session_ended", "{text}");
    service.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_before_the_stream() {
    let service = Service::start_with(|config| {
        config.journal = JournalLimits { output: 64 << 10, events: 64 << 10, ..JournalLimits::default() };
    })
    .await;
    service.session("a").await;
    service.get("/v1/sessions/a/events?after=1").await.problem(400, "bad_request");
    service.get("/v1/sessions/a/events?after=-1").await.problem(400, "bad_request");
    service.get("/v1/sessions/none/events").await.problem(404, "session_not_found");
    let request = service.request(Method::GET, "/v1/sessions/a/events").header("last-event-id", "x");
    read(request).await.problem(400, "bad_request");
    // So much that the first events are gone: each ends an execution, and is kept longest.
    let text = "x".repeat(60_000);
    for _ in 0..12 {
        service.run("a", &format!("'{text}'")).await;
    }
    for query in ["?after=0", "?after=1"] {
        let problem = service.get(&format!("/v1/sessions/a/events{query}")).await.problem(410, "gone");
        assert!(problem["earliest"].as_u64().unwrap() > 2, "{problem}");
        assert!(problem["lost_bytes"].as_u64().unwrap() > 60_000, "{problem}");
    }
    // Without a number: what there is.
    let there = lines(&service, "?follow=false").await;
    assert!(there[0]["seq"].as_u64().unwrap() > 2);
    service.stop().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_holds_nobody_up() {
    let service = Service::start_with(|config| config.limits.stall = Duration::from_millis(300)).await;
    service.session("a").await;
    let stalled = service.request(Method::GET, "/v1/sessions/a/events").send().await.unwrap();
    // More than any buffer on the way holds.
    let ran = service.run("a", "for i in range(400): print('x' * 100_000)\n'done'").await;
    assert_eq!(ran["end"]["value"], "done");
    drop(stalled);
    service.stop().await;
}
