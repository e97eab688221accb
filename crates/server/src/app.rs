//! What all requests share.

use crate::http::body::Room;
use crate::limits::Limits;
use crate::sessions::table::Table;
use crate::token::Token;
use pyrepl3_engine::Engine;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The server, as its routes see it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// The data directory.
    pub(crate) data: PathBuf,
    pub(crate) sessions: Arc<Table>,
    pub(crate) limits: Limits,
    pub(crate) room: Room,
    pub(crate) token: Token,
    /// Names that this server answers to, beside addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Origins of pages that may use it, beside its own.
    pub(crate) origins: Vec<String>,
    pub(crate) draining: watch::Sender<bool>,
    /// Whether sessions that another server had have been taken over, as far as they can be.
    pub(crate) ready: watch::Sender<bool>,
}

impl App {
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}
