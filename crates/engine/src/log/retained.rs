//! What a later reader can still get. Pure.

use super::backlog::{Weights, is_output};
use super::event::Event;
use crate::messages;
use pyrepl3_protocol::message::{Message, Stream};
use std::collections::VecDeque;

/// How many bytes of output, and of all else, are kept for readers to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) output: usize,
    pub(crate) control: usize,
    /// Whether only the oldest go, of whatever kind: what is not kept here is in a journal.
    pub(crate) whole: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { output: 256 << 10, control: 256 << 10, whole: false }
    }
}

#[derive(Debug)]
enum Kept {
    Event(Event, usize),
    /// Output of one execution, or of none, that had to go: its bytes, and the last of its numbers.
    Shed {
        bytes: u64,
        last: u64,
        stream: Stream,
        execution: Option<String>,
    },
}

/// The newest events, oldest first. Output goes before anything else does, from the oldest on; what is left of it says
/// how much there was.
#[derive(Debug)]
pub(super) struct Retained {
    session: String,
    limits: Retention,
    kept: VecDeque<Kept>,
    weights: Weights,
    /// Where the oldest output that is kept whole may be.
    oldest_output: usize,
    /// The number of the oldest event that is kept, or that a note stands for.
    earliest: u64,
}

impl Retained {
    /// `earliest`: the number of the first event to come.
    pub(super) fn new(session: &str, limits: Retention, earliest: u64) -> Self {
        Retained {
            session: session.to_owned(),
            limits,
            kept: VecDeque::new(),
            weights: Weights::default(),
            oldest_output: 0,
            earliest,
        }
    }

    /// The earliest number that a reader can still get; the next one to come where nothing is kept.
    pub(super) fn earliest(&self) -> u64 {
        self.earliest
    }

    pub(super) fn push(&mut self, event: Event, weight: usize) {
        let output = is_output(&event);
        self.weights.add(&event, weight);
        self.kept.push_back(Kept::Event(event, weight));
        if self.limits.whole {
            let limit = self.limits.output + self.limits.control;
            while self.weights.output + self.weights.control > limit && self.kept.len() > 1 {
                self.drop_first();
            }
            return;
        }
        if output {
            self.shed_output();
        }
        while self.weights.control > self.limits.control && self.kept.len() > 1 {
            self.drop_first();
        }
    }

    fn shed_output(&mut self) {
        while self.weights.output > self.limits.output {
            let Some(Kept::Event(event, weight)) = self.kept.get(self.oldest_output) else {
                // A note of what went before.
                self.oldest_output += 1;
                continue;
            };
            if !is_output(event) {
                self.oldest_output += 1;
                continue;
            }
            let (weight, last) = (*weight, event.seq().unwrap_or(0));
            let bytes = output_bytes(event);
            let of = event.execution_id().map(str::to_owned);
            let from = if let Message::OutputMessage(output) = &**event { output.stream } else { Stream::Stdout };
            self.weights.output = self.weights.output.saturating_sub(weight);
            let before = self.oldest_output.checked_sub(1);
            match before.and_then(|before| self.kept.get_mut(before)) {
                // Notes that would stand beside each other are one.
                Some(Kept::Shed { bytes: more, last: end, execution, .. }) if *execution == of => {
                    *more += bytes;
                    *end = last;
                    self.kept.remove(self.oldest_output);
                }
                _ => {
                    self.kept[self.oldest_output] = Kept::Shed { bytes, last, stream: from, execution: of };
                    self.oldest_output += 1;
                }
            }
        }
    }

    fn drop_first(&mut self) {
        let last = match self.kept.pop_front() {
            None => return,
            Some(Kept::Shed { last, .. }) => last,
            Some(Kept::Event(event, weight)) => {
                self.weights.subtract(&event, weight);
                event.seq().unwrap_or(0)
            }
        };
        self.oldest_output = self.oldest_output.saturating_sub(1);
        self.earliest = last + 1;
    }

    /// Events after a number, those that went in the middle told by a note.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = Event> + '_ {
        self.kept.iter().filter_map(move |kept| match kept {
            Kept::Event(event, _) => (event.seq() > Some(seq)).then(|| event.clone()),
            Kept::Shed { bytes, last, stream, execution } => (*last > seq).then(|| {
                let mut note = messages::output(*stream, String::new(), None);
                note.session_id = Some(self.session.clone());
                note.execution_id.clone_from(execution);
                note.dropped = *bytes;
                note.seq = Some(*last);
                Event::new(Message::OutputMessage(note))
            }),
        })
    }
}

/// Bytes that user code wrote, or that a display holds.
pub(super) fn output_bytes(message: &Message) -> u64 {
    match message {
        Message::OutputMessage(output) => {
            let written = output.bytes.as_ref().map_or(output.data.len(), |bytes| bytes.len() / 4 * 3);
            written as u64 + output.dropped
        }
        other => other.weight() as u64,
    }
}
