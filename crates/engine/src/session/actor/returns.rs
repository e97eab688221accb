//! Frozen processes, made and dropped, and the way back to one of them.

use super::{Actor, RETURN_LIMIT};
use crate::session::frozen::Frozen;
use crate::session::machine::{Cause, Event, Token};
use crate::session::messages;
use crate::session::past::{self, Past};
use crate::session::timeline::{Mark, Roles};
use pyrepl3_protocol::message::{Message, Snapshot, SnapshotKind};
use pyrepl3_protocol::worker::{self, FrozenRequest};
use rustix::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Characters of each thing that a worker says it has lost, and how many of them are told.
const LOST: (usize, usize) = (300, 30);

/// A return to a mark that is under way.
#[derive(Debug)]
pub(super) struct Returning {
    id: String,
    name: Option<String>,
    past: Past,
    began: Instant,
    awake: bool,
    swept: bool,
    lost: Vec<String>,
    ended: Vec<String>,
    discarded: Vec<String>,
    salvaged: Option<worker::Recovered>,
}

/// A return that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Returned {
    pub(crate) id: String,
    pub(crate) report: String,
    pub(crate) exact: bool,
    pub(crate) took: Duration,
    pub(crate) past: Past,
    pub(crate) undone: Vec<u64>,
    pub(crate) redone: Vec<u64>,
    pub(crate) discarded: Vec<String>,
    /// What was carried over from the state that is gone, and the names of that.
    pub(crate) salvaged: Option<worker::Recovered>,
    pub(crate) salvaged_names: Vec<String>,
}

