//! Checkpoints, over the wire.

use super::peer::Peer;
use pyrepl3_engine::protocol::message::{CheckpointCreated, Message};
use pyrepl3_engine::{Checkpointing, Code, Failure};
use pyrepl3_server::requests::progress;
use std::sync::Arc;
use tokio::task::JoinSet;

impl Peer {
    /// Gives up a checkpoint that is being made.
    pub(super) fn cancel_checkpoint(self: Arc<Self>, checkpoint: &str, request: String, tasks: &mut JoinSet<()>) {
        let found = self.cancellers.cancel(checkpoint);
        self.answer_later(tasks, request, async move {
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

    /// Tells how far a checkpoint is, then what became of it.
    pub(super) async fn watch(
        self: Arc<Self>,
        mut checkpointing: Checkpointing,
        request: String,
        session: Option<String>,
    ) {
        while let Some(note) = checkpointing.progress().await {
            self.send(&progress(request.clone(), session.clone(), note)).await;
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
