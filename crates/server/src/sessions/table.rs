//! All sessions of the service by their ids: those that begin, those that are there, and the last ones that have ended.

use super::keeper;
use super::records::{Record, Records};
use super::served::Served;
use super::spec::SessionSpec;
use crate::clock;
use crate::http::problem::Problem;
use http::StatusCode;
use pyrepl3_engine::{Code, Engine, Failure, History, Session, SessionOptions};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::MutexGuard as AsyncGuard;
use tokio::time::sleep;

/// How long what a session has said may take to be read when it is taken over.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Sessions that have ended and can be looked at still.
const ENDED: usize = 64;
/// Ids of sessions that have ended, with their last numbers, so that one of the same id goes on from there.
const NUMBERS: usize = 10_000;
/// How long a session that has ended is waited for, and how often it is looked at.
const ENDING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);
/// So many sessions can begin or end at once without waiting for one another.
const STRIPES: usize = 1024;

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<String, Arc<Served>>,
    starting: HashSet<String>,
    ended: VecDeque<Arc<Served>>,
    numbers: HashMap<String, u64>,
    numbers_order: VecDeque<String>,
}

/// What is there under an id.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// It is being made.
    Starting,
    Live(Arc<Served>),
    Ended(Arc<Served>),
}

/// The sessions of one server.
#[derive(Debug)]
pub(crate) struct Table {
    engine: Engine,
    records: Records,
    most: usize,
    inner: Mutex<Inner>,
    stripes: Vec<tokio::sync::Mutex<()>>,
}

/// Takes the name of a session that begins away again, if it does not.
struct Starting<'a> {
    table: &'a Table,
    id: String,
    made: bool,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.table.lock().starting.remove(&self.id);
        if !self.made {
            self.table.records.remove_later(&self.id);
        }
    }
}

impl Table {
    pub(crate) fn new(engine: Engine, records: Records, most: usize) -> Arc<Table> {
        let stripes = (0..STRIPES).map(|_| tokio::sync::Mutex::new(())).collect();
        Arc::new(Table { engine, records, most, inner: Mutex::default(), stripes })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds back who would make a session of the same id, or end it.
    pub(crate) async fn hold(&self, id: &str) -> AsyncGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        self.stripes[index].lock().await
    }

    pub(crate) fn place(&self, id: &str) -> Option<Place> {
        let inner = self.lock();
        if let Some(served) = inner.live.get(id) {
            return Some(Place::Live(served.clone()));
        }
        if inner.starting.contains(id) {
            return Some(Place::Starting);
        }
        inner.ended.iter().rev().find(|served| served.session.id() == id).cloned().map(Place::Ended)
    }

