//! Bringing a checkpoint back.
//!
//! ```text
//! freeze ─► the worker loads what a thread serves ─► reply, or unrestored: back to the snapshot
//! ```

use super::report::Report;
use super::state::SessionTask;
use crate::checkpoint::{self, RestoreService, SessionMetadata};
use crate::messages;
use crate::session::applied::Applied;
use crate::session::durability::RestoreRequest;
use crate::session::failures;
use crate::session::life::{State, Token, Verdict};
use crate::session::mailbox::Operation;
use crate::session::snapshots::bounded;
use crate::session::tickets::{PendingOperation, Restoring};
use crate::session::timeline::Mark;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{Lost, Restored};
use pyrepl3_protocol::worker::{Recovered, Request};
use pyrepl3_protocol::{Code, Failure};
use pyrepl3_store::Manifest;
use rustix::fd::OwnedFd;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

impl Restoring {
    /// What the worker says that it brought back.
    pub(super) fn note_recovered(&mut self, data: &RawValue) {
        self.recovered = Some(serde_json::from_str(data.get()).unwrap_or_else(|error| {
            // It has done what it was asked for: the caller must not think that nothing was changed.
            let reason = format!("what the worker said of it made no sense ({error}): look at what is there");
            let lost = vec![Lost { name: "the list of what came back".into(), reason }];
            Recovered { lost, ..Recovered::default() }
        }));
    }
}

impl SessionTask {
    /// Sends a restore to the worker, with the channel of a process that is frozen before it, and one on which the
    /// checkpoint is served.
    pub(super) fn send_restore(&mut self, token: Token, mark: Option<Mark>, wake: OwnedFd) -> io::Result<()> {
        let store = self.context.origin.checkpoint_store.clone();
        let Some(pending) = self.tickets.operation_mut(token) else { return Ok(()) };
        let Operation::Restore { request, .. } = &pending.operation else { return Ok(()) };
        let (serving, theirs) = RestoreService::start(&store, request.manifest.clone(), request.partial)?;
        pending.restoring.serving = Some(serving);
        self.worker.control.send(&Request::Restore { id: token, fds: 2 }, mark, vec![wake, theirs])
    }

    /// The worker has said what became of a restore, or is gone: nobody is served any more.
    pub(super) fn end_restore(&mut self, mut pending: PendingOperation, verdict: Verdict, state: State) {
        let Operation::Restore { request, .. } = &pending.operation else { return };
        let request = request.clone();
        let recovered = pending.restoring.recovered.take();
        if let (Verdict::Reported, State::Kept, Some(recovered)) = (verdict, state, recovered) {
            // At once: what comes next counts on from here.
            let answer = Ok(self.restored(&request, recovered, pending.asked));
            return self.answer_restore(&request, pending.operation, answer);
        }
        let failure = self.why_not_restored(&mut pending, verdict, state);
        let serving = pending.restoring.serving.take();
        self.job(async move {
            let served = match serving {
                Some(serving) => serving.finish().await,
                None => Ok(()),
            };
            // The store knows better why than the worker, who only lost its connection.
            let failure = match served {
                Ok(()) => failure,
                Err(mut better) => {
                    if better.code == Code::CheckpointDamaged {
                        better.how =
                            "restore it partially: what needs the damaged bytes is then lost, and named".into();
                    }
                    better
                }
            };
            Report::NotRestored { request: Box::new(request), operation: pending.operation, failure }
        });
    }

    /// Answers a restore.
    pub(super) fn answer_restore(
        &mut self,
        request: &RestoreRequest,
        operation: Operation,
        answer: Result<Restored, Failure>,
    ) {
        if request.automatic {
            self.tell_recovery(answer.as_ref());
        }
        if let Operation::Restore { reply, .. } = operation {
            _ = reply.send(answer);
        }
    }

    fn why_not_restored(&mut self, pending: &mut PendingOperation, verdict: Verdict, state: State) -> Failure {
        let reverted = self.snapshots.last.take_if(|_| state == State::Undone);
        match (verdict, state) {
            (Verdict::Reported, _) => not_restored("the worker's answer made no sense".into(), String::new(), state),
            (Verdict::Killed { .. } | Verdict::Crashed, _) => {
                let how = self.exit_in_words();
                let back = reverted.map_or_else(String::new, |reverted| format!(" {}", reverted.report));
                not_restored(format!("the worker process {how} while it loaded it.{back}"), String::new(), state)
            }
            (_, State::Undone) => {
                let (why, how) = pending.restoring.why.take().unwrap_or_default();
                not_restored(why, how, state)
            }
            _ => self.why_closed(),
        }
    }

    fn restored(&mut self, request: &RestoreRequest, recovered: Recovered, asked: Instant) -> Restored {
        let manifest = &request.manifest;
        let extra = SessionMetadata::of(manifest);
        let (saved, not_saved) = checkpoint::contents(manifest).unwrap_or_default();
        let came: HashSet<&str> = recovered.restored.iter().map(|one| one.name.as_str()).collect();
        let variables = saved.into_iter().filter(|one| came.contains(one.name.as_str())).collect();
        let mut lost = recovered.lost;
        let known: HashSet<String> = lost.iter().map(|one| one.name.clone()).collect();
        lost.extend(not_saved.into_iter().filter(|one| !known.contains(&one.name)));
        self.check_what_is_mapped(manifest.clone());
        Restored {
            id: id::new(IdKind::Message),
            timestamp: messages::now(),
            session_id: Some(self.id().to_owned()),
            execution_id: None,
            seq: None,
            reply_to: None,
            checkpoint_id: manifest.id.to_string(),
            name: manifest.name.clone(),
            variables,
            lost: lost.into_iter().map(|one| Lost { reason: bounded(&one.reason), ..one }).collect(),
            packages: recovered.packages,
            reason: request.reason.clone(),
            undone: self.apply_restored(request, &extra),
            duration: asked.elapsed().as_secs_f64(),
            execution_count: extra.execution_count,
        }
    }

    /// Takes over what the checkpoint says of the session. Returns the executions that are not in it.
    fn apply_restored(&mut self, request: &RestoreRequest, extra: &SessionMetadata) -> Vec<u64> {
        let manifest = &request.manifest;
        let applied = Applied::of(extra.past.clone());
        // Numbers of another session's executions say nothing of this one's.
        let undone =
            if manifest.session == self.id() { self.applied.beyond(&applied) } else { self.applied.numbers().to_vec() };
        self.tickets.keys.forget_executions(&undone);
        self.count = self.count.max(extra.execution_count);
        self.applied = applied;
        self.durability.lineage = manifest.lineage.clone();
        self.durability.parent = Some(manifest.id.to_string());
        if request.missing.is_empty() { undone } else { request.missing.clone() }
    }

    /// Memory that is mapped from a file was not read yet. Whether it is what was written is found out while the
    /// session goes on; what is not, is told.
    fn check_what_is_mapped(&self, manifest: Arc<Manifest>) {
        let (checkpoint_store, shared) = (self.context.origin.checkpoint_store.clone(), self.context.shared.clone());
        tokio::spawn(async move {
            let checked = checkpoint_store
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
                shared.warn(bounded(&text));
            }
        });
    }
}

fn not_restored(why: String, how: String, state: State) -> Failure {
    let how = match (how.is_empty(), state) {
        (false, _) => how,
        (true, State::Undone) => "the session is as it was before".to_owned(),
        (true, State::Lost) => failures::goes_on(state).to_owned(),
        (true, _) => String::new(),
    };
    Failure::new(Code::RestoreFailed, "the checkpoint could not be brought back", why, how)
}
