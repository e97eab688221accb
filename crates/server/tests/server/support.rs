//! What the tests share: a server of their own, a client, and a look at the process table.

use pyrepl3_engine::SearchPath;
use pyrepl3_server::{Config, Server, Stop};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Generous: what hangs fails with it, and nothing else depends on it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A server that runs until it is stopped.
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) folder: tempfile::TempDir,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A problem document, whole.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "how", "admitted"] {
            assert!(problem[field].is_string(), "{field} in {problem}");
        }
        assert!(problem["retryable"].is_boolean());
        problem
    }
}

impl Service {
    pub(crate) async fn start() -> Service {
        Service::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Service {
        let folder = tempfile::tempdir().unwrap();
        Service::start_in(folder, change).await
    }

    pub(crate) async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Service {
        let mut config = Config::new(folder.path(), SearchPath::from_env());
        config.listen = Some(([127, 0, 0, 1], 0).into());
        config.drain = Duration::from_secs(5);
        change(&mut config);
        let server = Server::start(config).await.expect("a server starts");
        let (url, token) = (server.url().to_owned(), server.token().text().to_owned());
        let (stop, stopping) = oneshot::channel::<()>();
        let running = tokio::spawn(
            server.run(async { stopping.await.map_or(Stop::Drain, |()| Stop::Drain) }, std::future::pending()),
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Service { url, token, folder, client, stop: Some(stop), running: Some(running) }
    }

    /// Tells it to stop, without waiting.
    pub(crate) fn begin_stop(&mut self) {
        self.stop.take();
    }

    /// Stops it, and leaves its data directory. No process of its sessions may be left.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        self.begin_stop();
        let running = self.running.take().unwrap();
        tokio::time::timeout(LIMIT, running).await.expect("it stops within the limit").unwrap();
        self.folder
    }

    /// A request without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).timeout(LIMIT)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        read(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        read(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        read(self.request(Method::DELETE, path)).await
    }

    /// A session of this id.
    pub(crate) async fn session(&self, id: &str) {
        self.put(&format!("/v1/sessions/{id}"), serde_json::json!({})).await.expect(201);
    }

    /// Runs code to its end.
    pub(crate) async fn run(&self, id: &str, code: &str) -> Value {
        let path = format!("/v1/sessions/{id}/executions?wait=60");
        self.post(&path, serde_json::json!({ "code": code })).await.expect(200)
    }

    /// Hands code over, and returns its execution.
    pub(crate) async fn hand_over(&self, id: &str, code: &str) -> Value {
        self.post(&format!("/v1/sessions/{id}/executions"), serde_json::json!({ "code": code })).await.expect(201)
    }

    /// Waits until a session is in a state.
    pub(crate) async fn until(&self, id: &str, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let session = self.get(&format!("/v1/sessions/{id}")).await.expect(200);
            if session["state"] == state {
                return session;
            }
            assert!(began.elapsed() < LIMIT, "{session}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    whole(response).await
}

pub(crate) async fn whole(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    assert_ne!(status, StatusCode::SWITCHING_PROTOCOLS);
    Answer { status: status.as_u16(), headers, text: response.text().await.expect("the whole answer") }
}

/// Whether a process is there; one that nobody has waited for yet is not.
pub(crate) fn is_alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// The records of a stream, as they were sent.
pub(crate) fn records(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    lines.filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}
