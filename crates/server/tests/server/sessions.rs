//! Sessions: made, attached to, listed, ended.

use crate::support::{Service, is_alive, read};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn put_makes_then_attaches_then_refuses() {
    let service = Service::start().await;
    let made = service.put("/v1/sessions/mine", json!({ "undo": 2, "labels": { "team": "a" } })).await;
    assert_eq!(made.headers["location"], "/v1/sessions/mine");
    let made = made.expect(201);
    assert_eq!((&made["id"], &made["state"], &made["isolation"]), (&json!("mine"), &json!("idle"), &json!("none")));
    assert_eq!((&made["input"], &made["earliest"], &made["last"]), (&json!(null), &json!(1), &json!(0)));
    service.run("mine", "x = 1").await;
    for body in [json!({}), json!({ "undo": 2 }), json!({ "labels": { "team": "a" }, "preload": [] })] {
        let attached = service.put("/v1/sessions/mine", body).await.expect(200);
        assert_eq!(attached["use"]["executions"], 1);
    }
    // No body is {}.
    read(service.request(Method::PUT, "/v1/sessions/mine")).await.expect(200);
    let problem =
        service.put("/v1/sessions/mine", json!({ "undo": 3, "cwd": "/" })).await.problem(409, "session_exists");
    assert_eq!(problem["detail"], "these fields differ: undo, cwd");
    assert_eq!(problem["admitted"], "no");
    service.stop().await;
}

#[tokio::test]
async fn two_who_make_one_get_one() {
    let service = Service::start().await;
    let (a, b) = tokio::join!(service.put("/v1/sessions/both", json!({})), service.put("/v1/sessions/both", json!({})));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    service.stop().await;
}

#[tokio::test]
async fn an_ended_one_leaves_no_process_and_its_numbers_go_on() {
    let service = Service::start().await;
    service.session("again").await;
    let ran = service
        .run("again", "import os, subprocess\nchild = subprocess.Popen(['sleep', '1000']).pid\nos.getpid(), child")
        .await;
    let pids: Vec<i64> = ran["end"]["repr"]
        .as_str()
        .unwrap()
        .trim_matches(['(', ')'])
        .split(", ")
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    let last = service.get("/v1/sessions/again").await.expect(200)["last"].as_u64().unwrap();
    assert!(last > 0);
    service.delete("/v1/sessions/again").await.expect(204);
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
    // It can be looked at still; nothing can be asked of it.
    assert_eq!(service.get("/v1/sessions/again").await.expect(200)["state"], "ended");
    service.post("/v1/sessions/again/executions", json!({ "code": "1" })).await.problem(409, "session_closed");
    service.delete("/v1/sessions/again").await.problem(404, "session_not_found");
    let made = service.put("/v1/sessions/again", json!({})).await.expect(201);
    // What the one before it said is kept.
    assert!(made["earliest"] == 1 && made["last"].as_u64().unwrap() >= last, "{made}");
    assert!(service.run("again", "1").await["seq"].as_u64().unwrap() >= last);
    service.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_and_by_label_and_state() {
    let service = Service::start().await;
    for (id, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        service.put(&format!("/v1/sessions/{id}"), json!({ "labels": { "kind": label } })).await.expect(201);
    }
    let made = service.post("/v1/sessions", json!({})).await.expect(201);
    let ids = async |query: &str| {
        let page = service.get(&format!("/v1/sessions{query}")).await.expect(200);
        let ids: Vec<String> =
            page["sessions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    let own = made["id"].as_str().unwrap().to_owned();
    assert!(own.starts_with("ses_"));
    assert_eq!(ids("").await, (vec!["a".into(), "b".into(), "c".into(), own.clone()], None));
    assert_eq!(ids("?label=kind%3Dx").await.0, ["a", "c"]);
    assert_eq!(ids("?label=kind").await.0, ["a", "b", "c"]);
    assert_eq!(ids("?label=kind%3Dx&label=other").await.0, [""; 0]);
    assert_eq!(ids("?limit=2").await, (vec!["a".into(), "b".into()], Some("b".into())));
    assert_eq!(ids("?limit=2&cursor=b").await, (vec!["c".into(), own], None));
    service.hand_over("b", "input()").await;
    service.until("b", "waiting").await;
    assert_eq!(ids("?state=waiting").await.0, ["b"]);
    service.delete("/v1/sessions/a").await.expect(204);
    assert_eq!(ids("?state=ended").await.0, ["a"]);
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?state=odd", "?sate=idle", "?limit=1&limit=2"] {
        service.get(&format!("/v1/sessions{query}")).await.problem(400, "bad_request");
    }
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let service = Service::start().await;
    for id in ["UPPER", "a.b", "a%2fb", "%00", &"x".repeat(101), "%C3%A9"] {
        service.put(&format!("/v1/sessions/{id}"), json!({})).await.problem(400, "bad_request");
    }
    let refused = [
        (json!({ "isolation": "strict" }), 501, "unsupported"),
        (json!({ "isolation": "odd" }), 400, "bad_request"),
        (json!({ "python": "/nowhere/python" }), 422, "python_not_found"),
        (json!({ "from_checkpoint": "none" }), 404, "checkpoint_not_found"),
        (json!({ "lifetime": -1 }), 400, "bad_request"),
        (json!({ "undo": "three" }), 422, "invalid_body"),
        (json!({ "undoo": 3 }), 422, "invalid_body"),
        (json!([]), 422, "invalid_body"),
    ];
    for (body, status, code) in refused {
        service.put("/v1/sessions/odd", body).await.problem(status, code);
        service.get("/v1/sessions/odd").await.problem(404, "session_not_found");
    }
    assert_eq!(std::fs::read_dir(service.folder.path().join("serve/sessions")).unwrap().count(), 0);
    service.stop().await;
}

#[tokio::test]
async fn times_end_sessions() {
    let service = Service::start().await;
    service.put("/v1/sessions/idle", json!({ "idle_timeout": 0.3 })).await.expect(201);
    service.put("/v1/sessions/short", json!({ "lifetime": 0.3 })).await.expect(201);
    service.put("/v1/sessions/busy", json!({ "idle_timeout": 0.3 })).await.expect(201);
    service.hand_over("busy", "input()").await;
    service.hand_over("short", "input()").await;
    // To look at one is to use it: so the list is asked.
    let began = std::time::Instant::now();
    loop {
        let page = service.get("/v1/sessions").await.expect(200);
        let ids: Vec<_> = page["sessions"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        if ids == ["busy"] {
            break;
        }
        assert!(began.elapsed() < crate::support::LIMIT, "{ids:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service.stop().await;
}
