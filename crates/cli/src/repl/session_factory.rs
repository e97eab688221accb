//! Where the terminal's sessions come from.

use pyrepl3_engine::{Engine, Failure, Script, Session, SessionOptions};

/// Starts sessions that behave as at Python's own prompt.
#[derive(Debug, Clone)]
pub(crate) struct SessionFactory {
    pub(crate) engine: Engine,
    pub(crate) options: SessionOptions,
}

impl SessionFactory {
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let script = Script { underscore: true, ..Script::default() };
        self.engine.start_script(self.options.clone(), &script).await
    }
}
