//! A session that saves itself, and comes back from what it saved.

use super::report::Report;
use super::state::SessionTask;
use crate::checkpoint::{Canceller, Journal, SessionMetadata};
use crate::clock::Time;
use crate::session::applied::{Applied, described};
use crate::session::durability::{CheckpointRequest, Recovery, RestoreRequest, Stored, Trigger};
use crate::session::life::{Event, Task, TaskKind};
use crate::session::mailbox::Operation;
use crate::session::tickets::{PendingOperation, Ticket};
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::message::{Message, Restored};
use pyrepl3_store::Manifest;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Checkpoints made by themselves that are kept, without a number of the session's own.
const KEEP: u32 = 3;

impl SessionTask {
    pub(super) fn autosave_at(&self) -> Option<Time> {
        // That state is gone is said once, to the next request: that must be a client's.
        let ready = self.incarnation.is_up() && self.machine.reverting().is_none() && !self.machine.is_loss_unseen();
        self.durability.clock.due(self.machine.current().is_some(), Time::now()).filter(|_| ready)
    }

    pub(super) fn save_by_itself(&mut self) {
        self.durability.clock.begun(Time::now());
        let canceller = Canceller::default();
        let request = CheckpointRequest { name: None, trigger: Trigger::Autosave, progress: None, canceller };
        let (reply, mut answer) = oneshot::channel();
        self.operate(Operation::Checkpoint { request, reply });
        // What was refused at once never comes to its end.
        if let Ok(Err(failure)) = answer.try_recv()
            && self.durability.clock.is_saving()
        {
            self.saved_by_itself(Err(&failure));
        }
    }

    /// It was saved by itself, or could not be.
    pub(super) fn saved_by_itself(&mut self, stored: Result<&Stored, &Failure>) {
        self.durability.clock.ended(stored.is_ok(), Time::now());
        match stored {
            Err(failure) => self.warn_session(format!("The session could not be saved by itself: {failure}")),
            Ok(stored) => {
                self.tell_session(Message::CheckpointCreated(stored.message.clone()));
                self.delete_older(&stored.message.checkpoint_id);
            }
        }
    }

    /// Of those that the session made by itself, the newest are kept. Only those count that lead to the last one: a
    /// state that could not be brought back, or that was left by a restore, is not replaced by what came after it.
    fn delete_older(&self, newest: &str) {
        let keep = self.context.setup.options.autosave.as_ref().and_then(|wanted| wanted.keep).unwrap_or(KEEP).max(1);
        let (checkpoint_store, session, newest) =
            (self.context.origin.checkpoint_store.clone(), self.id().to_owned(), newest.to_owned());
        tokio::spawn(async move {
            let deleted = checkpoint_store.with(move |store| {
                let mut mine = HashMap::new();
                for summary in store.list()? {
                    if let Some(details) = summary.state.ok().filter(|details| details.session == session) {
                        let parent = details.parent.map(|parent| parent.to_string());
                        mine.insert(summary.id.to_string(), (summary.lineage, parent));
                    }
                }
                let (mut kept, mut at) = (0, Some(newest));
                while let Some((id, (lineage, parent))) = at.take().and_then(|id| mine.remove_entry(&id)) {
                    at = parent;
                    let Ok(manifest) = store.find(&id, Some(&lineage)) else { continue };
                    if SessionMetadata::of(&manifest).automatic {
                        kept += 1;
                        if kept > keep {
                            store.delete(&manifest.id)?;
                        }
                    }
                }
                Ok(())
            });
            if let Err(failure) = deleted.await {
                tracing::warn!(%failure, "older checkpoints could not be deleted");
            }
        });
    }

