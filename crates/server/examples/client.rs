//! A long job in a session of a service, with plain HTTP: its events from any number on, every line once.
//!
//! ```sh
//! PYREPL3_URL=http://127.0.0.1:8787 PYREPL3_TOKEN=… cargo run -p pyrepl3-server --example client
//! ```

use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

const JOB: &str = "import time\nfor line in range(200):\n    print('line', line)\n    time.sleep(0.01)\n'done'";

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

struct Session {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Session {
    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Reads events behind a number until one says that this is enough. Where the connection breaks it comes back behind the last one.
    async fn follow(&self, mut last: u64, mut enough: impl FnMut(&Value) -> bool) -> Fallible<()> {
        loop {
            let asked = self.request(reqwest::Method::GET, &format!("/events?after={last}"));
            let answer = asked.header("accept", "application/x-ndjson").send().await;
            let Ok(answer) = answer.and_then(reqwest::Response::error_for_status) else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (mut stream, mut read) = (answer.bytes_stream(), Vec::new());
            while let Some(Ok(bytes)) = stream.next().await {
                read.extend_from_slice(&bytes);
                while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = read.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                    // The last record, and the signs of life, have no number.
                    let Some(seq) = event["seq"].as_u64() else { continue };
                    last = seq;
                    if enough(&event) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let (url, token) = (std::env::var("PYREPL3_URL")?, std::env::var("PYREPL3_TOKEN")?);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let session = Session { client, url: format!("{url}/v1/sessions/job-rust"), token };
    session.request(reqwest::Method::PUT, "").json(&json!({})).send().await?.error_for_status()?;
    let asked = session.request(reqwest::Method::POST, "/executions").header("idempotency-key", "the job");
    let taken: Value = asked.json(&json!({ "code": JOB })).send().await?.error_for_status()?.json().await?;
    let before = taken["seq"].as_u64().unwrap_or(1) - 1;
    session
        .follow(before, |event| {
            if event["type"] == "output" {
                print!("{}", event["data"].as_str().unwrap_or_default());
            }
            let ended = event["type"] == "result" && event["execution_id"] == taken["execution_id"];
            if ended {
                println!("the job is {}", event["value"]);
            }
            ended
        })
        .await?;
    session.request(reqwest::Method::DELETE, "").send().await?.error_for_status()?;
    Ok(())
}
