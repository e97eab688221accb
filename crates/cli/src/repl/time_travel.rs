//! `%undo`, `%redo`, `%snapshot`, `%rollback` and their kin: the session at other times.

use super::branches::first_free;
use super::display::render;
use super::state::Repl;
use crate::size;
use pyrepl3_engine::protocol::message::{RolledBack, Snapshot, SnapshotKind};
use pyrepl3_engine::{Code, Failure};

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
            self.console.aside(text);
        } else {
            self.console.failure(failure);
        }
    }

    /// Tells what a return to another state did.
    pub(super) fn returned(&mut self, back: &RolledBack, word: &str) {
        self.log.mark_undone(&back.undone, &back.redone);
        let counts = if back.redone.is_empty() { &back.undone } else { &back.redone };
        for count in counts.iter().rev().take(10) {
            let line = format!(
                "{}: {}",
                self.console.palette.aside(word),
                self.console.palette.source(&self.log.title(*count))
            );
            self.console.line(&line);
        }
        if counts.len() > 10 {
            self.console.aside(&format!("and {} more", counts.len() - 10));
        }
        if !back.discarded.is_empty() {
            let text = format!("gone with it, because taken later: {}", back.discarded.join(", "));
            self.console.aside(&text);
        }
        if !back.exact {
            self.console.warning(&back.report);
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
                    self.console.warning(warning);
                }
                let took = size::seconds(created.duration);
                self.console.aside(&format!("{name} taken in {took}; %rollback {name} returns to it"));
            }
            Err(failure) => self.console.failure(&failure),
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
                self.console.failure(&failure);
                None
            }
        }
    }

    pub(super) async fn snapshots(&mut self) {
        match self.session().snapshots().await {
            Ok(known) => {
                let table = render::snapshots(self.console.palette, &known, |count| self.log.title(count));
                self.console.line(&table);
            }
            Err(failure) => self.console.failure(&failure),
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
            self.console.error(&text);
        }
        found.map(|one| one.snapshot_id.clone())
    }

    pub(super) async fn rollback(&mut self, name: &str) {
        let Some(id) = self.find(name).await else { return };
        match self.session().rollback_to(&id, None).await {
            Ok(back) => {
                self.returned(&back, "undone");
                if back.exact {
                    self.console.aside(&format!("{name} is back, exactly"));
                }
            }
            Err(failure) => self.console.failure(&failure),
        }
    }

    pub(super) async fn drop_snapshot(&mut self, name: &str) {
        let Some(id) = self.find(name).await else { return };
        if let Err(failure) = self.session().drop_snapshot(&id).await {
            self.console.failure(&failure);
        }
    }
}