    /// An execution begins. A warning says where that cannot be noted.
    pub(super) fn note_in_journal(&mut self, execution: u64) {
        let options = &self.context.setup.options;
        let (Some(_), Some(name)) = (&options.autosave, &options.name) else { return };
        if self.durability.journal.is_none()
            && let Some(data) = self.context.origin.checkpoint_store.data()
        {
            let shared = self.context.shared.clone();
            let failed = move |error: &std::io::Error| {
                let text = format!(
                    "Executions cannot be noted: {error}. If the engine dies before the session is saved, they are not \
                     told as missing"
                );
                shared.warn(text);
            };
            self.durability.journal = Some(Journal::new(data, name, self.id(), failed));
        }
        if let Some(journal) = &self.durability.journal {
            journal.begun(execution);
        }
    }

    /// A checkpoint was made that has these executions.
    pub(super) fn shorten_journal(&mut self, up_to: u64) {
        if let Some(journal) = &self.durability.journal {
            journal.saved(self.applied.numbers().iter().copied().filter(|one| *one > up_to).collect());
        }
    }

    /// Whether the last checkpoint is to come back by itself.
    fn recovers(&self) -> bool {
        let wanted = self.context.setup.options.autosave.as_ref();
        wanted.is_some_and(|wanted| wanted.recover.unwrap_or(true)) && self.durability.parent.is_some()
    }

    /// The state is lost. True when a checkpoint will come back.
    pub(super) fn plan_recovery(&mut self) -> bool {
        if !self.recovers() {
            return false;
        }
        let id = self.durability.parent.as_deref().unwrap_or_default();
        self.told.came_back = Some(format!("The checkpoint {id} is being brought back"));
        self.durability.recovery = Recovery::Planned;
        true
    }

    /// A fresh worker is there: the checkpoint is looked for, and nothing runs before it is back.
    pub(super) fn look_for_recovery(&mut self) {
        self.durability.recovery = Recovery::LookingUp;
        let checkpoint_store = self.context.origin.checkpoint_store.clone();
        let id = self.durability.parent.clone().unwrap_or_default();
        self.job(async move { Report::RecoveryFound(checkpoint_store.find(&id).await) });
    }

    pub(super) fn recovery_found(&mut self, found: Result<Manifest, Failure>) {
        if std::mem::take(&mut self.durability.recovery) != Recovery::LookingUp {
            return;
        }
        match found {
            Ok(manifest) if self.incarnation.is_up() => {
                let token = self.tickets.token();
                let reason =
                    "the worker died with the session's state, and the last checkpoint came back by itself".to_owned();
                let manifest = Arc::new(manifest);
                let request = RestoreRequest { manifest, partial: true, reason, automatic: true, missing: Vec::new() };
                let (reply, _) = oneshot::channel();
                let pending = PendingOperation::new(Operation::Restore { request, reply });
                self.tickets.insert(token, Ticket::Operate(Box::new(pending)));
                self.machine.submit_first(Task::new(token, TaskKind::Restore));
            }
            Ok(_) => {}
            Err(failure) => self.not_recovered(&failure),
        }
        if self.incarnation.is_up() {
            self.feed(Event::Up);
        }
    }

    /// What a restore that nobody asked for came to.
    pub(super) fn tell_recovery(&mut self, answer: Result<&Restored, &Failure>) {
        match answer {
            Ok(restored) => {
                let mut text = format!("The checkpoint {} is back.", restored.checkpoint_id);
                if restored.undone.is_empty() && restored.lost.is_empty() {
                    self.machine.forget_loss();
                }
                if !restored.undone.is_empty() {
                    text.push_str(&format!(" Not in it: {}.", described(&restored.undone)));
                }
                self.told.came_back = Some(text);
                self.tell_session(Message::Restored(restored.clone()));
            }
            Err(failure) => self.not_recovered(failure),
        }
    }

    fn not_recovered(&mut self, failure: &Failure) {
        self.told.came_back = None;
        self.applied = Applied::default();
        // What comes now is another line: it neither replaces that checkpoint nor is compared with it.
        let id = self.durability.parent.take().unwrap_or_default();
        self.durability.base = None;
        self.warn_session(format!(
            "The last checkpoint could not be brought back: {failure}. It is kept: restore {id:?} once the cause is gone, \
             or an earlier one"
        ));
    }
}
