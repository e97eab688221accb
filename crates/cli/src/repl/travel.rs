//! `%undo`, `%redo`, `%snapshot`, `%branch` and their kin: what a person does with the session's state.

use super::show;
use super::steps::Steps;
use super::turn::Repl;
use crate::size;
use pyrepl3_engine::protocol::message::{InputMessage, Message, RandomState, RolledBack, Snapshot, SnapshotKind};
use pyrepl3_engine::{Code, Failure, Session, SessionEvents};
use std::collections::{BTreeMap, VecDeque};

/// What the session that the terminal starts with is called.
pub(super) const MAIN: &str = "main";

/// The sessions that the terminal is not connected to now.
#[derive(Debug)]
pub(super) struct Branches {
    /// The name of the one that it is connected to.
    pub(super) here: String,
    others: BTreeMap<String, Other>,
}

#[derive(Debug)]
struct Other {
    session: Session,
    events: SessionEvents,
    steps: Steps,
    /// Prompts of its threads that wait until somebody comes back.
    prompts: VecDeque<InputMessage>,
}

impl Default for Branches {
    fn default() -> Self {
        Branches { here: MAIN.to_owned(), others: BTreeMap::new() }
    }
}

impl Branches {
    /// What the prompt says of it; nothing where there is no choice.
    pub(super) fn remark(&self) -> String {
        if self.others.is_empty() { String::new() } else { format!("in {}", self.here) }
    }

    fn knows(&self, name: &str) -> bool {
        self.here == name || self.others.contains_key(name)
    }
}

impl Repl {
    /// Undoes so many steps.
    pub(super) async fn undo(&mut self, count: usize) {
        for _ in 0..count {
            let session = self.session();
            match session.undo().await {
                Ok(back) => self.returned(&back, "undone"),
                Err(failure) => return self.nowhere(&failure, Code::NothingToUndo, "there is nothing to undo"),
            }
        }
    }

    /// Takes so many undone steps back.
    pub(super) async fn redo(&mut self, count: usize) {
        for _ in 0..count {
            let session = self.session();
            match session.redo().await {
                Ok(back) => self.returned(&back, "done again"),
                Err(failure) => {
                    let text = "there is nothing to redo: nothing was undone, or something else was run since";
                    return self.nowhere(&failure, Code::NothingToRedo, text);
                }
            }
        }
    }

    fn nowhere(&mut self, failure: &Failure, code: Code, text: &str) {
        if failure.code == code {
            self.screen.line(&self.palette.aside(text));
        } else {
            self.failure(failure);
        }
    }

    /// Tells what a return to another state did.
    pub(super) fn returned(&mut self, back: &RolledBack, word: &str) {
        self.steps.turn(&back.undone, &back.redone);
        let counts = if back.redone.is_empty() { &back.undone } else { &back.redone };
        for count in counts.iter().rev().take(10) {
            let line = format!("{}: {}", self.palette.aside(word), self.palette.source(&self.steps.title(*count)));
            self.screen.line(&line);
        }
        if counts.len() > 10 {
            self.screen.line(&self.palette.aside(&format!("and {} more", counts.len() - 10)));
        }
        if !back.discarded.is_empty() {
            let text = format!("gone with it, because taken later: {}", back.discarded.join(", "));
            self.screen.line(&self.palette.aside(&text));
        }
        if !back.exact {
            self.screen.line(&self.palette.warning(&back.report));
        }
    }

    pub(super) async fn snapshot(&mut self, name: Option<String>) {
        let name = match name {
            Some(name) => name,
            None => match self.named().await {
                Some(known) => first_free("s", |name| known.iter().any(|one| one.name.as_deref() == Some(name))),
                None => return,
            },
        };
        match self.session().snapshot(Some(&name)).await {
            Ok(created) => {
                for warning in &created.warnings {
                    self.screen.line(&self.palette.warning(warning));
                }
                let took = size::seconds(created.duration);
                self.screen
                    .line(&self.palette.aside(&format!("{name} taken in {took}; %rollback {name} returns to it")));
            }
            Err(failure) => self.failure(&failure),
        }
    }

    /// The snapshots that were asked for.
    async fn named(&mut self) -> Option<Vec<Snapshot>> {
        match self.session().snapshots().await {
            Ok(mut known) => {
                known.retain(|one| one.kind == SnapshotKind::Named);
                Some(known)
            }
            Err(failure) => {
                self.failure(&failure);
                None
            }
        }
    }

    pub(super) async fn snapshots(&mut self) {
        match self.session().snapshots().await {
            Ok(known) => {
                let table = show::snapshots(self.palette, &known, |count| self.steps.title(count));
                self.screen.line(&table);
            }
            Err(failure) => self.failure(&failure),
        }
    }

