//! The life of a session, as a pure state machine: `(state, event, now) → (state, actions)`.
//!
//! It knows tokens, marks and times, no processes, no payloads. The task performs its actions and feeds it events.
//!
//! ```text
//! Starting -- Up -------> Ready -- Close -----> Closing -- Gone --> Closed
//!     |                   |   ^                    ^
//!     |                Exited Up                   |
//!     |                   v   |                    |
//!     |                 Respawning -- Failed ------|
//!     +-- Failed, Violation (from any) ------------+
//!
//! a task:   queued -- turn --> sent -- Ended --> reported, or undone first: Revert -- Reverted --> reported
//!                                |-- Interrupt, deadline --> interrupted -- grace/2 --> interrupted once more
//!                                                                        -- grace --> killed -- Exited --> ended
//! ```
//!
//! `turns` decides what a task does when its turn has come, `revert` how the session goes back to a mark, `timeline`
//! keeps the marks.

mod machine;
mod revert;
mod turns;
mod types;

pub(crate) use machine::Machine;
pub(crate) use types::{
    Action, Cause, Event, Phase, Refusal, Said, SnapshotPurpose, State, Task, TaskKind, Token, Verdict, Why,
};

#[cfg(test)]
mod tests;
