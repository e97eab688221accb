//! What people see on stderr: what happened, why, and what to do.

use pyrepl3_engine::Failure;
use std::io::Write;

/// Prints an error.
pub(crate) fn error(what: &str, why: &str, how: &str) {
    print(&text(what, why, how));
}

/// Prints a failure of the engine.
pub(crate) fn failure(failure: &Failure) {
    error(&failure.what, &failure.why, &failure.how);
}

/// Prints to stderr. That nobody reads it is no reason to fail: `eprint!` would panic.
pub(crate) fn print(text: &str) {
    _ = std::io::stderr().write_all(text.as_bytes());
}

fn text(what: &str, why: &str, how: &str) -> String {
    let mut text = format!("pyrepl3: {}\n", what.trim_end());
    for (label, part) in [("why", why), ("how to go on", how)] {
        if !part.trim().is_empty() {
            text.push_str(&format!("  {label}: {}\n", part.trim_end().replace('\n', "\n    ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_empty_are_left_out() {
        assert_eq!(text("no", "", ""), "pyrepl3: no\n");
        assert_eq!(
            text("it failed", "one\ntwo", "try\n"),
            "pyrepl3: it failed\n  why: one\n    two\n  how to go on: try\n"
        );
    }
}