    /// The newest snapshot with a name.
    async fn find(&mut self, name: &str) -> Option<String> {
        let known = self.named().await?;
        let found = known.iter().rev().find(|one| one.name.as_deref() == Some(name));
        if found.is_none() {
            let mut text = format!("there is no snapshot {name:?}");
            let names: Vec<&str> = known.iter().filter_map(|one| one.name.as_deref()).collect();
            text += &match names.len() {
                0 => "; %snapshot NAME takes one".to_owned(),
                _ => format!("; there are: {}", names.join(", ")),
            };
            self.screen.line(&self.palette.error(&text));
        }
        found.map(|one| one.snapshot_id.clone())
    }

    pub(super) async fn rollback(&mut self, name: &str) {
        let Some(id) = self.find(name).await else { return };
        match self.session().rollback_to(&id, None).await {
            Ok(back) => {
                self.returned(&back, "undone");
                if back.exact {
                    self.screen.line(&self.palette.aside(&format!("{name} is back, exactly")));
                }
            }
            Err(failure) => self.failure(&failure),
        }
    }

    pub(super) async fn drop_snapshot(&mut self, name: &str) {
        let Some(id) = self.find(name).await else { return };
        if let Err(failure) = self.session().drop_snapshot(&id).await {
            self.failure(&failure);
        }
    }

    /// Splits the session, and goes on in the branch.
    pub(super) async fn branch(&mut self, name: Option<String>) {
        let branches = &self.branches;
        let name = match name {
            Some(name) if branches.knows(&name) => {
                let text = format!("there is a branch {name:?} already; %switch {name} goes to it");
                return self.screen.line(&self.palette.error(&text));
            }
            Some(name) => name,
            None => first_free("branch", |name| branches.knows(name)),
        };
        match self.session().branch(1, RandomState::Same).await {
            Ok(made) => {
                let Some(session) = made.into_iter().next() else { return };
                let (events, steps) = (session.events(), self.steps.clone());
                let here = self.branches.here.clone();
                self.go(name.clone(), Other { session, events, steps, prompts: VecDeque::new() });
                let text = format!("in {name}, with all that is in {here}; %switch {here} goes back");
                self.screen.line(&self.palette.aside(&text));
            }
            Err(failure) => self.failure(&failure),
        }
    }

    pub(super) fn list_branches(&mut self) {
        if self.branches.others.is_empty() {
            return self.screen.line(&self.palette.aside("there is one session; %branch splits it"));
        }
        let mut names: Vec<&String> = self.branches.others.keys().chain([&self.branches.here]).collect();
        names.sort();
        let lines: Vec<String> = names
            .iter()
            .map(|name| if **name == self.branches.here { format!("* {name}") } else { format!("  {name}") })
            .collect();
        self.screen.line(&lines.join("\n"));
    }

    pub(super) fn switch(&mut self, name: &str) {
        if name == self.branches.here {
            return self.screen.line(&self.palette.aside(&format!("this is {name}")));
        }
        match self.branches.others.remove(name) {
            Some(other) => {
                self.go(name.to_owned(), other);
                self.screen.line(&self.palette.aside(&format!("in {name}")));
            }
            None => {
                self.screen.line(&self.palette.error(&format!("there is no branch {name:?}; %branches lists them")));
            }
        }
    }

    /// Connects the terminal to another session.
    fn go(&mut self, name: String, to: Other) {
        let session = self.session();
        self.live.replace(to.session);
        let left = Other {
            session,
            events: std::mem::replace(&mut self.events, to.events),
            steps: std::mem::replace(&mut self.steps, to.steps),
            prompts: std::mem::replace(&mut self.prompts, to.prompts),
        };
        let here = std::mem::replace(&mut self.branches.here, name);
        self.branches.others.insert(here, left);
    }

    /// What the session says of its state by itself, within an execution or without.
    pub(super) fn aside(&mut self, message: &Message) {
        match message {
            Message::Warning(warning) => self.screen.line(&self.palette.warning(&warning.text)),
            Message::Evicted(evicted) => {
                let name = evicted.name.clone().unwrap_or_else(|| "a step of undo".to_owned());
                self.screen.line(&self.palette.aside(&format!("{name} was given up: {}", evicted.reason)));
            }
            Message::RolledBack(back) => {
                self.steps.turn(&back.undone, &back.redone);
                self.screen.line(&self.palette.warning(&format!("{}. {}", capital(&back.reason), back.report)));
            }
            Message::CheckpointCreated(created) => self.checkpointed(created),
            Message::Restored(restored) => {
                self.screen.line(&self.palette.warning(&capital(&restored.reason)));
                self.restored(restored);
            }
            _ => {}
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn first_free(stem: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut number = 1;
    loop {
        let name = format!("{stem}{number}");
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}
