//! `pyrepl3 serve`: the ready line, signals, what is logged, and the server after one that was killed.

use crate::support::{Bench, Running, finish};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A server, and what its ready line says.
struct Served {
    running: Running,
    address: String,
    token: String,
}

impl Served {
    fn start(bench: &Bench, more: &[&str]) -> Served {
        let mut arguments = vec!["serve", "--json", "--listen", "127.0.0.1:0", "--log-level", "debug"];
        arguments.extend(more);
        let running = Running::start(bench.pyrepl3(&arguments));
        let line = running.line();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(ready["pid"], running.child.id());
        let address = ready["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Served { running, address, token: ready["token"].as_str().unwrap().to_owned() }
    }

    /// One request, with headers that it has beside the token: the status and the text of the answer.
    fn exchange(&self, head: &str, more: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (token, length) = (&self.token, body.len());
        let head = format!(
            "{head}\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{more}\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// One request; the status and the answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let head = format!("{method} {path} HTTP/1.1");
        let (status, answer) = self.exchange(&head, "content-type: application/json\r\n", &body.to_string());
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Runs code with a key; the execution.
    fn run(&self, key: &str, code: &str, wait: u32) -> (u16, Value) {
        let head = format!("POST /v1/sessions/mine/executions?wait={wait} HTTP/1.1");
        let more = format!("idempotency-key: {key}\r\ncontent-type: application/json\r\n");
        let (status, answer) = self.exchange(&head, &more, &json!({ "code": code }).to_string());
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Events after a number, as they are now: each has one more than the one before it.
    fn events(&self, after: u64) -> Vec<Value> {
        // Without chunks, which HTTP/1.0 does not have.
        let head = format!("GET /v1/sessions/mine/events?after={after}&follow=false HTTP/1.0");
        let (_, body) = self.exchange(&head, "accept: application/x-ndjson\r\n", "");
        let all: Vec<Value> =
            body.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbered: Vec<Value> = all.into_iter().filter(|event| event["seq"].is_u64()).collect();
        for (event, expected) in numbered.iter().zip(after + 1..) {
            assert_eq!(event["seq"], expected, "{event}");
        }
        numbered
    }

    /// Waits until a session is in a state.
    fn until(&self, state: &str) -> Value {
        let began = Instant::now();
        loop {
            let (_, session) = self.ask("GET", "/v1/sessions/mine", &json!({}));
            if session["state"] == state {
                return session;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{session}");
        }
    }
}

#[test]
fn it_says_where_it_is_and_ends_with_a_signal() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    assert_eq!(served.ask("PUT", "/v1/sessions/mine", &json!({})).0, 201);
    let code = json!({ "code": "secret_name = 'secret value'\nprint(secret_name)\nsecret_name" });
    let (status, ran) = served.ask("POST", "/v1/sessions/mine/executions?wait=60", &code);
    assert_eq!((status, &ran["end"]["value"], &ran["stdout"]), (200, &json!("secret value"), &json!("secret value\n")));
    let token = bench.path("data/pyrepl3/token");
    assert_eq!(std::fs::read_to_string(&token).unwrap().trim(), served.token);
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = served.token.clone();
    served.running.signal(Signal::TERM);
    let outcome = served.running.finish().text();
    assert_eq!(outcome.status, 0, "{}", outcome.err);
    assert_eq!(outcome.out.lines().count(), 1);
    // Each line is JSON; none has what clients sent, or the token.
    let logged: Vec<Value> = outcome.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(logged.iter().any(|line| line["route"] == "/v1/sessions/{id}/executions" && line["status"] == 200));
    assert!(!outcome.err.contains("secret") && !outcome.err.contains(&shown), "{}", outcome.err);
}

#[test]
fn one_that_is_killed_is_followed_by_one_that_goes_on() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    assert_eq!(served.ask("PUT", "/v1/sessions/mine", &json!({ "labels": { "a": "b" } })).0, 201);
    let code = json!({ "code": "x = 41\nname = input('Name: ')\nx + 1, name" });
    assert_eq!(served.ask("POST", "/v1/sessions/mine/executions", &code).0, 201);
    let before = served.until("waiting");
    served.running.signal(Signal::KILL);
    served.running.finish();
    let served = Served::start(&bench, &[]);
    let after = served.until("waiting");
    assert_eq!((&after["input"], &after["labels"]), (&before["input"], &before["labels"]));
    let answer = json!({ "input_id": after["input"]["id"], "value": "Ada" });
    assert_eq!(served.ask("POST", "/v1/sessions/mine/input", &answer).0, 204);
    served.until("idle");
    let (_, ran) = served.ask("POST", "/v1/sessions/mine/executions?wait=60", &json!({ "code": "x, name" }));
    assert_eq!(ran["end"]["value"], Value::Null);
    assert_eq!(ran["end"]["repr"], "(41, 'Ada')");
    served.running.signal(Signal::INT);
    assert_eq!(served.running.finish().status, 0);
}

/// A client that comes back after two servers were killed has every line, once; its retry runs nothing.
#[test]
fn a_long_job_loses_no_line_whoever_dies() {
    let bench = Bench::new();
    let mut served = Served::start(&bench, &[]);
    assert_eq!(served.ask("PUT", "/v1/sessions/mine", &json!({})).0, 201);
    let code = "import time\nran = globals().get('ran', 0) + 1\nfor n in range(300):\n    print('line', n, flush=True)\n    time.sleep(0.005)\nran";
    let (status, begun) = served.run("key-1", code, 0);
    assert_eq!(status, 202, "{begun}");
    let (mut last, mut all) = (0, Vec::new());
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300));
        let new = served.events(last);
        last += new.len() as u64;
        all.extend(new);
        served.running.signal(Signal::KILL);
        served.running.finish();
        served = Served::start(&bench, &[]);
    }
    let (status, ran) = served.run("key-1", code, 60);
    assert_eq!((status, &ran["execution_id"], &ran["replayed"]), (200, &begun["execution_id"], &json!(true)), "{ran}");
    assert_eq!(ran["end"]["value"], 1, "it ran once");
    assert_eq!(served.run("key-1", "something else", 60).0, 422);
    all.extend(served.events(last));
    let lines: String =
        all.iter().filter(|event| event["type"] == "output").map(|event| event["data"].as_str().unwrap()).collect();
    let expected: String = (0..300).map(|n| format!("line {n}\n")).collect();
    assert!(lines == expected && ran["stdout"] == *expected, "{lines}");
    let count = |kind: &str| all.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((count("accepted"), count("result")), (1, 1));
    served.running.signal(Signal::INT);
    assert_eq!(served.running.finish().status, 0);
}

#[test]
fn what_is_not_safe_or_makes_no_sense_is_refused() {
    let bench = Bench::new();
    let refused = |arguments: &[&str]| {
        let outcome = finish(bench.pyrepl3(arguments), b"").text();
        assert_eq!((outcome.status, outcome.out.as_str()), (2, ""), "{}", outcome.err);
        outcome.err
    };
    assert!(refused(&["serve", "--listen", "0.0.0.0:0"]).contains("--insecure-public"));
    assert!(refused(&["serve", "--isolation", "strict"]).contains("no cells"));
    assert!(refused(&["serve", "--listen", "nonsense"]).contains("nonsense"));
    let short = bench.file("short", "short");
    assert!(refused(&["serve", "--token-file", &short]).contains("16 to 512"));
    assert!(refused(&["serve", "--token-file", "nowhere"]).contains("nowhere"));
}
