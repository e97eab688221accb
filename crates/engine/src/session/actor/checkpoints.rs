//! Saving the session, and bringing a checkpoint back.
//!
//! ```text
//! checkpoint: freeze ─► the frozen process forks a saver ─► a task of its own stores what it says ─► `Saved`
//! restore:    freeze ─► the worker loads what a thread serves ─► reply, or unrestored: back to the snapshot
//! ```
//!
//! While a saver works, the mark that it was forked from is held: nothing discards it for want of room.

use super::operations::PendingOperation;
use super::{Actor, Outcome, Reply};
use crate::checkpoint::{self, Canceller, Deaths, Extra, Note, Saver, SaverTask, Unsaved};
use crate::session::machine::{Event, State, Token, Verdict};
use crate::session::messages;
use crate::session::past::Past;
use crate::session::timeline::Mark;
use pyrepl3_protocol::message::{CheckpointCreated, Lost, Message, Restored};
use pyrepl3_protocol::worker::{FrozenRequest, Recovered};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::{Manifest, Meta};
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What a checkpoint is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client asked.
    Asked,
    /// The session saves itself.
    Automatic,
    /// To be compared with another; then it is deleted.
    Comparison,
}

/// A checkpoint that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointRequest {
    pub(crate) name: Option<String>,
    pub(crate) purpose: Purpose,
    pub(crate) notes: Option<mpsc::UnboundedSender<Note>>,
    pub(crate) canceller: Canceller,
}

/// A checkpoint that is to be brought back.
#[derive(Debug, Clone)]
pub(crate) struct RestoreRequest {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) partial: bool,
    /// Why, as the message says.
    pub(crate) reason: String,
    /// Whether nobody asked for it.
    pub(crate) automatic: bool,
    /// Executions of an earlier session that are known not to be in it.
    pub(crate) missing: Vec<u64>,
}

/// A checkpoint that is on disk.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: CheckpointCreated,
    pub(crate) manifest: Manifest,
}

/// A saver at work.
#[derive(Debug)]
pub(super) struct Saving {
    pidfd: Option<OwnedFd>,
    canceller: Canceller,
}

/// What the task of a saver tells.
#[derive(Debug)]
pub(super) enum SavingNews {
    Born { saving: u64, pidfd: OwnedFd },
    Ended(Box<SavingEnd>),
}

#[derive(Debug)]
pub(super) struct SavingEnd {
    saving: u64,
    job: SavingJob,
    result: Result<checkpoint::Saved, Unsaved>,
    count: u64,
}

/// A checkpoint on its way. It may take several savers: the session's own code, which they run, can end them.
#[derive(Debug)]
struct SavingJob {
    mark: Mark,
    request: CheckpointRequest,
    reply: Reply<Outcome>,
    asked: Instant,
    pause: Duration,
    tracked: bool,
    deaths: Deaths,
}

/// What is known of a restore on its way.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    serving: Option<tokio::task::JoinHandle<Result<(), Failure>>>,
    recovered: Option<Recovered>,
    why: Option<(String, String)>,
}

impl Actor {
    /// Code runs, and there is a snapshot of the state before it: that is saved, without waiting for its end.
    pub(super) fn mark_before_what_runs(&self) -> Option<Mark> {
        let running = self.running()?;
        let mark = self.machine.timeline().newest()?;
        let mut before = self.past.clone();
        before.take_back(running.count);
        self.frozen.get(&mark).filter(|frozen| frozen.past == before).map(|_| mark)
    }

    /// Has a frozen process write its state down. The reply comes when that is on disk.
    pub(super) async fn begin_saving(
        &mut self,
        mark: Mark,
        request: CheckpointRequest,
        reply: Reply<Outcome>,
        asked: Instant,
        sent: Option<Instant>,
    ) {
        let confirmed = match self.frozen.get_mut(&mark) {
            Some(frozen) => frozen.confirm().await.is_ok(),
            None => false,
        };
        let pause = sent.map_or(Duration::ZERO, |sent| sent.elapsed());
        let job = SavingJob { mark, request, reply, asked, pause, tracked: sent.is_some(), deaths: Deaths::default() };
        if confirmed {
            return self.attempt_saving(job).await;
        }
        _ = job.reply.send(Err(not_made("the process of its snapshot ended before it was ready")));
        self.later.push_back(Event::Release(mark));
    }

