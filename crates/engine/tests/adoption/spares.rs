//! Processes that stand ready for sessions: taken, handed on, and gone with their engine.

use super::supervisor::config;
use super::{closed, data};
use crate::common::{eventually, run};
use pyrepl3_engine::{Engine, EngineConfig, JournalConfig, SessionOptions};
use std::path::Path;
use std::time::Duration;

fn engine(data: &Path) -> Engine {
    let journal = Some(JournalConfig::default());
    Engine::new(EngineConfig { spares: 1, journal, ..config(data, Duration::from_secs(60)) })
}

/// The directories of those that nobody has.
fn spares(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("spares/sessions")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn one_spare(data: &Path) -> String {
    eventually("one stands ready", || spares(data).len() == 1).await;
    spares(data).remove(0)
}

#[tokio::test]
async fn a_session_begins_with_what_stands_ready_and_outlives_its_engine_as_any() {
    let data = data();
    let first = engine(data.path());
    first.prepare(&SessionOptions::default()).await.unwrap();
    let spare = one_spare(data.path()).await;
    let options = SessionOptions {
        detached: true,
        cwd: Some("/".into()),
        env: [("PYREPL3_SPARE".to_owned(), Some("set".to_owned()))].into(),
        ..SessionOptions::default()
    };
    let session = first.start_as("mine", 0, options).await.unwrap();
    assert!(data.path().join("sessions/mine/init.sock").exists());
    let found = run(&session, "import os\nx = 1\n[os.getcwd(), os.environ['PYREPL3_SPARE']]").await;
    assert_eq!(found.value(), r#"["/","set"]"#);
    assert_ne!(one_spare(data.path()).await, spare, "another stands ready");
    first.hand_over().await;
    assert_eq!(spares(data.path()), [] as [String; 0], "they are nobody's to be left to");
    drop(session);
    let next = engine(data.path());
    assert_eq!(next.orphans().await.unwrap(), ["mine"]);
    let session = next.adopt("mine").await.unwrap();
    assert_eq!(run(&session, "x").await.value(), "1");
    closed(next, data.path(), &session).await;
    assert_eq!(spares(data.path()), [] as [String; 0]);
}

#[tokio::test]
async fn those_of_an_engine_that_died_are_ended_by_the_next() {
    let data = data();
    let dead = engine(data.path());
    dead.prepare(&SessionOptions::default()).await.unwrap();
    one_spare(data.path()).await;
    drop(dead);
    let next = engine(data.path());
    assert_eq!(next.orphans().await.unwrap(), [] as [String; 0]);
    eventually("they are gone", || spares(data.path()).is_empty()).await;
    next.shutdown().await;
}
