//! The server, its ready line, its signals.

use super::{logs, settings};
use crate::args::{Common, ServeArgs};
use crate::signals::Signals;
use crate::{exit, message};
use pyrepl3_engine::Failure;
use pyrepl3_server::{HAND_OVER, Server, Stop};
use std::io::{self, Write};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Serves until a signal.
pub(crate) async fn main(args: &ServeArgs, common: &Common) -> u8 {
    let settings = match settings::read(args, common) {
        Ok(settings) => settings,
        Err(failure) => {
            message::failure(&failure);
            return exit::USAGE;
        }
    };
    let listening = Signals::new().and_then(|signals| Ok((signals, signal(SignalKind::from_raw(HAND_OVER))?)));
    let (mut signals, mut replaced) = match listening {
        Ok(listening) => listening,
        Err(error) => {
            message::error("the server could not start", &error.to_string(), "");
            return exit::ENVIRONMENT;
        }
    };
    logs::begin(settings.log_level, common.json);
    let started = tokio::select! {
        started = Server::start(settings.config) => started,
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
        _ = stop.send(tokio::select! {
            _ = signals.next() => Stop::Drain,
            () = arrival(&mut replaced) => Stop::HandOver,
        });
        signals.next().await;
        _ = hurry.send(());
        // A third one does nothing more: what ends the sessions has limits of its own.
        std::future::pending::<()>().await;
    });
    server.run(async { stopping.await.unwrap_or(Stop::Drain) }, async { _ = hurried.await }).await;
    watching.abort();
    exit::SUCCESS
}

async fn arrival(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
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
