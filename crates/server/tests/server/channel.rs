//! The WebSocket of a session.

use crate::support::{LIMIT, Service};
use futures_util::{SinkExt, StreamExt};
use pyrepl3_server::Limits;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Channel(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn try_open(
    service: &Service,
    path: &str,
    protocols: Option<String>,
) -> Result<(Channel, Option<String>), Error> {
    let url = format!("{}{path}", service.url.replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    match protocols {
        Some(protocols) => _ = request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap()),
        None => {
            let bearer = format!("Bearer {}", service.token);
            request.headers_mut().insert("authorization", bearer.parse().unwrap());
        }
    }
    let (socket, response) = connect_async(request).await?;
    let chosen = response.headers().get("sec-websocket-protocol").map(|chosen| chosen.to_str().unwrap().to_owned());
    Ok((Channel(socket), chosen))
}

async fn open(service: &Service, query: &str) -> Channel {
    try_open(service, &format!("/v1/sessions/a/channel{query}"), None).await.expect("a channel").0
}

#[track_caller]
fn refused<T>(opened: Result<T, Error>) -> u16 {
    match opened {
        Err(Error::Http(response)) => {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            response.status().as_u16()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was let in"),
    }
}

impl Channel {
    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; None where the server has closed it.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(LIMIT, self.0.next()).await.expect("a message within the limit");
            match next? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Messages up to the first of a type.
    async fn until(&mut self, wanted: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("no {wanted} in {all:?}"));
            let is_it = message["type"] == wanted;
            all.push(message);
            if is_it {
                return all;
            }
        }
    }
}

#[tokio::test]
async fn it_speaks_the_protocol_both_ways() {
    let service = Service::start().await;
    service.session("a").await;
    let mut channel = open(&service, "").await;
    let ready = channel.next().await.unwrap();
    assert_eq!((&ready["type"], &ready["earliest"], &ready["last"]), (&json!("ready"), &json!(1), &json!(0)));
    channel.say(json!({ "type": "execute", "id": "one", "code": "print('x')\nname = input('? ')\nname" })).await;
    let asked = channel.until("input").await;
    assert!(asked.iter().all(|message| message["execution_id"] == "one" && message["seq"].is_u64()), "{asked:?}");
    let input = asked.last().unwrap()["id"].clone();
    channel.say(json!({ "type": "input_response", "id": "two", "input_id": input, "value": "Ada" })).await;
    let mut rest = channel.until("result").await;
    if !rest.iter().any(|message| message["type"] == "reply") {
        rest.extend(channel.until("reply").await);
    }
    let result = rest.iter().find(|message| message["type"] == "result").unwrap();
    assert_eq!((&result["value"], &result["execution_id"]), (&json!("Ada"), &json!("one")));
    let reply = rest.iter().find(|message| message["type"] == "reply").unwrap();
    assert_eq!((&reply["reply_to"], reply.get("seq")), (&json!("two"), None));
    for (request, answer) in [
        (json!({ "type": "variables", "id": "3" }), "reply"),
        (json!({ "type": "status", "id": "4" }), "reply"),
        (json!({ "type": "snapshot", "id": "5", "name": "s" }), "snapshot_created"),
        (json!({ "type": "branch", "id": "6" }), "branched"),
        (json!({ "type": "checkpoint", "id": "7" }), "checkpoint_created"),
        (json!({ "type": "undo", "id": "8" }), "failure"),
        (json!({ "type": "execute", "id": "one", "code": "1" }), "failure"),
        (json!({ "type": "start", "id": "9" }), "failure"),
        (json!({ "type": "result", "id": "10" }), "failure"),
        (json!({ "type": "odd", "id": "11" }), "failure"),
        (json!({ "type": "variables", "id": "12", "session_id": "b" }), "failure"),
        (json!({ "id": "13" }), "failure"),
    ] {
        channel.say(request.clone()).await;
        let answered = channel.until(answer).await;
        assert_eq!(answered.last().unwrap()["reply_to"], request["id"], "{answered:?}");
    }
    // It can be asked for over HTTP as well.
    let one = service.get("/v1/sessions/a/executions/one").await.expect(200);
    assert_eq!((&one["stdout"], &one["end"]["value"]), (&json!("x\n"), &json!("Ada")));
    service.stop().await;
}

