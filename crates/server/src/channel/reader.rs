//! What a client sends over a WebSocket.

use super::writer::{Heard, Out};
use crate::app::App;
use crate::requests::{Asked, Cancellers, ask, bad_frame, branched, failed, progress, reply, request_of};
use crate::sessions::served::Served;
use crate::sessions::submit::{Handed, Submission, follow, submit};
use axum::extract::ws::{Message as Frame, WebSocket, close_code};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use pyrepl3_engine::protocol::frame::check_depth;
use pyrepl3_engine::protocol::message::{CheckpointCreated, Execute, Message};
use pyrepl3_engine::{Checkpointing, Code, Failure, Session};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// One client's requests.
pub(super) struct Reader {
    app: Arc<App>,
    served: Arc<Served>,
    answers: mpsc::Sender<Out>,
    heard: Heard,
    cancellers: Arc<Cancellers>,
    /// Requests that are not answered yet.
    tasks: JoinSet<()>,
}

impl Reader {
    pub(super) fn new(app: Arc<App>, served: Arc<Served>, answers: mpsc::Sender<Out>, heard: Heard) -> Reader {
        Reader { app, served, answers, heard, cancellers: Arc::default(), tasks: JoinSet::new() }
    }

    /// Takes what the client sends, until it goes. Whether it is to be told why it is let go of.
    pub(super) async fn run(mut self, mut stream: SplitStream<WebSocket>) -> bool {
        while let Some(frame) = stream.next().await {
            while self.tasks.try_join_next().is_some() {}
            self.heard.now();
            // Who is there uses it, with or without something to ask.
            self.served.touch();
            match frame {
                Ok(Frame::Text(text)) => self.take(text.as_bytes()).await,
                Ok(Frame::Binary(_)) => return self.close(close_code::UNSUPPORTED, "text messages only").await,
                Ok(Frame::Ping(_) | Frame::Pong(_)) => {}
                Ok(Frame::Close(_)) => return false,
                Err(error) => {
                    let error = error.into_inner().to_string();
                    // What is said of it names sizes, and nothing that was sent.
                    if error.contains("too long") || error.contains("too big") || error.contains("Space limit") {
                        return self.close(close_code::SIZE, "the message is too large").await;
                    }
                    return false;
                }
            }
        }
        false
    }

    async fn close(&self, code: u16, reason: &'static str) -> bool {
        self.answers.send(Out::Close(code, reason)).await.is_ok()
    }

    async fn refuse(&self, request: Option<String>, failure: &Failure) {
        _ = self.answers.send(Out::Answer(Box::new(failed(request, failure)))).await;
    }

