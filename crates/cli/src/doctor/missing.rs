//! What this machine lacks.

use serde::Serialize;

/// Something that would be good to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) how: String,
}

impl Missing {
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>, how: impl Into<String>) -> Self {
        Missing { what: what.into(), why: why.into(), how: how.into() }
    }
}
