//! Pools over the wire.

use super::held::Holding;
use super::peer::Peer;
use pyrepl3_engine::Code;
use pyrepl3_engine::protocol::message::Message;
use pyrepl3_server::requests::{json, time};
use std::sync::Arc;
use tokio::task::JoinSet;

impl Peer {
    pub(super) fn take_pool(self: Arc<Self>, message: Message, tasks: &mut JoinSet<()>) {
        let peer = self.clone();
        match message {
            Message::PoolStart(message) => self.answer_later(tasks, message.id, async move {
                let pool = peer.engine.pool(message.options).await?;
                let answer = json(&serde_json::json!({ "pool_id": pool.id() }));
                peer.held.put_pool(pool);
                answer
            }),
            Message::PoolAcquire(message) => {
                // Here, not in the task: who asks first is served first.
                let asked = message.timeout.map(|seconds| time(seconds, "timeout")).transpose();
                let asked = asked.and_then(|timeout| Ok(self.held.pool(&message.pool_id)?.acquire(timeout)));
                tasks.spawn(async move {
                    let acquired = match asked {
                        Ok(acquiring) => acquiring.await,
                        Err(failure) => Err(failure),
                    };
                    match acquired {
                        Ok(lease) => {
                            let session = (*lease).clone();
                            let holding = Holding::Loan { lease, pool_id: message.pool_id };
                            peer.introduce(session, holding, message.id).await;
                        }
                        Err(failure) => peer.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::PoolRelease(message) => {
                let id = message.session_id.unwrap_or_default();
                // It is taken now: what is asked next finds it gone.
                let taken = self.held.take_loan(&id, &message.pool_id);
                self.answer_later(tasks, message.id, async move {
                    let mut lease = taken?;
                    let released = lease.release().await;
                    if released.as_ref().is_err_and(|failure| failure.code == Code::Busy) {
                        peer.held.put_session(&id, Holding::Loan { lease, pool_id: message.pool_id });
                    }
                    released.map(|()| None)
                });
            }
            Message::PoolStats(message) => {
                let pool = self.held.pool(&message.pool_id);
                self.answer_later(tasks, message.id, async move { json(&pool?.stats()) });
            }
            Message::PoolShutdown(message) => {
                let pool = self.held.take_pool(&message.pool_id);
                self.answer_later(tasks, message.id, async move {
                    pool?.shutdown().await;
                    Ok(None)
                });
            }
            _ => {}
        }
    }
}
