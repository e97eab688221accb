//! Checkpoints, over the wire.

use super::peer::Peer;
use super::wire::json;
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{CheckpointCreated, Message, Progress, Restored};
use pyrepl3_engine::{Checkpointing, Code, Failure, Session};
use std::sync::Arc;
use tokio::task::JoinSet;

impl Peer {
    /// Requests about checkpoints.
    pub(super) fn take_checkpoint(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        message: Message,
        tasks: &mut JoinSet<()>,
    ) {
        let peer = self.clone();
        match message {
            Message::CheckpointRequest(message) => {
                let begun = session.and_then(|session| session.begin_checkpoint(message.name.as_deref()));
                if let Ok(checkpointing) = &begun {
                    self.cancellers.insert(&message.id, checkpointing.canceller());
                }
                tasks.spawn(async move {
                    match begun {
                        Ok(checkpointing) => self.watch(checkpointing, message.id, message.session_id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::CancelCheckpoint(message) => {
                let found = self.cancellers.cancel(&message.request);
                self.answer_later(tasks, message.id, async move {
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
                let restored = session.map(|session| {
                    // What runs is being stopped: what it has written comes without being waited for.
                    self.held.open_flows(session.id());
                    session.restore(&message.checkpoint_id, message.partial)
                });
                let reply_to = Some(message.id.clone());
                self.send_later(tasks, message.id, async move {
                    Ok(Message::Restored(Restored { reply_to, ..restored?.await? }))
                });
            }
            Message::Checkpoints(message) => {
                self.answer_later(tasks, message.id, async move { json(&peer.engine.checkpoints().await?) });
            }
            Message::DiffRequest(message) => {
                let present = match message.b {
                    None => Some(session.map(|session| session.diff(&message.a, None))),
                    Some(_) => None,
                };
                self.answer_later(tasks, message.id, async move {
                    match (present, message.b) {
                        (Some(present), _) => json(&present?.await?),
                        (None, later) => {
                            json(&peer.engine.diff(&message.a, later.as_deref().unwrap_or_default()).await?)
                        }
                    }
                });
            }
            Message::DeleteCheckpoint(message) => self.answer_later(tasks, message.id, async move {
                peer.engine.delete_checkpoint(&message.checkpoint_id).await.map(|_| None)
            }),
            _ => {}
        }
    }

    /// Tells how far a checkpoint is, then what became of it.
    async fn watch(self: Arc<Self>, mut checkpointing: Checkpointing, request: String, session: Option<String>) {
        while let Some(note) = checkpointing.progress().await {
            let progress = Progress {
                id: id::new(IdKind::Message),
                timestamp: crate::clock::now(),
                session_id: session.clone(),
                execution_id: None,
                seq: None,
                reply_to: Some(request.clone()),
                bytes: note.bytes,
                done: note.done,
                total: note.total,
                name: note.name,
            };
            self.send(&Message::Progress(progress)).await;
        }
        let ended = checkpointing.finish().await;
        self.cancellers.remove(&request);
        match ended {
            Ok(created) => {
                let created = CheckpointCreated { reply_to: Some(request), ..created };
                self.send(&Message::CheckpointCreated(created)).await;
            }
            Err(failure) => self.refuse(Some(request), &failure).await,
        }
    }
}
