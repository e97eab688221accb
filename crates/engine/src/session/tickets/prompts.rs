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