    /// A session that is there, or was until a while ago: what is asked of one that has ended is refused by it.
    ///
    /// # Errors
    /// There is none, or it is being made.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Served>, Problem> {
        match self.place(id) {
            Some(Place::Live(served)) => {
                served.touch();
                Ok(served)
            }
            Some(Place::Ended(served)) => Ok(served),
            Some(Place::Starting) => Err(Problem::new(
                StatusCode::CONFLICT,
                "session_starting",
                "the session is not there yet",
                "it is being made",
                "wait for the answer to the request that makes it, or ask again in a moment",
            )
            .retryable()),
            None => Err(no_session()),
        }
    }

    /// Whether there is a session of this id, or one is being made, or one waits to be taken over.
    pub(crate) fn is_in_use(&self, id: &str) -> bool {
        let inner = self.lock();
        inner.live.contains_key(id) || inner.starting.contains(id) || self.records.is_kept(id)
    }

    /// Every session that is there, by id.
    pub(crate) fn live(&self) -> Vec<Arc<Served>> {
        self.lock().live.values().cloned().collect()
    }

    /// The last ones that have ended, by id.
    pub(crate) fn ended(&self) -> Vec<Arc<Served>> {
        let mut ended: Vec<_> = self.lock().ended.iter().cloned().collect();
        ended.sort_by(|a, b| a.session.id().cmp(b.session.id()));
        ended
    }

    /// Makes a session. Who makes one of an id that a client has chosen holds that ([`Table::hold`]).
    pub(crate) async fn make(
        self: &Arc<Self>,
        id: &str,
        chosen: bool,
        spec: SessionSpec,
    ) -> Result<Arc<Served>, Problem> {
        let last_event = {
            let mut inner = self.lock();
            if inner.live.len() + inner.starting.len() >= self.most {
                return Err(too_many(self.most));
            }
            inner.starting.insert(id.to_owned());
            let known = inner.numbers.get(id).copied().unwrap_or(0);
            // One that has just ended may not have been signed off yet.
            known.max(inner.live.get(id).map_or(0, |served| served.session.event_numbers().1))
        };
        let mut starting = Starting { table: self, id: id.to_owned(), made: false };
        // Refused before a file is written, and under the id's own name.
        let options = spec.options(chosen.then_some(id));
        let mut record = Record {
            spec,
            created_at: clock::now(),
            created_since_boot: clock::since_boot(),
            begins_after: last_event,
            had_env: false,
        };
        if fits_a_file(id) {
            self.records.write(id, &record).await?;
        }
        let session = match self.start(id, last_event, options).await {
            Ok(session) => session,
            Err(failure) => {
                self.records.remove(id).await;
                return Err(failure.into());
            }
        };
        starting.made = true;
        if session.begins_after() != record.begins_after {
            // Its journal has more of earlier ones than this server knew of.
            record.begins_after = session.begins_after();
            if let Err(failure) = self.records.write(id, &record).await {
                tracing::warn!(code = failure.code.as_str(), "where a session begins could not be written down");
            }
        }
        let is_new = session.begins_after() == 0;
        let served = self.insert(session, record);
        if !is_new {
            // Keys of earlier ones of this id are known before anything is asked of it.
            Self::catch_up(&served).await;
        }
        Ok(served)
    }

    async fn catch_up(served: &Served) {
        if tokio::time::timeout(CATCH_UP, served.caught_up()).await.is_err() {
            tracing::warn!(
                "what a session has said takes long to be read: retries of what was asked before are not known yet"
            );
        }
    }

    /// The engine knows a session of this id for a moment longer than its last process is there.
    async fn start(&self, id: &str, last_event: u64, options: SessionOptions) -> Result<Session, Failure> {
        let began = Instant::now();
        loop {
            match self.engine.start_as(id, last_event, options.clone()).await {
                Err(failure) if failure.code == Code::DuplicateId && began.elapsed() < ENDING => sleep(LOOK).await,
                started => return started,
            }
        }
    }

    /// A session that another server has made.
    pub(crate) async fn adopted(self: &Arc<Self>, session: Session) {
        let mut record = self.records.read(session.id()).await.unwrap_or_else(|| record_of(&session));
        record.spec.env = Some(session.options().env.clone());
        Self::catch_up(&self.insert(session, record)).await;
    }

    /// Sessions that were branched off.
    pub(crate) async fn branched(self: &Arc<Self>, sessions: Vec<Session>, parent: &Served) -> Vec<Arc<Served>> {
        let mut served = Vec::new();
        for session in sessions {
            let record = Record { spec: parent.record.spec.clone(), ..record_of(&session) };
            if let Err(failure) = self.records.write(session.id(), &record).await {
                tracing::warn!(code = failure.code.as_str(), "what a branch was made with could not be written down");
            }
            served.push(self.insert(session, record));
        }
        served
    }

    fn insert(self: &Arc<Self>, session: Session, record: Record) -> Arc<Served> {
        let served = Arc::new(Served::new(session, record));
        self.lock().live.insert(served.session.id().to_owned(), served.clone());
        tokio::spawn(keeper::keep(served.clone(), self.clone()));
        served
    }

    /// A session has ended.
    pub(super) async fn end(&self, served: &Arc<Served>) {
        let failure = Failure::new(Code::SessionClosed, "the session has ended", "", "start another");
        served.executions.end(&failure, 1 << 20);
        let id = served.session.id().to_owned();
        self.note_end(&id, served);
        if self.records.lives_on(&id).await {
            return;
        }
        // Not while another one of this id begins.
        let _held = self.hold(&id).await;
        if !self.lock().live.contains_key(&id) {
            self.records.remove(&id).await;
        }
    }

    fn note_end(&self, id: &str, served: &Arc<Served>) {
        let mut inner = self.lock();
        if inner.live.get(id).is_some_and(|known| Arc::ptr_eq(known, served)) {
            inner.live.remove(id);
        }
        inner.ended.push_back(served.clone());
        if inner.ended.len() > ENDED {
            inner.ended.pop_front();
        }
        let last = served.session.event_numbers().1;
        if inner.numbers.insert(id.to_owned(), last).is_none() {
            inner.numbers_order.push_back(id.to_owned());
            if inner.numbers_order.len() > NUMBERS
                && let Some(oldest) = inner.numbers_order.pop_front()
            {
                inner.numbers.remove(&oldest);
            }
        }
    }

    /// Waits until every session has been signed off, within a limit.
    pub(crate) async fn ended_all(&self, limit: Duration) {
        let began = Instant::now();
        while began.elapsed() < limit && !(self.lock().live.is_empty() && self.records.ids().await.is_empty()) {
            sleep(LOOK).await;
        }
    }

    /// Sessions that were there when the last server was, and are not: that is said at the end of what they said. One that saves itself begins anew,
    /// with its newest checkpoint.
    pub(crate) async fn settle_lost(self: &Arc<Self>, data: &Path) {
        for id in self.records.ids().await {
            let _held = self.hold(&id).await;
            if self.is_in_use(&id) {
                continue;
            }
            let record = self.records.read(&id).await.unwrap_or_default();
            let recovers = record.spec.autosave.as_ref().is_some_and(|autosave| autosave.recover != Some(false));
            settle(data, &id, GONE.to_owned(), recovers).await;
            if !recovers {
                self.records.remove(&id).await;
                continue;
            }
            match self.make(&id, true, record.spec).await {
                Ok(served) => {
                    tracing::info!(session = id, "a lost session began anew, with what it had saved");
                    if record.had_env {
                        served.session.warn(NO_ENV);
                    }
                }
                Err(problem) => {
                    tracing::error!(session = id, code = problem.code(), "a lost session could not begin anew");
                    settle(data, &id, format!("it could not begin anew ({})", problem.code()), false).await;
                }
            }
        }
    }
}

