//! The task of one session: feeds the machine with what happens, and performs what it decides.
//!
//! ```text
//!   handles --commands--> +-------+ --requests--> worker       one turn: one event,
//!   handles <--outboxes-- | actor | <---frames--- worker       its actions, no waiting
//!                         |       | <-- output -- pipes
//!                         +-------+ <-- exits --- session init
//! ```
//!
//! On every frame the actor first takes out of both pipes exactly what they hold, so that all output of an execution
//! comes before its end.

use super::ends::Report;
use super::frozen::Frozen;
use super::handle::{ExecuteRequest, PendingInput, Shared, Status, StatusState};
use super::keys::{Keys, SeenIds};
use super::link::{FIRST_WORKER, InitLink, WorkerLink};
use super::machine::{Event, Machine, Phase, Token};
use super::outbox::Outbox;
use super::past::Past;
use super::start::{Origin, Setup};
use super::timeline::{Bounds, Mark};
use crate::checkpoint::{Base, Journal};
use pyrepl3_protocol::message::{ProcessExit, PythonInfo, Snapshot};
use pyrepl3_protocol::worker::{InitEvent, Request};
use pyrepl3_protocol::{Code, Failure, JsonText};
use pyrepl3_store::LineageId;
use rustix::fd::OwnedFd;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

mod autosave;
mod branch;
mod checkpoints;
mod heard;
mod operations;
mod perform;
mod requests;
mod returns;
mod salvage;

use autosave::Clock;
pub(crate) use checkpoints::{CheckpointRequest, Purpose, RestoreRequest, Stored};
use checkpoints::{Saving, SavingNews};
use operations::PendingOperation;
pub(crate) use operations::{Operation, Outcome};
pub(crate) use returns::Returned;

/// How long a worker may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(60);
/// How long a frozen process may take to be back, and session init to end what is younger.
const RETURN_LIMIT: Duration = Duration::from_secs(15);
/// How long session init may take to report the exit of a worker whose channel has closed.
const EXIT_LIMIT: Duration = Duration::from_secs(2);
/// How long a worker may take to leave by itself when its session is shut down.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How long session init may take to bury what is left.
const BURY_LIMIT: Duration = Duration::from_secs(10);
/// How long a query may take: it runs properties and reprs of the user's.
pub(super) const QUERY_LIMIT: Duration = Duration::from_secs(10);
/// Seconds between SIGINT and SIGKILL, without a limit of the session's own.
const GRACE: f64 = 5.0;
/// Requests that may wait, without a limit of the session's own.
const QUEUE: u32 = 1000;
/// After a small piece of output, how long to wait for more before reading again. The first piece is told at once, and
/// so is everything before a frame; a program that prints line by line costs one message a pause, not one a line.
const PACE: Duration = Duration::from_micros(500);
/// A piece of output above this is no trickle: the pipe fills faster than a pause lasts.
const TRICKLE: usize = 16 << 10;
/// Prompts that may wait at once: each is a thread that waits.
const PROMPTS: usize = 1000;
/// Characters of a prompt that are told.
const PROMPT: usize = 16 << 10;

type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// What handles ask.
#[derive(Debug)]
pub(crate) enum Command {
    Execute {
        request: ExecuteRequest,
        chosen: bool,
        outbox: Arc<Outbox>,
        refuse: oneshot::Sender<Failure>,
    },
    Query {
        query: Query,
        reply: Reply<Box<RawValue>>,
    },
    Answer {
        input_id: String,
        value: Option<JsonText>,
        reply: Reply<()>,
    },
    Interrupt {
        reply: Reply<()>,
    },
    Cancel {
        execution_id: String,
        reply: Reply<()>,
    },
    Status {
        reply: Reply<Status>,
    },
    Operate {
        operation: Operation,
        reply: Reply<Outcome>,
    },
    /// The pid tells where memory can be asked.
    Snapshots {
        reply: Reply<Vec<(Snapshot, Option<i32>)>>,
    },
    DropSnapshot {
        snapshot: String,
        reply: Reply<()>,
    },
    /// The engine has too many frozen processes: one of this session's is to go.
    MakeRoom,
    /// `exit`: let the worker leave by itself first, with a code, joining its threads or not.
    Close {
        exit: Option<(i32, bool)>,
        reply: Option<Reply<()>>,
    },
}

