//! A text that is kept to a limit: its beginning and its end.

use std::fmt::Write;

/// The beginning and the end of a text, each up to half of a limit.
#[derive(Debug)]
pub(crate) struct Clipped {
    half: usize,
    head: String,
    tail: String,
    /// Whether something has gone behind the head, so that nothing more is added to it.
    full: bool,
    /// Bytes between the two.
    left_out: u64,
}

impl Clipped {
    pub(crate) fn new(limit: usize) -> Clipped {
        Clipped { half: limit / 2, head: String::new(), tail: String::new(), full: false, left_out: 0 }
    }

    pub(crate) fn push(&mut self, mut text: &str) {
        if !self.full {
            let room = floor(text, self.half - self.head.len());
            self.head.push_str(&text[..room]);
            text = &text[room..];
            self.full = !text.is_empty();
        }
        self.tail.push_str(text);
        // Not at each piece: what is moved to the front would cost more than all else.
        if self.tail.len() > 2 * self.half {
            self.trim();
        }
    }

    /// Bytes that never came.
    pub(crate) fn skip(&mut self, bytes: u64) {
        if bytes > 0 {
            self.full = true;
            // What is before the gap would seem to follow on it.
            self.left_out += bytes + self.tail.len() as u64;
            self.tail.clear();
        }
    }

    fn trim(&mut self) {
        let over = self.tail.len().saturating_sub(self.half);
        let from = self.tail.len() - floor_from_end(&self.tail, over);
        self.left_out += from as u64;
        self.tail.drain(..from);
    }

    /// Bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        self.head.capacity() + self.tail.capacity()
    }

    /// Bytes that are not in [`Clipped::text`].
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out + self.tail.len().saturating_sub(self.half) as u64
    }

    /// The text; where something is left out, it says how much.
    pub(crate) fn text(&mut self) -> String {
        self.trim();
        let mut text = self.head.clone();
        if self.left_out > 0 {
            _ = write!(text, "\n… [{} bytes left out] …\n", self.left_out);
        }
        text.push_str(&self.tail);
        text
    }
}

/// The largest place up to `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Bytes that stay when at least `over` go from the front, and no character is cut.
fn floor_from_end(text: &str, over: usize) -> usize {
    let mut from = over.min(text.len());
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.len() - from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_whole() {
        let mut text = Clipped::new(10);
        for piece in ["ab", "cde", "fghij"] {
            text.push(piece);
        }
        assert_eq!((text.text().as_str(), text.left_out()), ("abcdefghij", 0));
    }

    #[test]
    fn the_middle_of_a_long_one_goes_and_is_counted() {
        let mut text = Clipped::new(10);
        for digit in 0..100 {
            text.push(&format!("{}", digit % 10));
        }
        assert_eq!(text.left_out(), 90);
        assert_eq!(text.text(), "01234\n… [90 bytes left out] …\n56789");
        assert!(text.weight() < 200);
    }

    #[test]
    fn characters_are_not_cut() {
        let mut text = Clipped::new(9);
        text.push(&"é".repeat(50));
        let kept = text.text();
        assert!(kept.starts_with("éé\n") && kept.ends_with("\néé"), "{kept}");
        assert_eq!(text.left_out(), 92);
    }

    #[test]
    fn what_never_came_is_counted_where_it_was() {
        let mut text = Clipped::new(10);
        text.push("ab");
        text.skip(7);
        text.push("cd");
        assert_eq!(text.text(), "ab\n… [7 bytes left out] …\ncd");
    }
}
