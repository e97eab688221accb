//! Ids: a typed prefix and a UUID of version 7 (RFC 9562), so that ids sort by the time they were made.

use std::fmt;
use uuid::Uuid;

/// What an id names. The prefix is part of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// A session: `ses_…`.
    Session,
    /// An execution: `exe_…`. The id of the `execute` message is the id of the execution.
    Execution,
    /// A prompt that waits for an answer: `inp_…`.
    Input,
    /// A pool: `pol_…`.
    Pool,
    /// A snapshot: `snp_…`.
    Snapshot,
    /// Any other message: `msg_…`.
    Message,
}

impl IdKind {
    const fn prefix(self) -> &'static str {
        match self {
            IdKind::Session => "ses_",
            IdKind::Execution => "exe_",
            IdKind::Input => "inp_",
            IdKind::Pool => "pol_",
            IdKind::Snapshot => "snp_",
            IdKind::Message => "msg_",
        }
    }
}

/// A new id of a kind.
pub fn new(kind: IdKind) -> String {
    let mut text = String::with_capacity(36);
    text.push_str(kind.prefix());
    let mut buffer = Uuid::encode_buffer();
    text.push_str(Uuid::now_v7().simple().encode_lower(&mut buffer));
    text
}

/// The longest id that a client may choose, in bytes.
pub const MAX_LEN: usize = 200;

/// Why an id that a client chose cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct BadId(&'static str);

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Checks an id that a client chose: not empty, at most [`MAX_LEN`] bytes, no control characters.
///
/// # Errors
/// What is wrong with it.
pub fn check(id: &str) -> Result<(), BadId> {
    if id.is_empty() {
        Err(BadId("it is empty"))
    } else if id.len() > MAX_LEN {
        Err(BadId("it is longer than 200 bytes"))
    } else if id.chars().any(char::is_control) {
        Err(BadId("it holds control characters"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_kind_and_sort_by_time() {
        let ids: Vec<String> = (0..1000).map(|_| new(IdKind::Execution)).collect();
        assert!(ids.iter().all(|id| id.starts_with("exe_") && id.len() == 36));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_clients_id_is_checked() {
        assert!(check("test-tx").is_ok());
        assert!(check("").is_err());
        assert!(check("a\nb").is_err());
        assert!(check(&"x".repeat(201)).is_err());
    }
}
