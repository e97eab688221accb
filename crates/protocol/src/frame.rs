//! Framing: four bytes of length, big-endian, then that many bytes of UTF-8 JSON.
//!
//! The decoder is meant for hostile input: it bounds the size of a frame before it waits for its bytes, and the
//! nesting of the JSON before anything parses it (a parser that skips raw values does not count their depth).

/// The largest frame, in bytes of JSON: 64 MiB.
pub const MAX_FRAME: usize = 64 << 20;

/// The deepest nesting of arrays and objects in a frame. Values carry at most 64 levels; messages add a few.
pub const MAX_DEPTH: usize = 100;

/// Why bytes are not frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame announces more than the limit.
    #[error("a frame announces {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes that the frame announces.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The JSON is nested too deep.
    #[error("the JSON of a frame is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not a message: bad UTF-8, bad JSON, or fields that do not fit the type.
    #[error("a frame does not hold a message: {0}")]
    Malformed(String),
    /// A message of a type that this side does not know.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
}

/// Puts the length before a JSON text.
///
/// # Errors
/// [`FrameError::TooLarge`] when it exceeds [`MAX_FRAME`].
pub fn encode(json: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(json.len() + 4);
    encode_into(json, &mut frame)?;
    Ok(frame)
}

/// Appends a frame to a buffer.
///
/// # Errors
/// [`FrameError::TooLarge`] when it exceeds [`MAX_FRAME`].
pub fn encode_into(json: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let size = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_FRAME);
    let Some(size) = size else {
        return Err(FrameError::TooLarge { size: json.len(), limit: MAX_FRAME });
    };
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(json);
    Ok(())
}

/// Bytes of buffer that a decoder keeps while there is nothing to decode: many wait at once, and a large frame is rare.
const RESTING: usize = 4 << 10;

/// Collects bytes and gives back whole frames. Holds at most one frame beyond what was fed.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new(MAX_FRAME)
    }
}

impl Decoder {
    /// A decoder that refuses frames above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Decoder { buffer: Vec::new(), start: 0, limit }
    }

    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start == self.buffer.len() || self.start >= 64 << 10) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's JSON, its nesting checked, or None until more bytes come.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] or [`FrameError::TooDeep`]; the stream is of no use after either.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(RESTING);
            return Ok(None);
        }
        let rest = &self.buffer[self.start..];
        let Some((head, body)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*head) as usize;
        if size > self.limit {
            return Err(FrameError::TooLarge { size, limit: self.limit });
        }
        if body.len() < size {
            return Ok(None);
        }
        let from = self.start + 4;
        self.start = from + size;
        let json = &self.buffer[from..from + size];
        check_depth(json)?;
        Ok(Some(json))
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}

/// Checks that brackets nest at most [`MAX_DEPTH`] deep, without parsing: a lexer of strings and brackets.
///
/// # Errors
/// [`FrameError::TooDeep`].
pub fn check_depth(json: &[u8]) -> Result<(), FrameError> {
    let mut depth = 0usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(FrameError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => _ = bytes.next(),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_four_gigabytes_is_refused_before_its_bytes_come() {
        let mut decoder = Decoder::default();
        decoder.feed(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn nesting_a_million_deep_is_refused() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(check_depth(deep.as_bytes()), Err(FrameError::TooDeep));
        assert_eq!(check_depth(br#"{"a":"[[[[\"[["}"#), Ok(()));
        let wide = format!("[{}[]]", "[],".repeat(100_000));
        assert_eq!(check_depth(wide.as_bytes()), Ok(()));
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut decoder = Decoder::default();
        decoder.feed(&encode(&vec![b' '; 4 << 20]).unwrap());
        assert!(decoder.next_frame().unwrap().is_some());
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.buffer.capacity() <= RESTING);
    }
}
