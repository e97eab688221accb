//! What one reader wants, and where it is.

use super::backlog::Backlog;
use super::event::Event;
use std::sync::Arc;
use tokio::sync::Notify;

/// Which events a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// All of the session.
    All,
    /// Those that belong to no execution.
    Session,
    /// Those of one execution. It ends with the execution.
    Execution(String),
}

impl Filter {
    pub(super) fn fits(&self, event: &Event) -> bool {
        match self {
            Filter::All => true,
            Filter::Session => event.execution_id().is_none(),
            Filter::Execution(id) => event.execution_id() == Some(id),
        }
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// With what is still kept.
    Earliest,
    /// With what comes next.
    Now,
    /// After the event with this number.
    After(u64),
}

/// Names a reader.
pub(crate) type ReaderId = u64;

#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) filter: Filter,
    pub(super) backlog: Backlog,
    pub(super) arrived: Arc<Notify>,
    /// Nothing more will come.
    pub(super) ended: bool,
    /// The number of the last event that its reader has.
    pub(super) taken: u64,
    /// Whether its reader has to go to the journal: more waits than memory is for.
    pub(super) behind: bool,
}

/// What there is for a reader.
#[derive(Debug)]
pub(super) enum Take {
    Event(Event),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing more.
    End,
    /// Events after a number, and up to one, are in the journal.
    Behind {
        after: u64,
        until: u64,
    },
}

impl Cursor {
    /// Nothing more will come.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.arrived.notify_one();
    }
}
