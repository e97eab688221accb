//! Ways to give up the checkpoints that are being made for a connection.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Cancel = Box<dyn Fn() + Send + Sync>;

/// By the ids of the requests.
#[derive(Default)]
pub struct Cancellers(Mutex<HashMap<String, Cancel>>);

impl fmt::Debug for Cancellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Cancellers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Cancel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A checkpoint is being made for a request.
    pub fn insert(&self, request: &str, cancel: impl Fn() + Send + Sync + 'static) {
        self.lock().insert(request.to_owned(), Box::new(cancel));
    }

    /// It is made, or was given up.
    pub fn remove(&self, request: &str) {
        self.lock().remove(request);
    }

    /// Whether there was such a checkpoint.
    pub fn cancel(&self, request: &str) -> bool {
        self.lock().get(request).map(|cancel| cancel()).is_some()
    }
}
