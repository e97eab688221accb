//! When a session saves itself, and how it comes back from what it saved.

use super::Journal;
use super::checkpoints::{CheckpointRequest, Purpose, RestoreRequest, Stored};
use super::operations::PendingOperation;
use super::{Actor, Operation, Outcome, Pending};
use crate::checkpoint::{Canceller, SessionMetadata};
use crate::session::machine::{Kind, Task};
use crate::session::messages;
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::message::{Autosave, Message};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Checkpoints made by themselves that are kept, without a number of the session's own.
const KEEP: u32 = 3;
/// After one that failed, how long until the next is tried.
const PAUSE: Duration = Duration::from_secs(30);
/// How long the end of an execution, or of the session, waits until what is noted is written.
const NOTING: Duration = Duration::from_secs(1);

/// Says when. Pure: it is told what happens, and when that is.
#[derive(Debug)]
pub(super) struct Clock {
    wanted: Option<Autosave>,
    /// Executions that have ended since the state was last saved.
    since: u32,
    last: Instant,
    quiet_since: Instant,
    saving: bool,
    not_before: Option<Instant>,
}

impl Clock {
    pub(super) fn new(wanted: Option<&Autosave>) -> Self {
        let now = Instant::now();
        Clock { wanted: wanted.cloned(), since: 0, last: now, quiet_since: now, saving: false, not_before: None }
    }

    fn executed(&mut self, now: Instant) {
        self.since = self.since.saturating_add(1);
        self.quiet_since = now;
    }

    /// When to save next, if nothing else happens. `busy`: something runs.
    fn due(&self, busy: bool, now: Instant) -> Option<Instant> {
        let wanted = self.wanted.as_ref().filter(|_| self.since > 0 && !self.saving)?;
        let after = |from: Instant, seconds: Option<f64>| {
            seconds.and_then(|seconds| from.checked_add(Duration::try_from_secs_f64(seconds).ok()?))
        };
        let counted = wanted.executions.filter(|most| self.since >= *most).map(|_| now);
        let quiet = if busy { None } else { after(self.quiet_since, wanted.idle) };
        let due = [counted, after(self.last, wanted.seconds), quiet].into_iter().flatten().min()?;
        Some(self.not_before.map_or(due, |not| due.max(not)))
    }

    fn begun(&mut self, now: Instant) {
        (self.saving, self.since, self.last) = (true, 0, now);
    }

    fn ended(&mut self, well: bool, now: Instant) {
        self.saving = false;
        self.not_before = (!well).then(|| now + PAUSE);
        if !well {
            self.since = self.since.max(1);
        }
    }
}

impl Actor {
    pub(super) fn autosave_at(&self) -> Option<Instant> {
        // That state is gone is said once, to the next request: that must be a client's.
        let ready = self.up && self.machine.reverting().is_none() && !self.machine.is_loss_unseen();
        self.autosave.due(self.machine.current().is_some(), Instant::now()).filter(|_| ready)
    }

    /// An execution has ended, and its effects stay.
    pub(super) fn note_executed(&mut self) {
        self.autosave.executed(Instant::now());
    }

    pub(super) async fn save_by_itself(&mut self) {
        self.autosave.begun(Instant::now());
        let request = CheckpointRequest {
            name: None,
            purpose: Purpose::Automatic,
            progress: None,
            canceller: Canceller::default(),
        };
        let (reply, answer) = oneshot::channel();
        self.operate(Operation::Checkpoint(request), reply).await;
        // What was refused at once never comes to its end.
        let mut answer = answer;
        if let Ok(Err(failure)) = answer.try_recv() {
            self.autosave.ended(false, Instant::now());
            self.tell_of_failed_autosave(&failure);
        }
    }

    fn tell_of_failed_autosave(&self, failure: &Failure) {
        let text = format!("The session could not be saved by itself: {failure}");
        self.tell_session(Message::Warning(messages::warning(&self.place.shared.id, text)));
    }

    /// It was saved by itself, or could not be.
    pub(super) fn saved_by_itself(&mut self, stored: &Result<Stored, Failure>) {
        self.autosave.ended(stored.is_ok(), Instant::now());
        match stored {
            Err(failure) => self.tell_of_failed_autosave(failure),
            Ok(stored) => {
                self.tell_session(Message::CheckpointCreated(stored.message.clone()));
                self.delete_older(&stored.message.checkpoint_id);
            }
        }
    }

