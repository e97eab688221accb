//! A request, made of a session's handle.

use super::answers::{reply, time};
use pyrepl3_engine::protocol::message::{Execute, Message, Restored, RolledBack, SnapshotCreated};
use pyrepl3_engine::{Answered, Checkpointing, Code, Engine, ExecuteRequest, Failure, Session, Source, Submitted};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::future::Future;
use std::pin::Pin;

/// The one message that answers a request. The request was made; to drop this takes nothing back.
pub type Answer = Pin<Box<dyn Future<Output = Result<Message, Failure>> + Send>>;

/// A request that was made.
pub enum Asked {
    /// It is answered by one message.
    Answer(Answer),
    /// A checkpoint is being made: there is progress to tell before the answer.
    Checkpoint(Checkpointing),
    /// The session is being split: whoever asked gets the branches.
    Branch(Pin<Box<dyn Future<Output = Result<Vec<Session>, Failure>> + Send>>),
    /// It is none that a session, or the checkpoints of its engine, can be asked: nothing was done.
    Other(Box<Message>),
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Asked::Answer(_) => "Answer",
            Asked::Checkpoint(_) => "Checkpoint",
            Asked::Branch(_) => "Branch",
            Asked::Other(_) => "Other",
        })
    }
}

/// An answer's data.
///
/// # Errors
/// `internal` where it cannot be written.
pub fn json(value: &impl Serialize) -> Result<Option<Box<RawValue>>, Failure> {
    to_raw_value(value)
        .map(Some)
        .map_err(|error| Failure::new(Code::Internal, "an answer could not be written", error.to_string(), ""))
}

fn done(request: String, asked: Submitted<()>) -> Asked {
    Asked::Answer(Box::pin(async move { asked.await.map(|()| reply(request, None, None)) }))
}

fn answered<T: Serialize + Send + 'static>(request: String, asked: Submitted<Answered<T>>) -> Asked {
    Asked::Answer(Box::pin(async move {
        let answer = asked.await?;
        Ok(reply(request, json(&answer.data)?, answer.as_of))
    }))
}

fn data<T: Serialize>(request: String, asked: impl Future<Output = Result<T, Failure>> + Send + 'static) -> Asked {
    Asked::Answer(Box::pin(async move { Ok(reply(request, json(&asked.await?)?, None)) }))
}

fn rolled_back(request: String, asked: Submitted<RolledBack>) -> Asked {
    Asked::Answer(Box::pin(
        async move { Ok(Message::RolledBack(RolledBack { reply_to: Some(request), ..asked.await? })) },
    ))
}

fn created(request: String, asked: Submitted<SnapshotCreated>) -> Asked {
    Asked::Answer(Box::pin(async move {
        Ok(Message::SnapshotCreated(SnapshotCreated { reply_to: Some(request), ..asked.await? }))
    }))
}

/// Makes a request of a session, or of the checkpoints of its engine. `session`: the one that the request names, or why it
/// cannot be had, which matters only where the request needs one.
///
/// # Errors
/// Why the request could not be made.
pub fn ask(engine: &Engine, session: Result<&Session, Failure>, message: Message) -> Result<Asked, Failure> {
    let engine = engine.clone();
    Ok(match message {
        Message::InputResponse(message) => done(message.id, session?.input_response(&message.input_id, message.value)),
        Message::Interrupt(message) => done(message.id, session?.interrupt()),
        Message::Cancel(message) => {
            done(message.id, session?.cancel(message.execution_id.as_deref().unwrap_or_default()))
        }
        Message::Variables(message) => answered(message.id, session?.variables()),
        Message::Complete(message) => answered(message.id, session?.complete(message.code, message.cursor)),
        Message::Inspect(message) => answered(message.id, session?.inspect(&message.name)),
        Message::IsComplete(message) => data(message.id, session?.is_complete(message.code)),
        Message::Status(message) => data(message.id, session?.status()),
        Message::Begin(message) => {
            let timeout = message.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
            let begun = session?.begin(timeout);
            data(message.id, async move { Ok(serde_json::json!({ "transaction_id": begun.await? })) })
        }
        Message::Commit(message) => done(message.id, session?.commit(message.transaction_id.as_deref())),
        Message::Rollback(message) => rolled_back(message.id, session?.rollback(message.transaction_id.as_deref())),
        Message::RollbackTo(message) => {
            rolled_back(message.id, session?.rollback_to(&message.snapshot_id, message.transaction_id.as_deref()))
        }
        Message::Undo(message) => rolled_back(message.id, session?.undo()),
        Message::Redo(message) => rolled_back(message.id, session?.redo()),
        Message::Savepoint(message) => created(message.id, session?.savepoint(message.transaction_id.as_deref())),
        Message::TakeSnapshot(message) => created(message.id, session?.snapshot(message.name.as_deref())),
        Message::Snapshots(message) => data(message.id, session?.snapshots()),
        Message::DropSnapshot(message) => done(message.id, session?.drop_snapshot(&message.snapshot_id)),
        Message::BranchRequest(message) => Asked::Branch(Box::pin(session?.branch(message.count, message.random))),
        Message::CheckpointRequest(message) => Asked::Checkpoint(session?.begin_checkpoint(message.name.as_deref())?),
        Message::RestoreRequest(message) => {
            let restored = session?.restore(&message.checkpoint_id, message.partial);
            Asked::Answer(Box::pin(async move {
                Ok(Message::Restored(Restored { reply_to: Some(message.id), ..restored.await? }))
            }))
        }
        Message::Checkpoints(message) => data(message.id, async move { engine.checkpoints().await }),
        Message::DiffRequest(message) => match message.b {
            None => data(message.id, session?.diff(&message.a, None)),
            Some(later) => data(message.id, async move { engine.diff(&message.a, &later).await }),
        },
        Message::DeleteCheckpoint(message) => Asked::Answer(Box::pin(async move {
            engine.delete_checkpoint(&message.checkpoint_id).await?;
            Ok(reply(message.id, None, None))
        })),
        other => Asked::Other(Box::new(other)),
    })
}

/// What an `execute` asks a session to run.
///
/// # Errors
/// `bad_request` for a time limit that is none.
pub fn request_of(message: &Execute) -> Result<ExecuteRequest, Failure> {
    let mut request = ExecuteRequest::new(Source::Text(message.code.clone()));
    request.id = (!message.id.is_empty()).then(|| message.id.clone());
    request.policy = message.transaction_policy;
    request.transaction.clone_from(&message.transaction_id);
    request.timeout = message.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
    request.inputs.clone_from(&message.inputs);
    request.stop_on_error = message.stop_on_error;
    request.idempotency_key.clone_from(&message.idempotency_key);
    request.salvage.clone_from(&message.salvage);
    Ok(request)
}
