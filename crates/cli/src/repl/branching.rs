//! `%branch`, `%branches`, `%switch`: the sessions that the terminal can be connected to.

use super::prompts::Prompts;
use super::state::{OtherSession, Repl};
use pyrepl3_engine::protocol::message::RandomState;

impl Repl {
    /// Splits the session, and goes on in the branch.
    pub(super) async fn branch(&mut self, name: Option<String>) {
        let name = match name {
            Some(name) if self.branches.knows(&name) => {
                let text = format!("there is a branch {name:?} already; %switch {name} goes to it");
                return self.console.error(&text);
            }
            Some(name) => name,
            None => self.branches.free_name(),
        };
        match self.session().branch(1, RandomState::Same).await {
            Ok(made) => {
                let Some(session) = made.into_iter().next() else { return };
                let (events, log) = (session.events(), self.log.clone());
                let here = self.branches.here().to_owned();
                self.connect(&name, OtherSession { session, events, log, prompts: Prompts::default() });
                let text = format!("in {name}, with all that is in {here}; %switch {here} goes back");
                self.console.aside(&text);
            }
            Err(failure) => self.console.failure(&failure),
        }
    }

    pub(super) fn list_branches(&mut self) {
        match self.branches.list() {
            Some(list) => self.console.line(&list),
            None => self.console.aside("there is one session; %branch splits it"),
        }
    }

    pub(super) fn switch(&mut self, name: &str) {
        if name == self.branches.here() {
            return self.console.aside(&format!("this is {name}"));
        }
        match self.branches.take(name) {
            Some(other) => {
                self.connect(name, other);
                self.console.aside(&format!("in {name}"));
            }
            None => self.console.error(&format!("there is no branch {name:?}; %branches lists them")),
        }
    }

    /// Connects the terminal to another session.
    fn connect(&mut self, name: &str, to: OtherSession) {
        let session = self.session();
        self.current.replace(to.session);
        let left = OtherSession {
            session,
            events: std::mem::replace(&mut self.events, to.events),
            log: std::mem::replace(&mut self.log, to.log),
            prompts: std::mem::replace(&mut self.prompts, to.prompts),
        };
        self.branches.moved(name, left);
    }
}
