//! What was taken and has not ended: executions, questions, operations; prompts that wait; ids and keys that were used.

mod execution;
mod keys;
mod note;
mod operation;
mod prompts;

pub(crate) use execution::PendingExecution;
pub(crate) use keys::{KeyId, KeyState, Keys, SeenIds};
pub(crate) use note::TicketsNote;
pub(crate) use operation::{PendingOperation, Restoring};
pub(crate) use prompts::{Prompts, TooManyPrompts};

use super::life::Token;
use super::mailbox::Query;
use std::collections::HashMap;

/// A task that was taken and has not ended.
#[derive(Debug)]
pub(crate) enum Ticket {
    Execute(Box<PendingExecution>),
    Query(Query),
    Operate(Box<PendingOperation>),
}

/// All of them, by the tokens that the machine knows them by.
#[derive(Debug)]
pub(crate) struct Tickets {
    open: HashMap<Token, Ticket>,
    next: Token,
    /// Bytes of source and answers that wait.
    bytes: usize,
    pub(crate) prompts: Prompts,
    pub(crate) seen: SeenIds,
    pub(crate) keys: Keys,
}

impl Default for Tickets {
    fn default() -> Self {
        Tickets {
            open: HashMap::new(),
            next: 1,
            bytes: 0,
            prompts: Prompts::default(),
            seen: SeenIds::default(),
            keys: Keys::default(),
        }
    }
}

impl Tickets {
    /// A token that nothing had before.
    pub(crate) fn token(&mut self) -> Token {
        let token = self.next;
        self.next += 1;
        token
    }

    pub(crate) fn insert(&mut self, token: Token, ticket: Ticket) {
        self.bytes += weight(&ticket);
        self.open.insert(token, ticket);
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Ticket> {
        let ticket = self.open.remove(&token)?;
        self.bytes = self.bytes.saturating_sub(weight(&ticket));
        Some(ticket)
    }

    /// Everything, to be told that nothing comes of it here.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.open).into_values()
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Ticket> {
        self.open.get_mut(&token)
    }

    /// Bytes of source and answers that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn execution(&self, token: Token) -> Option<&PendingExecution> {
        match self.open.get(&token)? {
            Ticket::Execute(execution) => Some(execution),
            Ticket::Query(_) | Ticket::Operate(_) => None,
        }
    }

    pub(crate) fn execution_mut(&mut self, token: Token) -> Option<&mut PendingExecution> {
        match self.open.get_mut(&token)? {
            Ticket::Execute(execution) => Some(execution),
            Ticket::Query(_) | Ticket::Operate(_) => None,
        }
    }

    pub(crate) fn operation_mut(&mut self, token: Token) -> Option<&mut PendingOperation> {
        match self.open.get_mut(&token)? {
            Ticket::Operate(operation) => Some(operation),
            Ticket::Query(_) | Ticket::Execute(_) => None,
        }
    }

    /// The token of an execution that has not ended.
    pub(crate) fn token_of(&self, execution: &str) -> Option<Token> {
        let is_it = |ticket: &Ticket| matches!(ticket, Ticket::Execute(one) if one.id == execution);
        self.open.iter().find(|(_, ticket)| is_it(ticket)).map(|(token, _)| *token)
    }
}

/// Bytes that a client makes the session remember until the task has ended.
fn weight(ticket: &Ticket) -> usize {
    match ticket {
        Ticket::Execute(execution) => execution.weight,
        Ticket::Query(Query::Complete { code, .. } | Query::IsComplete { code, .. }) => code.literal().len(),
        Ticket::Query(_) | Ticket::Operate(_) => 0,
    }
}
