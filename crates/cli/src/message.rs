//! What people see on stderr: what happened, why, and what to do.

use pyrepl3_engine::Failure;

/// Prints an error.
pub(crate) fn error(what: &str, why: &str, how: &str) {
    eprintln!("pyrepl3: {what}");
    for (label, text) in [("why", why), ("how to go on", how)] {
        if !text.is_empty() {
            eprintln!("  {label}: {}", text.replace('\n', "\n    "));
        }
    }
}

/// Prints a failure of the engine.
pub(crate) fn failure(failure: &Failure) {
    error(&failure.what, &failure.why, &failure.how);
}
