//! What a program does with checkpoints of a session: make them, bring them back, compare them.

use super::actor::{CheckpointRequest, Command, Operation, Outcome, Purpose, RestoreRequest, Stored};
use super::handle::{Session, closed};
use crate::checkpoint::{self, Canceller, ProgressReceiver, SessionMetadata, UnsavedExecutions};
use pyrepl3_protocol::message::{Checkpoint, CheckpointCreated, Difference, Message, Restored};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::Manifest;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of a checkpoint's name.
const NAME: usize = 256;

/// How far a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointNote {
    /// Bytes so far.
    pub bytes: u64,
    /// Groups of variables that are done.
    pub done: u64,
    /// Of so many; 0 before that is known.
    pub total: u64,
    /// The variable that comes next.
    pub name: String,
}

/// A checkpoint that is being made. Dropping it does not give it up.
#[derive(Debug)]
pub struct Checkpointing {
    progress: ProgressReceiver,
    answer: oneshot::Receiver<Result<Outcome, Failure>>,
    canceller: Canceller,
    session: String,
}

impl Checkpointing {
    /// How far it is, the latest that was not seen yet; None when it has ended, well or not.
    pub async fn progress(&mut self) -> Option<CheckpointNote> {
        let note = self.progress.next().await?;
        Some(CheckpointNote { bytes: note.bytes, done: note.done, total: note.total, name: note.name })
    }

    /// A way to give it up, usable while something else waits for it.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let canceller = self.canceller.clone();
        move || canceller.cancel()
    }

    /// Waits until it is on disk.
    ///
    /// # Errors
    /// As [`Session::checkpoint`]; `interrupted` when it was given up.
    pub async fn finish(self) -> Result<CheckpointCreated, Failure> {
        self.stored().await.map(|stored| stored.message)
    }

    async fn stored(self) -> Result<Stored, Failure> {
        match self.answer.await {
            Ok(Ok(Outcome::Stored(stored))) => Ok(*stored),
            Ok(Ok(_)) => Err(unexpected()),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(closed(&self.session)),
        }
    }
}

/// Why a checkpoint cannot have this name.
fn unfit(name: &str) -> Option<String> {
    // Such marks make a list of names look like another one.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.is_empty() || name.len() > NAME || name.chars().any(|c| c.is_control() || turns(c)) {
        return Some(format!(
            "a name has 1 to {NAME} bytes, no control characters, and no marks that turn text around"
        ));
    }
    let digits = name.strip_prefix("ckp_").unwrap_or_default();
    let is_beginning = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_beginning.then(|| "it looks like the id of a checkpoint, or the beginning of one".to_owned())
}

impl Session {
    /// Saves the session to the data directory. It pauses for a fork and goes on while that is written. Waits its turn;
    /// where code runs, and there is a snapshot of the state before it, that state is saved at once.
    ///
    /// # Errors
    /// `bad_request`, `snapshot_refused`, `too_many`, `checkpoint_failed`, `storage_full`, `unsupported` without a data
    /// directory, `session_lost`, `session_closed`.
    pub async fn checkpoint(&self, name: Option<&str>) -> Result<CheckpointCreated, Failure> {
        self.begin_checkpoint(name)?.finish().await
    }

    /// The same, to be watched on its way. The session has the request when this returns.
    ///
    /// # Errors
    /// `bad_request`, `session_closed`.
    pub fn begin_checkpoint(&self, name: Option<&str>) -> Result<Checkpointing, Failure> {
        if let Some(why) = name.and_then(unfit) {
            return Err(Failure::new(
                Code::BadRequest,
                "the checkpoint's name cannot be used",
                why,
                "choose another, or none",
            ));
        }
        self.save(name.map(str::to_owned), Purpose::Asked)
    }

    fn save(&self, name: Option<String>, purpose: Purpose) -> Result<Checkpointing, Failure> {
        let (sender, progress) = checkpoint::progress();
        let (reply, answer) = oneshot::channel();
        let canceller = Canceller::default();
        let request = CheckpointRequest { name, purpose, progress: Some(sender), canceller: canceller.clone() };
        self.send(Command::Operate { operation: Operation::Checkpoint(request), reply })?;
        Ok(Checkpointing { progress, answer, canceller, session: self.id().to_owned() })
    }

