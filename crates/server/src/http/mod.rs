//! What all routes share: who may ask, bodies and parameters within limits, errors as documents, connections.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod guard;
pub(crate) mod log;
pub(crate) mod patient;
pub(crate) mod problem;
pub(crate) mod query;
