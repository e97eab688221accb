//! A session's task, made and run.

use super::state::SessionTask;
use crate::log::Journal;
use crate::registry::Registry;
use crate::session::context::{Context, Identity, Origin, Setup};
use crate::session::incarnation::{InitLink, WorkerLink};
use crate::session::linger::Lingering;
use crate::session::mailbox::{Attachment, Mailbox};
use crate::session::shared::{Lineage, Shared};
use pyrepl3_protocol::Failure;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Called when a session of a pool has ended, however.
pub(crate) type OnEnd = Box<dyn FnOnce() + Send>;

/// The first word of a session's task: it is ready, or why not.
pub(crate) type Ready = oneshot::Receiver<Result<(), Failure>>;

/// What of a session outlives its supervisor.
pub(crate) struct Outliving {
    pub(crate) lingering: Option<Lingering>,
    pub(crate) journal: Option<Journal>,
}

/// A session around a worker, known to its engine: a hold on it, its task, and its first word.
///
/// # Errors
/// The engine was shut down.
pub(crate) fn assemble(
    identity: Identity,
    setup: Setup,
    origin: Origin,
    lineage: Option<Lineage>,
    init: InitLink,
    worker: WorkerLink,
    outliving: Outliving,
) -> Result<(Attachment, SessionTask, Ready), Failure> {
    let branch = lineage.is_some();
    let Identity { id, last_event } = identity;
    let store = origin.checkpoint_store.clone();
    let shared = Shared::new(id, setup.options.clone(), lineage, store, last_event, outliving.journal);
    let (mailbox, inbox) = Mailbox::new(shared.clone());
    origin.registry.insert(&mailbox)?;
    let (ready, is_ready) = oneshot::channel();
    let task =
        SessionTask::new(Context { setup, origin, shared }, init, worker, branch, inbox, ready, outliving.lingering);
    Ok((Attachment::new(mailbox), task, is_ready))
}

/// Signs a session off when its task is over, also by a panic: whoever waits for its end would wait for ever.
struct SignOff {
    registry: Arc<Registry>,
    shared: Arc<Shared>,
    on_end: Option<OnEnd>,
}

impl Drop for SignOff {
    fn drop(&mut self) {
        self.shared.log.close(None);
        self.registry.remove(&self.shared.id);
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

/// Runs a session's task.
pub(crate) fn spawn(task: SessionTask, on_end: Option<OnEnd>) {
    let registry = task.context.origin.registry.clone();
    if on_end.is_some() {
        registry.set_pooled(task.id());
    }
    let sign_off = SignOff { registry, shared: task.context.shared.clone(), on_end };
    tokio::spawn(async move {
        let _sign_off = sign_off;
        task.run().await;
    });
}
