//! `--from` and `--checkpoint`: a script that goes on from a saved session, and one that leaves a saved session.

use super::program::Program;
use super::pump::Pump;
use crate::checkpoint::{CancelOnDrop, package_difference};
use crate::clock;
use crate::output::Trouble;
use crate::table::plain;
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{Lost, Message, Progress, Restored};
use pyrepl3_engine::{Code, Engine, Failure, Session};

/// Brings the state of a checkpoint into a session that has just started, then gives it the arguments of this program.
pub(super) async fn bring_back(
    session: &Session,
    (checkpoint, partial): (&str, bool),
    program: &Program,
) -> Result<Restored, Failure> {
    let restored = session.restore(checkpoint, partial).await.map_err(|failure| match failure.code {
        Code::CheckpointNotFound => {
            Failure { how: "`pyrepl3 checkpoint list` shows what there is".to_owned(), ..failure }
        }
        _ => failure,
    })?;
    session.execute(program.as_it_starts())?.result().await.map_err(|error| {
        Failure::new(Code::Internal, "the script's arguments could not be passed", error.to_string(), "")
    })?;
    Ok(restored)
}

/// What did not come back, in words; nothing where all did.
pub(super) fn remarks(restored: &Restored, asked: &str) -> String {
    let mut text = lost(&format!("not all of checkpoint {asked} came back"), &restored.lost);
    for package in &restored.packages {
        text += &format!("pyrepl3: {}\n", package_difference(package));
    }
    text
}

fn lost(what: &str, lost: &[Lost]) -> String {
    let mut text = String::new();
    if !lost.is_empty() {
        text = format!("pyrepl3: {what}\n");
        for one in lost {
            text += &format!("  {}: {}\n", plain(&one.name), plain(&one.reason));
        }
    }
    text
}

/// Saves the session of a script that has ended. False, with the reason told, where that failed.
pub(super) async fn save(session: &Session, pump: &mut Pump, name: &str) -> Result<bool, Trouble> {
    let ended = async {
        let mut checkpointing = session.begin_checkpoint(Some(name))?;
        let _until_complete = CancelOnDrop::new(checkpointing.canceller());
        while let Some(note) = checkpointing.progress().await {
            pump.message(&Message::Progress(Progress {
                id: id::new(IdKind::Message),
                timestamp: clock::now(),
                session_id: Some(session.id().to_owned()),
                execution_id: None,
                seq: None,
                reply_to: None,
                bytes: note.bytes,
                done: note.done,
                total: note.total,
                name: note.name,
            }))
            .await;
        }
        checkpointing.finish().await
    }
    .await;
    match ended {
        Ok(created) => {
            let text = lost(&format!("checkpoint {name} does not hold all of the session"), &created.lost);
            pump.message(&Message::CheckpointCreated(created)).await;
            pump.note(&text).await;
            Ok(true)
        }
        Err(failure) => {
            unsaved(pump, name, &failure).await;
            Ok(false)
        }
    }
}

/// Tells that a session was not saved.
pub(super) async fn unsaved(pump: &mut Pump, name: &str, failure: &Failure) {
    pump.failure(failure).await;
    pump.note(&format!("pyrepl3: checkpoint {name} was not made: {failure}\n")).await;
}

/// Whether a name can be that of a checkpoint, and there is a place for it: known before the script has run.
pub(super) async fn check(engine: &Engine, name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Failure::new(
            Code::BadRequest,
            "--checkpoint: the name cannot be used",
            "a name has 1 to 256 bytes, and no control characters",
            "choose another",
        ));
    }
    engine.checkpoints().await.map(drop)
}
