//! What a process says that answers a question about a state, a fork of a frozen process. It is asked what a worker is asked.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Each of them once, in this order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswererEvent {
    /// It is there, and can be asked.
    Hello {},
    /// The answer, as a worker gives it.
    Data(Box<RawValue>),
}
