//! The service, as its clients use it: HTTP and WebSocket, with a journal. The load comes from this process, on the same processors.

use super::report::Table;
use crate::{Done, target};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt, future};
use reqwest::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A server, killed when it is dropped.
struct Server {
    process: Child,
    url: String,
    token: String,
    client: Client,
    data: PathBuf,
}

impl Server {
    async fn start(binary: &Path, interpreter: &Path, data: &Path, more: &[&str]) -> Result<Server, String> {
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--log-level", "error", "--data"]).arg(data);
        command
            .arg("--python")
            .arg(interpreter)
            .args(more)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let mut process = command.spawn().map_err(why)?;
        let out = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(out).lines().next_line().await.map_err(why)?.ok_or("the server said nothing")?;
        let ready: Value = serde_json::from_str(&line).map_err(why)?;
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let client = Client::builder().no_proxy().build().map_err(why)?;
        Ok(Server { process, url: text("url"), token: text("token"), client, data: data.to_owned() })
    }

    async fn stop(mut self) -> Done {
        let pid = self.process.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(why)?;
        }
        self.process.wait().await.map_err(why)?;
        std::fs::remove_dir_all(&self.data).map_err(why)
    }

    async fn kill(mut self) -> Done {
        self.process.kill().await.map_err(why)
    }

    async fn put(&self, id: &str) -> Result<Value, String> {
        let request =
            self.client.put(format!("{}/v1/sessions/{id}", self.url)).bearer_auth(&self.token).json(&json!({}));
        let answer = request.send().await.map_err(why)?;
        if !answer.status().is_success() {
            return Err(format!("a session was not made: {}", answer.text().await.map_err(why)?));
        }
        answer.json().await.map_err(why)
    }

    async fn delete(&self, id: &str) -> Done {
        let request = self.client.delete(format!("{}/v1/sessions/{id}", self.url)).bearer_auth(&self.token);
        request.send().await.map_err(why)?.error_for_status().map_err(why).map(drop)
    }

    async fn channel(&self, id: &str, after: Option<u64>) -> Result<Channel, String> {
        let after = after.map_or(String::new(), |after| format!("?after={after}"));
        let address = format!("{}/v1/sessions/{id}/channel{after}", self.url.replacen("http", "ws", 1));
        let mut request = address.into_client_request().map_err(why)?;
        let token = format!("Bearer {}", self.token).parse().map_err(why)?;
        request.headers_mut().insert("authorization", token);
        let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = connect_async_with_config(request, Some(limits), true).await.map_err(why)?;
        let (sink, stream) = Socket::split(socket);
        let mut channel = Channel { sink, stream };
        channel.next().await?;
        Ok(channel)
    }

    /// Bytes that it holds in memory: what its process has alone, and its part of what it shares.
    fn memory(&self) -> Result<f64, String> {
        let pid = self.process.id().ok_or("it has ended")?;
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map_err(why)?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("the kernel does not say")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(why)?;
        Ok(kib * 1024.0 / 1e6)
    }
}

struct Channel {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
}

static ASKED: AtomicU64 = AtomicU64::new(0);

impl Channel {
    async fn next(&mut self) -> Result<String, String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the WebSocket was closed".into()),
            }
        }
    }

    async fn send(&mut self, code: &str) -> Done {
        // An id stands for one execution of the session, whoever asks for it.
        let id = ASKED.fetch_add(1, Ordering::Relaxed);
        let message = json!({"type": "execute", "id": format!("exe_{id}"), "code": code}).to_string();
        self.sink.send(Message::Text(message.into())).await.map_err(why)
    }

    /// Reads until an execution has ended; how many bytes of messages that were.
    async fn end(&mut self) -> Result<usize, String> {
        let mut bytes = 0;
        loop {
            let text = self.next().await?;
            bytes += text.len();
            // What is in a message is of no interest to the one who measures.
            if text.starts_with("{\"type\":\"result\"") {
                return Ok(bytes);
            }
            if text.starts_with("{\"type\":\"error\"") || text.starts_with("{\"type\":\"failure\"") {
                return Err(text);
            }
        }
    }

    async fn run(&mut self, code: &str) -> Result<usize, String> {
        self.send(code).await?;
        self.end().await
    }
}

pub(super) async fn measure(table: &mut Table, interpreter: &Path, binary: &Path) -> Done {
    let place = target().join(format!("bench-service-{}", std::process::id()));
    let place = |name: &str| place.join(name);
    std::fs::create_dir_all(place("")).map_err(why)?;
    let server = Server::start(binary, interpreter, &place("one"), &["--journal-events", "4G"]).await?;
    creation(table, &server).await?;
    roundtrips(table, &server).await?;
    output(table, &server).await?;
    replay(table, &server).await?;
    server.stop().await?;
    for (key, level) in [("service_rate", "process"), ("service_rate_machine", "machine")] {
        let server = Server::start(binary, interpreter, &place("many"), &["--durability", level]).await?;
        rate(table, &server, key).await?;
        server.stop().await?;
    }
    adoption(table, binary, interpreter, &place("adopted")).await?;
    let server = Server::start(binary, interpreter, &place("idle"), &[]).await?;
    idle(table, &server).await?;
    server.stop().await?;
    std::fs::remove_dir_all(place("")).map_err(why)
}