/// What can be asked of a worker beside execution.
#[derive(Debug)]
pub(crate) enum Query {
    Variables,
    Complete { code: JsonText, cursor: Option<u32> },
    Inspect { name: String },
    IsComplete { code: JsonText },
}

/// What the session's task is told at its start.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) setup: Setup,
    pub(crate) origin: Origin,
    pub(crate) shared: Arc<Shared>,
}

/// A task that was taken and has not ended.
#[derive(Debug)]
enum Pending {
    Execute(Box<PendingExecution>),
    Query { query: Query, reply: Reply<Box<RawValue>> },
    Operate(Box<PendingOperation>),
}

#[derive(Debug)]
struct PendingExecution {
    id: String,
    request: ExecuteRequest,
    outbox: Arc<Outbox>,
    /// Tells why it never ran, where that is found out only when its turn has come.
    refuse: Option<oneshot::Sender<Failure>>,
    answers: Option<VecDeque<JsonText>>,
    count: u64,
    started: Option<Instant>,
    report: Report,
    /// Where values are written that are to be carried out of a failure.
    salvage: Option<OwnedFd>,
    /// Repeats of its idempotency key that wait for its end.
    repeats: Vec<(String, Arc<Outbox>)>,
    /// Whoever waits for it to have stopped.
    stopped: Vec<Reply<()>>,
}

/// A prompt that waits: the worker's number, and what clients see.
#[derive(Debug)]
struct Prompt {
    number: u64,
    shown: PendingInput,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Actor {
    place: Place,
    machine: Machine,
    init: InitLink,
    init_gone: bool,
    worker: WorkerLink,
    up: bool,
    commands: mpsc::UnboundedReceiver<Command>,
    ready: Option<oneshot::Sender<Result<(), Failure>>>,
    pending: HashMap<Token, Pending>,
    prompts: BTreeMap<String, Prompt>,
    seen: SeenIds,
    keys: Keys,
    next_token: Token,
    pub(super) count: u64,
    /// The executions whose effects are in the session's state.
    past: Past,
    incarnation: u64,
    exit: Option<ProcessExit>,
    /// Why the session ends, if not because it was asked to.
    fault: Option<Failure>,
    /// When to give up waiting for a hello or an exit.
    patience: Option<Instant>,
    oom_kills: Option<u64>,
    killed_by_us: bool,
    /// Whether the worker was killed because its channel was closed.
    severed: bool,
    leave: Option<(i32, bool)>,
    /// Until when output is left in its pipes, for more to come.
    pace: Option<Instant>,
    closers: Vec<Reply<()>>,
    /// Frozen processes by their marks.
    frozen: HashMap<Mark, Frozen>,
    /// A fork that makes branches.
    brancher: Option<Frozen>,
    /// The return to a mark that is under way, and the last that is complete.
    returning: Option<returns::Returning>,
    last_return: Option<Returned>,
    /// Why the worker could not be frozen, and what to do.
    unfrozen: Option<(String, String)>,
    /// Why executions cannot be undone, as clients were told.
    no_undo: Option<String>,
    /// Snapshots that are gone with a return that failed: told with the next.
    gone: Vec<String>,
    /// What is back since the worker died while nothing ran, as clients were told.
    came_back: Option<String>,
    /// What a fresh worker said before session init had handed over its process.
    greeting: Option<PythonInfo>,
    /// Savers at work, by their numbers, and what their tasks tell.
    savings: HashMap<u64, Saving>,
    next_saving: u64,
    news: mpsc::UnboundedSender<SavingNews>,
    heard: mpsc::UnboundedReceiver<SavingNews>,
    /// What the session's checkpoints share chunks with, and the last one that it was saved to or came from.
    store_lineage: LineageId,
    parent: Option<String>,
    /// What of large memory needs no saving again where it was not written.
    base: Option<Arc<Base>>,
    autosave: Clock,
    /// What has begun since the last checkpoint, where the session may be started again by its name.
    journal: Option<Journal>,
    /// Whether a fresh worker is to get that checkpoint back.
    recovery: bool,
    /// What happened while actions were performed.
    later: VecDeque<Event>,
}

enum Turn {
    Command(Option<Command>),
    Frames,
    Writable,
    Stdout,
    Stderr,
    Init(Option<(InitEvent, Option<OwnedFd>)>),
    Saving(SavingNews),
    Autosave,
    Timer,
    Paced,
    Room,
}

impl Actor {
    pub(crate) fn new(
        place: Place,
        init: InitLink,
        worker: WorkerLink,
        commands: mpsc::UnboundedReceiver<Command>,
        ready: oneshot::Sender<Result<(), Failure>>,
    ) -> Self {
        let limits = &place.setup.options.limits;
        let grace = Duration::from_secs_f64(limits.interrupt_grace.unwrap_or(GRACE));
        let queue = limits.queue.unwrap_or(QUEUE) as usize;
        let options = &place.setup.options;
        let autosave = Clock::new(options.autosave.as_ref());
        let (news, heard) = mpsc::unbounded_channel();
        let known = Bounds::default();
        let bounds = Bounds {
            marks: limits.snapshots.map_or(known.marks, |limit| limit as usize),
            undo: options.undo as usize,
            transaction: options.transaction_timeout.map_or(known.transaction, Duration::from_secs_f64),
            ..known
        };
        Actor {
            machine: Machine::new(grace, queue, bounds),
            place,
            init,
            init_gone: false,
            worker,
            up: false,
            commands,
            ready: Some(ready),
            pending: HashMap::new(),
            prompts: BTreeMap::new(),
            seen: SeenIds::default(),
            keys: Keys::default(),
            next_token: 1,
            count: 0,
            past: Past::default(),
            incarnation: FIRST_WORKER,
            exit: None,
            fault: None,
            patience: Some(Instant::now() + HELLO_LIMIT),
            oom_kills: None,
            killed_by_us: false,
            severed: false,
            leave: None,
            pace: None,
            closers: Vec::new(),
            frozen: HashMap::new(),
            brancher: None,
            returning: None,
            last_return: None,
            unfrozen: None,
            no_undo: None,
            came_back: None,
            gone: Vec::new(),
            greeting: None,
            savings: HashMap::new(),
            next_saving: 0,
            news,
            heard,
            store_lineage: LineageId::new(),
            parent: None,
            base: None,
            autosave,
            journal: None,
            recovery: false,
            later: VecDeque::new(),
        }
    }

