//! Text that comes while a line is being edited, printed above that line.
//!
//! The editor prints what its printer's channel holds once in every turn of its loop, and does not tell what it has
//! printed. So lines wait here, and are put into the channel by [`PrintQueue::hand_over`], which the editor calls just after
//! it has emptied the channel. What was handed over is therefore printed by the next turn, or, when there is no next
//! turn because the line was entered, not at all: then [`PrintQueue::close`] returns it. Every line is printed exactly once,
//! and in order.

use reedline::ExternalPrinter;
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines handed over at once.
const CAPACITY: usize = 500;

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<String>,
    handed: Vec<String>,
    printer: Option<SyncSender<String>>,
}

/// Lines on their way to the terminal.
#[derive(Debug, Default)]
pub(crate) struct PrintQueue {
    inner: Mutex<Inner>,
}

impl PrintQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A printer for one line's editing.
    pub(crate) fn open(&self) -> ExternalPrinter<String> {
        let printer = ExternalPrinter::new(CAPACITY);
        let mut inner = self.lock();
        // A printer takes its lines with it.
        let unprinted = std::mem::take(&mut inner.handed);
        for line in unprinted.into_iter().rev() {
            inner.waiting.push_front(line);
        }
        inner.printer = Some(printer.sender());
        printer
    }

    /// Adds a line.
    pub(crate) fn push(&self, line: String) {
        self.lock().waiting.push_back(line);
    }

    /// Lines that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Called by the editor once in every turn, after it has printed what was handed over before.
    pub(crate) fn hand_over(&self) {
        let mut inner = self.lock();
        inner.handed.clear();
        let Some(printer) = inner.printer.clone() else { return };
        while let Some(line) = inner.waiting.pop_front() {
            // An empty text would print no line.
            let shown = if line.is_empty() { " ".to_owned() } else { line.clone() };
            if inner.handed.len() == CAPACITY || printer.try_send(shown).is_err() {
                inner.waiting.push_front(line);
                return;
            }
            inner.handed.push(line);
        }
    }

    /// Takes all that waits; for whoever prints it by other means.
    pub(crate) fn take(&self) -> Vec<String> {
        self.lock().waiting.drain(..).collect()
    }

    /// The line was entered: what has not been printed yet.
    pub(crate) fn close(&self) -> Vec<String> {
        let mut inner = self.lock();
        inner.printer = None;
        let mut rest = std::mem::take(&mut inner.handed);
        rest.extend(inner.waiting.drain(..));
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_printed_once() {
        let queue = PrintQueue::default();
        let printer = queue.open();
        queue.push("a".into());
        queue.push("b".into());
        queue.hand_over();
        // The editor's next turn.
        assert_eq!((printer.get_line(), printer.get_line()), (Some("a".into()), Some("b".into())));
        queue.push("c".into());
        queue.hand_over();
        queue.push("d".into());
        // The line is entered before the turn that would print.
        assert_eq!(queue.close(), ["c", "d"]);
        assert_eq!(queue.close(), Vec::<String>::new());
    }

    #[test]
    fn more_than_the_channel_holds_waits() {
        let queue = PrintQueue::default();
        let printer = queue.open();
        for number in 0..CAPACITY + 2 {
            queue.push(number.to_string());
        }
        queue.hand_over();
        assert_eq!(queue.len(), 2);
        while printer.get_line().is_some() {}
        queue.hand_over();
        assert_eq!(printer.get_line().unwrap(), CAPACITY.to_string());
    }
}