    async fn attempt_saving(&mut self, job: SavingJob) {
        let (saver, past) = match self.fork_saver(job.mark).await {
            Ok(forked) => forked,
            Err(failure) => {
                _ = job.reply.send(Err(failure));
                return self.later.push_back(Event::Release(job.mark));
            }
        };
        self.next_saving += 1;
        let saving = self.next_saving;
        self.savings.insert(saving, Saving { pidfd: None, canceller: job.request.canceller.clone() });
        let count = past.last().unwrap_or(0);
        let task = SaverTask {
            shelf: self.place.origin.shelf.clone(),
            lineage: self.store_lineage.clone(),
            meta: Meta {
                session: self.place.shared.id.clone(),
                name: job.request.name.clone(),
                parent: self.parent.as_ref().and_then(|id| pyrepl3_store::CheckpointId::parse(id).ok()),
            },
            extra: Extra {
                execution_count: count,
                past: past.numbers().to_vec(),
                session_name: self.place.setup.options.name.clone(),
                automatic: job.request.purpose == Purpose::Automatic,
            },
            tracked: job.tracked,
            base: self.base.clone(),
            leave_out: job.deaths.left_out().to_vec(),
            notes: job.request.notes.clone(),
            canceller: job.request.canceller.clone(),
        };
        let news = self.news.clone();
        tokio::spawn(async move {
            let born = news.clone();
            let result = saver.save(task, move |pidfd| _ = born.send(SavingNews::Born { saving, pidfd })).await;
            _ = news.send(SavingNews::Ended(Box::new(SavingEnd { saving, job, result, count })));
        });
    }

    /// A channel to a fork of a frozen process, and the executions that it is after.
    async fn fork_saver(&mut self, mark: Mark) -> Result<(Saver, Past), Failure> {
        let Some(frozen) = self.frozen.get_mut(&mark) else {
            return Err(not_made("the process of its snapshot has ended"));
        };
        frozen.resume();
        let (saver, theirs) = Saver::new().map_err(|error| not_made(&error.to_string()))?;
        frozen.send(FrozenRequest::Save {}, vec![theirs]).await.map_err(|error| not_made(&error.to_string()))?;
        Ok((saver, frozen.past.clone()))
    }