    /// Of those that the session made by itself, the newest are kept. Only those count that lead to the last one: a
    /// state that could not be brought back, or that was left by a restore, is not replaced by what came after it.
    fn delete_older(&self, newest: &str) {
        let keep = self.place.setup.options.autosave.as_ref().and_then(|wanted| wanted.keep).unwrap_or(KEEP).max(1);
        let (shelf, session, newest) = (self.place.origin.shelf.clone(), self.id(), newest.to_owned());
        tokio::spawn(async move {
            let deleted = shelf.with(move |store| {
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
    pub(super) fn journal(&mut self, execution: u64) {
        let options = &self.place.setup.options;
        let (Some(_), Some(name)) = (&options.autosave, &options.name) else { return };
        if self.journal.is_none()
            && let Some(data) = self.place.origin.shelf.data()
        {
            let (events, id) = (self.place.shared.events.clone(), self.id());
            let failed = move |error: &std::io::Error| {
                let text = format!(
                    "Executions cannot be noted: {error}. If the engine dies before the session is saved, they are not told as missing"
                );
                events.push(Message::Warning(messages::warning(&id, text)), !events.is_heard());
            };
            self.journal = Some(Journal::new(data, name, &self.place.shared.id, failed));
        }
        if let Some(journal) = &self.journal {
            journal.begun(execution);
        }
    }

    /// An execution ends: whoever is told so can rely on that it is noted.
    pub(super) async fn journal_written(&self) {
        if let Some(journal) = &self.journal {
            // A disk that does not answer holds up no end for longer; a failure was told.
            _ = tokio::time::timeout(NOTING, journal.written()).await;
        }
    }

    /// A checkpoint was made that has these executions.
    pub(super) fn journal_saved(&mut self, up_to: u64) {
        if let Some(journal) = &self.journal {
            journal.saved(self.past.numbers().iter().copied().filter(|one| *one > up_to).collect());
        }
    }

    /// The session ends. What it leaves unsaved is told to whoever starts it again.
    pub(super) async fn close_journal(&mut self) {
        if let Some(journal) = self.journal.take() {
            _ = tokio::time::timeout(NOTING, journal.close()).await;
        }
    }

    /// Whether the last checkpoint is to come back by itself.
    fn recovers(&self) -> bool {
        let wanted = self.place.setup.options.autosave.as_ref();
        wanted.is_some_and(|wanted| wanted.recover.unwrap_or(true)) && self.parent.is_some()
    }

    /// The state is lost. True when a checkpoint will come back.
    pub(super) fn plan_recovery(&mut self) -> bool {
        if !self.recovers() {
            return false;
        }
        let id = self.parent.as_deref().unwrap_or_default();
        self.came_back = Some(format!("The checkpoint {id} is being brought back"));
        self.recovery = true;
        true
    }

    /// A fresh worker is there: the checkpoint is restored before anything else runs.
    pub(super) async fn recover(&mut self) {
        if !std::mem::take(&mut self.recovery) {
            return;
        }
        let Some(id) = self.parent.clone() else { return };
        let manifest = match self.place.origin.shelf.find(&id).await {
            Ok(manifest) => Arc::new(manifest),
            Err(failure) => return self.not_recovered(&failure),
        };
        let token = self.token();
        let reason = "the worker died with the session's state, and the last checkpoint came back by itself".to_owned();
        let request = RestoreRequest { manifest, partial: true, reason, automatic: true, missing: Vec::new() };
        let (reply, _) = oneshot::channel();
        let pending = PendingOperation::new(Operation::Restore(request), reply);
        self.pending.insert(token, Pending::Operate(Box::new(pending)));
        self.machine.submit_first(Task::new(token, Kind::Restore));
    }

    /// What a restore that nobody asked for came to.
    pub(super) fn tell_recovery(&mut self, answer: &Result<Outcome, Failure>) {
        match answer {
            Ok(Outcome::Restored(restored)) => {
                let mut text = format!("The checkpoint {} is back.", restored.checkpoint_id);
                if restored.undone.is_empty() && restored.lost.is_empty() {
                    self.machine.forget_loss();
                }
                if !restored.undone.is_empty() {
                    text.push_str(&format!(" Not in it: {}.", crate::session::past::described(&restored.undone)));
                }
                self.came_back = Some(text);
                self.tell_session(Message::Restored((**restored).clone()));
            }
            Ok(_) => {}
            Err(failure) => {
                let failure = failure.clone();
                self.not_recovered(&failure);
            }
        }
    }

    fn not_recovered(&mut self, failure: &Failure) {
        self.came_back = None;
        self.past = crate::session::past::Past::default();
        // What comes now is another line: it neither replaces that checkpoint nor is compared with it.
        let id = self.parent.take().unwrap_or_default();
        self.base = None;
        let text = format!(
            "The last checkpoint could not be brought back: {failure}. It is kept: restore {id:?} once the cause is gone, \
             or an earlier one"
        );
        self.tell_session(Message::Warning(messages::warning(&self.place.shared.id, text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(wanted: &Autosave) -> (Clock, Instant) {
        let mut clock = Clock::new(Some(wanted));
        let now = Instant::now();
        (clock.last, clock.quiet_since) = (now, now);
        (clock, now)
    }

    #[test]
    fn nothing_is_saved_where_nothing_was_executed() {
        let (clock, now) =
            clock(&Autosave { executions: Some(1), seconds: Some(0.0), idle: Some(0.0), ..Autosave::default() });
        assert_eq!(clock.due(false, now), None);
    }

    #[test]
    fn each_of_the_three_is_enough() {
        let second = Duration::from_secs(1);
        let (mut counted, now) = clock(&Autosave { executions: Some(2), ..Autosave::default() });
        counted.executed(now);
        assert_eq!(counted.due(false, now), None);
        counted.executed(now);
        assert_eq!(counted.due(true, now), Some(now));
        counted.begun(now);
        assert_eq!(counted.due(true, now), None);
        counted.ended(false, now);
        let (mut timed, now) = clock(&Autosave { seconds: Some(5.0), ..Autosave::default() });
        timed.executed(now + second);
        assert_eq!(timed.due(true, now), Some(now + 5 * second));
        let (mut idle, now) = clock(&Autosave { idle: Some(5.0), ..Autosave::default() });
        idle.executed(now + second);
        assert_eq!(idle.due(false, now), Some(now + 6 * second));
        assert_eq!(idle.due(true, now), None);
    }

    #[test]
    fn what_failed_is_tried_again_later() {
        let (mut clock, now) = clock(&Autosave { executions: Some(1), ..Autosave::default() });
        clock.executed(now);
        clock.begun(now);
        clock.ended(false, now);
        assert_eq!(clock.due(false, now), Some(now + PAUSE));
        clock.begun(now);
        clock.ended(true, now);
        assert_eq!(clock.due(false, now), None);
    }
}