#[tokio::test]
async fn many_see_the_same_numbers_and_answers_go_to_who_asked() {
    let service = Service::start().await;
    service.session("a").await;
    let (mut first, mut second) = (open(&service, "").await, open(&service, "?after=0").await);
    first.until("ready").await;
    second.until("ready").await;
    first.say(json!({ "type": "execute", "id": "e", "code": "import time\nprint(1)\ntime.sleep(1000)" })).await;
    let seen = second.until("output").await;
    assert_eq!(first.until("output").await, seen);
    // The answer to an interrupt comes behind the end of what ran.
    first.say(json!({ "type": "interrupt", "id": "i" })).await;
    let answered = first.until("reply").await;
    assert_eq!(answered[0]["status"], "interrupted", "{answered:?}");
    let end = second.until("error").await;
    assert_eq!(end[0], answered[0]);
    // Who comes back with the last number that it saw misses nothing, and gets nothing twice.
    let seq = seen.last().unwrap()["seq"].as_u64().unwrap();
    let mut third = open(&service, &format!("?after={seq}")).await;
    assert_eq!(third.until("error").await[1], end[0]);
    second.say(json!({ "type": "shutdown", "id": "s" })).await;
    let last = second.until("end_of_stream").await;
    assert!(last.iter().any(|message| message["reply_to"] == "s"), "{last:?}");
    assert_eq!(last.last().unwrap()["reason"], "session_ended");
    assert_eq!(second.next().await, None);
    assert_eq!(third.until("end_of_stream").await.last().unwrap()["reason"], "session_ended");
    service.stop().await;
}

#[tokio::test]
async fn who_may_not_is_refused_before_there_is_one() {
    let service = Service::start().await;
    service.session("a").await;
    let path = "/v1/sessions/a/channel";
    let (_, chosen) =
        try_open(&service, path, Some(format!("pyrepl3.v1, bearer.{}", service.token))).await.expect("a channel");
    assert_eq!(chosen.as_deref(), Some("pyrepl3.v1"));
    for protocols in ["pyrepl3.v1, bearer.wrong", "pyrepl3.v1, bearer.", "pyrepl3.v1"] {
        assert_eq!(refused(try_open(&service, path, Some(protocols.into())).await), 401);
    }
    assert_eq!(refused(try_open(&service, "/v1/sessions/none/channel", None).await), 404);
    assert_eq!(refused(try_open(&service, &format!("{path}?after=7"), None).await), 400);
    assert_eq!(refused(try_open(&service, &format!("{path}?after=x"), None).await), 400);
    service.get(path).await.problem(426, "upgrade_required");
    service.stop().await;
}

#[tokio::test]
async fn what_a_client_sends_is_bounded() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.message = 64 << 10;
        config.limits.unanswered = 3;
    })
    .await;
    service.session("a").await;
    let mut channel = open(&service, "").await;
    channel.until("ready").await;
    for text in ["", "no json", "[]", "{}", "\"\u{0}\""] {
        channel.0.send(Message::text(text)).await.unwrap();
        assert_eq!(channel.until("failure").await[0]["code"], "bad_request", "{text}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    channel.0.send(Message::text(format!("{{\"type\":\"execute\",\"id\":\"d\",\"x\":{deep}}}"))).await.unwrap();
    channel.until("failure").await;
    for n in 0..4 {
        channel.say(json!({ "type": "execute", "id": format!("e{n}"), "code": "input()" })).await;
    }
    assert_eq!(channel.until("failure").await.last().unwrap()["code"], "too_many");
    // What makes less is taken all the same.
    channel.say(json!({ "type": "interrupt", "id": "i" })).await;
    channel.until("reply").await;
    channel.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(channel.until("end_of_stream").await.last().unwrap()["reason"], "text messages only");
    let mut channel = open(&service, "").await;
    channel.until("ready").await;
    channel.0.send(Message::text("x".repeat(100 << 10))).await.unwrap();
    while channel.next().await.is_some() {}
    service.stop().await;
}

/// What a reader has got: events without a gap.
#[derive(Default)]
struct Seen {
    last: u64,
    written: usize,
}

impl Seen {
    /// Whether it is the end of an execution.
    fn take(&mut self, message: &Value) -> bool {
        if let Some(seq) = message["seq"].as_u64() {
            assert_eq!(seq, self.last + 1, "{message}");
            self.last = seq;
        }
        self.written += message["data"].as_str().filter(|_| message["type"] == "output").map_or(0, str::len);
        message["type"] == "result"
    }
}

#[tokio::test]
async fn a_slow_one_is_dropped_and_holds_nobody_up() {
    let service = Service::start_with(|config| {
        config.limits = Limits::default();
        config.limits.stall = Duration::from_millis(300);
    })
    .await;
    service.session("a").await;
    let mut slow = open(&service, "").await;
    slow.until("ready").await;
    let ran = service.run("a", "for i in range(400): print('x' * 100_000)\n'done'").await;
    assert_eq!(ran["end"]["value"], "done");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // It gets what was on its way, and no more.
    let mut seen = Seen::default();
    while let Some(message) = slow.next().await {
        assert!(!seen.take(&message));
    }
    // When it comes back it has all the rest.
    let mut again = open(&service, &format!("?after={}", seen.last)).await;
    while let Some(message) = again.next().await {
        if seen.take(&message) {
            break;
        }
    }
    assert_eq!(seen.written, 400 * 100_001);
    service.stop().await;
}
