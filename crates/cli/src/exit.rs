//! Exit statuses. A `SystemExit(n)` of a script and 128+n for a signal stand beside these.

use pyrepl3_engine::{Code, Failure};

/// All went well.
pub(crate) const SUCCESS: u8 = 0;
/// The Python code failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// The service or the environment failed.
pub(crate) const ENVIRONMENT: u8 = 3;
/// The time limit passed.
pub(crate) const TIMED_OUT: u8 = 124;
/// Interrupted.
pub(crate) const INTERRUPTED: u8 = 130;
/// Whoever reads standard output has gone: what a shell reports of a program that SIGPIPE ended.
pub(crate) const BROKEN_PIPE: u8 = 128 + 13;

/// The status that tells of a signal.
pub(crate) fn of_signal(signal: i32) -> u8 {
    u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX)
}

/// The status that a program's own exit code becomes: its low eight bits, as everywhere on Unix.
pub(crate) fn of_code(code: i32) -> u8 {
    code.to_le_bytes()[0]
}

/// The status for a failure of the engine.
pub(crate) fn of_failure(failure: &Failure) -> u8 {
    match failure.code {
        Code::BadRequest => USAGE,
        _ => ENVIRONMENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_low_bits() {
        assert_eq!(of_code(0), 0);
        assert_eq!(of_code(256 + 7), 7);
        assert_eq!(of_code(-1), 255);
        assert_eq!(of_signal(9), 137);
        assert_eq!(of_signal(15), 143);
    }
}
