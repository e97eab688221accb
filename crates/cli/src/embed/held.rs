//! What a connection holds: sessions, its own or on loan, pools, and the windows of what it is sent.

use super::flow::Flow;
use pyrepl3_engine::{Code, Failure, Lease, Pool, Session};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) enum Holding {
    Own(Session),
    Loan { lease: Lease, pool_id: String },
}

#[derive(Debug, Default)]
struct Tables {
    sessions: HashMap<String, Holding>,
    pools: HashMap<String, Pool>,
    flows: HashMap<(String, Option<String>), Arc<Flow>>,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    tables: Mutex<Tables>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self, id: Option<&str>) -> Result<Session, Failure> {
        let Some(id) = id else {
            return Err(Failure::new(Code::BadRequest, "the request names no session", "", "give its session_id"));
        };
        match self.lock().sessions.get(id) {
            Some(Holding::Own(session)) => Ok(session.clone()),
            Some(Holding::Loan { lease, .. }) => Ok((**lease).clone()),
            None => Err(Failure::new(
                Code::SessionClosed,
                format!("this connection has no session {id}"),
                "it was shut down or released, or it never was",
                "start another session",
            )),
        }
    }

    pub(super) fn pool(&self, id: &str) -> Result<Pool, Failure> {
        self.lock().pools.get(id).cloned().ok_or_else(|| unknown_pool(id))
    }

    pub(super) fn put_session(&self, id: &str, place: Holding) {
        self.lock().sessions.insert(id.to_owned(), place);
    }

    pub(super) fn put_pool(&self, pool: Pool) {
        self.lock().pools.insert(pool.id().to_owned(), pool);
    }

    pub(super) fn take_pool(&self, id: &str) -> Result<Pool, Failure> {
        self.lock().pools.remove(id).ok_or_else(|| unknown_pool(id))
    }

    /// Takes a session of the connection's own; one on loan is to be released instead.
    pub(super) fn take_own(&self, id: &str) -> Result<Session, Failure> {
        let mut tables = self.lock();
        match tables.sessions.get(id) {
            Some(Holding::Loan { .. }) => Err(Failure::new(
                Code::BadRequest,
                format!("session {id} is on loan from a pool"),
                "only its pool ends it",
                "release it to its pool",
            )),
            Some(Holding::Own(session)) => {
                let session = session.clone();
                tables.sessions.remove(id);
                Ok(session)
            }
            None => Err(Failure::new(Code::SessionClosed, format!("this connection has no session {id}"), "", "")),
        }
    }

    /// Takes a session on loan, to release it.
    pub(super) fn take_loan(&self, id: &str, pool: &str) -> Result<Lease, Failure> {
        let mut tables = self.lock();
        match tables.sessions.remove(id) {
            Some(Holding::Loan { lease, pool_id }) if pool_id == pool => Ok(lease),
            other => {
                if let Some(place) = other {
                    tables.sessions.insert(id.to_owned(), place);
                }
                Err(Failure::new(
                    Code::NotAcquired,
                    format!("session {id} is not on loan from this pool"),
                    "it was released already, or it never was acquired",
                    "release a session once, to the pool that lent it",
                ))
            }
        }
    }

    /// Sessions and pools, to end them.
    pub(super) fn take_all(&self) -> (Vec<Session>, Vec<Pool>, Vec<Lease>) {
        let mut tables = self.lock();
        let (mut own, mut loans) = (Vec::new(), Vec::new());
        for (_, place) in tables.sessions.drain() {
            match place {
                Holding::Own(session) => own.push(session),
                Holding::Loan { lease, .. } => loans.push(lease),
            }
        }
        (own, tables.pools.drain().map(|(_, pool)| pool).collect(), loans)
    }

    /// A new window, of an execution or of what belongs to none. An execution whose id is being used already, and that will
    /// be refused, has one that nobody else knows.
    pub(super) fn new_flow(&self, session: &str, execution: Option<&str>) -> Arc<Flow> {
        let key = (session.to_owned(), execution.map(str::to_owned));
        let flow = Arc::new(Flow::default());
        let mut tables = self.lock();
        if execution.is_none() || !tables.flows.contains_key(&key) {
            tables.flows.insert(key, flow.clone());
        }
        flow
    }

    /// The client has let go of a session: nothing of it is sent any more.
    pub(super) fn close_flows(&self, session: &str) {
        for ((id, _), flow) in &self.lock().flows {
            if id == session {
                flow.close();
            }
        }
    }

    pub(super) fn known_flow(&self, session: &str, execution: Option<&str>) -> Option<Arc<Flow>> {
        let key = (session.to_owned(), execution.map(str::to_owned));
        self.lock().flows.get(&key).cloned()
    }

    /// Nothing more goes through a window. Another one of the same name stays: of a session that was lent again, say.
    pub(super) fn forget_flow(&self, session: &str, execution: Option<&str>, flow: &Arc<Flow>) {
        let key = (session.to_owned(), execution.map(str::to_owned));
        let mut tables = self.lock();
        if tables.flows.get(&key).is_some_and(|known| Arc::ptr_eq(known, flow)) {
            tables.flows.remove(&key);
        }
    }

    /// Code of this session is being stopped: what it has written comes without being waited for.
    pub(super) fn open_flows(&self, session: &str) {
        let flows: Vec<_> =
            self.lock().flows.iter().filter(|((id, _), _)| id == session).map(|(_, flow)| flow.clone()).collect();
        for flow in flows {
            flow.open();
        }
    }
}

fn unknown_pool(id: &str) -> Failure {
    Failure::new(
        Code::UnknownPool,
        format!("this connection has no pool {id}"),
        "it was shut down, or it never was",
        "start another",
    )
}
