//! The decoders, for `fuzz/`: each takes bytes that may say anything, and must not panic.

/// Decodes a journal of executions. Answers how many it names.
#[must_use]
pub fn journal(bytes: &[u8]) -> usize {
    crate::checkpoint::decode_journal(bytes).len()
}
