//! What a program does with checkpoints of a session: make them, bring them back, compare them.

use super::answers::Submitted;
use super::durability::{CheckpointRequest, RestoreRequest, Stored, Trigger};
use super::failures::closed;
use super::handle::Session;
use super::mailbox::{Command, Operation};
use crate::checkpoint::{self, Canceller, ProgressReceiver, SessionMetadata, UnsavedExecutions};
use pyrepl3_protocol::message::{Checkpoint, CheckpointCreated, Difference, Message, Restored};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::Manifest;
use std::future::Future;
use std::sync::Arc;

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
    answer: Submitted<Stored>,
    canceller: Canceller,
}

impl Checkpointing {
    /// How far it is, the latest that was not seen yet; None when it has ended, well or not. Cancel-safe.
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
        self.answer.await.map(|stored| stored.message)
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
    /// where code runs, and there is a snapshot of the state before it, that state is saved at once. A session that cannot be
    /// frozen writes it itself and waits until that is done; a warning says so.
    ///
    /// # Errors
    /// `bad_request`, `too_many`, `checkpoint_failed`, `storage_full`, `unsupported` without a data
    /// directory, `session_lost`, `session_closed`.
    pub fn checkpoint(
        &self,
        name: Option<&str>,
    ) -> impl Future<Output = Result<CheckpointCreated, Failure>> + Send + 'static + use<> {
        let begun = self.begin_checkpoint(name);
        async move { begun?.finish().await }
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
        self.save(name.map(str::to_owned), Trigger::Client)
    }

    fn save(&self, name: Option<String>, trigger: Trigger) -> Result<Checkpointing, Failure> {
        let (sender, progress) = checkpoint::progress();
        let canceller = Canceller::default();
        let request = CheckpointRequest { name, trigger, progress: Some(sender), canceller: canceller.clone() };
        if self.is_closed() {
            // Said now, not when it is awaited.
            return Err(closed(self.id()));
        }
        let answer = self.operate(|reply| Operation::Checkpoint { request, reply });
        Ok(Checkpointing { progress, answer, canceller })
    }

    /// Stops what runs, cancels what waits, and brings a checkpoint back: by its id, the beginning of that, or its name.
    /// It succeeds whole, or leaves the session as it was. `partial`: go on without what needs packages
    /// that are missing, or bytes that are damaged.
    ///
    /// # Errors
    /// `checkpoint_not_found`, `checkpoint_damaged`, `restore_failed`, `snapshot_refused`, `unsupported`,
    /// `session_closed`.
    pub fn restore(&self, checkpoint: &str, partial: bool) -> Submitted<Restored> {
        self.submit(|reply| Command::Restore { checkpoint: checkpoint.to_owned(), partial, reply })
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
        self.operate(|reply| Operation::Restore { request, reply }).await
    }

    /// The state that a session begins with. What came back and what did not is told as an event: there is no request
    /// that could be answered with it.
    pub(crate) async fn begin_from(&self, checkpoint: &str) -> Result<(), Failure> {
        let manifest = self.checkpoint_store().find(checkpoint).await?;
        let restored = self.bring_back(manifest, false, "the session was started from it".to_owned(), None).await?;
        self.mailbox().shared.log.append(Message::Restored(restored));
        Ok(())
    }

    /// A session that saves itself goes on where one of the same name has ended.
    pub(crate) async fn resume(&self) -> Result<(), Failure> {
        let options = self.options();
        let wanted = options.autosave.as_ref().is_some_and(|wanted| wanted.recover.unwrap_or(true));
        let Some(name) = options.name.clone().filter(|_| wanted) else { return Ok(()) };
        let found = {
            let (data, name) = (self.checkpoint_store().data().map(std::path::Path::to_owned), name.clone());
            self.checkpoint_store().with(move |store| {
                let newest = store.newest_of_session(&name)?;
                let (session, count) = newest.as_ref().map_or((String::new(), u64::MAX), |newest| {
                    (newest.session.clone(), SessionMetadata::of(newest).execution_count)
                });
                let unsaved = data.map(|data| UnsavedExecutions::read(&data, &name, &session, count));
                Ok((newest, unsaved.unwrap_or_default()))
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
        if let Err(error) = self.checkpoint_store().with(move |_| Ok(unsaved.forget())).await? {
            tracing::warn!(%error, "the list of executions that are missing could not be removed");
        }
        Ok(())
    }

    /// The checkpoints in the data directory, newest first, of whichever session.
    ///
    /// # Errors
    /// `unsupported`, `checkpoint_failed` where the directory cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Failure> {
        self.checkpoint_store().list().await
    }

    /// What differs between two checkpoints, name by name; without the second, between the first and the session as it
    /// is, which waits its turn then.
    ///
    /// # Errors
    /// As [`Session::checkpoint`] and [`Session::restore`].
    pub fn diff(
        &self,
        earlier: &str,
        later: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Difference>, Failure>> + Send + 'static + use<> {
        let (earlier, later) = (earlier.to_owned(), later.map(str::to_owned));
        // The present is compared by being saved.
        let present = later.is_none().then(|| self.save(None, Trigger::Comparison));
        let checkpoint_store = self.checkpoint_store().clone();
        async move {
            let before = checkpoint_store.find(&earlier).await;
            let (after, passing) = match (later, present) {
                (Some(later), _) => (checkpoint_store.find(&later).await?, false),
                (None, Some(present)) => (present?.answer.await?.manifest, true),
                (None, None) => return Err(Failure::new(Code::Internal, "there is nothing to compare with", "", "")),
            };
            checkpoint_store
                .with(move |store| {
                    let diff = before.map(|before| store.diff(&before, &after));
                    if passing {
                        store.delete(&after.id)?;
                    }
                    diff.map(|diff| diff.map(checkpoint::differences))
                        .map_or_else(|failure| Ok(Err(failure)), |diff| diff.map(Ok))
                })
                .await?
        }
    }

    fn checkpoint_store(&self) -> &Arc<checkpoint::CheckpointStore> {
        &self.mailbox().shared.checkpoint_store
    }
}
