//! The example in Rust, as a user runs it.

use crate::support::Service;
use std::process::Stdio;

#[tokio::test]
async fn the_example_follows_a_job_and_loses_no_line() {
    let service = Service::start().await;
    // Examples are built beside the tests of their package.
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/client");
    let run = tokio::process::Command::new(example)
        .envs([("PYREPL3_URL", &service.url), ("PYREPL3_TOKEN", &service.token)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = tokio::time::timeout(crate::support::LIMIT, run).await.expect("it ends within the limit").unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let expected: String = (0..200).map(|line| format!("line {line}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&said.stdout), expected + "the job is \"done\"\n");
    service.stop().await;
}
