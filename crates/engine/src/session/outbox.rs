//! Messages on their way from a session to whoever listens, with a bound.
//!
//! The session's task never waits for a listener: it puts messages in, and stops reading the worker's pipes while too
//! many bytes wait here ([`Outbox::is_full`]), so that the code that prints waits. Where it must go on all the same,
//! because the code is being stopped or because nobody listens, output beyond the bound is dropped, counted, and named
//! in the next output.

use pyrepl3_protocol::Message;
use pyrepl3_protocol::message::Stream;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes that may wait before the session stops reading.
pub(crate) const WINDOW: usize = 1 << 20;
/// Bytes that may wait at all.
const LIMIT: usize = 16 << 20;
/// Bytes of a message beside its text, about.
const OVERHEAD: usize = 300;

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Message>,
    bytes: usize,
    dropped: [u64; 2],
    ended: bool,
    listeners: usize,
}

/// A bounded queue of messages: one producer, the session's task, and one consumer.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    arrived: Notify,
    /// Wakes the session's task when room was made.
    room: Arc<Notify>,
}

fn size(message: &Message) -> usize {
    OVERHEAD
        + match message {
            Message::OutputMessage(output) => output.data.len() + output.bytes.as_ref().map_or(0, String::len),
            Message::DisplayMessage(display) => display.data.values().map(|value| value.get().len()).sum(),
            Message::InputMessage(input) => input.prompt.len(),
            _ => 0,
        }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

impl Outbox {
    pub(crate) fn new(room: Arc<Notify>) -> Self {
        Outbox { inner: Mutex::default(), arrived: Notify::new(), room }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a queue that is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in. `bound`: whether output may be dropped beyond the window already, because nobody listens.
    pub(crate) fn push(&self, message: Message, bound: bool) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        let bytes = size(&message);
        let limit = if bound { WINDOW } else { LIMIT };
        if inner.bytes + bytes > limit {
            // Whatever it is, it must not fill the memory; what is left out is counted where output is.
            let (stream, lost) = match &message {
                Message::OutputMessage(output) => {
                    let lost = output.bytes.as_ref().map_or(output.data.len(), |bytes| bytes.len() / 4 * 3);
                    (output.stream, lost as u64 + output.dropped)
                }
                _ => (Stream::Stdout, bytes as u64),
            };
            inner.dropped[index(stream)] += lost;
            return;
        }
        inner.bytes += bytes;
        let message = match message {
            Message::OutputMessage(mut output) => {
                output.dropped += std::mem::take(&mut inner.dropped[index(output.stream)]);
                Message::OutputMessage(output)
            }
            other => other,
        };
        inner.queue.push_back(message);
        drop(inner);
        self.arrived.notify_one();
    }

    /// Puts the last message in. What was dropped and not named yet is named before it.
    pub(crate) fn finish(&self, last: Option<Message>) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        inner.ended = true;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let dropped = std::mem::take(&mut inner.dropped[index(stream)]);
            if dropped > 0 {
                let mut note = super::messages::output(stream, String::new(), None);
                note.dropped = dropped;
                if let Some(ErrorOrResult { session_id, execution_id }) = last.as_ref().and_then(ErrorOrResult::of) {
                    (note.session_id, note.execution_id) = (session_id, execution_id);
                }
                inner.queue.push_back(Message::OutputMessage(note));
            }
        }
        inner.queue.extend(last);
        drop(inner);
        self.arrived.notify_one();
    }

    /// Whether the session should stop reading until somebody takes messages out.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.listeners > 0 && !inner.ended && inner.bytes >= WINDOW
    }

    /// Whether somebody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.lock().listeners > 0
    }

    pub(crate) fn attach(&self) {
        self.lock().listeners += 1;
    }

    pub(crate) fn detach(&self) {
        let mut inner = self.lock();
        inner.listeners = inner.listeners.saturating_sub(1);
        if inner.listeners == 0 {
            // Nobody will take them: the code that prints goes on.
            inner.queue.clear();
            inner.bytes = 0;
        }
        drop(inner);
        self.room.notify_one();
    }

    /// The next message; None after the last one.
    pub(crate) async fn next(&self) -> Option<Message> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.arrived.notified().await;
        }
    }

    /// The next message without waiting: None when none is there, `Some(None)` after the last one.
    pub(crate) fn try_next(&self) -> Option<Option<Message>> {
        let mut inner = self.lock();
        let Some(message) = inner.queue.pop_front() else {
            return inner.ended.then_some(None);
        };
        let before = inner.bytes;
        inner.bytes = inner.bytes.saturating_sub(size(&message));
        let made_room = before >= WINDOW && inner.bytes < WINDOW;
        drop(inner);
        if made_room {
            self.room.notify_one();
        }
        Some(Some(message))
    }
}

struct ErrorOrResult {
    session_id: Option<String>,
    execution_id: Option<String>,
}

impl ErrorOrResult {
    fn of(message: &Message) -> Option<Self> {
        let (session_id, execution_id) = match message {
            Message::ResultMessage(end) => (&end.session_id, &end.execution_id),
            Message::ErrorMessage(end) => (&end.session_id, &end.execution_id),
            _ => return None,
        };
        Some(ErrorOrResult { session_id: session_id.clone(), execution_id: execution_id.clone() })
    }
}
