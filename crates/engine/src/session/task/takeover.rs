//! A session that another supervisor had: how its task begins, and how its processes come to this one. The rules for steps
//! that were half done are those of docs/design/adoption.md.

use super::report::Report;
use super::state::SessionTask;
use crate::clock::{Time, sleep_until};
use crate::messages;
use crate::process::{Output, Process, stream};
use crate::session::context::Context;
use crate::session::durability::{Durability, Recovery};
use crate::session::incarnation::{
    CONTROL, CONTROL_BEFORE, ControlChannel, InitLink, STDERR, STDOUT, Seen, WorkerLink,
};
use crate::session::life::{Action, Event, Phase, TaskKind, Token};
use crate::session::linger::Lingering;
use crate::session::mailbox::Command;
use crate::session::note::Note;
use crate::session::snapshots::{Awaited, CONFIRM_LIMIT, Frozen, RevertPlan, Reverting, dismiss};
use crate::session::tickets::Tickets;
use pyrepl3_protocol::message::{EndStatus, Message};
use pyrepl3_protocol::worker::{Ending, FreshChannel, InitEvent, Request};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a worker may take to fetch another channel when it has closed the one before.
const RENEWAL_LIMIT: Duration = Duration::from_secs(10);

/// What session init has of a session that is taken over.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The number of the worker that it knows.
    pub(crate) worker: u64,
    /// How that ended, if it has.
    pub(crate) exit: Option<Ending>,
    /// Descriptors by their names; of the channel before, the first frame that comes again after it.
    pub(crate) held: HashMap<String, (OwnedFd, Option<u64>)>,
    /// What came to it while there was no supervisor.
    pub(crate) events: Vec<(InitEvent, Vec<OwnedFd>)>,
}

