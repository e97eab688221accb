//! Executions: waited for, looked at, retried, cancelled, streamed.

use crate::support::{Answer, Service, read, records};
use reqwest::Method;
use serde_json::{Value, json};

async fn keyed(service: &Service, key: &str, query: &str, body: &Value) -> Answer {
    let path = format!("/v1/sessions/a/executions{query}");
    read(service.request(Method::POST, &path).header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn an_answer_has_the_end_and_what_was_said() {
    let service = Service::start().await;
    service.session("a").await;
    let ran = service.run("a", "import sys\nprint('out'); print('err', file=sys.stderr)\n6 * 7").await;
    assert_eq!((&ran["end"]["type"], &ran["end"]["value"]), (&json!("result"), &json!(42)));
    assert_eq!((&ran["stdout"], &ran["stderr"], &ran["displays"]), (&json!("out\n"), &json!("err\n"), &json!([])));
    // Code that fails is no error of the service.
    let failed = service.run("a", "1 / 0").await;
    assert_eq!((&failed["end"]["type"], &failed["end"]["ename"]), (&json!("error"), &json!("ZeroDivisionError")));
    let shown = service
        .run("a", "class A:\n    def _repr_html_(self): return '<b>'\n    def __repr__(self): return 'A'\nA()")
        .await;
    assert_eq!(shown["end"]["data"]["text/html"], "<b>");
    // Lone surrogates come through both ways.
    let body = r#"{"code": "'\\ud800'"}"#;
    let request = service.request(Method::POST, "/v1/sessions/a/executions?wait=60");
    let answer = read(request.header("content-type", "application/json").body(body)).await;
    assert!(answer.text.contains(r#""value":"\ud800""#), "{}", answer.text);
    service.stop().await;
}

#[tokio::test]
async fn it_goes_on_without_its_client_and_can_be_asked_for() {
    let service = Service::start().await;
    service.session("a").await;
    let taken =
        service.post("/v1/sessions/a/executions", json!({ "code": "print(1)\nname = input('Name: ')\nname" })).await;
    let id = taken.expect(201)["execution_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/sessions/a/executions/{id}");
    assert_eq!(taken.headers["location"], path.as_str());
    let session = service.until("a", "waiting").await;
    assert_eq!((&session["input"]["prompt"], &session["input"]["execution_id"]), (&json!("Name: "), &json!(id)));
    let pending = service.get(&format!("{path}?wait=0.01")).await.expect(202);
    assert!(pending.get("end").is_none());
    assert_eq!(pending["stdout"], "1\n");
    let input = session["input"]["id"].as_str().unwrap();
    service
        .post("/v1/sessions/a/input", json!({ "input_id": "inp_none", "value": "" }))
        .await
        .problem(404, "unknown_input");
    service.post("/v1/sessions/a/input", json!({ "input_id": input, "value": "Ada" })).await.expect(204);
    let ended = service.get(&format!("{path}?wait=60")).await.expect(200);
    assert_eq!(ended["end"]["value"], "Ada");
    let page = service.get("/v1/sessions/a/executions").await.expect(200);
    assert_eq!(page["executions"][0]["execution_id"], id);
    service.get("/v1/sessions/a/executions/none").await.problem(404, "unknown_execution");
    let inputs = json!({ "code": "input(), input()", "inputs": ["x"] });
    let ran = service.post("/v1/sessions/a/executions?wait=60", inputs).await.expect(200);
    assert_eq!(ran["end"]["ename"], "EOFError");
    service.stop().await;
}

#[tokio::test]
async fn a_key_runs_code_once() {
    let service = Service::start().await;
    service.put("/v1/sessions/a", json!({ "undo": 5 })).await.expect(201);
    service.run("a", "n = 0").await;
    let body = json!({ "code": "n += 1\nn" });
    let first = keyed(&service, "k", "?wait=60", &body).await.expect(200);
    assert!(first.get("replayed").is_none());
    let again = keyed(&service, "k", "?wait=60", &body).await.expect(200);
    assert_eq!((&again["replayed"], &again["execution_id"]), (&json!(true), &first["execution_id"]));
    assert_eq!(again["end"], first["end"]);
    let peek = keyed(&service, "k", "", &body).await.expect(201);
    assert_eq!(peek["replayed"], true);
    for other in [json!({ "code": "n += 2" }), json!({ "code": "n += 1\nn", "timeout": 5 })] {
        keyed(&service, "k", "?wait=60", &other).await.problem(422, "idempotency_mismatch");
    }
    // What stands in it otherwise is the same request.
    let same = json!({ "code": "n += 1\nn", "timeout": null });
    assert_eq!(keyed(&service, "k", "?wait=60", &same).await.expect(200)["replayed"], true);
    assert_eq!(service.run("a", "n").await["end"]["value"], 1);
    // One that was undone is said to be, and is not run again.
    service.post("/v1/sessions/a/undo", json!({})).await.expect(200);
    service.post("/v1/sessions/a/undo", json!({})).await.expect(200);
    let undone = keyed(&service, "k", "?wait=60", &body).await.expect(200);
    assert_eq!((&undone["replayed"], &undone["undone"]), (&json!(true), &json!(true)));
    assert_eq!(service.run("a", "n").await["end"]["value"], 0);
    // Two at once are one.
    let waits = json!({ "code": "import time; time.sleep(0.3); n += 1; n" });
    let (a, b) = tokio::join!(keyed(&service, "both", "?wait=60", &waits), keyed(&service, "both", "?wait=60", &waits));
    assert_eq!(a.expect(200)["execution_id"], b.expect(200)["execution_id"]);
    for key in ["", &"k".repeat(201)] {
        keyed(&service, key, "", &body).await.problem(400, "bad_request");
    }
    service.stop().await;
}

#[tokio::test]
async fn much_output_is_cut_in_the_middle() {
    let service = Service::start().await;
    service.session("a").await;
    let ran = service.run("a", "print('begin')\nfor i in range(3000): print('x' * 999)\nprint('end')").await;
    let (text, left) = (ran["stdout"].as_str().unwrap(), ran["left_out"]["stdout"].as_u64().unwrap());
    assert!(text.starts_with("begin\nxxx") && text.ends_with("xxx\nend\n"));
    assert!(text.contains(&format!("… [{left} bytes left out] …")));
    assert!(text.len() < (1 << 20) + 100);
    assert_eq!(left + (1 << 20), 3_000_000 + 10);
    service.stop().await;
}

#[tokio::test]
async fn cancelled_and_interrupted_ones_end() {
    let service = Service::start().await;
    service.session("a").await;
    let running = service.hand_over("a", "import time\nprint('on')\ntime.sleep(1000)").await;
    let queued = service.hand_over("a", "never = 1").await;
    let path = |of: &Value| format!("/v1/sessions/a/executions/{}", of["execution_id"].as_str().unwrap());
    service.delete(&path(&queued)).await.expect(204);
    let ended = service.get(&format!("{}?wait=60", path(&queued))).await.expect(200);
    assert_eq!(ended["end"]["status"], "cancelled");
    service.until("a", "busy").await;
    service.post("/v1/sessions/a/interrupt", json!({})).await.expect(204);
    let ended = service.get(&format!("{}?wait=60", path(&running))).await.expect(200);
    assert_eq!((&ended["end"]["status"], &ended["end"]["ename"]), (&json!("interrupted"), &json!("KeyboardInterrupt")));
    // To cancel what has ended is no error; nor to interrupt nothing.
    service.delete(&path(&running)).await.expect(204);
    service.delete("/v1/sessions/a/executions/none").await.problem(404, "unknown_execution");
    read(service.request(Method::POST, "/v1/sessions/a/interrupt")).await.expect(204);
    service.stop().await;
}

#[tokio::test]
async fn its_events_can_be_the_answer() {
    let service = Service::start().await;
    service.session("a").await;
    for (accept, lines) in [("text/event-stream", false), ("application/x-ndjson", true)] {
        let request = service.request(Method::POST, "/v1/sessions/a/executions").header("accept", accept);
        let answer = read(request.json(&json!({ "code": "print('x')\n3" }))).await;
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, accept));
        let id = answer.headers["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let records = records(&answer.text);
        let types: Vec<_> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["accepted", "output", "result", "end_of_stream"], "{}", answer.text);
        assert!(records[..3].iter().all(|record| record["execution_id"] == id));
        assert_eq!((&records[3]["reason"], &records[3]["last"]), (&json!("execution_ended"), &records[2]["seq"]));
        assert_eq!(answer.text.contains("id: "), !lines);
    }
    service.stop().await;
}

#[tokio::test]
async fn who_wants_it_so_ends_it_by_going() {
    let service = Service::start().await;
    service.session("a").await;
    let body = json!({ "code": "import time; time.sleep(1000)", "on_disconnect": "interrupt" });
    let path = "/v1/sessions/a/executions?wait=100";
    let request = service.request(Method::POST, path).json(&body).timeout(std::time::Duration::from_millis(500));
    assert!(request.send().await.unwrap_err().is_timeout());
    service.until("a", "idle").await;
    let mut stream = service
        .request(Method::POST, "/v1/sessions/a/executions")
        .header("accept", "text/event-stream")
        .json(&json!({ "code": "import time\nprint(1)\ntime.sleep(1000)", "on_disconnect": "interrupt" }))
        .send()
        .await
        .unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    service.until("a", "busy").await;
    drop(stream);
    service.until("a", "idle").await;
    service.stop().await;
}