async fn creation(table: &mut Table, server: &Server) -> Done {
    server.put("first").await?;
    let mut samples = Vec::new();
    for number in 0..table.times(200) {
        let id = format!("made-{number}");
        let begin = Instant::now();
        server.put(&id).await?;
        samples.push(begin.elapsed().as_secs_f64());
        server.delete(&id).await?;
    }
    table.add("service_create", samples);
    Ok(())
}

async fn roundtrips(table: &mut Table, server: &Server) -> Done {
    let mut channel = server.channel("first", None).await?;
    let mut samples = Vec::new();
    for number in 0..table.times(10_000) + 200 {
        let begin = Instant::now();
        channel.run("1+1").await?;
        if number >= 200 {
            samples.push(begin.elapsed().as_secs_f64());
        }
    }
    table.add("service_execute", samples);
    Ok(())
}

async fn output(table: &mut Table, server: &Server) -> Done {
    let megabytes = if table.quick { 100 } else { 500 };
    let mut channel = server.channel("first", None).await?;
    for _ in 0..if table.quick { 1 } else { 3 } {
        let begin = Instant::now();
        let bytes = channel.run(&format!("for _ in range({megabytes}): print('x' * 999_999)")).await?;
        if bytes < megabytes * 1_000_000 {
            return Err(format!("{bytes} bytes came"));
        }
        table.add("service_output", vec![megabytes as f64 / begin.elapsed().as_secs_f64()]);
        table.add("dd_service", vec![dd(&server.data, megabytes)?]);
    }
    Ok(())
}

/// MB/s that `dd` writes to the same disk, in pieces of 1 MB, without waiting for the disk: as the journal does.
fn dd(place: &Path, megabytes: usize) -> Result<f64, String> {
    let file = place.join("dd");
    let begin = Instant::now();
    let mut command = std::process::Command::new("dd");
    command
        .args(["if=/dev/zero", "bs=1000000", &format!("count={megabytes}"), "status=none"])
        .arg(format!("of={}", file.display()));
    let done = command.status().map_err(why)?;
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(file).map_err(why)?;
    if done.success() { Ok(megabytes as f64 / seconds) } else { Err("dd failed".into()) }
}

/// Events of one session, to a reader that begins with the first.
async fn replay(table: &mut Table, server: &Server) -> Done {
    server.put("replayed").await?;
    let wanted = if table.quick { 100_000 } else { 1_000_000 };
    let mut channel = server.channel("replayed", None).await?;
    let code = format!("for i in range({wanted}): display(i)");
    channel.run(&code).await?;
    drop(channel);
    for _ in 0..3 {
        let begin = Instant::now();
        let mut channel = server.channel("replayed", Some(0)).await?;
        let mut count = 0;
        while count < wanted {
            let text = channel.next().await?;
            count += usize::from(text.starts_with("{\"type\":\"display\""));
        }
        table.add("service_replay", vec![count as f64 / begin.elapsed().as_secs_f64()]);
    }
    Ok(())
}

async fn rate(table: &mut Table, server: &Server, key: &'static str) -> Done {
    const SESSIONS: usize = 64;
    let each = if table.quick { 50 } else { 400 };
    let mut channels = Vec::new();
    for number in 0..SESSIONS {
        let id = format!("rate-{number}");
        server.put(&id).await?;
        channels.push(server.channel(&id, None).await?);
    }
    let begin = Instant::now();
    let running = channels.into_iter().map(|mut channel| {
        tokio::spawn(async move {
            let mut samples = Vec::new();
            for _ in 0..each {
                let begin = Instant::now();
                channel.run("1+1").await?;
                samples.push(begin.elapsed().as_secs_f64());
            }
            Ok::<_, String>(samples)
        })
    });
    let mut latencies = Vec::new();
    for ended in future::join_all(running).await {
        latencies.extend(ended.map_err(why)??);
    }
    table.add(key, vec![(SESSIONS * each) as f64 / begin.elapsed().as_secs_f64()]);
    table.add(if key == "service_rate" { "service_latency" } else { "service_latency_machine" }, latencies);
    Ok(())
}

async fn adoption(table: &mut Table, binary: &Path, interpreter: &Path, data: &Path) -> Done {
    let sessions = if table.quick { 50 } else { 200 };
    let mut server = Server::start(binary, interpreter, data, &[]).await?;
    for number in 0..sessions {
        let id = format!("adopted-{number}");
        server.put(&id).await?;
        server.channel(&id, None).await?.run(&format!("x = {number}")).await?;
    }
    for _ in 0..if table.quick { 1 } else { 5 } {
        server.kill().await?;
        let begin = Instant::now();
        server = Server::start(binary, interpreter, data, &[]).await?;
        table.add("service_adoption", vec![begin.elapsed().as_secs_f64()]);
        let mut lost = 0;
        for number in 0..sessions {
            let id = format!("adopted-{number}");
            let mut channel = server.channel(&id, None).await?;
            lost += usize::from(channel.run(&format!("assert x == {number}")).await.is_err());
        }
        if lost > 0 {
            return Err(format!("{lost} of {sessions} sessions were lost"));
        }
    }
    server.stop().await
}

async fn idle(table: &mut Table, server: &Server) -> Done {
    let sessions = if table.quick { 100 } else { 1000 };
    let before = server.memory()?;
    for number in 0..sessions {
        let id = format!("idle-{number}");
        server.put(&id).await?;
        server.channel(&id, None).await?.run("1+1").await?;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = server.memory()?;
    let per = (after - before) / sessions as f64;
    // Fewer are counted as if they were a thousand.
    table.add("service_idle", vec![before + per * 1000.0]);
    Ok(())
}
