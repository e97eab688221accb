//! Saving the session.
//!
//! ```text
//! freeze ─► the frozen process forks a saver ─► a job stores what it says ─► SaverEnded
//! ```
//!
//! While a saver works, the mark that it was forked from is held: nothing discards it for want of room. A session that cannot
//! be frozen writes its state down itself, in its worker, and waits meanwhile.

use super::report::{Report, SaverEnd};
use super::state::{SessionTask, Then};
use crate::checkpoint::{self, Saver, SaverCrashes, SaverTask, SessionMetadata};
use crate::messages;
use crate::session::answers::Reply;
use crate::session::applied::Applied;
use crate::session::durability::{CheckpointRequest, SavingJob, Stored, Trigger};
use crate::session::life::{Event, Token};
use crate::session::mailbox::Operation;
use crate::session::snapshots::Awaited;
use crate::session::tickets::{PendingOperation, Ticket};
use crate::session::timeline::Mark;
use pyrepl3_native::wake;
use pyrepl3_protocol::worker::Request;
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::Meta;
use std::io;
use std::time::{Duration, Instant};

impl SessionTask {
    /// Code runs, and there is a snapshot of the state before it: that is saved, without waiting for its end.
    pub(super) fn mark_before_what_runs(&self) -> Option<Mark> {
        let running = self.running()?;
        let mark = self.machine.timeline().newest()?;
        let mut before = self.applied.clone();
        before.take_back(running.count);
        self.snapshots.get(mark).filter(|frozen| frozen.applied == before).map(|_| mark)
    }

    /// Has a frozen process write its state down. The reply comes when that is on disk.
    pub(super) fn begin_saving(
        &mut self,
        mark: Mark,
        request: CheckpointRequest,
        reply: Reply<Stored>,
        asked: Instant,
        sent: Option<Instant>,
    ) {
        let pause = sent.map_or(Duration::ZERO, |sent| sent.elapsed());
        let job = SavingJob {
            mark: Some(mark),
            request,
            reply,
            asked,
            pause,
            tracked: sent.is_some(),
            deaths: SaverCrashes::default(),
        };
        self.snapshots.wait(Awaited::Confirm(mark, Then::Save(Box::new(job))));
        self.go_on_with_snapshots();
    }

    /// It is known whether the frozen process is there.
    pub(super) fn save_confirmed(&mut self, job: SavingJob) {
        if let Some(mark) = job.mark
            && self.snapshots.get(mark).is_some_and(|frozen| frozen.process().is_some())
        {
            return self.attempt_saving(job, mark);
        }
        let failure = not_made("the process of its snapshot ended before it was ready");
        self.not_saved(job, failure);
    }

    fn not_saved(&mut self, job: SavingJob, failure: Failure) {
        if job.request.trigger == Trigger::Autosave {
            self.saved_by_itself(Err(&failure));
        }
        _ = job.reply.send(Err(failure));
        self.later.extend(job.mark.map(Event::Release));
        self.perform(Vec::new());
    }

    fn attempt_saving(&mut self, job: SavingJob, mark: Mark) {
        match self.fork_saver(mark) {
            Ok((saver, applied)) => self.save(job, saver, &applied),
            Err(failure) => self.not_saved(job, failure),
        }
    }

    /// Has a worker that cannot be frozen write its state down. It waits meanwhile; who asked hears from who reads.
    pub(super) fn send_save(&mut self, token: Token) -> io::Result<()> {
        let (saver, theirs) = Saver::of_worker()?;
        let Some(Ticket::Operate(pending)) = self.tickets.remove(token) else { return Ok(()) };
        let Operation::Checkpoint { request, reply } = pending.operation else { return Ok(()) };
        self.tickets.insert(token, Ticket::Operate(Box::new(PendingOperation::new(Operation::Save))));
        let why = self.unfrozen.take().map_or_else(String::new, |(why, _)| format!(" ({why})"));
        if request.trigger != Trigger::Autosave || !std::mem::replace(&mut self.told.saves_here, true) {
            self.warn_session(format!(
                "The session cannot be frozen{why}, so its own process writes the checkpoint: it waits until that is done, and \
                 what objects do when they are pickled happens in it"
            ));
        }
        let job = SavingJob {
            mark: None,
            request,
            reply,
            asked: pending.asked,
            pause: Duration::ZERO,
            tracked: false,
            deaths: SaverCrashes::default(),
        };
        self.save(job, saver, &self.applied.clone());
        self.worker.control.send(&Request::Save { id: token, fds: 1 }, None, vec![theirs])
    }

