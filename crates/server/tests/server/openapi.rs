//! The document that describes the API is the one that is in the repository, and tells of every route.

use std::path::Path;

#[test]
fn the_document_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = pyrepl3_server::openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(made == committed, "docs/openapi.json is not what the code says: run this test with UPDATE_OPENAPI=1");
    let document: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
        }
    }
    for path in [
        "executions",
        "events",
        "channel",
        "input",
        "interrupt",
        "commit",
        "rollback",
        "undo",
        "redo",
        "complete",
        "variables",
        "inspect",
        "snapshots",
        "branches",
        "checkpoints",
        "restore",
    ] {
        assert!(paths.contains_key(&format!("/v1/sessions/{{id}}/{path}")), "{path}");
    }
}
