//! What a client is sent over a WebSocket.

use crate::app::App;
use crate::sessions::served::Served;
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use pyrepl3_engine::protocol::{FrameError, Message};
use pyrepl3_engine::{Event, Events};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Pings without a sign of life after which a client counts as gone.
const PINGS: u32 = 4;

/// Something to send that is no event.
#[derive(Debug)]
pub(super) enum Out {
    Answer(Box<Message>),
    Close(u16, &'static str),
}

/// When the client was heard of last.
#[derive(Debug, Clone)]
pub(super) struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why no more is sent.
enum End {
    /// The client is gone: nothing can be sent.
    Gone,
    /// It is told, with the code of the WebSocket's end.
    Told(u16, &'static str),
}

/// Sends events and answers to one client.
pub(super) struct Writer {
    app: Arc<App>,
    served: Arc<Served>,
    events: Option<Events>,
    /// The number of the last event that was sent.
    sent: u64,
    inbox: mpsc::Receiver<Out>,
    /// Answers, and the last event that was there before each: it is sent behind that one.
    waiting: VecDeque<(Box<Message>, u64)>,
    sink: SplitSink<WebSocket, Frame>,
    heard: Heard,
}

impl Writer {
    pub(super) fn new(
        app: Arc<App>,
        served: Arc<Served>,
        events: Events,
        from: u64,
        inbox: mpsc::Receiver<Out>,
        sink: SplitSink<WebSocket, Frame>,
    ) -> Writer {
        let heard = Heard(Arc::new(Mutex::new(Instant::now())));
        Writer { app, served, events: Some(events), sent: from, inbox, waiting: VecDeque::new(), sink, heard }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Sends until the session ends, the client goes, or takes nothing for too long.
    pub(super) async fn run(mut self, first: Message) {
        let end = match self.message(&first).await {
            Ok(()) => self.send_all().await,
            Err(end) => end,
        };
        // Nobody is held up by what this client has not taken.
        self.events = None;
        let End::Told(code, reason) = end else { return };
        if reason == SLOW {
            tracing::warn!("a WebSocket took nothing for too long, and was dropped");
        }
        let last = serde_json::json!({ "type": "end_of_stream", "reason": reason, "last": self.sent }).to_string();
        let closing = async {
            self.sink.send(Frame::Text(last.into())).await?;
            self.sink.send(Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))).await
        };
        _ = tokio::time::timeout(self.app.limits.stall, closing).await;
    }

    async fn send_all(&mut self) -> End {
        match self.try_send_all().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn try_send_all(&mut self) -> Result<End, End> {
        let every = self.app.limits.keep_alive;
        let mut pings = interval(every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What is there already, without a look at anything else but answers that may not wait for ever.
            while let Some(event) = self.events.as_mut().and_then(Events::try_next) {
                self.event(&event).await?;
                while let Ok(out) = self.inbox.try_recv() {
                    self.take(out)?;
                }
                self.answer(false).await?;
            }
            // All that was there when an answer was given has been sent.
            self.answer(true).await?;
            self.flush().await?;
            let Some(events) = self.events.as_mut() else { return Ok(End::Gone) };
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.event(&event).await?,
                    None => return Ok(self.ended().await),
                },
                out = self.inbox.recv() => match out {
                    Some(out) => self.take(out)?,
                    None => return Ok(End::Gone),
                },
                _ = pings.tick() => {
                    if self.heard.at().elapsed() > every * PINGS {
                        return Ok(End::Told(close_code::POLICY, "no_pong"));
                    }
                    self.frame(Frame::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// The session has ended: who asked for that is answered, and hears it.
    async fn ended(&mut self) -> End {
        // An answer may be a moment behind the last event.
        let late = tokio::time::timeout(std::time::Duration::from_millis(500), async {
            while let Some(out) = self.inbox.recv().await {
                if let Out::Answer(message) = out {
                    self.waiting.push_back((message, 0));
                    if self.answer(true).await.is_err() || self.flush().await.is_err() {
                        break;
                    }
                }
            }
        });
        _ = late.await;
        if self.app.is_draining() || self.served.session.is_left() {
            End::Told(close_code::AWAY, "server_stopping")
        } else {
            End::Told(close_code::NORMAL, "session_ended")
        }
    }

    fn take(&mut self, out: Out) -> Result<(), End> {
        match out {
            Out::Answer(message) => {
                let (_, last) = self.served.session.event_numbers();
                self.waiting.push_back((message, last));
                Ok(())
            }
            Out::Close(code, reason) => Err(End::Told(code, reason)),
        }
    }

    /// Sends the answers whose time has come; all of them, where everything else was sent.
    async fn answer(&mut self, all: bool) -> Result<(), End> {
        while self.waiting.front().is_some_and(|(_, behind)| all || *behind <= self.sent) {
            let Some((message, _)) = self.waiting.pop_front() else { break };
            self.message(&message).await?;
        }
        Ok(())
    }

    async fn event(&mut self, event: &Event) -> Result<(), End> {
        self.json(event.to_json().map(Cow::into_owned)).await?;
        self.sent = event.seq().unwrap_or(self.sent);
        Ok(())
    }

    async fn message(&mut self, message: &Message) -> Result<(), End> {
        self.json(message.to_json()).await
    }

    async fn json(&mut self, json: Result<Vec<u8>, FrameError>) -> Result<(), End> {
        let json = match json {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, "a message could not be written");
                return Ok(());
            }
        };
        // It is JSON, so it is text.
        let Ok(text) = Utf8Bytes::try_from(Bytes::from(json)) else { return Ok(()) };
        self.frame(Frame::Text(text)).await
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), End> {
        let sending = self.sink.feed(frame);
        match tokio::time::timeout(self.app.limits.stall, sending).await {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => Err(End::Told(close_code::POLICY, SLOW)),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        match tokio::time::timeout(self.app.limits.stall, self.sink.flush()).await {
            Ok(flushed) => flushed.map_err(|_| End::Gone),
            Err(_) => Err(End::Told(close_code::POLICY, SLOW)),
        }
    }
}

const SLOW: &str = "slow_reader";