    /// Stops what runs, cancels what waits, and brings a checkpoint back: by its id, the beginning of that, or its name.
    /// It succeeds whole, or leaves the session as it was. `partial`: go on without what needs packages
    /// that are missing, or bytes that are damaged.
    ///
    /// # Errors
    /// `checkpoint_not_found`, `checkpoint_damaged`, `restore_failed`, `snapshot_refused`, `unsupported`,
    /// `session_closed`.
    pub async fn restore(&self, checkpoint: &str, partial: bool) -> Result<Restored, Failure> {
        let manifest = self.shelf().find(checkpoint).await?;
        self.bring_back(manifest, partial, "a client asked".to_owned(), None).await
    }

    async fn bring_back(
        &self,
        manifest: Manifest,
        partial: bool,
        reason: String,
        by_itself: Option<Vec<u64>>,
    ) -> Result<Restored, Failure> {
        let automatic = by_itself.is_some();
        let missing = by_itself.unwrap_or_default();
        let request = RestoreRequest { manifest: Arc::new(manifest), partial, reason, automatic, missing };
        match self.ask(|reply| Command::Operate { operation: Operation::Restore(request), reply }).await? {
            Outcome::Restored(restored) => Ok(*restored),
            _ => Err(unexpected()),
        }
    }

    /// The state that a session begins with. What came back and what did not is told as an event: there is no request
    /// that could be answered with it.
    pub(crate) async fn begin_from(&self, checkpoint: &str) -> Result<(), Failure> {
        let manifest = self.shelf().find(checkpoint).await?;
        let restored = self.bring_back(manifest, false, "the session was started from it".to_owned(), None).await?;
        let events = &self.shared.events;
        events.push(Message::Restored(restored), !events.is_heard());
        Ok(())
    }

    /// A session that saves itself goes on where one of the same name has ended.
    pub(crate) async fn resume(&self) -> Result<(), Failure> {
        let options = self.options();
        let wanted = options.autosave.as_ref().is_some_and(|wanted| wanted.recover.unwrap_or(true));
        let Some(name) = options.name.clone().filter(|_| wanted) else { return Ok(()) };
        let found = {
            let (data, name) = (self.shelf().data().map(std::path::Path::to_owned), name.clone());
            self.shelf().with(move |store| {
                let newest = store.newest_of_session(&name)?;
                let (session, count) = newest.as_ref().map_or((String::new(), u64::MAX), |newest| {
                    (newest.session.clone(), SessionMetadata::of(newest).execution_count)
                });
                Ok((
                    newest,
                    data.map(|data| UnsavedExecutions::read(&data, &name, &session, count)).unwrap_or_default(),
                ))
            })
        };
        let (newest, unsaved) = found.await?;
        if let Some(manifest) = newest {
            let missing = unsaved.executions.clone();
            let reason = "a session of this name was started again, and its last checkpoint came back by itself";
            let id = manifest.id.clone();
            let brought = self.bring_back(manifest, true, reason.to_owned(), Some(missing)).await;
            brought.map_err(|mut failure| {
                failure.how = format!(
                    "its checkpoint {id} is kept: mend the cause and start it again, start it from an earlier checkpoint under \
                     another name, or start it with the recovery of autosave switched off"
                );
                failure
            })?;
        }
        // They are told by now; where there was nothing to come back to, they are of no use to anybody.
        if let Err(error) = self.shelf().with(move |_| Ok(unsaved.forget())).await? {
            tracing::warn!(%error, "the list of executions that are missing could not be removed");
        }
        Ok(())
    }

    /// The checkpoints in the data directory, newest first, of whichever session.
    ///
    /// # Errors
    /// `unsupported`, `checkpoint_failed` where the directory cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Failure> {
        self.shelf().list().await
    }

    /// What differs between two checkpoints, name by name; without the second, between the first and the session as it
    /// is, which waits its turn then.
    ///
    /// # Errors
    /// As [`Session::checkpoint`] and [`Session::restore`].
    pub async fn diff(&self, earlier: &str, later: Option<&str>) -> Result<Vec<Difference>, Failure> {
        let before = self.shelf().find(earlier).await?;
        let (after, passing) = match later {
            Some(later) => (self.shelf().find(later).await?, false),
            // The present is compared by being saved.
            None => (self.save(None, Purpose::Comparison)?.stored().await?.manifest, true),
        };
        self.shelf()
            .with(move |store| {
                let diff = store.diff(&before, &after);
                if passing {
                    store.delete(&after.id)?;
                }
                diff.map(checkpoint::differences)
            })
            .await
    }

    fn shelf(&self) -> &Arc<checkpoint::CheckpointStore> {
        &self.shared.shelf
    }
}

fn unexpected() -> Failure {
    Failure::new(Code::Internal, "the session answered something else", "", "")
}
