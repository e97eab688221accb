//! The look at the machine, from the command line to the exit status.

use super::report::Report;
use super::{interpreters, isolation, limits, render, trial};
use crate::args::Common;
use crate::{exit, message, start};

/// Looks at everything, prints it, and returns the exit status.
pub(crate) async fn main(common: &Common) -> u8 {
    // One after the other: the session is timed.
    let engine = start::engine(common);
    let session = trial::run(&engine, start::options(common, &[])).await;
    start::end(&engine).await;
    let asked = common.python.clone();
    // Interpreters are run to ask what they are.
    let Ok(mut python) = tokio::task::spawn_blocking(move || interpreters::look(asked.as_deref())).await else {
        message::error("the look for interpreters failed", "", "");
        return exit::ENVIRONMENT;
    };
    python.mark_default(session.python.as_ref());
    let isolation = isolation::look();
    let limits = limits::look();
    let mut missing = Vec::new();
    python.missing(&mut missing);
    session.missing(&mut missing);
    isolation.missing(&mut missing);
    limits.missing(&mut missing);
    let ok = session.ok;
    let report = Report { pyrepl3: env!("CARGO_PKG_VERSION"), ok, python, session, isolation, limits, missing };
    if common.json {
        match serde_json::to_string(&report) {
            Ok(json) => render::out(&format!("{json}\n")),
            Err(error) => message::error("the report could not be written", &error.to_string(), ""),
        }
    } else {
        render::report(&report);
    }
    if ok { exit::SUCCESS } else { exit::ENVIRONMENT }
}
