//! Connections: how many, how long their heads may take, and their end.

use super::guard::OverUnixSocket;
use super::patient::Patient;
use crate::app::App;
use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Bytes of a head, and headers in it.
const HEAD: usize = 64 << 10;
const HEADERS: usize = 100;
/// After an error of `accept` (no descriptors left, say): until the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes connections until told to end, then waits for those that are there, a time at most.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    app: Arc<App>,
    room: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
    patience: Duration,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let permit = room.clone().acquire_owned().await;
            (permit, accept(&listener).await)
        };
        let (permit, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = closed(&mut closing) => break,
        };
        match stream {
            Ok(stream) => {
                let serving = one(stream, router.clone(), app.clone(), closing.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    _ = tokio::time::timeout(patience, ended).await;
    connections.shutdown().await;
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // That nobody can say it any more says it, too.
    _ = closing.wait_for(|closing| *closing).await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Accepted {
    stream: Box<dyn Stream>,
    local: bool,
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Answers are small, and waited for.
            _ = stream.set_nodelay(true);
            Ok(Accepted { stream: Box::new(stream), local: false })
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(Accepted { stream: Box::new(stream), local: true })
        }
    }
}

fn one(
    accepted: Accepted,
    router: Router,
    app: Arc<App>,
    mut closing: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let Accepted { stream, local } = accepted;
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        if local {
            request.extensions_mut().insert(OverUnixSocket);
        }
        router.clone().oneshot(request)
    });
    async move {
        let stream = TokioIo::new(Patient::new(stream, app.limits.stall.saturating_mul(3)));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(app.limits.head_time);
        builder.max_buf_size(HEAD).max_headers(HEADERS);
        let connection = builder.serve_connection(stream, service).with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closed(&mut closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
