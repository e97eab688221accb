//! What a session's task consists of.

use super::report::Report;
use crate::clock::Time;
use crate::log::EventLog;
use crate::session::answerer::Answerers;
use crate::session::answers::{Status, StatusState};
use crate::session::applied::Applied;
use crate::session::context::Context;
use crate::session::durability::Durability;
use crate::session::failures::closed;
use crate::session::incarnation::{Incarnation, InitLink, WorkerLink};
use crate::session::life::{Action, Event, Machine, Phase, Token};
use crate::session::linger::Lingering;
use crate::session::mailbox::{Command, Query};
use crate::session::snapshots::{Snapshots, dismiss};
use crate::session::tickets::{PendingExecution, PendingOperation, Tickets};
use crate::session::timeline::{Bounds, Mark};
use pyrepl3_protocol::message::{Limits, Message, ProcessExit};
use pyrepl3_protocol::{Code, Failure};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Seconds between SIGINT and SIGKILL, without a limit of the session's own.
const GRACE: f64 = 5.0;
/// Requests that may wait, without a limit of the session's own.
const QUEUE: u32 = 1000;

/// What is to be done once it is known whether a frozen process is there.
#[derive(Debug)]
pub(super) enum Then {
    /// Answer who asked for the snapshot; the session paused for so long.
    Answer(Box<PendingOperation>, Duration),
    /// Have it write its state down.
    Save(Box<crate::session::durability::SavingJob>),
    /// Have it make branches.
    Split(Token),
    /// Have a fork of it answer, in the place with this number.
    Ask(u64, Query),
}

/// What clients were told, so that it is not told again or can be told once more.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Why executions cannot be undone.
    pub(super) no_undo: Option<String>,
    /// That the session writes its checkpoints itself.
    pub(super) saves_here: bool,
    /// What is back since the worker died while nothing ran.
    pub(super) came_back: Option<String>,
}

/// A restore whose checkpoint is being looked for, and what was asked after it.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) partial: bool,
    pub(super) reply: crate::session::answers::Reply<pyrepl3_protocol::message::Restored>,
    pub(super) behind: VecDeque<Command>,
}

/// The task.
#[derive(Debug)]
pub(crate) struct SessionTask {
    pub(super) context: Context,
    pub(super) machine: Machine,
    // The worker, and session init above it.
    pub(super) incarnation: Incarnation,
    pub(super) init: InitLink,
    pub(super) worker: WorkerLink,
    /// How the last one ended.
    pub(super) exit: Option<ProcessExit>,
    /// Why the session ends, if not because it was asked to.
    pub(super) fault: Option<Failure>,
    /// Until when output is left in its pipes, for more to come.
    pub(super) pace: Option<Time>,
    // Ways in.
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) reporter: mpsc::UnboundedSender<Report>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    // What is pending.
    pub(super) tickets: Tickets,
    pub(super) lookup: Option<Lookup>,
    pub(super) ready: Option<oneshot::Sender<Result<(), Failure>>>,
    pub(super) leave: Option<(i32, bool)>,
    pub(super) closers: Vec<crate::session::answers::Reply<()>>,
    // The state of the session, and how it comes back.
    pub(super) snapshots: Snapshots<Then>,
    pub(super) durability: Durability,
    /// Questions that are answered while code runs.
    pub(super) answerers: Answerers,
    /// Executions so far.
    pub(super) count: u64,
    /// The executions whose effects are in the session's state.
    pub(super) applied: Applied,
    /// Why the worker could not be frozen, and what to do.
    pub(super) unfrozen: Option<(String, String)>,
    pub(super) told: Told,
    /// Where it outlives its supervisor.
    pub(super) lingering: Option<Lingering>,
    // What is being performed.
    pub(super) todo: VecDeque<Action>,
    pub(super) later: VecDeque<Event>,
    pub(super) performing: bool,
}

