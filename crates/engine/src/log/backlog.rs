//! What one reader has not taken yet. Pure.

use super::event::Event;
use std::collections::VecDeque;

/// Bytes of messages that are no output that may wait: a reserve that output cannot fill. Beyond it the oldest go.
pub(super) const RESERVE: usize = 4 << 20;

/// Whether a message is output: what there can be any amount of, and what is left out first.
pub(super) fn is_output(event: &Event) -> bool {
    use pyrepl3_protocol::Message;
    matches!(**event, Message::OutputMessage(_) | Message::DisplayMessage(_))
}

/// Bytes of events, by their kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weights {
    pub(super) output: usize,
    pub(super) control: usize,
}

impl Weights {
    fn kind(&mut self, event: &Event) -> &mut usize {
        if is_output(event) { &mut self.output } else { &mut self.control }
    }

    pub(super) fn add(&mut self, event: &Event, weight: usize) {
        *self.kind(event) += weight;
    }

    pub(super) fn subtract(&mut self, event: &Event, weight: usize) {
        let kind = self.kind(event);
        *kind = kind.saturating_sub(weight);
    }
}

/// Events on their way to one reader.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<(Event, usize)>,
    weights: Weights,
    /// What had to go before the first of them: how many, and how many bytes.
    missed: (u64, usize),
}

impl Backlog {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.weights.output + self.weights.control
    }

    /// Bytes of output that wait.
    pub(super) fn output(&self) -> usize {
        self.weights.output
    }

    /// The number of the next event; None where none waits, or something had to go before it.
    pub(super) fn next_seq(&self) -> Option<u64> {
        self.events.front().filter(|_| self.missed.0 == 0).and_then(|(event, _)| event.seq())
    }

    pub(super) fn push(&mut self, event: Event, weight: usize) {
        let output = is_output(&event);
        self.weights.add(&event, weight);
        self.events.push_back((event, weight));
        // The newest always has room: the end of an execution comes last, and is what its reader waits for.
        while !output && self.weights.control > RESERVE && self.events.len() > 1 {
            let Some((_, weight)) = self.take_first() else { break };
            self.missed = (self.missed.0 + 1, self.missed.1 + weight);
        }
    }

    /// The next event; or first, once, how many events and bytes had to go before it.
    pub(super) fn pop(&mut self) -> Option<Result<Event, (u64, usize)>> {
        if self.missed.0 > 0 {
            return Some(Err(std::mem::take(&mut self.missed)));
        }
        self.take_first().map(|(event, _)| Ok(event))
    }

    fn take_first(&mut self) -> Option<(Event, usize)> {
        let (event, weight) = self.events.pop_front()?;
        self.weights.subtract(&event, weight);
        if self.events.is_empty() && self.events.capacity() > 1024 {
            self.events = VecDeque::new();
        }
        Some((event, weight))
    }
}
