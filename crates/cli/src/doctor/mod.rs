//! `pyrepl3 doctor`: what this machine offers, what is missing, and how to get it.

mod isolation;
mod limits;
mod print;
mod python;
mod session;

use crate::args::Common;
use crate::{exit, message, start};
use serde::Serialize;

/// Everything that was found out. Its JSON is what `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pyrepl3: &'static str,
    /// Whether sessions can run.
    ok: bool,
    python: python::Interpreters,
    session: session::Trial,
    isolation: isolation::Isolation,
    limits: limits::Limits,
    missing: Vec<Missing>,
}

/// Something that would be good to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    what: String,
    why: String,
    how: String,
}

impl Missing {
    fn new(what: impl Into<String>, why: impl Into<String>, how: impl Into<String>) -> Self {
        Missing { what: what.into(), why: why.into(), how: how.into() }
    }
}

/// Looks at everything, prints it, and returns the exit status.
pub(crate) async fn main(common: &Common) -> u8 {
    // One after the other: the session is timed.
    let engine = start::engine(common);
    let session = session::run(&engine, start::options(common, &[])).await;
    start::end(&engine).await;
    let asked = common.python.clone();
    // Interpreters are run to ask what they are.
    let Ok(mut python) = tokio::task::spawn_blocking(move || python::look(asked.as_deref())).await else {
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
            Ok(json) => print::out(&format!("{json}\n")),
            Err(error) => message::error("the report could not be written", &error.to_string(), ""),
        }
    } else {
        print::report(&report);
    }
    if ok { exit::SUCCESS } else { exit::ENVIRONMENT }
}
