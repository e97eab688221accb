//! Processes that stand ready for sessions to come, of the environments that were asked for last.

use crate::session::{Linger, Spare};
use crate::zygote::{Environment, ForkServer};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of so many environments some stand ready.
const ENVIRONMENTS: usize = 4;

/// The spares of an engine.
#[derive(Debug)]
pub(crate) struct Spares {
    /// How many of each environment.
    wanted: usize,
    linger: Option<Linger>,
    state: Mutex<State>,
    /// One at a time makes some.
    filling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The environment that was asked for last comes first.
    ready: VecDeque<(Environment, VecDeque<Spare>)>,
    closed: bool,
}

impl Spares {
    pub(crate) fn new(wanted: usize, linger: Option<Linger>) -> Arc<Spares> {
        Arc::new(Spares { wanted, linger, state: Mutex::default(), filling: tokio::sync::Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of an environment, if one stands ready. Sees to it that some do later.
    pub(crate) fn take(self: &Arc<Self>, environment: &Environment, server: &Arc<ForkServer>) -> Option<Spare> {
        if self.wanted == 0 {
            return None;
        }
        let (taken, given_up) = {
            let mut state = self.lock();
            if state.closed {
                return None;
            }
            let known = state.ready.iter().position(|(known, _)| known == environment);
            let mut entry =
                known.and_then(|at| state.ready.remove(at)).unwrap_or((environment.clone(), VecDeque::new()));
            let taken = entry.1.pop_front();
            state.ready.push_front(entry);
            let given_up = if state.ready.len() > ENVIRONMENTS { state.ready.pop_back() } else { None };
            (taken, given_up)
        };
        let (spares, environment, server) = (self.clone(), environment.clone(), server.clone());
        tokio::spawn(async move {
            for spare in given_up.into_iter().flat_map(|(_, spares)| spares) {
                spare.end().await;
            }
            spares.fill(&environment, &server).await;
        });
        taken
    }

    async fn fill(&self, environment: &Environment, server: &Arc<ForkServer>) {
        let _filling = self.filling.lock().await;
        while self.wants(environment) {
            let spare = match Spare::make(server, self.linger.as_ref()).await {
                Ok(spare) => spare,
                Err(error) => {
                    tracing::warn!(%error, "no process could be had that stands ready for a session");
                    return;
                }
            };
            if let Some(spare) = self.put(environment, spare) {
                spare.end().await;
            }
        }
    }

    fn wants(&self, environment: &Environment) -> bool {
        let state = self.lock();
        let of = |(known, spares): &(Environment, VecDeque<Spare>)| known == environment && spares.len() < self.wanted;
        !state.closed && state.ready.iter().any(of)
    }

    /// Keeps one; gives it back where nobody wants it any more.
    fn put(&self, environment: &Environment, spare: Spare) -> Option<Spare> {
        let mut state = self.lock();
        if state.closed {
            return Some(spare);
        }
        match state.ready.iter_mut().find(|(known, _)| known == environment) {
            Some((_, spares)) => {
                spares.push_back(spare);
                None
            }
            None => Some(spare),
        }
    }

    /// Ends all of them, and makes none any more. Returns when no process of them is left.
    pub(crate) async fn close(&self) {
        self.lock().closed = true;
        // Whoever makes one now sees that, and ends it.
        let _filling = self.filling.lock().await;
        let all = std::mem::take(&mut self.lock().ready);
        for spare in all.into_iter().flat_map(|(_, spares)| spares) {
            spare.end().await;
        }
    }
}