    /// The pidfds of savers: they outlive a rollback.
    pub(super) fn saver_pidfds(&self) -> impl Iterator<Item = OwnedFd> + '_ {
        self.savings.values().filter_map(|saving| saving.pidfd.as_ref()?.try_clone().ok())
    }

    /// The session ends: what is being saved is given up.
    pub(super) fn give_up_saving(&mut self) {
        for saving in self.savings.values() {
            saving.canceller.cancel();
        }
    }

    pub(super) async fn saving_news(&mut self, news: SavingNews) {
        let end = match news {
            SavingNews::Born { saving, pidfd } => {
                if let Some(saving) = self.savings.get_mut(&saving) {
                    saving.pidfd = Some(pidfd);
                }
                return;
            }
            SavingNews::Ended(end) => *end,
        };
        self.savings.remove(&end.saving);
        let SavingEnd { mut job, result, count, .. } = end;
        let result = match result {
            Err(unsaved) if job.deaths.note(&unsaved.over) && self.up => return self.attempt_saving(job).await,
            result => result.map_err(|unsaved| unsaved.failure),
        };
        self.feed(Event::Release(job.mark)).await;
        let stored = result.and_then(|saved| {
            let (variables, lost) = checkpoint::contents(&saved.manifest)?;
            let manifest = saved.manifest;
            let message = messages::checkpoint_created(
                &self.place.shared.id,
                &manifest,
                (variables, lost),
                (job.pause, job.asked.elapsed()),
                count,
            );
            Ok((Stored { message, manifest }, saved.base))
        });
        if let Ok((_, base)) = &stored
            && base.is_some()
        {
            self.base.clone_from(base);
        }
        let stored = stored.map(|(stored, _)| stored);
        if let Ok(stored) = &stored
            && job.request.purpose != Purpose::Comparison
        {
            self.parent = Some(stored.message.checkpoint_id.clone());
            self.journal_saved(stored.message.execution_count);
        }
        if job.request.purpose == Purpose::Automatic {
            self.saved_by_itself(&stored);
        }
        _ = job.reply.send(stored.map(|stored| Outcome::Stored(Box::new(stored))));
    }

    /// A thread that gives a checkpoint to the worker, and the worker's end of its channel.
    pub(super) fn serve_checkpoint(&mut self, token: Token) -> std::io::Result<OwnedFd> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let shelf = self.place.origin.shelf.clone();
        if let Some((request, restoring)) = self.restore_of(token) {
            let (manifest, partial) = (request.manifest.clone(), request.partial);
            restoring.serving = Some(tokio::spawn(async move {
                shelf.with(move |store| checkpoint::serve(ours, &store.reader(&manifest)?, partial)).await
            }));
        }
        Ok(theirs.into())
    }

    fn restore_of(&mut self, token: Token) -> Option<(&RestoreRequest, &mut Restoring)> {
        match self.pending.get_mut(&token) {
            Some(super::Pending::Operate(pending)) => match &pending.operation {
                super::Operation::Restore(request) => Some((request, &mut pending.restoring)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the worker says of what it brought back. False where this is no restore.
    pub(super) fn note_restored(&mut self, token: Token, data: &serde_json::value::RawValue) -> bool {
        let Some((_, restoring)) = self.restore_of(token) else { return false };
        restoring.recovered = Some(serde_json::from_str(data.get()).unwrap_or_else(|error| {
            // It has done what it was asked for: the caller must not think that nothing was changed.
            let reason = format!("what the worker said of it made no sense ({error}): look at what is there");
            Recovered { lost: vec![Lost { name: "the list of what came back".into(), reason }], ..Recovered::default() }
        }));
        true
    }

    pub(super) fn note_unrestored(&mut self, token: Token, why: &str, how: &str) {
        if let Some((_, restoring)) = self.restore_of(token) {
            restoring.why = Some((super::returns::bounded(why), super::returns::bounded(how)));
        }
    }

    /// Answers a restore.
    pub(super) async fn end_restore(
        &mut self,
        request: &RestoreRequest,
        pending: &mut PendingOperation,
        verdict: Verdict,
        state: State,
    ) -> Result<Outcome, Failure> {
        let served = match pending.restoring.serving.take() {
            Some(serving) => match serving.await {
                Ok(served) => served,
                Err(error) => Err(Failure::new(Code::Internal, "the checkpoint was not given", error.to_string(), "")),
            },
            None => Ok(()),
        };
        let returned = self.last_return.take_if(|_| state == State::Undone);
        match (verdict, state, pending.restoring.recovered.take()) {
            (Verdict::Reported, State::Kept, Some(recovered)) => Ok(self.restored(request, recovered, pending.asked)),
            // The store knows better why than the worker, who only lost its connection.
            _ if served.is_err() => served.map(|()| Outcome::Done).map_err(|mut failure| {
                if failure.code == Code::CheckpointDamaged {
                    failure.how = "restore it partially: what needs the damaged bytes is then lost, and named".into();
                }
                failure
            }),
            (Verdict::Reported, ..) => {
                Err(not_restored("the worker's answer made no sense".into(), String::new(), state))
            }
            (Verdict::Killed { .. } | Verdict::Crashed, ..) => {
                let how = self.exit.as_ref().map(ToString::to_string).unwrap_or_default();
                let back = returned.map_or_else(String::new, |returned| format!(" {}", returned.report));
                Err(not_restored(format!("the worker process {how} while it loaded it.{back}"), String::new(), state))
            }
            (_, State::Undone, _) => {
                let (why, how) = pending.restoring.why.take().unwrap_or_default();
                Err(not_restored(why, how, state))
            }
            _ => Err(crate::session::handle::closed(&self.place.shared.id)),
        }
    }

    fn restored(&mut self, request: &RestoreRequest, recovered: Recovered, asked: Instant) -> Outcome {
        let manifest = &request.manifest;
        let extra = Extra::of(manifest);
        let past = Past::of(extra.past);
        // Numbers of another session's executions say nothing of this one's.
        let undone = if manifest.session == self.place.shared.id {
            self.past.beyond(&past)
        } else {
            self.past.numbers().to_vec()
        };
        self.keys.forget_executions(&undone);
        let undone = if request.missing.is_empty() { undone } else { request.missing.clone() };
        self.count = self.count.max(extra.execution_count);
        self.past = past;
        self.store_lineage = manifest.lineage.clone();
        self.parent = Some(manifest.id.to_string());
        let (saved, not_saved) = checkpoint::contents(manifest).unwrap_or_default();
        let came: std::collections::HashSet<&str> = recovered.restored.iter().map(|one| one.name.as_str()).collect();
        let variables = saved.into_iter().filter(|one| came.contains(one.name.as_str())).collect();
        let mut lost = recovered.lost;
        let known: std::collections::HashSet<String> = lost.iter().map(|one| one.name.clone()).collect();
        lost.extend(not_saved.into_iter().filter(|one| !known.contains(&one.name)));
        self.check_what_is_mapped(manifest.clone());
        Outcome::Restored(Box::new(Restored {
            id: pyrepl3_protocol::id::new(pyrepl3_protocol::id::Kind::Message),
            timestamp: messages::now(),
            session_id: Some(self.place.shared.id.clone()),
            execution_id: None,
            reply_to: None,
            checkpoint_id: manifest.id.to_string(),
            name: manifest.name.clone(),
            variables,
            lost: lost.into_iter().map(bounded).collect(),
            packages: recovered.packages,
            reason: request.reason.clone(),
            undone,
            duration: asked.elapsed().as_secs_f64(),
            execution_count: extra.execution_count,
        }))
    }

    /// Memory that is mapped from a file was not read yet. Whether it is what was written is found out while the
    /// session goes on; what is not, is told.
    fn check_what_is_mapped(&self, manifest: Arc<Manifest>) {
        let (shelf, events, id) = (self.place.origin.shelf.clone(), self.place.shared.events.clone(), self.id());
        tokio::spawn(async move {
            let checked = shelf
                .with({
                    let manifest = manifest.clone();
                    move |store| store.verify_blobs(&manifest, checkpoint::mapped(&store.reader(&manifest)?)?)
                })
                .await;
            if let Ok(report) = checked
                && !report.is_whole()
            {
                let text = format!(
                    "The checkpoint {} is damaged: the values of {} are not what was saved. Restore another checkpoint",
                    manifest.id,
                    report.names_damaged.join(", "),
                );
                events
                    .push(Message::Warning(messages::warning(&id, super::returns::bounded(&text))), !events.is_heard());
            }
        });
    }
}

fn not_made(why: &str) -> Failure {
    Failure::new(Code::CheckpointFailed, "the checkpoint could not be made", why, "the session is as it was")
}

fn not_restored(why: String, how: String, state: State) -> Failure {
    let how = match (how.is_empty(), state) {
        (false, _) => how,
        (true, State::Undone) => "the session is as it was before".to_owned(),
        (true, State::Lost) => "the session goes on with a fresh namespace".to_owned(),
        (true, _) => String::new(),
    };
    Failure::new(Code::RestoreFailed, "the checkpoint could not be brought back", why, how)
}

fn bounded(lost: Lost) -> Lost {
    Lost { name: lost.name, reason: super::returns::bounded(&lost.reason) }
}
