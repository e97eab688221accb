//! Checkpoints, over the wire.

use super::connection::{Connection, json};
use super::state::begun;
use pyrepl3_engine::protocol::id::{self, Kind};
use pyrepl3_engine::protocol::message::{CheckpointCreated, Message, Progress, Restored};
use pyrepl3_engine::{Checkpointing, Code, Failure, Session};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinSet;

/// Ways to give up the checkpoints that are being made for this connection, by the ids of their requests.
#[derive(Default)]
pub(super) struct Cancellers(Mutex<HashMap<String, Box<dyn Fn() + Send + Sync>>>);

impl fmt::Debug for Cancellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Cancellers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Box<dyn Fn() + Send + Sync>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Requests about checkpoints. Those that wait their turn are handed to the session here, in their order.
    pub(super) fn take_checkpoint(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        message: Message,
        tasks: &mut JoinSet<()>,
    ) {
        match message {
            Message::CheckpointRequest(message) => {
                let begun = session.and_then(|session| session.begin_checkpoint(message.name.as_deref()));
                if let Ok(checkpointing) = &begun {
                    self.cancellers.lock().insert(message.id.clone(), Box::new(checkpointing.canceller()));
                }
                tasks.spawn(async move {
                    match begun {
                        Ok(checkpointing) => self.watch(checkpointing, message.id, message.session_id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::CancelCheckpoint(message) => {
                let found = self.cancellers.lock().get(&message.request).map(|cancel| cancel()).is_some();
                self.spawn(tasks, message.id, move |_| async move {
                    if found {
                        return Ok(None);
                    }
                    Err(Failure::new(
                        Code::BadRequest,
                        "there is no such checkpoint to give up",
                        "it was made already, or the request is none of this connection's",
                        "name the `id` of a `checkpoint` message that is not answered yet",
                    ))
                });
            }
            Message::RestoreRequest(message) => {
                if let Ok(session) = &session {
                    // What runs is being stopped: what it has written comes without being waited for.
                    self.held.open_flows(session.id());
                }
                let work = begun(async move { session?.restore(&message.checkpoint_id, message.partial).await });
                tasks.spawn(async move {
                    match work.await {
                        Ok(restored) => {
                            let restored = Restored { reply_to: Some(message.id), ..restored };
                            self.send(&Message::Restored(restored)).await;
                        }
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::Checkpoints(message) => {
                self.spawn(tasks, message.id, |this| async move { json(&this.engine.checkpoints().await?) });
            }
            Message::DiffRequest(message) => self.spawn(tasks, message.id, move |this| async move {
                match message.b {
                    Some(later) => json(&this.engine.diff(&message.a, &later).await?),
                    None => json(&session?.diff(&message.a, None).await?),
                }
            }),
            Message::DeleteCheckpoint(message) => self.spawn(tasks, message.id, |this| async move {
                this.engine.delete_checkpoint(&message.checkpoint_id).await.map(|_| None)
            }),
            _ => {}
        }
    }

    /// Tells how far a checkpoint is, then what became of it.
    async fn watch(self: Arc<Self>, mut checkpointing: Checkpointing, request: String, session: Option<String>) {
        while let Some(note) = checkpointing.progress().await {
            let progress = Progress {
                id: id::new(Kind::Message),
                timestamp: super::connection::now(),
                session_id: session.clone(),
                execution_id: None,
                reply_to: Some(request.clone()),
                bytes: note.bytes,
                done: note.done,
                total: note.total,
                name: note.name,
            };
            self.send(&Message::Progress(progress)).await;
        }
        let ended = checkpointing.finish().await;
        self.cancellers.lock().remove(&request);
        match ended {
            Ok(created) => {
                let created = CheckpointCreated { reply_to: Some(request), ..created };
                self.send(&Message::CheckpointCreated(created)).await;
            }
            Err(failure) => self.refuse(Some(request), &failure).await,
        }
    }
}