    async fn take(&mut self, json: &[u8]) {
        let message = check_depth(json).and_then(|()| Message::from_json(json));
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.refuse(Message::peek_id(json), &bad_frame(&error)).await,
        };
        let request = message.id().to_owned();
        if let Err(failure) = self.check(&message) {
            return self.refuse(Some(request), &failure).await;
        }
        match message {
            Message::Execute(message) => self.execute(message, request).await,
            // What is sent is held back by the connection itself.
            Message::Ack(_) => {}
            Message::Shutdown(_) => {
                let ending = self.served.session.shutdown();
                self.answer(request, async move {
                    ending.await;
                    Ok(())
                });
            }
            Message::CancelCheckpoint(message) => {
                let found = self.cancellers.cancel(&message.request);
                self.answer(request, async move { if found { Ok(()) } else { Err(no_checkpoint()) } });
            }
            Message::Start(_)
            | Message::Attach(_)
            | Message::Detach(_)
            | Message::PoolStart(_)
            | Message::PoolAcquire(_)
            | Message::PoolRelease(_)
            | Message::PoolStats(_)
            | Message::PoolShutdown(_) => self.refuse(Some(request), &not_here()).await,
            message => self.ask(message, request).await,
        }
    }

    fn check(&self, message: &Message) -> Result<(), Failure> {
        let (own, limit) = (self.served.session.id(), self.app.limits.unanswered);
        if message.session_id().is_some_and(|named| named != own) {
            let how = "leave session_id out, or open that session's own channel";
            return Err(Failure::new(Code::BadRequest, "the message is for another session", "", how));
        }
        if !asks_for_more(message) {
            return Ok(());
        }
        if self.app.is_draining() {
            let how = "ask again when it is back";
            return Err(Failure::new(
                Code::SessionClosed,
                "nothing new is taken on",
                "the server is about to stop",
                how,
            ));
        }
        if self.tasks.len() >= limit {
            return Err(Failure::new(
                Code::TooMany,
                "too many requests of this WebSocket are unanswered",
                format!("{limit} are"),
                "wait for some answers before more is asked",
            ));
        }
        Ok(())
    }

    async fn execute(&mut self, message: Execute, request: String) {
        let submitted = request_of(&message).and_then(|request| submit(&self.served, request, None));
        match submitted {
            Ok(Submission::New(handed)) => {
                _ = self.tasks.spawn(refusal(handed, self.served.clone(), self.answers.clone(), request));
            }
            // Without a key of HTTP there is none.
            Ok(Submission::Replay(_)) => {}
            Err(failure) => self.refuse(Some(request), &failure).await,
        }
    }

    async fn ask(&mut self, message: Message, request: String) {
        let session: Result<&Session, Failure> = Ok(&self.served.session);
        let (answers, served) = (self.answers.clone(), self.served.clone());
        match ask(&self.app.engine, session, message) {
            Ok(Asked::Answer(answer)) => {
                self.tasks.spawn(async move {
                    let answer = answer.await;
                    if answer.is_err() && served.session.is_left() {
                        // Whether it was done is not known: who asked hears nothing, and that.
                        return;
                    }
                    let message = answer.unwrap_or_else(|failure| failed(Some(request), &failure));
                    match &message {
                        Message::RolledBack(rolled_back) => served.note_return(rolled_back),
                        Message::Restored(restored) => served.executions.note_return(&restored.undone, &[]),
                        _ => {}
                    }
                    _ = answers.send(Out::Answer(Box::new(message))).await;
                });
            }
            Ok(Asked::Branch(made)) => {
                // They are registered whether or not the client is there still: else nobody would know of them.
                let table = self.app.sessions.clone();
                tokio::spawn(async move {
                    let made = made.await;
                    if made.is_err() && served.session.is_left() {
                        return;
                    }
                    let message = match made {
                        Ok(sessions) => {
                            let message = branched(request, &sessions);
                            table.branched(sessions, &served).await;
                            message
                        }
                        Err(failure) => failed(Some(request), &failure),
                    };
                    _ = answers.send(Out::Answer(Box::new(message))).await;
                });
            }
            Ok(Asked::Checkpoint(checkpointing)) => {
                self.cancellers.insert(&request, checkpointing.canceller());
                self.tasks.spawn(watch(checkpointing, request, served, answers, self.cancellers.clone()));
            }
            Ok(Asked::Other(other)) => {
                let what = format!("a client does not send {:?}", other.type_name());
                let failure = Failure::new(Code::BadRequest, what, "only the engine does", "");
                self.refuse(Some(request), &failure).await;
            }
            Err(failure) => self.refuse(Some(request), &failure).await,
        }
    }

    fn answer(&mut self, request: String, work: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let answers = self.answers.clone();
        self.tasks.spawn(async move {
            let message = match work.await {
                Ok(()) => reply(request, None, None),
                Err(failure) => failed(Some(request), &failure),
            };
            _ = answers.send(Out::Answer(Box::new(message))).await;
        });
    }
}

/// An execution is answered by its events; only a refusal is told to who asked.
async fn refusal(handed: Box<Handed>, served: Arc<Served>, answers: mpsc::Sender<Out>, request: String) {
    let refused = match handed.taken(&served).await {
        Ok((record, execution)) => follow(record, execution).await.ok().flatten(),
        Err(failure) => Some(failure),
    };
    // Of one that goes on with the next server nothing is known here: it is not told to be refused.
    if let Some(failure) = refused.filter(|_| !served.session.is_left()) {
        _ = answers.send(Out::Answer(Box::new(failed(Some(request), &failure)))).await;
    }
}

/// Tells how far a checkpoint is, then what became of it.
async fn watch(
    mut checkpointing: Checkpointing,
    request: String,
    served: Arc<Served>,
    answers: mpsc::Sender<Out>,
    cancellers: Arc<Cancellers>,
) {
    let session = served.session.id().to_owned();
    while let Some(note) = checkpointing.progress().await {
        _ = answers.send(Out::Answer(Box::new(progress(request.clone(), Some(session.clone()), note)))).await;
    }
    let ended = checkpointing.finish().await;
    cancellers.remove(&request);
    if ended.is_err() && served.session.is_left() {
        return;
    }
    let message = match ended {
        Ok(created) => Message::CheckpointCreated(CheckpointCreated { reply_to: Some(request), ..created }),
        Err(failure) => failed(Some(request), &failure),
    };
    _ = answers.send(Out::Answer(Box::new(message))).await;
}

/// Whether a request makes more to do; else it is what makes less.
fn asks_for_more(message: &Message) -> bool {
    !matches!(
        message,
        Message::Ack(_)
            | Message::InputResponse(_)
            | Message::Interrupt(_)
            | Message::Cancel(_)
            | Message::CancelCheckpoint(_)
            | Message::Status(_)
            | Message::Shutdown(_)
    )
}

fn no_checkpoint() -> Failure {
    Failure::new(
        Code::BadRequest,
        "there is no such checkpoint to give up",
        "it was made already, or the request is none of this WebSocket's",
        "name the `id` of a `checkpoint` message that is not answered yet",
    )
}

fn not_here() -> Failure {
    Failure::new(
        Code::Unsupported,
        "a session's channel does not take this request",
        "it belongs to one session",
        "start and end sessions over HTTP",
    )
}
