//! What no client should send.

use crate::support::{LIMIT, Service, read};
use pyrepl3_server::Limits;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes as they are, and returns the answer to the end of the connection.
async fn raw(service: &Service, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.url.strip_prefix("http://").unwrap()).await.unwrap();
    // The server may answer, and close, before all is sent.
    _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("an end within the limit");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(service: &Service, line: &str, more: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n{more}\r\n",
        service.token
    )
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let service = Service::start().await;
    service.session("a").await;
    service.get("/").await.problem(404, "not_found");
    service.get("/v1/nothing").await.problem(404, "not_found");
    let answer = service.delete("/v1/sessions").await;
    answer.problem(405, "method_not_allowed");
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    let post = |body: &'static str| service.request(Method::POST, "/v1/sessions/a/executions").body(body);
    read(post("{}").header("content-type", "text/plain")).await.problem(415, "unsupported_media_type");
    read(post("{}")).await.problem(415, "unsupported_media_type");
    let json = |body: &'static str| post(body).header("content-type", "application/json");
    for body in ["{", "nonsense", "{\"code\": }", "\u{feff}{}"] {
        read(json(body)).await.problem(400, "bad_request");
    }
    for body in
        ["{}", "[]", "null", "{\"code\": 1}", "{\"code\": \"1\", \"odd\": 1}", "{\"code\":\"1\",\"code\":\"2\"}"]
    {
        read(json(body)).await.problem(422, "invalid_body");
    }
    for body in ["{\"code\": \"1\", \"timeout\": -1}", "{\"code\": \"1\", \"timeout\": 0}"] {
        read(json(body)).await.problem(400, "bad_request");
    }
    for path in ["/v1/sessions/none", "/v1/sessions/none/executions", "/v1/sessions/none/variables"] {
        service.get(path).await.problem(404, "session_not_found");
    }
    service.post("/v1/sessions/none/executions", json!({ "code": "1" })).await.problem(404, "session_not_found");
    service.stop().await;
}

#[tokio::test]
async fn large_and_deep_bodies_are_refused() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.body = 1 << 20;
        config.limits.bodies = 4 << 20;
    })
    .await;
    service.session("a").await;
    let code = "#".repeat(2 << 20);
    service.post("/v1/sessions/a/executions", json!({ "code": code })).await.problem(413, "payload_too_large");
    let chunked = head(
        &service,
        "POST /v1/sessions/a/executions",
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
    );
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let answer = raw(&service, format!("{chunked}{}", chunk.repeat(40)).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{}", &answer[..answer.len().min(200)]);
    let deep = format!("{{\"code\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let request = service.request(Method::POST, "/v1/sessions/a/executions").header("content-type", "application/json");
    read(request.body(deep)).await.problem(400, "bad_request");
    // It goes on as if nothing had happened, and the room for bodies is free again.
    for _ in 0..8 {
        let body = json!({ "code": format!("#{}", "x".repeat(1000 << 10)) });
        service.post("/v1/sessions/a/executions?wait=60", body).await.expect(200);
    }
    service.stop().await;
}

#[tokio::test]
async fn odd_paths_lead_nowhere() {
    let service = Service::start().await;
    let outside = service.folder.path().join("token");
    for path in [
        "/v1/sessions/../token",
        "/v1/sessions/%2e%2e",
        "/v1/sessions/%2e%2e%2ftoken",
        "/v1/sessions/..%2f..%2fetc",
        "/v1/sessions/%ff",
        "/v1/sessions/%00",
        "//",
        "/v1/sessions//executions",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = raw(&service, head(&service, &format!("{method} {path}"), "").as_bytes()).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(["400", "404", "405"].contains(&status), "{method} {path}: {answer}");
        }
    }
    assert!(outside.exists());
    service.stop().await;
}

#[tokio::test]
async fn heads_are_bounded_in_size_and_time() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.head_time = Duration::from_millis(300);
        config.limits.body_time = Duration::from_millis(300);
    })
    .await;
    let large = format!("x-large: {}\r\n", "x".repeat(200 << 10));
    let answer = raw(&service, head(&service, "GET /v1/sessions", &large).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let answer = raw(&service, head(&service, "GET /v1/sessions", &many).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(raw(&service, b"\x16\x03\x01\x02\x00 no http\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // Who does not go on is not waited for.
    let answer = raw(&service, b"GET /v1/sessions HTTP/1.1\r\nhost: local").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let half = head(&service, "POST /v1/sessions", "content-type: application/json\r\ncontent-length: 100\r\n");
    let answer = raw(&service, format!("{half}{{\"undo\"").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"timeout\""), "{answer}");
    // Two hosts are a trick.
    let two = head(&service, "GET /v1/sessions", "host: evil.example\r\n");
    let answer = raw(&service, two.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn there_are_no_more_sessions_than_may_be() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.sessions = 2;
    })
    .await;
    service.session("a").await;
    service.session("b").await;
    let problem = service.put("/v1/sessions/c", json!({})).await.problem(429, "too_many_sessions");
    assert_eq!(problem["retryable"], true);
    service.put("/v1/sessions/a", json!({})).await.expect(200);
    service.delete("/v1/sessions/a").await.expect(204);
    let began = std::time::Instant::now();
    while service.put("/v1/sessions/c", json!({})).await.status != 201 {
        assert!(began.elapsed() < LIMIT);
    }
    service.stop().await;
}
