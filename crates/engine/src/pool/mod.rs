//! Pools: warm sessions, each a fork of a template that ran the warm-up code once. `machine` decides, this performs.

mod machine;
mod stats;

pub use stats::{PoolStats, Quantiles};

use crate::host::Host;
use crate::session::{Identity, Script, Session, StatusState, start};
use crate::zygote::{Environment, ForkServer};
use machine::{Action, Event, Machine, Rules, SlotId, WaiterId, Why};
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{PoolOptions, Reset};
use pyrepl3_protocol::{Code, Failure};
use stats::Record;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// A pool of warm sessions. Clones share it; it ends with the last of them, or by [`Pool::shutdown`].
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    options: PoolOptions,
    host: Arc<Host>,
    environment: Environment,
    /// The process that sessions fork from; made again when it died.
    server: tokio::sync::Mutex<Option<Arc<ForkServer>>>,
    state: Mutex<State>,
    /// Wakes the timer when a deadline may have come nearer.
    sooner: Arc<Notify>,
}

type Given = oneshot::Sender<Result<(SlotId, Session), Failure>>;

#[derive(Debug)]
struct State {
    machine: Machine,
    sessions: HashMap<SlotId, Session>,
    waiters: HashMap<WaiterId, Given>,
    next_waiter: WaiterId,
    last_failure: Option<Failure>,
    record: Record,
    ending: Vec<tokio::task::JoinHandle<()>>,
}

/// A session on loan. Given back by [`Lease::release`], or, if it is dropped, without being asked whether it is busy.
#[derive(Debug)]
pub struct Lease {
    session: Session,
    slot: SlotId,
    pool: Arc<Inner>,
    released: bool,
}

impl std::ops::Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration, Failure> {
    // A limit of years is as good as none.
    if value.is_finite() && value >= 0.0 {
        return Ok(Duration::from_secs_f64(value.min(1e9)));
    }
    Err(Failure::new(
        Code::BadRequest,
        format!("{name} cannot be used"),
        format!("it is {value}"),
        "give seconds, 0 or more",
    ))
}

fn rules(options: &PoolOptions) -> Result<Rules, Failure> {
    let bad = |why: &str, how: &str| Failure::new(Code::BadRequest, "the pool cannot be made so", why, how);
    if options.max_sessions == 0 {
        return Err(bad("max_sessions is 0", "give at least 1"));
    }
    if options.min_idle > options.max_sessions {
        return Err(bad("min_idle is larger than max_sessions", "lower the one or raise the other"));
    }
    if options.max_uses == Some(0) {
        return Err(bad("max_uses is 0", "give at least 1, or leave it out"));
    }
    if options.session.detached {
        return Err(bad(
            "its sessions are to live on without a client (`detached`)",
            "leave that out: the pool has them",
        ));
    }
    seconds("acquire_timeout", options.acquire_timeout)?;
    Ok(Rules {
        min_idle: options.min_idle as usize,
        max_sessions: options.max_sessions as usize,
        max_idle: options.max_idle_seconds.map(|value| seconds("max_idle_seconds", value)).transpose()?,
        max_uses: options.max_uses,
        keep: options.reset == Reset::Keep,
    })
}