async fn settle(data: &Path, id: &str, reason: String, recovers: bool) {
    let (place, session) = (data.to_owned(), id.to_owned());
    let settled = tokio::task::spawn_blocking(move || History::settle(&place, &session, &reason, recovers));
    match settled.await.map_err(|error| Failure::os("it was not done", &io::Error::other(error))).flatten() {
        Ok(unended) => tracing::warn!(session = id, unended = unended.len(), "a session is lost"),
        Err(failure) => {
            tracing::error!(session = id, why = %failure, "the end of a lost session could not be written down");
        }
    }
}

/// What a session that begins anew does not have.
const NO_ENV: &str =
    "The environment variables that the session was given at its start are not set: they are not kept on disk";

/// Why a session is lost.
const GONE: &str =
    "no process of the session was there when the next server began: it had ended, or its machine was started anew";

/// Whether an id can be the name of a file: the engine refuses all others.
fn fits_a_file(id: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    !id.is_empty() && id.len() <= 100 && id.bytes().all(fits)
}

fn record_of(session: &Session) -> Record {
    Record {
        spec: SessionSpec::of_options(session.options()),
        created_at: clock::now(),
        created_since_boot: clock::since_boot(),
        begins_after: 0,
        had_env: false,
    }
}

pub(crate) fn no_session() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "session_not_found",
        "there is no such session",
        "it was never made, or it has ended",
        "make one with PUT /v1/sessions/{id}; GET /v1/sessions lists those that are there",
    )
}

fn too_many(most: usize) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_sessions",
        "no session was made",
        format!("this server has {most} at most, and has them"),
        "end some, or wait until some have ended",
    )
    .retryable()
}