impl SessionTask {
    /// `branch`: whether the worker was forked from that of another session.
    pub(super) fn new(
        context: Context,
        init: InitLink,
        worker: WorkerLink,
        branch: bool,
        commands: mpsc::UnboundedReceiver<Command>,
        ready: oneshot::Sender<Result<(), Failure>>,
        lingering: Option<Lingering>,
    ) -> Self {
        let options = &context.setup.options;
        let limits = &options.limits;
        let known = Bounds::default();
        let bounds = Bounds {
            marks: limits.snapshots.map_or(known.marks, |limit| limit as usize),
            undo: options.undo as usize,
            transaction: options.transaction_timeout.map_or(known.transaction, Duration::from_secs_f64),
            ..known
        };
        let (reporter, reports) = mpsc::unbounded_channel();
        SessionTask {
            machine: Machine::new(grace(limits), limits.queue.unwrap_or(QUEUE) as usize, bounds),
            incarnation: Incarnation::new(branch, Time::now()),
            init,
            worker,
            exit: None,
            fault: None,
            pace: None,
            commands,
            reporter,
            reports,
            tickets: Tickets::default(),
            lookup: None,
            ready: Some(ready),
            leave: None,
            closers: Vec::new(),
            snapshots: Snapshots::default(),
            durability: Durability::new(options.autosave.as_ref()),
            answerers: Answerers::default(),
            count: 0,
            applied: Applied::default(),
            unfrozen: None,
            told: Told::default(),
            lingering,
            todo: VecDeque::new(),
            later: VecDeque::new(),
            performing: false,
            context,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.context.shared.id
    }

    pub(super) fn log(&self) -> &Arc<EventLog> {
        &self.context.shared.log
    }

    /// The execution that the worker has.
    pub(super) fn running(&self) -> Option<&PendingExecution> {
        self.tickets.execution(self.machine.current()?)
    }

    /// How long between SIGINT and SIGKILL.
    pub(super) fn grace(&self) -> Duration {
        grace(&self.context.setup.options.limits)
    }

    /// Runs a job: what it reports is a turn of this task.
    pub(super) fn job(&self, work: impl Future<Output = Report> + Send + 'static) {
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            // Nobody listens any more where the session has ended meanwhile.
            _ = reporter.send(work.await);
        });
    }

    /// Tells whoever reads what belongs to no execution.
    pub(super) fn tell_session(&self, mut message: Message) {
        message.address(self.id(), None);
        self.log().append(message);
    }

    /// Tells whoever reads the running execution; or what belongs to none, where none runs.
    pub(super) fn tell_running(&self, mut message: Message) {
        message.address(self.id(), self.running().map(|execution| execution.id.as_str()));
        self.log().append(message);
    }

    pub(super) fn warn_session(&self, text: String) {
        self.context.shared.warn(text);
    }

    /// The session cannot go on: something in it has broken the rules.
    pub(super) fn breach(&mut self, why: &str) {
        if self.fault.is_none() {
            tracing::warn!(session = self.id(), why, "a worker broke the protocol");
            self.fault = Some(Failure::new(
                Code::ProtocolError,
                format!("session {} was ended", self.id()),
                why,
                "start another session; code in it tampered with the session's own channel or processes",
            ));
        }
        self.feed(Event::Violation);
    }

    /// Why a request comes too late.
    pub(super) fn why_closed(&self) -> Failure {
        self.why_released().or_else(|| self.fault.clone()).unwrap_or_else(|| closed(self.id()))
    }

    /// How the last worker ended, in words.
    pub(super) fn exit_in_words(&self) -> String {
        self.exit.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn status(&self) -> Status {
        let machine = &self.machine;
        let state = match machine.phase() {
            Phase::Starting | Phase::Respawning => StatusState::Starting,
            Phase::Closing | Phase::Closed => StatusState::Closed,
            Phase::Ready if machine.is_stopping() => StatusState::Stopping,
            Phase::Ready if machine.current().is_some() || machine.reverting().is_some() => StatusState::Running,
            Phase::Ready => StatusState::Idle,
        };
        let behind = self.lookup.iter().flat_map(|lookup| &lookup.behind).filter_map(|command| match command {
            Command::Execute { id, .. } => Some(id.clone()),
            _ => None,
        });
        let name_of = |token: Token| self.tickets.execution(token).map(|execution| execution.id.clone());
        Status {
            session_id: self.id().to_owned(),
            name: self.context.setup.options.name.clone(),
            state,
            running: self.running().map(|execution| execution.id.clone()),
            transaction: machine.timeline().open().map(|open| self.transaction_id(open.number)),
            snapshots: machine.timeline().len(),
            queued: machine.queued().filter_map(name_of).chain(behind).collect(),
            inputs: self.tickets.prompts.shown(),
            execution_count: self.count,
            incarnation: u32::try_from(self.incarnation.number()).unwrap_or(u32::MAX),
            pid: self.worker.process.as_ref().map(crate::process::Process::pid),
            python: self.context.shared.python(),
        }
    }

    /// The public id of an explicit transaction. No other session has one like it.
    pub(super) fn transaction_id(&self, number: u64) -> String {
        format!("txn_{}_{number}", self.id().trim_start_matches("ses_"))
    }

    /// The transaction with this id.
    pub(super) fn transaction_number(&self, id: &str) -> u64 {
        // No transaction has the number 0, so what is no id of this session's names none.
        let number = id.strip_prefix("txn_").and_then(|rest| rest.rsplit_once('_'));
        let mine = self.id().trim_start_matches("ses_");
        number.filter(|(session, _)| *session == mine).and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
    }

    /// Tells the machine that something happened, and does what it decides.
    pub(super) fn feed(&mut self, event: Event) {
        self.later.push_back(event);
        self.perform(Vec::new());
    }

    /// A request could not be sent to the worker.
    pub(super) fn lost_touch(&mut self, error: &std::io::Error) {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        if matches!(error.kind(), BrokenPipe | ConnectionReset) {
            // What it said last is still to be read; then the end of its channel is seen.
            return;
        }
        tracing::warn!(session = self.id(), %error, "a request could not be sent to a worker");
        // It does not read, or there are no descriptors left. It cannot go on, as it would wait for ever.
        self.incarnation.killed();
        if let Some(process) = &self.worker.process {
            process.kill();
        }
    }

    /// Whether something has just been frozen and not confirmed: when a mark's process goes, so does its place.
    pub(super) fn drop_frozen(&mut self, mark: Mark) -> bool {
        let frozen = self.snapshots.remove(mark);
        let there = frozen.is_some();
        if let Some(frozen) = frozen {
            if self.lingering.is_some()
                && let Ok(channel) = frozen.channel()
            {
                // It would ask for another.
                dismiss(&channel);
            }
            // Its channel closes, and it ends, also where user code has stopped it.
            frozen.resume();
            self.context.origin.registry.add_frozen(self.id(), -1);
        }
        there
    }
}

fn grace(limits: &Limits) -> Duration {
    Duration::from_secs_f64(limits.interrupt_grace.unwrap_or(GRACE))
}