impl Pool {
    pub(crate) async fn start(
        host: Arc<Host>,
        environment: Environment,
        options: PoolOptions,
    ) -> Result<Pool, Failure> {
        let machine = Machine::new(rules(&options)?);
        let inner = Arc::new(Inner {
            id: id::new(IdKind::Pool),
            options,
            host,
            environment,
            server: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                machine,
                sessions: HashMap::new(),
                waiters: HashMap::new(),
                next_waiter: 1,
                last_failure: None,
                record: Record::default(),
                ending: Vec::new(),
            }),
            sooner: Arc::default(),
        });
        // Warm-up code that fails is told here, not to the first who acquires.
        inner.server().await?;
        let actions = inner.lock().machine.open(Instant::now());
        let slots: Vec<SlotId> = actions
            .iter()
            .filter_map(|action| if let Action::Start(slot) = action { Some(*slot) } else { None })
            .collect();
        let starts: Vec<_> = slots.into_iter().map(|slot| tokio::spawn(inner.clone().start_slot(slot))).collect();
        let mut failed = None;
        for started in starts {
            if let Ok(Err(failure)) = started.await {
                failed = Some(failure);
            }
        }
        let pool = Pool { inner };
        if let Some(failure) = failed {
            pool.shutdown().await;
            return Err(failure);
        }
        tokio::spawn(keep_time(Arc::downgrade(&pool.inner), pool.inner.sooner.clone()));
        Ok(pool)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Takes a session: at once where one is warm, else as soon as one is, first come first served. Waits at most
    /// `timeout`, or the pool's own `acquire_timeout`.
    ///
    /// # Errors
    /// `pool_timeout`; `unknown_pool` after shutdown; what kept a session from starting.
    pub fn acquire(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Lease, Failure>> + Send + 'static + use<> {
        let limit = timeout.unwrap_or(Duration::from_secs_f64(self.inner.options.acquire_timeout.min(1e9)));
        let asked = Instant::now();
        let deadline = asked.checked_add(limit).unwrap_or(asked + Duration::from_secs(1_000_000_000));
        let (give, given) = oneshot::channel();
        let pool = self.inner.clone();
        // The place in the line is taken by the call, not when the future is first polled.
        let mut state = pool.lock();
        let waiter = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.insert(waiter, give);
        pool.handle(state, Event::Acquire { waiter, deadline });
        // A caller that goes away is taken out of the line.
        let mut waiting = Waiting { pool, waiter, answered: false };
        async move {
            let answer = given.await;
            waiting.answered = true;
            let (slot, session) = answer
                .map_err(|_| Failure::new(Code::UnknownPool, "the pool was shut down", "", "start another"))??;
            let pool = waiting.pool.clone();
            pool.lock().record.waited(asked.elapsed());
            Ok(Lease { session: session.for_one_loan(), slot, pool, released: false })
        }
    }

    /// Sizes, hits and latencies.
    pub fn stats(&self) -> PoolStats {
        let state = self.inner.lock();
        state.record.stats(state.machine.counts())
    }

    /// Ends the pool and its sessions, those on loan too. Returns when they are gone.
    pub async fn shutdown(&self) {
        let ending = {
            let state = self.inner.lock();
            self.inner.handle(state, Event::Close);
            std::mem::take(&mut self.inner.lock().ending)
        };
        for one in ending {
            _ = one.await;
        }
        let server = self.inner.server.lock().await.take();
        // The zygote is shared with others; a template is the pool's own.
        if let Some(server) = server.filter(|_| self.inner.options.warmup_code.is_some()) {
            server.end().await;
        }
    }
}

struct Waiting {
    pool: Arc<Inner>,
    waiter: WaiterId,
    answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            let mut state = self.pool.lock();
            state.waiters.remove(&self.waiter);
            self.pool.handle(state, Event::GiveUp(self.waiter));
        }
    }
}

impl Lease {
    /// Gives the session back. Its next user never sees anything of it, unless the pool was made to keep.
    ///
    /// # Errors
    /// `busy` while it runs code (it stays on loan), `not_acquired` when it was given back already.
    pub async fn release(&mut self) -> Result<(), Failure> {
        if self.released || !self.pool.lock().machine.is_leased(self.slot) {
            self.released = true;
            return Err(Failure::new(
                Code::NotAcquired,
                "the session is not on loan from this pool",
                "it was released already, it ended, or the pool was shut down",
                "acquire another",
            ));
        }
        if let Ok(status) = self.session.status().await
            && (matches!(status.state, StatusState::Running | StatusState::Stopping) || !status.queued.is_empty())
        {
            return Err(Failure::new(
                Code::Busy,
                "the session still runs code",
                format!("execution {} has not ended", status.running.unwrap_or_default()),
                "wait for it, or interrupt it, and release then",
            ));
        }
        if self.pool.options.reset == Reset::Keep {
            // What was pending is not the next user's, nor are snapshots.
            self.session.settle().await?;
        }
        self.give_back();
        Ok(())
    }

