//! Frozen processes, made and dropped, and the way back to one of them.

use super::report::Report;
use super::state::{SessionTask, Then};
use crate::clock::Time;
use crate::messages;
use crate::process::Process;
use crate::session::incarnation::Seen;
use crate::session::life::{Cause, Event, Said, Token};
use crate::session::salvage;
use crate::session::snapshots::{Awaited, Frozen, RevertPlan, Reverting, bounded, confirm, kind_when_evicted};
use crate::session::timeline::{Mark, Roles};
use pyrepl3_native::wake;
use pyrepl3_protocol::message::{Message, Snapshot, SnapshotKind};
use pyrepl3_protocol::worker::Awake;
use rustix::fd::OwnedFd;
use std::io;

/// What clients are told that a mark is kept for.
pub(super) fn kind(roles: Option<Roles>) -> SnapshotKind {
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

impl SessionTask {
    /// A place for a process that is about to be frozen, and the end of its channel that it is to have. None when there
    /// are no descriptors left; then [`SessionTask::unfrozen`] says so.
    pub(super) fn freeze(&mut self, token: Token, mark: Mark, name: Option<String>) -> Option<OwnedFd> {
        match Frozen::new(self.applied.clone(), name) {
            Ok((frozen, theirs)) => {
                let again = self.snapshots.get(mark).is_some();
                self.await_frozen(|snapshots, frozen| snapshots.insert(mark, frozen), frozen);
                if !again {
                    self.context.origin.registry.add_frozen(self.id(), 1);
                }
                Some(theirs)
            }
            Err(error) => {
                self.unfrozen(token, &error.to_string(), "close files, or raise the limit on open files");
                None
            }
        }
    }

    /// Takes a frozen process in, and has it confirmed.
    pub(super) fn await_frozen(
        &mut self,
        insert: impl FnOnce(&mut crate::session::snapshots::Snapshots<Then>, Frozen) -> u64,
        frozen: Frozen,
    ) {
        let channel = frozen.channel();
        let number = insert(&mut self.snapshots, frozen);
        let reporter = self.reporter.clone();
        self.job(async move {
            let found = match channel {
                Ok(channel) => confirm(&channel, || _ = reporter.send(Report::FrozenLate)).await,
                Err(error) => Err(error),
            };
            Report::Frozen { number, found }
        });
    }

    /// It could not be frozen, so what asked for it does not happen; unless it goes on without.
    pub(super) fn unfrozen(&mut self, token: Token, why: &str, how: &str) {
        if self.machine.mark_is_optional() {
            self.warn_of_no_undo(why, how);
            return self.later.push_back(Event::Unmarked { token });
        }
        self.unfrozen = Some((bounded(why), bounded(how)));
        self.later.push_back(Event::Ended { token, said: Said::Unfrozen });
    }

    /// What runs was to leave a step of undo, and does not. Told once for each reason.
    pub(super) fn warn_of_no_undo(&mut self, why: &str, how: &str) {
        if self.told.no_undo.as_deref() == Some(why) {
            return;
        }
        self.told.no_undo = Some(why.to_owned());
        let mut text = format!("This execution cannot be undone, nor can the next ones: {}", bounded(why));
        if !how.is_empty() {
            text.push_str(&format!(". To change that, {}", bounded(how)));
        }
        self.tell_running(Message::Warning(messages::warning(self.id(), text)));
    }

    pub(super) fn evict(&mut self, marks: &[Mark]) {
        let reason = "there were more snapshots than the limits allow; the oldest steps of undo go first, then those of redo, then \
                      the oldest named ones";
        for mark in marks {
            if let Some(frozen) = self.snapshots.get(*mark) {
                let kind = kind_when_evicted(frozen);
                let message = messages::evicted(self.id(), &frozen.id, frozen.name.clone(), kind, reason);
                self.tell_session(Message::Evicted(message));
            }
            self.drop_frozen(*mark);
        }
    }

    /// Goes on with what has waited for frozen processes.
    pub(super) fn go_on_with_snapshots(&mut self) {
        while let Some(awaited) = self.snapshots.take_ready() {
            match awaited {
                Awaited::Revert(plan) => self.begin_revert(plan),
                Awaited::Sweep(pidfd) => self.sweep(pidfd),
                Awaited::Confirm(_, Then::Answer(pending, paused)) => self.answer_snapshot(*pending, paused),
                Awaited::Confirm(_, Then::Save(job)) => self.save_confirmed(*job),
                Awaited::Confirm(mark, Then::Ask(number, query)) => self.ask_confirmed(mark, number, query),
                Awaited::Confirm(_, Then::Split(_)) => {}
                Awaited::Split(Then::Split(token)) => self.split_confirmed(token),
                Awaited::Split(_) => {}
            }
        }
        // What that led to.
        self.perform(Vec::new());
    }

    /// The session ends: nothing comes of what waits.
    pub(super) fn give_up_waiting(&mut self) {
        for awaited in self.snapshots.take_waiting() {
            match awaited {
                Awaited::Confirm(_, Then::Answer(pending, _)) => pending.operation.refuse(self.why_closed()),
                Awaited::Confirm(_, Then::Save(job)) => _ = job.reply.send(Err(self.why_closed())),
                Awaited::Confirm(_, Then::Ask(_, query)) => query.refuse(self.why_closed()),
                // Their tasks end with the session.
                Awaited::Confirm(_, Then::Split(_)) | Awaited::Split(_) | Awaited::Revert(_) | Awaited::Sweep(_) => {}
            }
        }
        if let Some(lookup) = self.lookup.take() {
            _ = lookup.reply.send(Err(self.why_closed()));
            for command in lookup.behind {
                self.refuse_late(command);
            }
        }
    }

    /// A return was decided. It begins when it is known of all frozen processes whether they are there.
    pub(super) fn plan_revert(&mut self, mark: Mark, keep: bool, discard: Vec<Mark>) {
        self.snapshots.wait(Awaited::Revert(RevertPlan { mark, keep, discard }));
        self.go_on_with_snapshots();
    }

    /// Wakes a frozen process in place of the worker.
    fn begin_revert(&mut self, plan: RevertPlan) {
        let began = Time::now();
        let mut discarded = std::mem::take(&mut self.snapshots.untold);
        let gone = plan.discard.iter().filter_map(|mark| self.snapshots.get(*mark));
        discarded.extend(gone.filter(|frozen| frozen.asked_for).map(Frozen::title));
        let target = self.snapshots.remove(plan.mark);
        let Some((frozen, pidfd)) = target.and_then(|frozen| {
            let pidfd = frozen.process().and_then(|process| process.pidfd().ok());
            if pidfd.is_none() {
                self.context.origin.registry.add_frozen(self.id(), -1);
                discarded.extend(Some(frozen.title()).filter(|_| frozen.asked_for));
            }
            Some((frozen, pidfd?))
        }) else {
            self.snapshots.untold = discarded;
            if self.incarnation.is_down() {
                // The return was begun by a supervisor that is gone, and what the worker has said since then is not known.
                self.worker.process.as_ref().inspect(|process| process.kill());
                return self.later.push_back(Event::RevertFailed { dead: true });
            }
            let dead = self.worker.process.as_ref().is_none_or(|process| !process.is_alive());
            return self.later.push_back(Event::RevertFailed { dead });
        };
        if let Some(lingering) = &mut self.lingering {
            (lingering.held, lingering.aside) = (None, None);
        }
        // User code may have stopped it, or session init.
        frozen.resume();
        self.init.resume();
        let live = self.worker.process.take();
        // From here on another supervisor would go on with the return.
        self.incarnation.wake(Time::now());
        self.tickets.prompts.clear();
        let (keep, discard) = (plan.keep, plan.discard.clone());
        let mark = plan.mark;
        let reverting =
            Reverting { to: frozen.note(), began, discarded, lost: Vec::new(), ended: Vec::new(), salvaged: None };
        self.snapshots.reverting = Some((plan, reverting));
        // What was said on the channel before is of no interest any more.
        let anew = self.worker.reincarnate();
        if !self.write_down() {
            return;
        }
        // From here on the worker that was live does nothing more. Session init ends it, when nobody waits for a processor. Only then
        // does its channel end: it would leave at once, and keep a processor busy with that.
        live.as_ref().inspect(|process| process.halt());
        let anew = anew.map(|(theirs, _)| theirs);
        for mark in &discard {
            self.drop_frozen(*mark);
        }
        // First the one that is woken, then those that stay.
        let mut pidfds = vec![pidfd];
        pidfds.extend(self.staying());
        match anew.and_then(|theirs| self.wake(&frozen, theirs, keep, live.as_ref())) {
            Ok(Some(spare)) => self.await_frozen(|snapshots, frozen| snapshots.insert(mark, frozen), spare),
            Ok(None) => self.context.origin.registry.add_frozen(self.id(), -1),
            Err(error) => {
                tracing::warn!(%error, "a frozen process could not be woken");
                live.as_ref().inspect(|process| process.kill());
                self.context.origin.registry.add_frozen(self.id(), -1);
                self.snapshots.reverting = None;
                self.incarnation.not_woken();
                self.worker.control.closed = true;
                return self.later.push_back(Event::RevertFailed { dead: true });
            }
        }
        if let Some(process) = frozen.into_process() {
            self.worker.take(process);
        }
        self.tell_rolled(pidfds);
    }

    /// Processes that a return leaves alone: frozen ones, savers, and those that answer.
    fn staying(&self) -> Vec<OwnedFd> {
        let frozen = self.snapshots.all().filter_map(|frozen| frozen.process()?.pidfd().ok());
        frozen.chain(self.durability.saver_pidfds()).chain(self.answerers.pidfds()).collect()
    }

    fn tell_rolled(&mut self, pidfds: Vec<OwnedFd>) {
        if let Err(error) = self.init.rolled(self.incarnation.number(), pidfds) {
            tracing::warn!(%error, "session init could not be told of a return");
        }
    }

    /// What is younger than a process that another supervisor has woken ends.
    fn sweep(&mut self, pidfd: OwnedFd) {
        let mut pidfds = vec![pidfd];
        pidfds.extend(self.staying());
        self.tell_rolled(pidfds);
    }

    /// Asks a frozen process to become the worker, and to leave a replacement where it stays usable.
    /// `theirs`: its control channel. `live`: the process that was the worker.
    fn wake(
        &mut self,
        frozen: &Frozen,
        theirs: OwnedFd,
        keep: bool,
        live: Option<&Process>,
    ) -> io::Result<Option<Frozen>> {
        let undone = self.machine.reverting().flatten();
        let salvage = undone.and_then(|token| salvage::take(self.tickets.execution_mut(token)?));
        let mut fds = vec![theirs];
        if self.lingering.is_some() {
            self.init.keep_control(self.worker.control.duplicate()?)?;
        }
        let mut spare = None;
        if keep {
            let (mut replacement, theirs) = Frozen::new(frozen.applied.clone(), frozen.name.clone())?;
            replacement.id.clone_from(&frozen.id);
            replacement.created = frozen.created;
            replacement.asked_for = frozen.asked_for;
            fds.push(theirs);
            spare = Some(replacement);
        }
        let predecessor = live.and_then(|live| live.pidfd().ok()).map(|pidfd| fds.push(pidfd)).is_some();
        let salvage = salvage.map(|file| fds.push(file)).is_some();
        frozen.send(wake::Request::Wake { keep, predecessor, salvage }, &fds)?;
        Ok(spare)
    }

    /// A process that was woken, or a branch, is ready.
    pub(super) fn awake(&mut self, awake: Awake) {
        if let Some((_, reverting)) = &mut self.snapshots.reverting {
            reverting.awake(&awake.lost, awake.salvaged);
        } else {
            // A branch: its first words.
            for text in &awake.lost {
                self.warn_session(bounded(text));
            }
            self.context.shared.set_python(awake.python);
        }
        self.see(Seen::Awake);
    }

    /// The session is back.
    pub(super) fn reverted(&mut self) {
        let Some((_, reverting)) = self.snapshots.reverting.take() else { return };
        let reverted = reverting.finish(&self.applied);
        self.applied = reverted.applied.clone();
        // A repeat of what was undone is to run.
        self.tickets.keys.forget_executions(&reverted.undone);
        self.snapshots.last = Some(reverted);
        self.feed(Event::Reverted);
    }

    /// The session went back without being asked to.
    pub(super) fn came_back(&mut self, cause: Cause) {
        let Some(reverted) = self.snapshots.last.take() else { return };
        let how = self.exit.as_ref().map_or_else(|| "ended".to_owned(), ToString::to_string);
        if cause == Cause::Died {
            self.told.came_back = Some(reverted.report.clone());
        }
        let reason = match cause {
            Cause::Died => format!("the worker process {how} while nothing ran"),
            Cause::Expired => "nothing happened in the open transaction within its time limit".to_owned(),
        };
        self.tell_session(Message::RolledBack(reverted.message(self.id(), None, reason)));
    }

    /// The snapshots, and the pids by which their memory can be asked.
    pub(super) fn list_snapshots(&self) -> Vec<(Snapshot, Option<i32>)> {
        let marks = self.machine.timeline().marks();
        marks
            .filter_map(|(mark, roles)| {
                let frozen = self.snapshots.get(mark)?;
                let snapshot = Snapshot {
                    snapshot_id: frozen.id.clone(),
                    name: frozen.name.clone(),
                    kind: kind(roles),
                    created_at: frozen.created_at(),
                    age: frozen.created.elapsed().map_or(0.0, |age| age.as_secs_f64()),
                    execution_count: frozen.applied.last().unwrap_or(0),
                    memory: None,
                };
                Some((snapshot, frozen.process().map(Process::pid)))
            })
            .collect()
    }
}
