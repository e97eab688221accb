//! What every command starts with: an engine, and what its sessions are given.

use crate::args::Common;
use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions};

/// An engine that uses the interpreter that the command line names, or else finds one.
pub(crate) fn engine(common: &Common) -> Engine {
    Engine::new(EngineConfig { python: common.python.clone(), search: SearchPath::from_env() })
}

/// The options of a session.
pub(crate) fn options(common: &Common, preload: &[String]) -> SessionOptions {
    SessionOptions {
        preload: preload.to_vec(),
        isolation: common.isolation.map(|isolation| isolation.name().to_owned()),
        ..SessionOptions::default()
    }
}
