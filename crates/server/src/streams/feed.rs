//! From a source to a client: as fast as it takes it, and not for ever where it takes nothing.

use super::format::Format;
use super::source::Source;
use crate::app::App;
use crate::sessions::served::Served;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Bytes of events that are sent together.
const BATCH: usize = 64 << 10;
/// Batches on their way.
const WAITING: usize = 4;

/// A stream of events.
pub(crate) struct Feed {
    pub(crate) app: Arc<App>,
    /// The session, where it is there still.
    pub(crate) served: Option<Arc<Served>>,
    pub(crate) source: Source,
    pub(crate) format: Format,
    /// The number that the client knows.
    pub(crate) after: u64,
    /// Kept until the client has gone or has got everything: what is to happen then happens when it is dropped.
    pub(crate) on_disconnect: Option<OnDisconnect>,
}

/// Cancels an execution whose client has gone, unless it is told that all is well.
#[derive(Debug)]
pub(crate) struct OnDisconnect {
    pub(crate) served: Arc<Served>,
    pub(crate) execution: String,
    pub(crate) armed: bool,
}

impl Drop for OnDisconnect {
    fn drop(&mut self) {
        if self.armed {
            // The request is made by the call.
            drop(self.served.session.cancel(&self.execution));
        }
    }
}

impl Feed {
    /// The answer whose body the stream is.
    pub(crate) fn into_response(self) -> Response {
        let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
        let format = self.format;
        tokio::spawn(self.run(sender));
        let body = stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(bytes), receiver))
        });
        let mut response = Body::from_stream(body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies would keep events until there are enough of them.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    async fn run(mut self, sender: mpsc::Sender<Bytes>) {
        let (mut last, mut out) = (self.after, Vec::new());
        let reason = loop {
            let event = tokio::select! {
                event = self.source.next() => event,
                () = sleep(self.app.limits.keep_alive) => {
                    let sign = Bytes::from_static(self.format.keep_alive().as_bytes());
                    match self.send(&sender, sign).await {
                        Ok(()) => continue,
                        Err(reason) => break reason,
                    }
                }
                () = sender.closed() => return,
            };
            let mut ended = event.is_none();
            let mut next = event;
            while let Some(event) = next.take() {
                if self.source.wants(&event) {
                    last = event.seq().unwrap_or(last);
                    self.format.event(&event, &mut out);
                }
                ended = self.source.ends_with(&event);
                if !ended && out.len() < BATCH {
                    next = self.source.try_next();
                }
            }
            if !out.is_empty()
                && let Err(reason) = self.send(&sender, Bytes::from(std::mem::take(&mut out))).await
            {
                break reason;
            }
            if ended {
                let left = self.served.as_ref().is_some_and(|served| served.session.is_left());
                let stopping = (self.app.is_draining() || left) && matches!(self.source, Source::Session(_));
                break if stopping { "server_stopping" } else { self.source.reason() };
            }
        };
        let Feed { app, source, format, on_disconnect, .. } = self;
        // Nobody is held up by what the client has not taken.
        drop(source);
        if reason == GONE {
            return;
        }
        if reason == SLOW {
            tracing::warn!("a reader took nothing for too long, and was dropped");
        }
        if let Some(mut on_disconnect) = on_disconnect {
            on_disconnect.armed = false;
        }
        out.clear();
        format.end(reason, last, &mut out);
        _ = sender.send_timeout(Bytes::from(out), app.limits.stall).await;
    }

    async fn send(&self, sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> Result<(), &'static str> {
        if let Some(served) = &self.served {
            served.touch();
        }
        sender.send_timeout(bytes, self.app.limits.stall).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => SLOW,
            mpsc::error::SendTimeoutError::Closed(_) => GONE,
        })
    }
}

const SLOW: &str = "slow_reader";
const GONE: &str = "gone";
