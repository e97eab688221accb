//! `%checkpoint`, `%restore`, `%checkpoints`, `%diff`: what a person does with saved sessions.

use super::state::Repl;
use crate::checkpoint::{CancelOnDrop, called, differences, list, package_difference};
use crate::signals::Asked;
use crate::size;
use crate::table::plain;
use pyrepl3_engine::protocol::message::{CheckpointCreated, Lost, Restored};
use pyrepl3_engine::{CheckpointNote, Code};
use std::time::{Duration, Instant};

/// Progress of a checkpoint that is made sooner is not shown.
const SHORT: Duration = Duration::from_millis(400);

impl Repl {
    /// Saves the session. Some when a signal ends the program meanwhile.
    pub(super) async fn checkpoint(&mut self, name: Option<&str>) -> Option<u8> {
        let mut checkpointing = match self.session().begin_checkpoint(name) {
            Ok(checkpointing) => checkpointing,
            Err(failure) => {
                self.console.failure(&failure);
                return None;
            }
        };
        let give_up = CancelOnDrop::new(checkpointing.canceller());
        let begun = Instant::now();
        loop {
            tokio::select! {
                note = checkpointing.progress() => match note {
                    Some(note) if begun.elapsed() >= SHORT => self.console.screen.passing(&progress(&note)),
                    Some(_) => {}
                    None => break,
                },
                asked = self.signals.next() => match asked {
                    Asked::Interrupt => give_up.cancel(),
                    Asked::End(signal) => return Some(crate::exit::of_signal(signal)),
                },
            }
        }
        let finished = checkpointing.finish().await;
        self.console.screen.passing("");
        match finished {
            Ok(created) => self.checkpointed(&created),
            Err(failure) if failure.code == Code::Interrupted => {
                self.console.aside("given up; nothing of it is kept");
            }
            Err(failure) => self.console.failure(&failure),
        }
        None
    }

    /// Tells of a session that was saved.
    pub(super) fn checkpointed(&mut self, created: &CheckpointCreated) {
        let text = format!(
            "saved as {} in {}: {} variables, {}; {} were newly stored",
            called(&created.name, &created.checkpoint_id),
            size::seconds(created.duration),
            created.variables.len(),
            size::bytes(created.size_bytes),
            size::bytes(created.stored_bytes),
        );
        self.console.aside(&text);
        self.lost("not saved", &created.lost);
    }

    fn lost(&mut self, label: &str, lost: &[Lost]) {
        for one in lost {
            let text = format!("{label}: {}: {}", plain(&one.name), plain(&one.reason));
            self.console.warning(&text);
        }
    }

    /// Brings a saved session back into this one.
    pub(super) async fn restore(&mut self, asked: &str, partial: bool) -> Option<u8> {
        let session = self.session();
        let work = session.restore(asked, partial);
        tokio::pin!(work);
        let answer = loop {
            tokio::select! {
                answer = &mut work => break answer,
                signal = self.signals.next() => match signal {
                    Asked::Interrupt => {
                        let session = session.clone();
                        tokio::spawn(async move { session.interrupt().await });
                    }
                    Asked::End(signal) => return Some(crate::exit::of_signal(signal)),
                },
            }
        };
        match answer {
            Ok(restored) => {
                self.restored(&restored);
                self.console.aside("%undo returns to the state before it");
            }
            Err(failure) => self.console.failure(&failure),
        }
        None
    }

    /// Tells what came back, and what did not.
    pub(super) fn restored(&mut self, restored: &Restored) {
        self.log.mark_undone(&restored.undone, &[]);
        let names: Vec<_> = restored.variables.iter().map(|one| plain(&one.name)).collect();
        let names = if names.is_empty() { "nothing, as it is empty".to_owned() } else { names.join(", ") };
        let called = called(&restored.name, &restored.checkpoint_id);
        let text = format!("{called} is back in {}: {names}", size::seconds(restored.duration));
        self.console.aside(&text);
        self.lost("not back", &restored.lost);
        for package in &restored.packages {
            self.console.warning(&package_difference(package));
        }
    }

    pub(super) async fn checkpoints(&mut self) {
        match self.session().checkpoints().await {
            Ok(known) if known.is_empty() => {
                self.console.aside("no checkpoints yet; %checkpoint NAME makes one");
            }
            Ok(known) => self.console.table(list(&known)),
            Err(failure) => self.console.failure(&failure),
        }
    }

    /// What differs between two checkpoints, or between one and the session as it is.
    pub(super) async fn diff(&mut self, earlier: &str, later: Option<&str>) {
        match self.session().diff(earlier, later).await {
            Ok(found) if found.is_empty() => self.console.aside("no name differs"),
            Ok(found) => self.console.table(differences(&found)),
            Err(failure) => self.console.failure(&failure),
        }
    }
}

fn progress(note: &CheckpointNote) -> String {
    let of = if note.total == 0 { String::new() } else { format!(" of {}", note.total) };
    let name: String = plain(&note.name).chars().take(40).collect();
    format!("saving: {}{of} groups, {}, {name} (Ctrl-C gives it up)", note.done, size::bytes(note.bytes))
}