    /// The session's id.
    pub(crate) fn id(&self) -> String {
        self.place.shared.id.clone()
    }

    pub(crate) async fn run(mut self) {
        // A branch has spoken already.
        self.told().await;
        while self.machine.phase() != Phase::Closing {
            let turn = self.wait().await;
            self.take(turn).await;
        }
        self.teardown().await;
        self.feed(Event::Gone).await;
        self.say_goodbye();
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self) -> Turn {
        let deadline = match (self.machine.deadline(), self.patience) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let autosave = self.autosave_at();
        let listening = self.is_listening();
        if listening && self.pace.is_none() {
            self.worker.stdout.watch();
            self.worker.stderr.watch();
        }
        let worker = &self.worker;
        let paced = self.pace;
        let reading = listening && paced.is_none();
        tokio::select! {
            biased;
            command = self.commands.recv() => Turn::Command(command),
            event = self.init.next(), if !self.init_gone => Turn::Init(event),
            Some(news) = self.heard.recv() => Turn::Saving(news),
            _ = worker.readable(), if listening && !worker.closed => Turn::Frames,
            _ = worker.stdout.readable(), if reading && !worker.stdout.ended => Turn::Stdout,
            _ = worker.stderr.readable(), if reading && !worker.stderr.ended => Turn::Stderr,
            () = async { tokio::time::sleep_until(paced.unwrap_or_else(Instant::now).into()).await }, if paced.is_some() => Turn::Paced,
            _ = worker.writable(), if worker.is_waiting() && !worker.closed => Turn::Writable,
            () = async { tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()).await }, if deadline.is_some() => Turn::Timer,
            () = async { tokio::time::sleep_until(autosave.unwrap_or_else(Instant::now).into()).await }, if autosave.is_some() => Turn::Autosave,
            () = self.place.shared.room.notified(), if !listening => Turn::Room,
        }
    }

    /// Whether the worker's output is to be read now: not while whoever listens is behind, but always while what runs
    /// is being stopped.
    fn is_listening(&self) -> bool {
        if self.machine.is_stopping() || self.machine.phase() == Phase::Closing {
            return true;
        }
        if self.returning.is_some() {
            return true;
        }
        match self.running() {
            Some(execution) => !execution.outbox.is_full(),
            None => !self.place.shared.events.is_full(),
        }
    }

    fn running(&self) -> Option<&PendingExecution> {
        match self.pending.get(&self.machine.current()?)? {
            Pending::Execute(execution) => Some(execution),
            Pending::Query { .. } | Pending::Operate(_) => None,
        }
    }

