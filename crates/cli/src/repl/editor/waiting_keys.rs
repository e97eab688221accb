//! Keys that were typed behind the one that ended a line. They wait in the line editor, and are older than lines that wait in the
//! terminal.
//!
//! They are looked for while the editor still has the terminal. Afterwards the terminal makes lines of what is typed, and Ctrl-D an end of
//! file: whoever reads keys then would be told of nothing, and wait for the next one.

use reedline::{ValidationResult, Validator};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Whether there are any, where that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitingKeys(Arc<Mutex<Option<bool>>>);

impl WaitingKeys {
    /// Looks for them; the editor has the terminal.
    pub(crate) fn look(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(are_there());
    }

    /// Whether there are any. Where nobody has looked, because no line was entered, the terminal is taken once more for it.
    pub(crate) fn take(&self) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        known.unwrap_or_else(|| {
            let found = crossterm::terminal::enable_raw_mode().is_ok() && are_there();
            // Where it cannot be given back, the guard of the whole program does so.
            _ = crossterm::terminal::disable_raw_mode();
            found
        })
    }
}

fn are_there() -> bool {
    crossterm::event::poll(Duration::ZERO).unwrap_or(false)
}

/// A validator that looks for them when Enter was pressed.
pub(crate) struct Watched<V> {
    pub(crate) validator: V,
    pub(crate) keys: WaitingKeys,
}

impl<V: Validator> Validator for Watched<V> {
    fn validate(&self, text: &str) -> ValidationResult {
        let found = self.validator.validate(text);
        self.keys.look();
        found
    }
}

/// For texts that are always complete.
pub(crate) struct AnyText;

impl Validator for AnyText {
    fn validate(&self, _: &str) -> ValidationResult {
        ValidationResult::Complete
    }
}
