//! The task of one session: feeds the machines with what happens, and performs what they decide.
//!
//! ```text
//!   handles -- commands --> +------+ -- requests --> worker        one turn: one thing that happened,
//!   readers <--- log ------ | task | <-- frames ---- worker        what follows from it, no waiting
//!   jobs ---- reports ----> |      | <-- output ---- pipes
//!                           +------+ <-- exits ----- session init
//! ```
//!
//! `state` is what the task consists of, `run` waits for the next thing. `commands`, `executions`, `operations` take what
//! handles ask; `frames`, `output` and `lifecycle` what processes say; `answering` has questions answered while code runs; `perform` does what
//! the session's machine decides, with `ends`, `reverts`, `branches`, `saving`, `restoring` and `recovery` for one thing each. What takes long is a job: a task of
//! its own, which sends a `Report`.

mod answering;
mod branches;
mod commands;
mod ends;
mod executions;
mod frames;
mod lifecycle;
mod notes;
mod operations;
mod output;
mod perform;
mod recovery;
mod report;
mod restoring;
mod reverts;
mod run;
mod saving;
mod spawn;
mod state;
mod takeover;

pub(crate) use spawn::{OnEnd, Outliving, assemble, spawn};
pub(crate) use state::SessionTask;
pub(crate) use takeover::Inventory;
