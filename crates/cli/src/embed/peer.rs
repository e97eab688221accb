//! The client at the other end of a connection: what it holds here, and the way to it.

use super::held::Held;
use pyrepl3_engine::protocol::frame;
use pyrepl3_engine::protocol::message::Message;
use pyrepl3_engine::{Code, Engine, Failure};
use pyrepl3_server::requests::{Answer, Cancellers, failed, reply};
use serde_json::value::RawValue;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub(super) struct Peer {
    pub(super) engine: Engine,
    pub(super) held: Held,
    pub(super) cancellers: Cancellers,
    writer: Mutex<Pin<Box<dyn AsyncWrite + Send>>>,
}

impl Peer {
    pub(super) fn new(engine: Engine, writer: impl AsyncWrite + Send + 'static) -> Arc<Peer> {
        Arc::new(Peer {
            engine,
            held: Held::default(),
            cancellers: Cancellers::default(),
            writer: Mutex::new(Box::pin(writer)),
        })
    }

    /// Sends a message. Returns the bytes that it took.
    pub(super) async fn send(&self, message: &Message) -> u64 {
        let frame = message.to_json().and_then(|json| frame::encode(&json));
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                // Named instead of the message that could not be carried.
                let failure = Failure::new(Code::Internal, "a message could not be sent", error.to_string(), "");
                match failed(None, &failure).to_json().and_then(|json| frame::encode(&json)) {
                    Ok(frame) => frame,
                    Err(_) => return 0,
                }
            }
        };
        let mut writer = self.writer.lock().await;
        // A client that is gone is noticed where it is read from.
        if writer.write_all(&frame).await.is_ok() {
            _ = writer.flush().await;
        }
        frame.len() as u64
    }

    pub(super) async fn refuse(&self, reply_to: Option<String>, failure: &Failure) {
        self.send(&failed(reply_to, failure)).await;
    }

    async fn answer(&self, reply_to: String, answer: Result<Option<Box<RawValue>>, Failure>) {
        match answer {
            Ok(data) => _ = self.send(&reply(reply_to, data, None)).await,
            Err(failure) => self.refuse(Some(reply_to), &failure).await,
        }
    }

    /// Waits for an answer in a task of its own, and sends it. What is asked is asked before: by making the future.
    pub(super) fn answer_later(
        self: Arc<Self>,
        tasks: &mut JoinSet<()>,
        request: String,
        work: impl Future<Output = Result<Option<Box<RawValue>>, Failure>> + Send + 'static,
    ) {
        tasks.spawn(async move {
            self.answer(request, work.await).await;
        });
    }

    /// The same, where the answer is a message of its own.
    pub(super) fn send_later(self: Arc<Self>, tasks: &mut JoinSet<()>, request: String, work: Answer) {
        tasks.spawn(async move {
            match work.await {
                Ok(message) => _ = self.send(&message).await,
                Err(failure) => self.refuse(Some(request), &failure).await,
            }
        });
    }
}
