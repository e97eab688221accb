//! What ran in a session: how it ended, and what it said, within limits. So that it can be asked for later, and a retry
//! finds it.

use super::clipped::Clipped;
use pyrepl3_engine::faults::{self, Plant};
use pyrepl3_engine::protocol::message::{Message, Stream};
use pyrepl3_engine::{Event, Failure};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bytes that are kept of each of the two streams of an execution.
const STREAM: usize = 1 << 20;
/// Bytes of displays of an execution.
const DISPLAYS: usize = 4 << 20;
/// Executions of a session that are known, and bytes of all of them; the oldest that have ended go.
const EXECUTIONS: usize = 1000;
const BYTES: usize = 32 << 20;

/// What a key was used with, in short.
pub(crate) type BodyHash = blake3::Hash;

/// Where an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is not known yet whether the session takes it.
    Asked,
    /// It waits or runs.
    Pending,
    /// It has ended, or was refused when its turn came.
    Over,
}

#[derive(Debug)]
struct Said {
    stdout: Clipped,
    stderr: Clipped,
    displays: Vec<Box<RawValue>>,
    display_bytes: usize,
    displays_left_out: u64,
    end: Option<Box<RawValue>>,
    /// Its number in the session, once it has ended.
    count: u64,
    undone: bool,
    refusal: Option<Failure>,
}

/// One execution.
#[derive(Debug)]
pub(crate) struct ExecutionRecord {
    pub(crate) id: String,
    /// The number of the event that tells that it was taken; of the last one before it, until then.
    seq: AtomicU64,
    said: Mutex<Said>,
    progress: watch::Sender<Progress>,
    /// Bytes that it was counted with, once it was over.
    counted: AtomicUsize,
}

/// What an execution has said until now.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) displays: Vec<Box<RawValue>>,
    /// Bytes of output, and displays, that were left out.
    pub(crate) left_out: (u64, u64, u64),
    pub(crate) end: Option<Box<RawValue>>,
    pub(crate) undone: bool,
}