    fn save(&mut self, job: SavingJob, saver: Saver, applied: &Applied) {
        let saving = self.durability.begin(job.request.canceller.clone());
        let count = applied.last().unwrap_or(0);
        let task = SaverTask {
            store: self.context.origin.checkpoint_store.clone(),
            lineage: self.durability.lineage.clone(),
            meta: Meta {
                session: self.id().to_owned(),
                name: job.request.name.clone(),
                parent: (self.durability.parent.as_ref()).and_then(|id| pyrepl3_store::CheckpointId::parse(id).ok()),
            },
            extra: SessionMetadata {
                execution_count: count,
                past: applied.numbers().to_vec(),
                session_name: self.context.setup.options.name.clone(),
                automatic: job.request.trigger == Trigger::Autosave,
            },
            tracked: job.tracked,
            base: self.durability.base.clone(),
            leave_out: job.deaths.left_out().to_vec(),
            progress: job.request.progress.clone(),
            canceller: job.request.canceller.clone(),
        };
        let reporter = self.reporter.clone();
        self.job(async move {
            let result = saver.save(task, move |pidfd| _ = reporter.send(Report::SaverBorn { saving, pidfd })).await;
            Report::SaverEnded(Box::new(SaverEnd { saving, job, result, count }))
        });
    }

    /// A channel to a fork of a frozen process, and the executions that it is after.
    fn fork_saver(&mut self, mark: Mark) -> Result<(Saver, Applied), Failure> {
        let Some(frozen) = self.snapshots.get(mark) else {
            return Err(not_made("the process of its snapshot has ended"));
        };
        frozen.resume();
        let (saver, theirs) = Saver::new().map_err(|error| not_made(&error.to_string()))?;
        frozen.send(wake::Request::Save, &[theirs]).map_err(|error| not_made(&error.to_string()))?;
        Ok((saver, frozen.applied.clone()))
    }

    pub(super) fn saver_ended(&mut self, end: SaverEnd) {
        self.durability.ended(end.saving);
        let SaverEnd { mut job, result, count, .. } = end;
        let result = match (result, job.mark) {
            (Err(unsaved), Some(mark)) if job.deaths.note(&unsaved.over) && self.incarnation.is_up() => {
                return self.attempt_saving(job, mark);
            }
            (result, _) => result.map_err(|unsaved| unsaved.failure),
        };
        match job.mark {
            Some(mark) => self.feed(Event::Release(mark)),
            None => job.pause = job.asked.elapsed(),
        }
        let stored = result.and_then(|saved| {
            let (variables, lost) = checkpoint::contents(&saved.manifest)?;
            let manifest = saved.manifest;
            let took = (job.pause, job.asked.elapsed());
            let message = messages::checkpoint_created(self.id(), &manifest, (variables, lost), took, count);
            if saved.base.is_some() {
                self.durability.base = saved.base;
            }
            Ok(Stored { message, manifest })
        });
        if let Ok(stored) = &stored
            && job.request.trigger != Trigger::Comparison
        {
            self.durability.parent = Some(stored.message.checkpoint_id.clone());
            self.shorten_journal(stored.message.execution_count);
        }
        if job.request.trigger == Trigger::Autosave {
            self.saved_by_itself(stored.as_ref());
        }
        _ = job.reply.send(stored);
    }
}

fn not_made(why: &str) -> Failure {
    Failure::new(Code::CheckpointFailed, "the checkpoint could not be made", why, "the session is as it was")
}
