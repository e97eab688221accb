//! One connection: reads requests, one after the other. Each is handed to its session, or begun, before the next one is
//! read, so that the order in which a client sends is the order of effects; answers are waited for in tasks.

use super::peer::Peer;
use pyrepl3_engine::protocol::frame::{Decoder, MAX_FRAME};
use pyrepl3_engine::protocol::message::Message;
use pyrepl3_engine::{Code, Engine, Failure, Session};
use pyrepl3_server::requests::{Asked, ask, bad_frame, ready};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::JoinSet;

/// Requests of one client that may be unanswered. Its executions, and what it reads, count, too.
const UNANSWERED: usize = 20_000;

/// Serves until the client closes its end, then ends what it started and does not live on without it.
pub(super) async fn serve(
    engine: Engine,
    mut reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Send + 'static,
) {
    let peer = Peer::new(engine, writer);
    // When the engine ends while this is served, the sessions end with the tasks that hold them.
    peer.send(&ready(None, None)).await;
    let mut tasks = JoinSet::new();
    let mut decoder = Decoder::new(MAX_FRAME);
    let mut buffer = vec![0; 64 << 10];
    'connection: loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        decoder.feed(&buffer[..count]);
        loop {
            let message = match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(json)) => Message::from_json(json).map_err(|error| (error, Message::peek_id(json))),
                Err(error) => {
                    peer.refuse(None, &bad_frame(&error)).await;
                    break 'connection;
                }
            };
            while tasks.try_join_next().is_some() {}
            match message {
                Ok(message) if tasks.len() >= UNANSWERED && asks_for_more(&message) => {
                    peer.refuse(Some(message.id().to_owned()), &too_many()).await;
                }
                Ok(message) => take(&peer, message, &mut tasks).await,
                Err((error, id)) => peer.refuse(id, &bad_frame(&error)).await,
            }
        }
    }
    peer.end().await;
    tasks.shutdown().await;
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
            | Message::Shutdown(_)
            | Message::Detach(_)
            | Message::PoolRelease(_)
    )
}

fn too_many() -> Failure {
    Failure::new(
        Code::TooMany,
        "too many requests of this connection are unanswered",
        format!("{UNANSWERED} are"),
        "read the answers, and wait for some before more is asked",
    )
}

async fn take(peer: &Arc<Peer>, message: Message, tasks: &mut JoinSet<()>) {
    // Whatever needs a session finds it now, so that what comes later cannot take it away.
    let session = peer.held.session(message.session_id());
    let peer = peer.clone();
    match message {
        Message::Execute(message) => peer.execute(session, message, tasks).await,
        Message::Ack(message) => {
            let session = message.session_id.as_deref();
            let flow = session.and_then(|session| peer.held.known_flow(session, message.execution_id.as_deref()));
            if let Some(flow) = flow {
                flow.acknowledge(message.bytes);
            }
        }
        Message::Interrupt(message) => peer.interrupt(session, message.id, tasks),
        Message::Cancel(message) => peer.cancel(session, message.execution_id.unwrap_or_default(), message.id, tasks),
        Message::Start(_) | Message::Attach(_) | Message::Detach(_) | Message::Shutdown(_) => {
            peer.take_life(message, tasks).await;
        }
        Message::PoolStart(_)
        | Message::PoolAcquire(_)
        | Message::PoolRelease(_)
        | Message::PoolStats(_)
        | Message::PoolShutdown(_) => peer.take_pool(message, tasks),
        Message::CancelCheckpoint(message) => peer.cancel_checkpoint(&message.request, message.id, tasks),
        other => peer.ask(session, other, tasks).await,
    }
}

impl Peer {
    /// What is asked of a session, or of the checkpoints.
    async fn ask(self: Arc<Self>, session: Result<Session, Failure>, message: Message, tasks: &mut JoinSet<()>) {
        let (request, session_id) = (message.id().to_owned(), message.session_id().map(str::to_owned));
        if let (Ok(session), Message::RollbackTo(_) | Message::RestoreRequest(_)) = (&session, &message) {
            // What runs is being stopped: what it has written comes without being waited for.
            self.held.open_flows(session.id());
        }
        let asked = ask(&self.engine, session.as_ref().map_err(Failure::clone), message);
        match asked {
            Ok(Asked::Answer(answer)) => self.send_later(tasks, request, answer),
            Ok(Asked::Branch(made)) => _ = tasks.spawn(self.introduce_branches(made, request)),
            Ok(Asked::Checkpoint(checkpointing)) => {
                self.cancellers.insert(&request, checkpointing.canceller());
                tasks.spawn(self.watch(checkpointing, request, session_id));
            }
            Ok(Asked::Other(other)) => {
                let failure = Failure::new(
                    Code::BadRequest,
                    format!("a client does not send {:?}", other.type_name()),
                    "only the engine does",
                    "",
                );
                self.refuse(Some(request), &failure).await;
            }
            Err(failure) => {
                tasks.spawn(async move { self.refuse(Some(request), &failure).await });
            }
        }
    }
}