fn kind(roles: Option<Roles>) -> SnapshotKind {
    match roles {
        None => SnapshotKind::Redo,
        Some(roles) if roles.named => SnapshotKind::Named,
        Some(roles) if roles.savepoint => SnapshotKind::Savepoint,
        Some(roles) if roles.begin => SnapshotKind::Transaction,
        Some(roles) if roles.undo => SnapshotKind::Undo,
        Some(roles) if roles.saving && !roles.guard => SnapshotKind::Checkpoint,
        Some(_) => SnapshotKind::Execution,
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

impl Actor {
    /// A place for a process that is about to be frozen, and the end of its channel that it is to have. None when there
    /// are no descriptors left; then [`Actor::unfrozen`] says so.
    pub(super) fn freeze(&mut self, token: Token, mark: Mark, name: Option<String>) -> Option<OwnedFd> {
        match Frozen::new(self.past.clone(), name) {
            Ok((frozen, theirs)) => {
                self.frozen.insert(mark, frozen);
                let seats = self.place.origin.alive.clone();
                seats.add_frozen(&self.place.shared.id, 1);
                Some(theirs)
            }
            Err(error) => {
                self.unfrozen(token, &error.to_string(), "close files, or raise the limit on open files");
                None
            }
        }
    }

    pub(super) fn unfrozen(&mut self, token: Token, why: &str, how: &str) {
        if self.machine.mark_is_optional() {
            self.warn_of_no_undo(why, how);
            return self.later.push_back(Event::Unmarked { token });
        }
        self.unfrozen = Some((bounded(why), bounded(how)));
        self.later.push_back(Event::Ended { token, said: crate::session::machine::Said::Unfrozen });
    }

    /// What runs was to leave a step of undo, and does not. Told once for each reason.
    pub(super) fn warn_of_no_undo(&mut self, why: &str, how: &str) {
        if self.no_undo.as_deref() == Some(why) {
            return;
        }
        self.no_undo = Some(why.to_owned());
        let mut text = format!("This execution cannot be undone, nor can the next ones: {}", bounded(why));
        if !how.is_empty() {
            text.push_str(&format!(". To change that, {}", bounded(how)));
        }
        self.deliver(Message::Warning(messages::warning(&self.place.shared.id, text)));
    }

    pub(super) fn drop_marks(&mut self, marks: &[Mark]) {
        for mark in marks {
            // Its channel closes, and it ends.
            if self.frozen.remove(mark).is_some() {
                self.place.origin.alive.add_frozen(&self.place.shared.id, -1);
            }
        }
    }

    pub(super) fn evict(&mut self, marks: &[Mark]) {
        for mark in marks {
            if let Some(frozen) = self.frozen.get(mark) {
                let kind = match frozen {
                    Frozen { asked_for: true, .. } => SnapshotKind::Named,
                    Frozen { redo: true, .. } => SnapshotKind::Redo,
                    _ => SnapshotKind::Undo,
                };
                let reason = "there were more snapshots than the limits allow; the oldest steps of undo go first, then \
                              those of redo, then the oldest named ones";
                let message = messages::evicted(&self.place.shared.id, &frozen.id, frozen.name.clone(), kind, reason);
                self.tell_session(Message::Evicted(message));
            }
        }
        self.drop_marks(marks);
    }

    /// To whoever listens to the session.
    pub(super) fn tell_session(&self, message: Message) {
        let events = &self.place.shared.events;
        events.push(message, !events.is_heard());
    }

    /// Wakes a frozen process in place of the worker.
    pub(super) async fn begin_return(&mut self, mark: Mark, keep: bool, discard: Vec<Mark>) {
        let began = Instant::now();
        let mut discarded = std::mem::take(&mut self.gone);
        for gone in &discard {
            if let Some(frozen) = self.frozen.get(gone).filter(|frozen| frozen.asked_for) {
                discarded.push(frozen.title());
            }
        }
        let Some(mut frozen) = self.frozen.remove(&mark) else {
            self.gone = discarded;
            return self.cannot_return();
        };
        let Ok(()) = frozen.confirm().await else {
            self.place.origin.alive.add_frozen(&self.place.shared.id, -1);
            discarded.extend(Some(frozen.title()).filter(|_| frozen.asked_for));
            self.gone = discarded;
            return self.cannot_return();
        };
        // User code may have stopped it, or session init.
        frozen.resume();
        self.init.resume();
        // From here on the worker that was live is gone.
        if let Some(process) = &self.worker.process {
            process.kill();
        }
        self.drop_marks(&discard);
        // First the one that is woken, then those that stay.
        let mut pidfds: Vec<OwnedFd> = frozen.pidfd().into_iter().collect();
        for frozen in self.frozen.values_mut() {
            if frozen.confirm().await.is_ok() {
                pidfds.extend(frozen.pidfd());
            }
        }
        pidfds.extend(self.saver_pidfds());
        let salvage = self.take_salvage();
        let woken = async {
            let mut fds = vec![self.worker.reincarnate()?];
            let mut spare = None;
            if keep {
                let (mut replacement, theirs) = Frozen::new(frozen.past.clone(), frozen.name.clone())?;
                replacement.id.clone_from(&frozen.id);
                replacement.created = frozen.created;
                replacement.asked_for = frozen.asked_for;
                fds.push(theirs);
                spare = Some(replacement);
            }
            let salvage = salvage.map(|file| fds.push(file)).is_some();
            frozen.send(FrozenRequest::Wake { keep, salvage }, fds).await?;
            Ok::<_, std::io::Error>(spare)
        };
        match woken.await {
            Ok(Some(spare)) => _ = self.frozen.insert(mark, spare),
            Ok(None) => self.place.origin.alive.add_frozen(&self.place.shared.id, -1),
            Err(error) => {
                tracing::warn!(%error, "a frozen process could not be woken");
                self.place.origin.alive.add_frozen(&self.place.shared.id, -1);
                self.worker.closed = true;
                self.later.push_back(Event::RevertFailed { dead: true });
                return;
            }
        }
        self.up = false;
        self.killed_by_us = false;
        self.incarnation += 1;
        self.patience = Some(Instant::now() + RETURN_LIMIT);
        self.prompts.clear();
        self.returning = Some(Returning {
            id: frozen.id.clone(),
            name: frozen.name.clone(),
            past: frozen.past.clone(),
            began,
            awake: false,
            swept: false,
            lost: Vec::new(),
            ended: Vec::new(),
            discarded,
            salvaged: None,
        });
        if let Some(process) = frozen.into_process() {
            self.worker.take(process);
        }
        if let Err(failure) = self.init.rolled(self.incarnation, &pidfds).await {
            tracing::warn!(%failure, "session init could not be told of a rollback");
        }
    }

    fn cannot_return(&mut self) {
        let dead = self.worker.process.as_ref().is_none_or(|process| !process.is_alive());
        self.later.push_back(Event::RevertFailed { dead });
    }

    /// The woken process is ready.
    pub(super) async fn awake(&mut self, awake: worker::Awake) {
        self.up = true;
        self.patience = None;
        let Some(returning) = &mut self.returning else {
            // A branch: its first words.
            for text in &awake.lost {
                let message = messages::warning(&self.place.shared.id, bounded(text));
                self.tell_session(Message::Warning(message));
            }
            self.hello(awake.python).await;
            return;
        };
        returning.awake = true;
        returning.lost = awake.lost.iter().take(LOST.1).map(|text| bounded(text)).collect();
        returning.salvaged = awake.salvaged;
        self.maybe_returned().await;
    }

    /// Session init has ended what was younger.
    pub(super) async fn swept(&mut self, ended: Vec<String>) {
        if let Some(returning) = &mut self.returning {
            returning.swept = true;
            returning.ended = ended;
            self.maybe_returned().await;
        }
    }

    async fn maybe_returned(&mut self) {
        let Some(done) = self.returning.take_if(|returning| returning.awake && returning.swept) else { return };
        let done = done.finish(&self.past);
        self.past = done.past.clone();
        // A repeat of what was undone is to run.
        self.keys.forget_executions(&done.undone);
        self.last_return = Some(done);
        self.feed(Event::Reverted).await;
    }

    /// The session went back without being asked to.
    pub(super) fn came_back(&mut self, cause: Cause) {
        let Some(returned) = self.last_return.take() else { return };
        let how = self.exit.as_ref().map_or_else(|| "ended".to_owned(), ToString::to_string);
        if cause == Cause::Died {
            self.came_back = Some(returned.report.clone());
        }
        let reason = match cause {
            Cause::Died => format!("the worker process {how} while nothing ran"),
            Cause::Expired => "nothing happened in the open transaction within its time limit".to_owned(),
        };
        let message = messages::rolled_back(&self.place.shared.id, None, &returned, reason);
        self.tell_session(Message::RolledBack(message));
    }

    /// The snapshots, and the pids by which their memory can be asked.
    pub(super) async fn list_snapshots(&mut self) -> Vec<(Snapshot, Option<i32>)> {
        for frozen in self.frozen.values_mut() {
            _ = frozen.confirm().await;
        }
        let marks = self.machine.timeline().marks();
        marks
            .filter_map(|(mark, roles)| {
                let frozen = self.frozen.get(&mark)?;
                let snapshot = Snapshot {
                    snapshot_id: frozen.id.clone(),
                    name: frozen.name.clone(),
                    kind: kind(roles),
                    created_at: unix(frozen.created),
                    age: frozen.created.elapsed().map_or(0.0, |age| age.as_secs_f64()),
                    execution_count: frozen.past.last().unwrap_or(0),
                    memory: None,
                };
                Some((snapshot, frozen.pid()))
            })
            .collect()
    }

    pub(super) fn mark_of(&self, snapshot_id: &str) -> Option<Mark> {
        self.frozen.iter().find(|(_, frozen)| frozen.id == snapshot_id).map(|(mark, _)| *mark)
    }

    pub(super) fn kind_of(&self, mark: Mark) -> SnapshotKind {
        kind(self.machine.timeline().roles(mark))
    }
}

impl Returning {
    fn finish(self, present: &Past) -> Returned {
        let what = match (&self.name, self.past.last()) {
            (Some(name), _) => format!("The snapshot {name:?}"),
            (None, None) => "The beginning of the session".to_owned(),
            (None, Some(count)) => format!("The state after execution {count}"),
        };
        let (undone, redone) = (present.beyond(&self.past), self.past.beyond(present));
        let mut report = if self.lost.is_empty() {
            format!("{what} is back, exactly.")
        } else {
            format!("{what} is back, except: {}.", self.lost.join("; "))
        };
        for (what, counts) in [("Undone", &undone), ("Done again", &redone)] {
            if !counts.is_empty() {
                report.push_str(&format!(" {what}: {}.", past::described(counts)));
            }
        }
        if !self.ended.is_empty() {
            report.push_str(&format!(" Ended with it: {}.", bounded(&self.ended.join(", "))));
        }
        if !self.discarded.is_empty() {
            report.push_str(&format!(" Discarded, because later: {}.", self.discarded.join(", ")));
        }
        Returned {
            id: self.id,
            exact: self.lost.is_empty(),
            report,
            took: self.began.elapsed(),
            past: self.past,
            undone,
            redone,
            discarded: self.discarded,
            salvaged: self.salvaged,
            salvaged_names: Vec::new(),
        }
    }
}

/// What a worker says, within a bound.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LOST.0).collect()
}
