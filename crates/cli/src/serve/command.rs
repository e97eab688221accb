//! The server, its ready line, its signals.

use super::logs;
use crate::args::{Common, DurabilityLevel, Isolation, ServeArgs};
use crate::signals::Signals;
use crate::{descriptors, exit, message, paths};
use pyrepl3_engine::{Durability, Failure, SearchPath};
use pyrepl3_server::{Config, Server, Token};
use std::io::{self, Write};
use std::time::Duration;
use tokio::sync::oneshot;

/// Serves until a signal.
pub(crate) async fn main(args: &ServeArgs, common: &Common) -> u8 {
    let Some(data) = common.data.clone().or_else(paths::data_dir) else {
        message::error("there is no data directory", "HOME is not set", "name one with --data DIR");
        return exit::USAGE;
    };
    if common.isolation.is_some_and(|isolation| isolation != Isolation::None) {
        message::error(
            "sessions cannot be isolated",
            "this version has no cells yet: code that clients send runs with all rights of your user",
            "leave --isolation out, and serve only those whom you trust",
        );
        return exit::USAGE;
    }
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            message::error("the server could not start", &error.to_string(), "");
            return exit::ENVIRONMENT;
        }
    };
    logs::begin(args.log_level, common.json);
    let mut config = Config::new(data, SearchPath::from_env());
    // A Unix socket alone, where that is all that was asked for.
    config.listen = if args.listen.is_none() && args.unix.is_some() { None } else { args.listen.or(config.listen) };
    config.unix.clone_from(&args.unix);
    config.insecure_public = args.insecure_public;
    config.hosts.clone_from(&args.allow_host);
    config.origins.clone_from(&args.allow_origin);
    config.python.clone_from(&common.python);
    config.open_files = descriptors::started_with();
    config.durability = match args.durability {
        DurabilityLevel::Process => Durability::Process,
        DurabilityLevel::Machine => Durability::Machine,
    };
    config.keep_sessions = args.keep_sessions;
    config.drain = seconds(args.drain, config.drain);
    config.linger = seconds(args.linger, config.linger);
    if let Some(file) = &args.token_file {
        match Token::read(file) {
            Ok(token) => config.token = Some(token),
            Err(error) => {
                message::error("the token cannot be used", &format!("{}: {error}", file.display()), "");
                return exit::USAGE;
            }
        }
    }
    let started = tokio::select! {
        started = Server::start(config) => started,
        asked = signals.next() => return asked.status(),
    };
    let server = match started {
        Ok(server) => server,
        Err(failure) => {
            message::failure(&failure);
            return exit::of_failure(&failure);
        }
    };
    if let Err(error) = tell(&server, common.json) {
        // Whoever started it cannot know where it is, nor its token.
        message::failure(&Failure::os("the server's address could not be written to standard output", &error));
        return exit::ENVIRONMENT;
    }
    let (stop, stopping) = oneshot::channel();
    let (hurry, hurried) = oneshot::channel();
    let watching = tokio::spawn(async move {
        signals.next().await;
        _ = stop.send(());
        signals.next().await;
        _ = hurry.send(());
        // A third one does nothing more: what ends the sessions has limits of its own.
        std::future::pending::<()>().await;
    });
    server.run(async { _ = stopping.await }, async { _ = hurried.await }).await;
    watching.abort();
    exit::SUCCESS
}

fn seconds(asked: Option<f64>, without: Duration) -> Duration {
    asked.map_or(without, Duration::from_secs_f64)
}

/// Says that requests are taken: one line for programs, words for people.
fn tell(server: &Server, json: bool) -> io::Result<()> {
    let (url, token) = (server.url(), server.token().text());
    let line = if json {
        serde_json::json!({ "url": url, "token": token, "pid": std::process::id() }).to_string()
    } else {
        let curl = match url.strip_prefix("unix:") {
            Some(path) => format!("curl --unix-socket {path} http://localhost/v1/sessions"),
            None => format!("curl {url}/v1/sessions"),
        };
        format!("pyrepl3 serves at {url}\ntoken: {token}\ntry: {curl} -H 'authorization: Bearer {token}'")
    };
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