    fn give_back(&mut self) {
        self.released = true;
        self.session.revoke();
        self.pool.handle(self.pool.lock(), Event::Released(self.slot));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.released {
            if self.pool.options.reset == Reset::Keep {
                // Whether code still runs cannot be asked here, and nobody must find it running.
                self.released = true;
                self.session.revoke();
                let mut state = self.pool.lock();
                let session = state.sessions.remove(&self.slot);
                self.pool.handle(state, Event::Died(self.slot));
                drop(session);
            } else {
                self.give_back();
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is whole between two events, even if another thread panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds the machine and performs what it decides, without waiting for anything.
    fn handle(self: &Arc<Self>, mut state: MutexGuard<'_, State>, event: Event) {
        let now = Instant::now();
        let mut todo = state.machine.handle(event, now);
        let mut starts = Vec::new();
        while !todo.is_empty() {
            for action in std::mem::take(&mut todo) {
                match action {
                    Action::Start(slot) => starts.push(slot),
                    Action::Give { waiter, slot } => {
                        let session = state.sessions.get(&slot).filter(|session| !session.is_closed()).cloned();
                        match (session, state.waiters.remove(&waiter)) {
                            (Some(session), Some(give)) => {
                                state.record.hit_if(matches!(event, Event::Acquire { .. }));
                                if give.send(Ok((slot, session))).is_err() {
                                    // Its caller went away at this very moment.
                                    todo.extend(state.machine.handle(Event::Released(slot), now));
                                }
                            }
                            (None, Some(give)) => {
                                // It died while it was idle: the waiter goes on waiting, for another.
                                state.sessions.remove(&slot);
                                todo.extend(state.machine.handle(Event::Died(slot), now));
                                let deadline = now + Duration::from_secs_f64(self.options.acquire_timeout.min(1e9));
                                state.waiters.insert(waiter, give);
                                todo.extend(state.machine.handle(Event::Acquire { waiter, deadline }, now));
                            }
                            (_, None) => todo.extend(state.machine.handle(Event::Released(slot), now)),
                        }
                    }
                    Action::End(slot, why) => {
                        if let Some(session) = state.sessions.remove(&slot) {
                            state.record.ended(why);
                            state.ending.retain(|one| !one.is_finished());
                            state.ending.push(tokio::spawn(async move { session.shutdown().await }));
                        }
                    }
                    Action::TimedOut(waiter) => {
                        state.record.timeouts += 1;
                        let counts = state.machine.counts();
                        self.refuse(&mut state, waiter, || {
                            Failure::new(
                                Code::PoolTimeout,
                                "no session became free in time",
                                format!(
                                    "{} of at most {} sessions are on loan, {} are starting",
                                    counts.leased, self.options.max_sessions, counts.starting
                                ),
                                "release sessions, raise max_sessions, or wait longer",
                            )
                        });
                    }
                    Action::Failed(waiter) => {
                        let failure = state.last_failure.clone();
                        self.refuse(&mut state, waiter, || {
                            failure
                                .unwrap_or_else(|| Failure::new(Code::Internal, "no session could be started", "", ""))
                        });
                    }
                    Action::Closed(waiter) => self.refuse(&mut state, waiter, || {
                        Failure::new(Code::UnknownPool, "the pool was shut down", "", "start another")
                    }),
                }
            }
        }
        drop(state);
        for slot in starts {
            tokio::spawn(self.clone().start_slot(slot));
        }
        self.sooner.notify_one();
    }

    fn refuse(&self, state: &mut State, waiter: WaiterId, failure: impl FnOnce() -> Failure) {
        if let Some(give) = state.waiters.remove(&waiter) {
            _ = give.send(Err(failure()));
        }
    }

    /// The process that sessions fork from.
    async fn server(&self) -> Result<Arc<ForkServer>, Failure> {
        let mut place = self.server.lock().await;
        if let Some(server) = place.as_ref().filter(|server| server.is_alive()) {
            return Ok(server.clone());
        }
        let zygote = self.host.zygotes.get(&self.environment).await?;
        let server = match &self.options.warmup_code {
            None => zygote,
            Some(code) => Arc::new(zygote.template(code).await?),
        };
        *place = Some(server.clone());
        Ok(server)
    }

    async fn start_slot(self: Arc<Self>, slot: SlotId) -> Result<(), Failure> {
        let began = Instant::now();
        let weak = Arc::downgrade(&self);
        let started = async {
            let server = self.server().await?;
            start(
                server,
                self.host.origin(),
                Identity::new(),
                self.options.session.clone(),
                &Script::default(),
                Some(Box::new(move || died(&weak, slot))),
                || None,
            )
            .await
        };
        match started.await {
            Ok(session) => {
                let mut state = self.lock();
                state.record.started(began.elapsed());
                state.sessions.insert(slot, session);
                self.handle(state, Event::Started(slot));
                Ok(())
            }
            Err(failure) => {
                let mut state = self.lock();
                state.last_failure = Some(failure.clone());
                self.handle(state, Event::StartFailed(slot));
                Err(failure)
            }
        }
    }
}

/// A session ended by itself.
fn died(pool: &Weak<Inner>, slot: SlotId) {
    let Some(pool) = pool.upgrade() else { return };
    let mut state = pool.lock();
    if state.sessions.remove(&slot).is_some() {
        state.record.died += 1;
        pool.handle(state, Event::Died(slot));
    }
}

/// Feeds the machine its ticks, as long as the pool is there.
async fn keep_time(pool: Weak<Inner>, sooner: Arc<Notify>) {
    loop {
        let deadline = {
            let Some(pool) = pool.upgrade() else { return };
            let state = pool.lock();
            if state.machine.is_closed() {
                return;
            }
            state.machine.deadline()
        };
        tokio::select! {
            () = sooner.notified() => {}
            () = async { tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()).await }, if deadline.is_some() => {
                let Some(pool) = pool.upgrade() else { return };
                pool.handle(pool.lock(), Event::Tick);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The timer finds the pool gone. Sessions end because nobody holds them any more.
        self.sooner.notify_one();
    }
}

impl Why {
    fn is_replacement(self) -> bool {
        matches!(self, Why::Released | Why::Worn)
    }
}
