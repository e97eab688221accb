//! What every command starts with: an engine, and what its sessions are given.

use crate::args::Common;
use crate::{descriptors, paths};
use pyrepl3_engine::{Engine, EngineConfig, SearchPath, SessionOptions};
use std::time::Duration;

/// How long the end of a session is waited for when the program is to end at once. A session whose threads are waited
/// for does not hear that it is to end; it ends all the same as soon as this process is gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// An engine that uses the interpreter that the command line names, or else finds one.
pub(crate) fn engine(common: &Common) -> Engine {
    let data = common.data.clone().or_else(paths::data_dir);
    Engine::new(EngineConfig {
        python: common.python.clone(),
        data,
        open_files: descriptors::started_with(),
        ..EngineConfig::new(SearchPath::from_env())
    })
}

/// The options of a session.
pub(crate) fn options(common: &Common, preload: &[String]) -> SessionOptions {
    SessionOptions {
        preload: preload.to_vec(),
        isolation: common.isolation.map(|isolation| isolation.name().into()),
        ..SessionOptions::default()
    }
}

/// Ends everything that an engine started.
pub(crate) async fn end(engine: &Engine) {
    _ = tokio::time::timeout(PATIENCE, engine.shutdown()).await;
}
