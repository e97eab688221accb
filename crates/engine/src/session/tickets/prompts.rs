//! Prompts that wait for an answer.

use crate::session::answers::PendingInput;
use std::collections::BTreeMap;

/// Prompts that may wait at once: each is a thread that waits.
const PROMPTS: usize = 1000;

/// The worker asks without end, or twice under one number.
#[derive(Debug)]
pub(crate) struct TooManyPrompts;

/// Prompts, by the ids that clients know them by.
#[derive(Debug, Default)]
pub(crate) struct Prompts {
    waiting: BTreeMap<String, (u64, PendingInput)>,
}

impl Prompts {
    /// A prompt that the worker knows by a number.
    pub(crate) fn insert(&mut self, number: u64, shown: PendingInput) -> Result<(), TooManyPrompts> {
        if self.waiting.len() >= PROMPTS || self.waiting.values().any(|(one, _)| *one == number) {
            return Err(TooManyPrompts);
        }
        self.waiting.insert(shown.id.clone(), (number, shown));
        Ok(())
    }

    /// What another supervisor is to know of them; texts are cut to so many characters.
    pub(super) fn note(&self, most: usize) -> Vec<(u64, PendingInput)> {
        let cut =
            |shown: &PendingInput| PendingInput { prompt: shown.prompt.chars().take(most).collect(), ..shown.clone() };
        self.waiting.values().map(|(number, shown)| (*number, cut(shown))).collect()
    }

    pub(super) fn recall(&mut self, noted: Vec<(u64, PendingInput)>) {
        self.waiting = noted.into_iter().map(|(number, shown)| (shown.id.clone(), (number, shown))).collect();
    }

    /// Those that the worker does not wait for any more are forgotten.
    pub(crate) fn keep(&mut self, waiting: &[u64]) {
        self.waiting.retain(|_, (number, _)| waiting.contains(number));
    }

    /// Whether a prompt has this number.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.waiting.values().any(|(one, _)| *one == number)
    }

    /// It is answered: the worker's number.
    pub(crate) fn take(&mut self, id: &str) -> Option<u64> {
        self.waiting.remove(id).map(|(number, _)| number)
    }

    /// It is not waited for any more.
    pub(crate) fn close(&mut self, number: u64) {
        self.waiting.retain(|_, (one, _)| *one != number);
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn shown(&self) -> Vec<PendingInput> {
        self.waiting.values().map(|(_, shown)| shown.clone()).collect()
    }
}
