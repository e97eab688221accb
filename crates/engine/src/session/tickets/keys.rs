//! Ids and idempotency keys that a session has seen. Both are bounded: the oldest are forgotten.

use pyrepl3_protocol::message::Message;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;

/// Ids remembered, so that a repeated one is refused.
const IDS: usize = 100_000;
/// Keys remembered.
const KEYS: usize = 1_000;
/// Bytes of last messages remembered for them.
const BYTES: usize = 16 << 20;

/// Ids that clients chose.
#[derive(Debug, Default)]
pub(crate) struct SeenIds {
    hasher: RandomState,
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl SeenIds {
    /// Takes note of an id. False when it was seen before.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// What became of the execution that first used a key.
#[derive(Debug, Clone)]
pub(crate) enum KeyState {
    /// It has not ended: its token.
    Running(u64),
    /// Its last message.
    Ended(Box<Message>),
}

/// Idempotency keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    hasher: RandomState,
    order: VecDeque<String>,
    known: HashMap<String, (u64, KeyState)>,
    bytes: usize,
}

impl Keys {
    /// What became of a key's execution; `Err` when it was used with other code.
    pub(crate) fn get(&self, key: &str, code: &str) -> Option<Result<&KeyState, ()>> {
        let (hash, outcome) = self.known.get(key)?;
        Some(if *hash == self.hasher.hash_one(code) { Ok(outcome) } else { Err(()) })
    }

    pub(crate) fn begin(&mut self, key: String, code: &str, token: u64) {
        let hash = self.hasher.hash_one(code);
        self.known.insert(key.clone(), (hash, KeyState::Running(token)));
        self.order.push_back(key);
        if self.order.len() > KEYS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && let Some((_, KeyState::Ended(last))) = self.known.remove(&oldest)
        {
            self.bytes = self.bytes.saturating_sub(size(&last));
        }
    }

    pub(crate) fn end(&mut self, key: &str, last: &Message) {
        if let Some((_, outcome)) = self.known.get_mut(key) {
            *outcome = KeyState::Ended(Box::new(last.clone()));
            self.bytes += size(last);
        }
        while self.bytes > BYTES && self.order.len() > 1 {
            self.forget_oldest();
        }
    }

    /// Forgets the keys of executions whose effects were undone after their end: a retry has to run.
    pub(crate) fn forget_executions(&mut self, counts: &[u64]) {
        let undone = |last: &Message| match last {
            Message::ResultMessage(end) => counts.contains(&end.execution_count),
            Message::ErrorMessage(end) => !end.rolled_back && counts.contains(&end.execution_count),
            _ => false,
        };
        let mut freed = 0;
        self.known.retain(|_, (_, outcome)| match outcome {
            KeyState::Ended(last) if undone(last) => {
                freed += size(last);
                false
            }
            _ => true,
        });
        self.bytes = self.bytes.saturating_sub(freed);
        self.order.retain(|key| self.known.contains_key(key));
    }

    /// Forgets a key whose execution never ran: a retry may run.
    pub(crate) fn forget(&mut self, key: &str) {
        self.known.remove(key);
        self.order.retain(|known| known != key);
    }
}

fn size(last: &Message) -> usize {
    last.to_json().map_or(0, |json| json.len())
}