impl ExecutionRecord {
    fn new(id: &str, seq: u64) -> Arc<ExecutionRecord> {
        Arc::new(ExecutionRecord {
            id: id.to_owned(),
            seq: AtomicU64::new(seq),
            said: Mutex::new(Said {
                stdout: Clipped::new(STREAM),
                stderr: Clipped::new(STREAM),
                displays: Vec::new(),
                display_bytes: 0,
                displays_left_out: 0,
                end: None,
                count: 0,
                undone: false,
                refusal: None,
            }),
            progress: watch::Sender::new(Progress::Asked),
            counted: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the event that tells that it was taken.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Waits until it was taken, and that is kept; or until it is over.
    pub(crate) async fn taken(&self) {
        // The sender is this record's own.
        _ = self.progress.subscribe().wait_for(|progress| *progress != Progress::Asked).await;
    }

    /// Waits until it is over; at once where it is.
    pub(crate) async fn over(&self) {
        // The sender is this record's own.
        _ = self.progress.subscribe().wait_for(|progress| *progress == Progress::Over).await;
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.progress.borrow() == Progress::Over
    }

    /// It was refused when its turn came, and never ran.
    pub(crate) fn refuse(&self, failure: Failure) {
        if self.is_over() {
            return;
        }
        self.lock().refusal = Some(failure);
        self.progress.send_replace(Progress::Over);
    }

    pub(crate) fn refusal(&self) -> Option<Failure> {
        self.lock().refusal.clone()
    }

    pub(crate) fn told(&self) -> Told {
        let mut said = self.lock();
        let (stdout, stderr) = (said.stdout.text(), said.stderr.text());
        Told {
            stdout,
            stderr,
            displays: said.displays.clone(),
            left_out: (said.stdout.left_out(), said.stderr.left_out(), said.displays_left_out),
            end: said.end.clone(),
            undone: said.undone,
        }
    }

    /// Its end, and whether its effects are gone.
    pub(crate) fn outcome(&self) -> (Option<Box<RawValue>>, bool) {
        let said = self.lock();
        (said.end.clone(), said.undone)
    }

    fn take(&self, event: &Event) {
        if let Message::Accepted(_) = &**event {
            self.seq.store(event.seq().unwrap_or_default(), Ordering::Release);
        }
        self.progress.send_if_modified(|progress| {
            let was_asked = *progress == Progress::Asked;
            *progress = if was_asked { Progress::Pending } else { *progress };
            was_asked
        });
        let mut said = self.lock();
        match &**event {
            Message::OutputMessage(output) => {
                let stream = if output.stream == Stream::Stdout { &mut said.stdout } else { &mut said.stderr };
                stream.skip(output.dropped);
                stream.push(&output.data);
            }
            Message::DisplayMessage(_) => {
                let display = to_raw(event).filter(|json| said.display_bytes + json.get().len() <= DISPLAYS);
                match display {
                    Some(json) => {
                        said.display_bytes += json.get().len();
                        said.displays.push(json);
                    }
                    None => said.displays_left_out += 1,
                }
            }
            Message::ResultMessage(end) => {
                said.count = end.execution_count;
                said.end = to_raw(event);
            }
            Message::ErrorMessage(end) => {
                said.count = end.execution_count;
                said.undone |= end.rolled_back;
                said.end = to_raw(event);
            }
            _ => {}
        }
        let ended = said.end.is_some();
        drop(said);
        if ended {
            self.progress.send_replace(Progress::Over);
        }
    }

    fn weight(&self) -> usize {
        let said = self.lock();
        let end = said.end.as_ref().map_or(0, |end| end.get().len());
        1024 + said.stdout.weight() + said.stderr.weight() + said.display_bytes + end
    }
}

/// An event as the JSON that is sent of it.
fn to_raw(event: &Event) -> Option<Box<RawValue>> {
    let json = event.to_json().ok()?.into_owned();
    RawValue::from_string(String::from_utf8(json).ok()?).ok().or_else(|| to_raw_value(&()).ok())
}

/// What a key says of an execution that is asked for.
#[derive(Debug)]
pub(crate) enum Keyed {
    /// It was asked for before: this is it.
    Known(Arc<ExecutionRecord>),
    /// The key was used with another body.
    Mismatch,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<String, Arc<ExecutionRecord>>,
    order: VecDeque<String>,
    keys: HashMap<String, (BodyHash, String)>,
    /// Bytes of those that are over.
    bytes: usize,
}

/// The executions of a session.
#[derive(Debug, Default)]
pub(crate) struct Executions(Mutex<Inner>);

impl Executions {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<ExecutionRecord>> {
        self.lock().by_id.get(id).cloned()
    }

    /// All that are known, the newest first.
    pub(crate) fn newest_first(&self) -> Vec<Arc<ExecutionRecord>> {
        let inner = self.lock();
        inner.order.iter().rev().filter_map(|id| inner.by_id.get(id).cloned()).collect()
    }

    /// A new execution, before the session hears of it; or what its key was used for before. None where there is one of
    /// this id already.
    pub(crate) fn begin(
        &self,
        id: &str,
        seq: u64,
        key: Option<(&str, BodyHash)>,
    ) -> Result<Option<Arc<ExecutionRecord>>, Keyed> {
        let mut inner = self.lock();
        if let Some((key, body)) = key
            && !faults::happens(Plant::Repeat)
            && let Some((known_body, known)) = inner.keys.get(key)
        {
            if *known_body != body {
                return Err(Keyed::Mismatch);
            }
            if let Some(record) = inner.by_id.get(known) {
                return Err(Keyed::Known(record.clone()));
            }
        }
        if inner.by_id.contains_key(id) {
            return Ok(None);
        }
        if let Some((key, body)) = key {
            inner.keys.insert(key.to_owned(), (body, id.to_owned()));
        }
        Ok(Some(inner.insert(id, seq)))
    }

    /// It was refused: as if it had never been asked for.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Takes note of an event.
    pub(crate) fn take(&self, event: &Event) {
        let Some(id) = event.execution_id() else { return };
        // One that was begun before this server was there is new here.
        let before = event.seq().map_or(0, |seq| seq.saturating_sub(1));
        let record = {
            let mut inner = self.lock();
            let known = inner.by_id.get(id).cloned();
            // It was asked for when another server was here: a retry finds it.
            if let Message::Accepted(accepted) = &**event
                && let (Some(key), Some(body)) = (&accepted.idempotency_key, &accepted.fingerprint)
                && let Ok(body) = BodyHash::from_hex(body)
            {
                inner.keys.entry(key.clone()).or_insert_with(|| (body, id.to_owned()));
            }
            known.unwrap_or_else(|| inner.insert(id, before))
        };
        record.take(event);
        if record.is_over() {
            self.lock().ended(&record);
        }
    }

    /// The session went back, or forth: effects of executions are gone, or there again.
    pub(crate) fn note_return(&self, undone: &[u64], redone: &[u64]) {
        for record in self.lock().by_id.values() {
            let mut said = record.lock();
            if undone.contains(&said.count) {
                said.undone = true;
            } else if redone.contains(&said.count) {
                said.undone = false;
            }
        }
    }

    /// The session has ended: nothing of it goes on.
    pub(crate) fn end(&self, failure: &Failure, bytes: usize) {
        let mut inner = self.lock();
        let records: Vec<_> = inner.by_id.values().cloned().collect();
        for record in records {
            record.refuse(failure.clone());
            inner.ended(&record);
        }
        inner.trim(bytes);
    }
}

impl Inner {
    fn insert(&mut self, id: &str, seq: u64) -> Arc<ExecutionRecord> {
        let record = ExecutionRecord::new(id, seq);
        self.by_id.insert(id.to_owned(), record.clone());
        self.order.push_back(id.to_owned());
        record
    }

    /// Counts what one takes that is over, once, and lets the oldest go where there is too much.
    fn ended(&mut self, record: &ExecutionRecord) {
        if self.by_id.contains_key(&record.id) && record.counted.load(Ordering::Relaxed) == 0 {
            let weight = record.weight();
            record.counted.store(weight, Ordering::Relaxed);
            self.bytes += weight;
        }
        self.trim(BYTES);
    }

    fn remove(&mut self, id: &str) {
        if let Some(record) = self.by_id.remove(id) {
            self.bytes = self.bytes.saturating_sub(record.counted.load(Ordering::Relaxed));
        }
        self.order.retain(|known| known != id);
        self.keys.retain(|_, (_, known)| known != id);
    }

    /// Lets the oldest go that are over, until what is left is within the limits.
    fn trim(&mut self, limit: usize) {
        while self.bytes > limit || self.order.len() > EXECUTIONS {
            let over = |id: &&String| self.by_id.get(*id).is_none_or(|record| record.is_over());
            // The newest stays: somebody waits for it.
            let Some(oldest) = self.order.iter().take(self.order.len().saturating_sub(1)).find(over).cloned() else {
                break;
            };
            self.remove(&oldest);
        }
    }
}
