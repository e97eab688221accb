//! Lines that were typed while code ran.
//!
//! The terminal is in its own line mode then: it shows what is typed, takes Backspace, and keeps the lines. The line
//! editor would find Ctrl-J in them where Enter was pressed, take all of them at once, and drop what follows the first.
//! So whole lines are read before the editor begins. What has no end yet is left to the editor.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::collections::VecDeque;

const CTRL_D: char = '\u{4}';

/// What was typed as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-D.
    EndOfFile,
}

/// Lines that wait to be used, and the beginning of one.
#[derive(Debug, Default)]
pub(crate) struct TypedAhead {
    whole: VecDeque<Typed>,
    begun: String,
}

impl TypedAhead {
    /// Reads what waits in a terminal that is in line mode.
    pub(crate) fn read(&mut self, terminal: BorrowedFd<'_>) {
        let mut buffer = [0; 4096];
        let at_once = Timespec::default();
        loop {
            let mut ready = [PollFd::new(&terminal, PollFlags::IN)];
            // A terminal that is gone is told by SIGHUP, and must not pass for Ctrl-D.
            if poll(&mut ready, Some(&at_once)).is_err() || ready[0].revents() != PollFlags::IN {
                return;
            }
            match rustix::io::read(terminal, &mut buffer) {
                Ok(0) => self.whole.push_back(Typed::EndOfFile),
                Ok(count) => self.add(&String::from_utf8_lossy(&buffer[..count])),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// What a terminal handed out. What was typed just as the editor had left holds carriage returns instead of line
    /// ends, and the key of Ctrl-D instead of an end of file.
    fn add(&mut self, text: &str) {
        let mut rest = text;
        while let Some(end) = rest.find(['\n', '\r', CTRL_D]) {
            let line = std::mem::take(&mut self.begun) + &rest[..end];
            match char::from(rest.as_bytes()[end]) {
                // Within a line it means nothing.
                CTRL_D if !line.is_empty() => self.begun = line,
                CTRL_D => self.whole.push_back(Typed::EndOfFile),
                _ => self.whole.push_back(Typed::Line(without_keys(&line))),
            }
            rest = &rest[end + 1..];
        }
        self.begun.push_str(rest);
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Option<Typed> {
        self.whole.pop_front()
    }

    /// A line that was begun, once there is no whole one any more.
    pub(crate) fn take_begun(&mut self) -> String {
        without_keys(&std::mem::take(&mut self.begun))
    }

    /// Forgets all of it, as the terminal itself does at Ctrl-C.
    pub(crate) fn clear(&mut self) {
        *self = TypedAhead::default();
    }
}

/// Text without what keys such as Up send: they had no effect on it.
fn without_keys(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if(|c| matches!(c, '[' | 'O')).is_some() {
            // Parameters, and a last letter.
            while chars.next_if(|c| !matches!(c, '@'..='~')).is_some() {}
            chars.next();
        } else if c == '\t' || !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(typed: &mut TypedAhead) -> Vec<Typed> {
        std::iter::from_fn(|| typed.next()).collect()
    }

    fn lines(texts: &[&str]) -> Vec<Typed> {
        texts.iter().map(|text| Typed::Line((*text).to_owned())).collect()
    }

    #[test]
    fn lines_come_in_order_and_what_is_begun_waits() {
        let mut typed = TypedAhead::default();
        typed.add("a = 1\n");
        typed.add("b\rc");
        assert_eq!(all(&mut typed), lines(&["a = 1", "b"]));
        typed.add("d\ne");
        assert_eq!(all(&mut typed), lines(&["cd"]));
        assert_eq!(typed.take_begun(), "e");
        assert_eq!(typed.take_begun(), "");
        typed.add("f\u{4}g\r\u{4}h");
        assert_eq!(all(&mut typed), [Typed::Line("fg".into()), Typed::EndOfFile]);
        assert_eq!(typed.take_begun(), "h");
        typed.add("x\ny");
        typed.clear();
        assert_eq!((typed.next(), typed.take_begun()), (None, String::new()));
    }

    #[test]
    fn keys_that_are_no_text_are_left_out() {
        for (text, plain) in
            [("a\u{1b}[Ab", "ab"), ("\u{1b}[1;5Dé\t", "é\t"), ("\u{1b}OPx\u{1b}", "x"), ("\u{0}a\u{1b}[", "a")]
        {
            assert_eq!(without_keys(text), plain, "{text:?}");
        }
    }

    #[test]
    fn a_terminal_hands_out_its_lines() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"one\ntwo\nthr").unwrap();
        let mut typed = TypedAhead::default();
        typed.read(rustix::fd::AsFd::as_fd(&read));
        assert_eq!(all(&mut typed), lines(&["one", "two"]));
        assert_eq!(typed.take_begun(), "thr");
        drop(write);
        typed.read(rustix::fd::AsFd::as_fd(&read));
        assert_eq!(typed.next(), None, "what is gone is no Ctrl-D");
    }
}
