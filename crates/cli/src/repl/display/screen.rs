//! What is printed, and where: below, as it comes, or above the line that is being edited.

use super::print_queue::PrintQueue;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A line without an end is shown above the prompt when nothing has been added to it for so long.
const UNFINISHED: Duration = Duration::from_millis(300);

/// The terminal, as far as this program prints on it itself.
#[derive(Debug)]
pub(crate) struct Screen {
    queue: Arc<PrintQueue>,
    editing: bool,
    /// What was printed since the last line end.
    tail: String,
    /// While a line is edited: what came since the last line end, not shown yet.
    unfinished: String,
    unfinished_since: Option<Instant>,
}

impl Screen {
    pub(crate) fn new(queue: Arc<PrintQueue>) -> Self {
        Screen { queue, editing: false, tail: String::new(), unfinished: String::new(), unfinished_since: None }
    }

    /// Prints text as it is.
    pub(crate) fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.editing {
            return self.write_above(text);
        }
        let mut stdout = std::io::stdout().lock();
        // A terminal that is gone is told by SIGHUP.
        _ = stdout.write_all(text.as_bytes());
        _ = stdout.flush();
        drop(stdout);
        match text.rfind('\n') {
            Some(end) => self.tail = text[end + 1..].to_owned(),
            None => self.tail.push_str(text),
        }
    }

    /// Prints a text on lines of its own.
    pub(crate) fn line(&mut self, text: &str) {
        self.finish_line();
        self.write(text);
        self.write("\n");
    }

    /// Shows a line that the next one replaces, such as progress; an empty one takes it away. Not while a line is edited.
    pub(crate) fn passing(&mut self, text: &str) {
        if self.editing || !self.tail.is_empty() {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        _ = stdout.write_all(format!("\r\u{1b}[K{text}").as_bytes());
        _ = stdout.flush();
    }

    /// The terminal itself showed something, such as `^C`.
    pub(crate) fn echoed(&mut self, text: &str) {
        if !self.editing {
            self.tail.push_str(text);
        }
    }

    /// Ends a line that was begun.
    pub(crate) fn finish_line(&mut self) {
        if self.editing {
            self.show_unfinished();
        } else if !self.tail.is_empty() {
            self.write("\n");
        }
    }

    fn write_above(&mut self, text: &str) {
        self.unfinished.push_str(text);
        while let Some(end) = self.unfinished.find('\n') {
            let rest = self.unfinished.split_off(end + 1);
            let line = std::mem::replace(&mut self.unfinished, rest);
            self.queue.push(shown(&line));
        }
        self.unfinished_since = (!self.unfinished.is_empty()).then(Instant::now);
    }

    /// When to call [`Screen::show_unfinished`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.unfinished_since.filter(|_| self.editing).map(|since| since + UNFINISHED)
    }

    /// Shows a line whose end has not come.
    pub(crate) fn show_unfinished(&mut self) {
        self.unfinished_since = None;
        if !self.unfinished.is_empty() {
            let line = std::mem::take(&mut self.unfinished);
            self.queue.push(shown(&line));
        }
    }

    /// Whether so much waits to be printed that no more should be asked for.
    pub(crate) fn is_behind(&self) -> bool {
        self.editing && self.queue.len() > 2000
    }

    /// The editor takes the terminal over. `prompt` is what it will show; returns it with what stands on the line
    /// already, so that `print('a', end=''); input('b')` looks as it should.
    pub(crate) fn begin_editing(&mut self, prompt: &str, columns: usize) -> String {
        let mut tail = std::mem::take(&mut self.tail);
        // The editor begins a line of its own, and has one line for the prompt.
        if let Some(end) = prompt.rfind('\n') {
            self.write(&prompt[..=end]);
            tail.clear();
        }
        let prompt = &prompt[prompt.rfind('\n').map_or(0, |end| end + 1)..];
        let fits = tail.chars().count() + prompt.chars().count() < columns;
        if !tail.is_empty() && fits && !tail.contains('\r') {
            self.write("\r\u{1b}[K");
        } else if !tail.is_empty() {
            self.write("\n");
            tail.clear();
        }
        self.tail.clear();
        self.editing = true;
        tail + prompt
    }

    /// The editor has given the terminal back.
    pub(crate) fn end_editing(&mut self) {
        self.editing = false;
        self.unfinished_since = None;
        for line in self.queue.close() {
            self.write(&line);
            self.write("\n");
        }
        let unfinished = std::mem::take(&mut self.unfinished);
        self.write(&unfinished);
    }
}

/// A line as a terminal would show it in the end: what a carriage return overwrote is gone.
fn shown(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_above_when_they_are_whole() {
        let queue = Arc::new(PrintQueue::default());
        let mut screen = Screen::new(queue.clone());
        assert_eq!(screen.begin_editing(">>> ", 80), ">>> ");
        screen.write("one\ntw");
        assert_eq!(queue.take(), ["one"]);
        assert!(screen.deadline().is_some());
        screen.write("o\r\n 10%\r 20%\r\nx");
        assert_eq!(queue.take(), ["two", " 20%"]);
        screen.show_unfinished();
        assert_eq!(queue.take(), ["x"]);
        assert_eq!(screen.deadline(), None);
    }
}
