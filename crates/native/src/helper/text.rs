//! Numbers in and out of the small texts of `/proc`.

/// A path that is put together on the stack, with its zero at the end.
pub(crate) struct Path {
    bytes: [u8; 64],
    length: usize,
}

impl Path {
    /// `prefix`, a number, `suffix`.
    pub(crate) fn new(prefix: &str, number: i32, suffix: &str) -> Path {
        let mut path = Path { bytes: [0; 64], length: 0 };
        path.push(prefix.as_bytes());
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number.max(0) as u32;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        path.push(&digits[at..]);
        path.push(suffix.as_bytes());
        path
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // One place stays for the zero.
            if self.length + 1 < self.bytes.len() {
                self.bytes[self.length] = *byte;
                self.length += 1;
            }
        }
    }

    pub(crate) fn as_c(&self) -> &core::ffi::CStr {
        core::ffi::CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// A number at the beginning of a text, spaces before it left out.
pub(crate) fn number(text: &[u8], radix: u64) -> Option<u64> {
    let mut value = None;
    for byte in trim(text) {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            b'a'..=b'f' => u64::from(byte - b'a') + 10,
            _ => break,
        };
        if digit >= radix {
            break;
        }
        value = Some(value.unwrap_or(0u64).wrapping_mul(radix).wrapping_add(digit));
    }
    value
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte != b' ' && *byte != b'\t').unwrap_or(text.len());
    &text[start..]
}

/// The lines of a text.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty())
}

/// What comes behind `name` in the line that begins with it.
pub(crate) fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(text).find_map(|line| line.strip_prefix(name.as_bytes()))
}

pub(crate) fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_path_has_its_number(value in 0..i32::MAX) {
            let path = Path::new("/proc/self/fd/", value, "/x");
            let text = format!("/proc/self/fd/{value}/x");
            prop_assert_eq!(path.as_c().to_str().unwrap(), text.as_str());
        }

        #[test]
        fn numbers_are_read(value in any::<u64>()) {
            prop_assert_eq!(number(format!(" {value} x").as_bytes(), 10), Some(value));
            prop_assert_eq!(number(format!("\t{value:x}").as_bytes(), 16), Some(value));
            prop_assert_eq!(number(format!("{value:o}9").as_bytes(), 8), Some(value));
        }

        #[test]
        fn anything_can_be_read(text in any::<Vec<u8>>()) {
            let _ = (number(&text, 10), field(&text, "lock:"), contains(&text, "eventfd"));
            prop_assert!(lines(&text).flat_map(words).all(|word| !word.contains(&b' ')));
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(number(b"", 10), None);
        assert_eq!(number(b"x1", 10), None);
        assert_eq!(field(b"pos:\t7\nflags:\t02", "flags:"), Some(&b"\t02"[..]));
    }
}
