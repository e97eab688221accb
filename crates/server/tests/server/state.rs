//! Transactions, snapshots, undo, branches, checkpoints, questions.

use crate::support::Service;
use serde_json::json;

#[tokio::test]
async fn transactions_are_kept_or_undone() {
    let service = Service::start().await;
    service.session("a").await;
    let explicit = |code: &str| json!({ "code": code, "transaction_policy": "explicit" });
    service.run("a", "x = [1]").await;
    service.post("/v1/sessions/a/executions?wait=60", explicit("x.append(2)")).await.expect(200);
    assert!(service.get("/v1/sessions/a").await.expect(200)["transaction"].is_string());
    let back = service.post("/v1/sessions/a/rollback", json!({})).await.expect(200);
    assert_eq!((&back["type"], &back["exact"]), (&json!("rolled_back"), &json!(true)));
    assert_eq!(service.run("a", "x").await["end"]["value"], json!([1]));
    let begun = service.post("/v1/sessions/a/begin", json!({ "timeout": 60 })).await.expect(201);
    service.post("/v1/sessions/a/begin", json!({})).await.problem(409, "transaction_open");
    service.post("/v1/sessions/a/executions?wait=60", explicit("x.append(3)")).await.expect(200);
    let savepoint = service.post("/v1/sessions/a/savepoint", json!({})).await.expect(201);
    assert_eq!(savepoint["kind"], "savepoint");
    service.post("/v1/sessions/a/commit", json!({ "transaction_id": "odd" })).await.problem(409, "no_transaction");
    service.post("/v1/sessions/a/commit", json!({ "transaction_id": begun["transaction_id"] })).await.expect(204);
    service.post("/v1/sessions/a/commit", json!({})).await.problem(409, "no_transaction");
    assert_eq!(service.run("a", "x").await["end"]["value"], json!([1, 3]));
    let undone = json!({ "code": "x.append(4); 1/0", "transaction_policy": "rollback_on_failure" });
    let undone = service.post("/v1/sessions/a/executions?wait=60", undone).await.expect(200);
    assert_eq!((&undone["undone"], &undone["end"]["rolled_back"]), (&json!(true), &json!(true)));
    service.stop().await;
}

#[tokio::test]
async fn snapshots_undo_and_branches() {
    let service = Service::start().await;
    service.put("/v1/sessions/a", json!({ "undo": 3, "labels": { "kind": "x" } })).await.expect(201);
    service.run("a", "x = 1").await;
    let made = service.post("/v1/sessions/a/snapshots", json!({ "name": "one" })).await.expect(201);
    let snapshot = made["snapshot_id"].as_str().unwrap();
    service.run("a", "x = 2").await;
    let back = service.post("/v1/sessions/a/undo", json!({})).await.expect(200);
    assert_eq!(back["undone"], json!([2]));
    service.post("/v1/sessions/a/redo", json!({})).await.expect(200);
    assert_eq!(service.run("a", "x").await["end"]["value"], 2);
    let listed = service.get("/v1/sessions/a/snapshots").await.expect(200);
    assert!(listed["snapshots"].as_array().unwrap().iter().any(|one| one["name"] == "one"), "{listed}");
    service.post(&format!("/v1/sessions/a/snapshots/{snapshot}/rollback"), json!({})).await.expect(200);
    assert_eq!(service.run("a", "x").await["end"]["value"], 1);
    let split = service.post("/v1/sessions/a/branches", json!({ "count": 2, "random": "split" })).await.expect(201);
    for (number, branch) in split["branches"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&branch["outcome"], &branch["parent"]), (&json!("created"), &json!("a")));
        let id = branch["session_id"].as_str().unwrap();
        assert_eq!(service.run(id, &format!("x += {number}\nx")).await["end"]["value"], 1 + number);
        let session = service.get(&format!("/v1/sessions/{id}")).await.expect(200);
        assert_eq!((&session["lineage"]["parent"], &session["labels"]["kind"]), (&json!("a"), &json!("x")));
        service.delete(&format!("/v1/sessions/{id}")).await.expect(204);
    }
    assert_eq!(service.run("a", "x").await["end"]["value"], 1);
    service.delete(&format!("/v1/sessions/a/snapshots/{snapshot}")).await.expect(204);
    service.delete(&format!("/v1/sessions/a/snapshots/{snapshot}")).await.problem(404, "snapshot_not_found");
    service.post("/v1/sessions/a/branches", json!({ "count": 0 })).await.problem(400, "bad_request");
    service.post("/v1/sessions/a/undo", json!({ "steps": 2 })).await.problem(422, "invalid_body");
    service.stop().await;
}

#[tokio::test]
async fn checkpoints_come_back() {
    let service = Service::start().await;
    service.session("a").await;
    service.run("a", "x = {'k': [1, 2]}").await;
    let made = service.post("/v1/sessions/a/checkpoints", json!({ "name": "first" })).await.expect(201);
    assert_eq!((&made["type"], &made["variables"][0]["name"]), (&json!("checkpoint_created"), &json!("x")));
    service.run("a", "x.clear()").await;
    let restored = service.post("/v1/sessions/a/restore", json!({ "checkpoint_id": "first" })).await.expect(200);
    assert_eq!(restored["type"], "restored");
    assert_eq!(service.run("a", "x").await["end"]["value"], json!({ "k": [1, 2] }));
    let listed = service.get("/v1/checkpoints").await.expect(200);
    assert_eq!(listed["checkpoints"][0]["checkpoint_id"], made["checkpoint_id"]);
    service.put("/v1/sessions/b", json!({ "from_checkpoint": "first" })).await.expect(201);
    assert_eq!(service.run("b", "x").await["end"]["value"], json!({ "k": [1, 2] }));
    service
        .post("/v1/sessions/a/restore", json!({ "checkpoint_id": "none" }))
        .await
        .problem(404, "checkpoint_not_found");
    let path = format!("/v1/checkpoints/{}", made["checkpoint_id"].as_str().unwrap());
    service.delete(&path).await.expect(204);
    service.delete(&path).await.problem(404, "checkpoint_not_found");
    service.stop().await;
}

#[tokio::test]
async fn questions_are_answered() {
    let service = Service::start().await;
    service.session("a").await;
    service.run("a", "number = 42\nimport math").await;
    let variables = service.get("/v1/sessions/a/variables").await.expect(200);
    assert_eq!(variables["data"][0]["name"], "number");
    let completions = service.post("/v1/sessions/a/complete", json!({ "code": "numb" })).await.expect(200);
    assert_eq!(completions["data"]["matches"][0]["text"], "number");
    let inspected = service.get("/v1/sessions/a/inspect?name=math.sqrt").await.expect(200);
    assert_eq!(inspected["data"]["found"], true);
    assert_eq!(service.get("/v1/sessions/a/inspect?name=nothing").await.expect(200)["data"]["found"], false);
    service.get("/v1/sessions/a/inspect").await.problem(400, "bad_request");
    service.stop().await;
}