    async fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Command(Some(command)) => self.command(command).await,
            // Every handle was dropped.
            Turn::Command(None) => {
                self.leave = Some((0, false));
                self.feed(Event::Close).await;
            }
            Turn::Frames => self.frames().await,
            Turn::Writable => {
                if self.worker.flush().is_err() {
                    self.worker.closed = true;
                }
            }
            Turn::Stdout => self.read_output(true),
            Turn::Stderr => self.read_output(false),
            Turn::Paced => self.pace = None,
            Turn::Init(event) => self.init_event(event).await,
            Turn::Saving(news) => self.saving_news(news).await,
            Turn::Autosave => self.save_by_itself().await,
            Turn::Timer => self.timer().await,
            Turn::Room => {}
        }
    }

    fn read_output(&mut self, stdout: bool) {
        let pipe = if stdout { &mut self.worker.stdout } else { &mut self.worker.stderr };
        if let Some(chunk) = pipe.read() {
            if chunk.text.len() < TRICKLE {
                self.pace = Some(Instant::now() + PACE);
                self.worker.stdout.unwatch();
                self.worker.stderr.unwatch();
            }
            self.deliver_output(stdout, chunk.text, chunk.bytes);
        }
    }

    /// Reads what the worker said, and tells it to the machine, frame by frame.
    async fn frames(&mut self) {
        if let Err(why) = self.worker.read(true) {
            return self.violation(why).await;
        }
        self.told().await;
    }

    /// Tells the machine the frames that have come whole.
    async fn told(&mut self) {
        loop {
            match self.worker.next_event() {
                Ok(Some(event)) => {
                    self.drain();
                    self.worker_event(event).await;
                }
                Ok(None) => break,
                Err(why) => return self.violation(why).await,
            }
            if self.machine.phase() == Phase::Closing {
                return;
            }
        }
        if self.worker.closed {
            if self.worker.has_pending() {
                tracing::debug!(session = %self.place.shared.id, "a partial frame was discarded");
            }
            // Its exit comes from session init. A worker that lives on without a channel is of no use.
            self.patience = Some(Instant::now() + EXIT_LIMIT);
        }
    }

    async fn violation(&mut self, why: String) {
        if self.fault.is_none() {
            tracing::warn!(session = %self.place.shared.id, %why, "a worker broke the protocol");
            self.fault = Some(Failure::new(
                Code::ProtocolError,
                format!("session {} was ended", self.place.shared.id),
                why,
                "start another session; code in it tampered with the session's own channel or processes",
            ));
        }
        self.feed(Event::Violation).await;
    }

    fn status(&self) -> Status {
        let state = match self.machine.phase() {
            Phase::Starting | Phase::Respawning => StatusState::Starting,
            Phase::Closing | Phase::Closed => StatusState::Closed,
            Phase::Ready if self.machine.is_stopping() => StatusState::Stopping,
            Phase::Ready if self.machine.current().is_some() || self.machine.reverting().is_some() => {
                StatusState::Running
            }
            Phase::Ready => StatusState::Idle,
        };
        let name_of = |token: Token| match self.pending.get(&token) {
            Some(Pending::Execute(execution)) => Some(execution.id.clone()),
            _ => None,
        };
        Status {
            session_id: self.place.shared.id.clone(),
            name: self.place.setup.options.name.clone(),
            state,
            running: self.running().map(|execution| execution.id.clone()),
            transaction: self.machine.timeline().open().map(|open| self.transaction_id(open.number)),
            snapshots: self.machine.timeline().len(),
            queued: self.machine.queued().filter_map(name_of).collect(),
            inputs: self.prompts.values().map(|prompt| prompt.shown.clone()).collect(),
            execution_count: self.count,
            incarnation: u32::try_from(self.incarnation).unwrap_or(u32::MAX),
            pid: self.worker.process.as_ref().map(crate::process::Process::pid),
            python: self.place.shared.python.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn request_for<'a>(token: Token, query: &'a Query) -> Request<'a> {
    match query {
        Query::Variables => Request::Variables { id: token },
        Query::Complete { code, cursor } => Request::Complete { id: token, code, cursor: *cursor },
        Query::Inspect { name } => Request::Inspect { id: token, name },
        Query::IsComplete { code } => Request::IsComplete { id: token, code },
    }
}