impl SessionTask {
    /// The task of a session that another supervisor had, as it was written down and found. In a runtime.
    ///
    /// # Errors
    /// Something is missing that every session has.
    pub(crate) fn take_over(
        context: Context,
        init: InitLink,
        note: Note,
        mut inventory: Inventory,
        lingering: Lingering,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> io::Result<SessionTask> {
        // The worker may have fetched this channel already, for a supervisor that did not come to use it: then what it said
        // on the one before may still be read, and this one is as it should be.
        let number = note.incarnation.number();
        let is_fresh = |(event, _): &(InitEvent, Vec<OwnedFd>)| matches!(event, InitEvent::Channel(FreshChannel { worker: Some(worker), .. }) if *worker == number);
        let fetched = inventory.events.iter().any(is_fresh);
        // Of a return that was under way it is not known whether the frozen process was woken. Until it has said so itself
        // that channel may be the worker's from before, or its own.
        let unclear = match note.incarnation.is_waking() {
            true => inventory.worker != note.incarnation.number() && !note.incarnation.is_sweeping(),
            false => note.snapshots.planned.is_some() && note.incarnation.is_down(),
        };
        let before = if unclear || fetched { inventory.held.remove(CONTROL_BEFORE) } else { None };
        // Where it is unclear it is the channel of the worker from before that return: what that said is undone.
        let before = before.filter(|_| !unclear).map(|(fd, _)| fd);
        let mut held = |name: &str| {
            let missing = || io::Error::other(format!("session init does not have its {name}"));
            inventory.held.remove(name).map(|(fd, _)| fd).ok_or_else(missing)
        };
        let control = held(CONTROL)?;
        let (stdout, stderr) = (Output::on(held(STDOUT)?)?, Output::on(held(STDERR)?)?);
        let (worker_control, unclear_control) = if unclear {
            // If the process was woken it is that one's, and it asks for another once this one ends.
            rustix::net::shutdown(&control, rustix::net::Shutdown::Write)?;
            (ControlChannel::none_yet(0, 0)?, Some(control))
        } else {
            let at = &note.control;
            // What was about to be asked may have been.
            let asked = at.asked.max(at.given);
            let mut control = match before {
                Some(before) => ControlChannel::taken_over(before, asked, at.heard, at.large)?,
                None if fetched => ControlChannel::none_yet(asked, at.heard)?,
                None => ControlChannel::taken_over(control, asked, at.heard, at.large)?,
            };
            control.hold_back(at.answers.clone());
            (control, None)
        };
        let worker = WorkerLink { control: worker_control, stdout, stderr, process: None };
        let (ready, _) = oneshot::channel();
        let mut task = SessionTask::new(context, init, worker, false, commands, ready, Some(lingering));
        task.recall(note, unclear_control);
        task.tell_what_was_untold();
        // What follows is done when all is known.
        task.performing = true;
        task.find(inventory, unclear);
        task.performing = false;
        task.perform(Vec::new());
        Ok(task)
    }

    /// What the supervisor before this one had taken and not told: output, and executions that it had told to be taken and no more.
    fn tell_what_was_untold(&mut self) {
        self.tell_untold_output();
        for execution in self.log().accepted_before() {
            if self.tickets.token_of(&execution).is_none() {
                let why = "its supervisor died before it could begin: it never ran";
                let mut end =
                    Message::ErrorMessage(messages::error(EndStatus::Cancelled, "CancelledError", why.to_owned()));
                end.address(self.id(), Some(&execution));
                self.log().append(end);
            }
        }
    }

    /// Everything as it was written down.
    fn recall(&mut self, note: Note, unclear_control: Option<OwnedFd>) {
        self.ready = None;
        self.machine = note.machine;
        self.incarnation = note.incarnation;
        self.incarnation.taken_over(Time::now());
        (self.count, self.applied) = (note.count, note.applied);
        (self.exit, self.fault, self.unfrozen) = (note.exit, note.fault, note.unfrozen);
        (self.told.no_undo, self.told.came_back) = (note.no_undo, note.came_back);
        self.durability = Durability::recall(note.durability);
        self.todo = note.todo.into();
        self.later = note.later.into();
        if let Some(lingering) = &mut self.lingering {
            lingering.given = note.control.given;
            lingering.member = note.family.member;
            lingering.claimed = note.family.claimed;
            lingering.reserved = note.events;
            lingering.held = unclear_control;
            lingering.family = note.family.shared.then(|| self.context.origin.family.clone());
        }
        let waits = self.machine.taken_over();
        let (tickets, unwritten) = Tickets::recall(note.tickets);
        self.tickets = tickets;
        for token in unwritten.iter().filter(|token| waits.contains(token)) {
            self.warn_of_lost_code(*token);
            self.later.push_back(Event::Cancel(*token));
        }
        if let Some(lingering) = &mut self.lingering {
            lingering.unwritten = unwritten;
        }
        for number in self.snapshots.recall(&note.snapshots) {
            self.await_taken_over(number);
        }
        // Who made the branches has ended.
        self.later.extend(self.machine.splitting().map(|token| Event::Split { token }));
        match (note.snapshots.reverting, note.snapshots.planned) {
            (Some((plan, reverting)), _) => self.recall_revert(plan, reverting),
            (None, Some(plan)) => self.snapshots.wait(Awaited::Revert(plan)),
            (None, None) => {}
        }
        let frozen = isize::try_from(self.snapshots.all().count()).unwrap_or(0);
        self.context.origin.registry.add_frozen(self.id(), frozen);
        // Who wrote a checkpoint of them has ended with the supervisor that read it.
        let saved: Vec<u64> = self
            .machine
            .timeline()
            .marks()
            .filter(|(_, roles)| roles.is_some_and(|roles| roles.saving))
            .map(|(mark, _)| mark)
            .collect();
        let current = self.machine.current_task().and_then(|(_, mark, _)| mark);
        self.later.extend(saved.into_iter().filter(|mark| Some(*mark) != current).map(Event::Release));
    }

    fn warn_of_lost_code(&self, token: Token) {
        if let Some(execution) = self.tickets.execution(token) {
            self.warn_session(format!(
                "The execution {} was not run: its code was too much to be kept when the supervisor died",
                execution.id
            ));
        }
    }

    fn recall_revert(&mut self, plan: RevertPlan, reverting: Reverting) {
        let mark = plan.mark;
        // They may have been told to leave: nothing waits for them.
        for gone in &plan.discard {
            self.snapshots.remove(*gone);
        }
        if self.lingering.as_ref().is_some_and(|lingering| lingering.held.is_some()) {
            // It begins again, unless the process turns out to be awake.
            self.incarnation.undo_wake();
            let number = self.snapshots.insert(mark, Frozen::remembered(reverting.to));
            self.await_taken_over(number);
            self.snapshots.untold = reverting.discarded;
            return self.snapshots.wait(Awaited::Revert(plan));
        }
        if plan.keep && self.snapshots.get(mark).is_none() {
            let number = self.snapshots.insert(mark, Frozen::remembered(reverting.to.clone()));
            self.await_taken_over(number);
        }
        self.snapshots.reverting = Some((plan, reverting));
    }

    /// A frozen process has so long to ask for this supervisor.
    fn await_taken_over(&self, number: u64) {
        let end = Time::now().after(CONFIRM_LIMIT);
        self.job(async move {
            sleep_until(Some(end)).await;
            let error =
                io::Error::new(io::ErrorKind::TimedOut, "it did not ask for the supervisor that has taken over");
            Report::Frozen { number, found: Err(error) }
        });
    }

    /// What there is of the session's processes, and what follows from that.
    fn find(&mut self, mut inventory: Inventory, unclear: bool) {
        let spawned = |(event, _): &(InitEvent, Vec<OwnedFd>)| matches!(event, InitEvent::Spawned { .. });
        let (spawned, rest): (Vec<_>, Vec<_>) = inventory.events.into_iter().partition(spawned);
        let known = inventory.worker == self.incarnation.number();
        for (event, fds) in spawned {
            if unclear {
                // The worker from before the return: it ends when the frozen process is woken.
                let process = fds.into_iter().next().and_then(|pidfd| Process::from_pidfd(pidfd).ok());
                self.worker.process = process;
            } else {
                self.init_event(event, fds);
            }
        }
        if let Some((before, kept)) = inventory.held.remove(CONTROL_BEFORE) {
            self.hear_channel_before(before, kept);
        }
        if self.incarnation.is_waking() && known {
            // It was told to a supervisor that is gone, who was ended.
            self.see(Seen::Swept);
        }
        for (event, fds) in rest {
            self.init_event(event, fds);
        }
        match inventory.exit {
            Some(ending) if known && !unclear => self.worker_exited(ending.code, ending.signal),
            _ => {}
        }
        if self.incarnation.is_starting() && !known {
            self.spawn_worker();
        }
        match self.machine.phase() {
            Phase::Closing | Phase::Closed => {
                let step = self.incarnation.close_again(Time::now());
                self.todo.retain(|action| *action != Action::Teardown);
                self.step(step);
            }
            Phase::Respawning if self.incarnation.is_up() && self.durability.recovery == Recovery::Planned => {
                self.look_for_recovery();
            }
            _ => {}
        }
        if self.machine.is_killing() {
            self.incarnation.killed();
            self.kill_worker();
        } else if self.machine.is_stopping()
            && let Some(process) = &self.worker.process
        {
            // Whether the signal was sent nobody knows.
            process.interrupt();
        }
        self.go_on_with_snapshots();
    }

    /// The channel that the worker had before it fetched its present one, from a supervisor that had not read it to the end.
    fn hear_channel_before(&mut self, channel: OwnedFd, kept: Option<u64>) {
        let (asked, heard) = (self.worker.control.asked(), self.worker.control.heard());
        // What comes again may have begun to be read.
        if kept.is_none_or(|kept| kept > heard + 1)
            && let Ok(before) = ControlChannel::taken_over(channel, asked, heard, false)
        {
            let present = std::mem::replace(&mut self.worker.control, before);
            self.hear_last_words();
            let heard = self.worker.control.heard();
            self.worker.control = present;
            self.worker.control.has_heard(heard);
        }
        if let Err(error) = self.init.release_control_before() {
            tracing::debug!(%error, "session init could not be told of a channel that is read");
        }
    }

    /// A frozen process whose channel has ended asks for a supervisor.
    pub(super) fn frozen_asks(&mut self, mark: u64, fds: Vec<OwnedFd>) {
        let Ok([channel, pidfd]) = <[OwnedFd; 2]>::try_from(fds) else { return };
        let Ok(channel) = stream(channel) else { return };
        match (self.snapshots.get_mut(mark).filter(|frozen| frozen.is_awaited()), Process::from_pidfd(pidfd)) {
            (Some(frozen), Ok(process)) => {
                frozen.taken_over(channel, process);
                self.go_on_with_snapshots();
            }
            _ => dismiss(&channel),
        }
    }

    /// A worker whose channel has ended has fetched another.
    pub(super) fn worker_asks(&mut self, fresh: &FreshChannel, fds: Vec<OwnedFd>) {
        let Ok([channel, pidfd]) = <[OwnedFd; 2]>::try_from(fds) else { return };
        let Ok(process) = Process::from_pidfd(pidfd) else { return };
        if fresh.branch.is_some() {
            // It has not joined, and nobody waits for it.
            return process.kill();
        }
        if fresh.worker.is_some()
            && let Some(lingering) = self.lingering.as_mut().filter(|lingering| lingering.held.is_some())
        {
            // The worker from before a return that is begun again: it ends with that.
            lingering.aside = Some(channel);
            return;
        }
        let mut unknown = None;
        match fresh.worker {
            Some(worker) if worker == self.incarnation.number() => {}
            // Session init does not know yet that it is the worker, and holds nothing of it by itself.
            None if fresh.mark.is_some_and(|mark| self.has_woken(mark, &process)) => unknown = channel.try_clone().ok(),
            // It was woken for a return that has begun again, with the process that was left in its place.
            None if fresh.mark.is_some() => return process.kill(),
            _ => return,
        }
        // With a large frame on its way the rest of the channel comes again.
        if !self.worker.control.is_in_pieces() && fresh.kept.is_none_or(|kept| kept > self.worker.control.heard() + 1) {
            let number = self.incarnation.number();
            self.hear_last_words();
            if self.incarnation.number() != number || self.is_released() {
                // After what it said another process is the worker.
                return;
            }
        }
        if self.worker.process.is_none() {
            self.worker.take(process);
        }
        let sent = self.worker.control.sent();
        let answered = self.worker.control.held_back_answers();
        let mut is_lost = false;
        if let Some(lingering) = &mut self.lingering {
            lingering.renewal = None;
            is_lost = lingering.given <= sent && lingering.given > fresh.request;
            // What waits to be asked is numbered after what has arrived.
            if let Some(after @ 1..) = lingering.given.checked_sub(sent) {
                lingering.given = fresh.request + after;
            }
            let is_answered = |number: &u64| answered.iter().any(|(input, _)| input == number);
            let waiting = fresh.waiting.iter().copied().filter(|number| !is_answered(number));
            lingering.unanswered = Some((fresh.seq, waiting.collect()));
        }
        if !self.write_down() {
            return;
        }
        // The one before is held until what was said on it is written down.
        if let Some(Err(error)) = unknown.map(|kept| self.init.keep_control(kept)) {
            tracing::debug!(%error, "session init could not be told of a channel");
        }
        if let Err(error) = self.worker.control.renew(channel, fresh.request) {
            return self.lost_touch(&error);
        }
        if let Err(error) = self.init.release_control_before() {
            tracing::debug!(%error, "session init could not be told of a channel that is read");
        }
        self.see(Seen::ChannelRenewed);
        self.say_again(fresh, is_lost);
        // What is younger than a process that was woken is ended next.
        self.go_on_with_snapshots();
    }

    /// Says again what the worker has not got, and answers what nobody else will. `is_lost`: the request by which the worker was
    /// given what it does.
    fn say_again(&mut self, fresh: &FreshChannel, is_lost: bool) {
        if fresh.request == 0 && self.incarnation.is_starting() {
            let setup = self.context.setup.request();
            if let Err(error) = self.worker.control.send(&setup, None, Vec::new()) {
                self.lost_touch(&error);
            }
        }
        self.tickets.prompts.keep(&fresh.waiting);
        if let Some((token, mark, kind)) = self.machine.current_task()
            && is_lost
            && self.incarnation.is_up()
        {
            let is_known = self.lingering.as_ref().is_none_or(|lingering| !lingering.unwritten.contains(&token));
            if kind == TaskKind::Execute && is_known {
                self.transmit(token, mark);
            } else {
                // Who asked for it is gone, or its code is: it does not happen.
                let count = self.tickets.execution(token).map_or(0, |execution| execution.count);
                self.applied.take_back(count);
                self.warn_of_lost_code(token);
                self.feed(Event::Undelivered { token });
            }
        }
        self.answer_what_was_asked_before();
    }

    /// Whether this is the process that was to be woken: then it was, and the return goes on from there.
    fn has_woken(&mut self, mark: u64, process: &Process) -> bool {
        let Ok(pidfd) = process.pidfd() else { return false };
        let reverting = self.snapshots.reverting.as_ref();
        // It may have said so to the supervisor before, and does not say it again.
        let is_known = self.incarnation.is_sweeping() && reverting.is_some_and(|(plan, _)| plan.mark == mark);
        if !is_known && !self.was_woken(mark) {
            return false;
        }
        self.snapshots.wait(Awaited::Sweep(pidfd));
        true
    }

    /// The frozen process of a return that waits to be begun again was woken before. False where nothing waits for it.
    fn was_woken(&mut self, mark: u64) -> bool {
        let Some(held) = self.lingering.as_mut().and_then(|lingering| lingering.held.take()) else { return false };
        let Some(plan) = self.snapshots.take_plan(mark) else { return false };
        let Some(to) = self.snapshots.get(mark).map(Frozen::note) else { return false };
        let Ok(control) = ControlChannel::taken_over(held, 0, 0, false) else { return false };
        if !plan.keep {
            self.snapshots.remove(mark);
            self.context.origin.registry.add_frozen(self.id(), -1);
        }
        self.worker.control = control;
        self.worker.process = None;
        self.incarnation.wake(Time::now());
        let discarded = std::mem::take(&mut self.snapshots.untold);
        let (lost, ended) = (Vec::new(), Vec::new());
        let reverting = Reverting { to, began: Time::now(), discarded, lost, ended, salvaged: None };
        self.snapshots.reverting = Some((plan, reverting));
        true
    }

    /// The channel has closed. Where it was another supervisor's, the worker fetches the next one now.
    pub(super) fn channel_closed(&mut self) {
        match &mut self.lingering {
            Some(lingering) if self.worker.control.awaits_renewal() => {
                lingering.renewal.get_or_insert_with(|| Time::now().after(RENEWAL_LIMIT));
            }
            _ => self.see(Seen::ChannelClosed),
        }
    }

    /// The worker has not fetched another channel in time.
    pub(super) fn look_at_renewal(&mut self, now: Time) {
        let overdue = |lingering: &mut Lingering| lingering.renewal.take_if(|until| *until <= now).is_some();
        if self.lingering.as_mut().is_some_and(overdue) {
            self.see(Seen::ChannelClosed);
        }
    }

    /// The worker asks something that it may have asked the supervisor before: it is answered as usual.
    pub(super) fn asks_again(&mut self, number: u64) {
        if let Some((_, waiting)) = self.lingering.as_mut().and_then(|lingering| lingering.unanswered.as_mut()) {
            waiting.retain(|one| *one != number);
        }
    }

    /// Answers what the supervisor before was asked, and nobody here knows. When all is heard that comes again.
    pub(super) fn answer_what_was_asked_before(&mut self) {
        let heard = self.worker.control.heard();
        let unanswered = |lingering: &mut Lingering| lingering.unanswered.take_if(|(last, _)| *last <= heard);
        let Some((_, waiting)) = self.lingering.as_mut().and_then(unanswered) else { return };
        for input in waiting {
            if !self.tickets.prompts.has(input) {
                self.tell_worker(&Request::Answer { input, value: None });
            }
        }
    }
}
