//! Many sessions in one engine.

mod scripted;

use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_costs_the_supervisor_less_than_100_kb() {
    let interpreter = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripted/interpreter.py"));
    let cost = scripted::measure(interpreter, 300).await.unwrap();
    assert!(cost.sessions > 0, "{cost:?}");
    assert!(cost.idle <= 100_000.0, "{cost:?}");
    assert!(cost.printed <= 100_000.0, "{cost:?}");
    assert!(cost.descriptors <= 9.0, "{cost:?}");
}
