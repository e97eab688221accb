//! Ids and idempotency keys that a session has seen. Both are bounded: the oldest are forgotten.

use pyrepl3_protocol::message::Message;
use pyrepl3_store::faults::{self, Plant};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet, VecDeque};

/// Ids remembered, so that a repeated one is refused.
const IDS: usize = 100_000;
/// Keys remembered.
const KEYS: usize = 1_000;
/// Bytes of last messages remembered for them.
const BYTES: usize = 16 << 20;
/// Of ids, and of bytes of last messages, so much is written down: the newest.
const NOTED_IDS: usize = 1_000;
const NOTED_BYTES: usize = 32 << 10;

/// A text in short, the same for every supervisor.
fn digest(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Ids that clients chose.
#[derive(Debug, Default)]
pub(crate) struct SeenIds {
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl SeenIds {
    /// Takes note of an id. False when it was seen before.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let hash = digest(id);
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
    /// It has ended, and its last message went with a supervisor.
    Forgotten,
}

/// An idempotency key in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct KeyId(u64);

impl KeyId {
    pub(crate) fn of(key: &str) -> KeyId {
        KeyId(digest(key))
    }
}

/// Idempotency keys, in short: who chooses long ones fills nothing.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    order: VecDeque<KeyId>,
    /// The code, in short, and what became of it.
    known: HashMap<KeyId, (u64, KeyState)>,
    bytes: usize,
}

impl Keys {
    /// What became of a key's execution; `Err` when it was used with other code.
    pub(crate) fn get(&self, key: KeyId, code: &str) -> Option<Result<&KeyState, ()>> {
        if faults::happens(Plant::Repeat) {
            return None;
        }
        let (hash, outcome) = self.known.get(&key)?;
        Some(if *hash == digest(code) { Ok(outcome) } else { Err(()) })
    }

    pub(crate) fn begin(&mut self, key: KeyId, code: &str, token: u64) {
        self.known.insert(key, (digest(code), KeyState::Running(token)));
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

    pub(crate) fn end(&mut self, key: KeyId, last: &Message) {
        if let Some((_, outcome)) = self.known.get_mut(&key) {
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
    pub(crate) fn forget(&mut self, key: KeyId) {
        self.known.remove(&key);
        self.order.retain(|known| *known != key);
    }
}

/// What another supervisor is to know of ids and keys.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeysNote {
    ids: Vec<u64>,
    keys: Vec<(KeyId, u64, KeyNote)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum KeyNote {
    Running(u64),
    Ended(Box<RawValue>),
    Forgotten,
}

impl KeysNote {
    pub(super) fn new(seen: &SeenIds, keys: &Keys) -> KeysNote {
        let newest = seen.order.len().saturating_sub(NOTED_IDS);
        let (mut noted, mut bytes) = (Vec::new(), 0);
        for key in keys.order.iter().rev() {
            let Some((hash, state)) = keys.known.get(key) else { continue };
            let note = match state {
                KeyState::Running(token) => KeyNote::Running(*token),
                // Once there is no room any more, there is none for older ones.
                KeyState::Ended(last) if bytes <= NOTED_BYTES => {
                    let json = last.to_json().ok().and_then(|json| String::from_utf8(json).ok());
                    bytes += json.as_ref().map_or(0, String::len);
                    let kept = json.filter(|_| bytes <= NOTED_BYTES).and_then(|json| RawValue::from_string(json).ok());
                    kept.map_or(KeyNote::Forgotten, KeyNote::Ended)
                }
                KeyState::Ended(_) | KeyState::Forgotten => KeyNote::Forgotten,
            };
            noted.push((*key, *hash, note));
        }
        noted.reverse();
        KeysNote { ids: seen.order.iter().skip(newest).copied().collect(), keys: noted }
    }

    pub(super) fn recall(self) -> (SeenIds, Keys) {
        let seen = SeenIds { known: self.ids.iter().copied().collect(), order: self.ids.into() };
        let mut keys = Keys::default();
        for (key, hash, note) in self.keys {
            let state = match note {
                KeyNote::Running(token) => KeyState::Running(token),
                KeyNote::Ended(json) => match Message::from_json(json.get().as_bytes()) {
                    Ok(last) => {
                        keys.bytes += size(&last);
                        KeyState::Ended(Box::new(last))
                    }
                    Err(_) => KeyState::Forgotten,
                },
                KeyNote::Forgotten => KeyState::Forgotten,
            };
            keys.order.push_back(key);
            keys.known.insert(key, (hash, state));
        }
        (seen, keys)
    }
}

fn size(last: &Message) -> usize {
    last.to_json().map_or(0, |json| json.len())
}
