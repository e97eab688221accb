//! What an entered line does.

use super::command::{self, Command};
use super::display::{render, terminal};
use super::editor::indent;
use super::editor::requests::{EditorAnswer, EditorRequest};
use super::state::Repl;
use crate::{exit, paths};
use pyrepl3_engine::{ExecuteRequest, Source};
use std::path::Path;

impl Repl {
    /// Takes a line; Some when it ends the program.
    pub(super) async fn line(&mut self, text: String) -> Option<u8> {
        if text.trim().is_empty() {
            return None;
        }
        let Some(command) = command::parse(&text) else {
            // Before Python 3.13 these words alone only explain themselves.
            if matches!(text.trim(), "exit" | "quit") {
                return Some(exit::SUCCESS);
            }
            self.execute(ExecuteRequest::from(indent::dedent(&text).as_ref()), false);
            return None;
        };
        match command {
            Command::Quit => return Some(exit::SUCCESS),
            Command::Help => self.help(),
            Command::Who => self.who().await,
            Command::History(count) => self.history(count).await,
            Command::Reset => {
                self.session().shutdown().await;
                return self.fresh().await;
            }
            Command::Undo(count) => self.undo(count).await,
            Command::Redo(count) => self.redo(count).await,
            Command::Snapshot(name) => self.snapshot(name).await,
            Command::Snapshots => self.snapshots().await,
            Command::Rollback(name) => self.rollback(&name).await,
            Command::Drop(name) => self.drop_snapshot(&name).await,
            Command::Checkpoint(name) => return self.checkpoint(name.as_deref()).await,
            Command::Restore(name, partial) => return self.restore(&name, partial).await,
            Command::Checkpoints => self.checkpoints().await,
            Command::Diff(earlier, later) => self.diff(&earlier, later.as_deref()).await,
            Command::Branch(name) => self.branch(name).await,
            Command::Branches => self.list_branches(),
            Command::Switch(name) => self.switch(&name),
            Command::Run(path) => self.run_file(&path),
            Command::Time(code) => self.execute(ExecuteRequest::from(code), true),
            Command::Inspect(name, source) => self.inspect(&name, source).await,
            Command::Wrong(what, how) => {
                self.console.line(&format!("{}; {how}", self.console.palette.error(&what)));
            }
        }
        None
    }

    fn help(&mut self) {
        let help = command::help();
        let width = help.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
        for (usage, does) in help {
            self.console.line(&format!("{}  {does}", self.console.palette.strong(&format!("{usage:width$}"))));
        }
        self.console.aside(
            "\nTab completes, Alt-Enter begins a line, Ctrl-R searches the history, Right takes the grey proposal;\n\
             Ctrl-C clears the line or interrupts what runs, Ctrl-D leaves.",
        );
    }

    async fn who(&mut self) {
        match self.session().variables().await {
            Ok(found) => {
                let table = render::variables(self.console.palette, &found, terminal::columns());
                self.console.line(&table);
            }
            Err(failure) => self.console.failure(&failure),
        }
    }

    async fn inspect(&mut self, name: &str, source: bool) {
        match self.session().inspect(name).await {
            Ok(found) => {
                self.console.line(&render::inspected(self.console.palette, &found, source));
            }
            Err(failure) => self.console.failure(&failure),
        }
    }

    async fn history(&mut self, count: usize) {
        // The line that asks is the last one, and nobody looks for it.
        self.editor.ask(EditorRequest::History(count.saturating_add(1)));
        let EditorAnswer::History(mut entries) = self.editor.answer().await else { return };
        if entries.last().is_some_and(|entry| entry.starts_with("%history")) {
            entries.pop();
        } else if entries.len() > count {
            entries.remove(0);
        }
        for entry in entries {
            let mut line = self.console.palette.source(entry.trim_end());
            if self.log.is_undone(&entry) {
                line += &self.console.palette.aside("  (undone)");
            }
            self.console.line(&line);
        }
    }

    fn run_file(&mut self, path: &Path) {
        let path = paths::expand(path);
        match std::fs::read(&path) {
            Ok(source) => {
                let absolute = std::env::current_dir().unwrap_or_default().join(&path);
                let mut request = ExecuteRequest::new(Source::Bytes(source));
                request.file = Some(absolute.to_string_lossy().into_owned());
                self.execute(request, false);
            }
            Err(error) => {
                self.console.error(&format!("cannot read {}: {error}", path.display()));
            }
        }
    }
}
