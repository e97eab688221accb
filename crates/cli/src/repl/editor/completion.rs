//! Completion and validation: what the editor asks of the session while a line is edited.

use super::indent::{self, LEVEL, NextIndent};
use crate::paths;
use crate::repl::command;
use crate::repl::current_session::CurrentSession;
use crate::repl::display::print_queue::PrintQueue;
use nu_ansi_term::{Color, Style};
use pyrepl3_engine::protocol::message::{CompletenessStatus, Completions};
use reedline::{Completer, CompletionResult, CompletionStatus, Span, Suggestion, ValidationResult, Validator};
use std::sync::Arc;

/// Completes names, attributes, modules, commands and, for `%run`, files.
#[derive(Debug)]
pub(crate) struct SessionCompleter {
    pub(crate) session: Arc<CurrentSession>,
    pub(crate) queue: Arc<PrintQueue>,
}

/// Completes nothing, but prints above the line as the other does.
#[derive(Debug)]
pub(crate) struct NoCompleter {
    pub(crate) queue: Arc<PrintQueue>,
}

impl Completer for SessionCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let Some(text) = line.get(..pos) else { return CompletionResult::fresh(Vec::new()) };
        CompletionResult::fresh(self.suggestions(text))
    }

    fn poll_completion(&mut self) -> CompletionStatus {
        self.queue.hand_over();
        CompletionStatus::Idle
    }
}

impl Completer for NoCompleter {
    fn complete(&mut self, _line: &str, _pos: usize) -> CompletionResult {
        CompletionResult::fresh(Vec::new())
    }

    fn poll_completion(&mut self) -> CompletionStatus {
        self.queue.hand_over();
        CompletionStatus::Idle
    }
}

impl SessionCompleter {
    fn suggestions(&self, text: &str) -> Vec<Suggestion> {
        let line = &text[text.rfind('\n').map_or(0, |end| end + 1)..];
        if line.bytes().all(|byte| byte == b' ') {
            // Nothing to complete: Tab indents.
            let width = LEVEL - line.len() % LEVEL;
            return vec![suggestion(" ".repeat(width), text.len(), text.len(), "")];
        }
        match command::python_start(text) {
            Some(start) => match self.session.complete(&text[start..]) {
                Some(found) => python(&text[start..], found, start),
                None => Vec::new(),
            },
            None if command::name_length(text) == text.len() => command::names(&text[1..])
                .into_iter()
                .map(|name| suggestion(format!("%{name}"), 0, text.len(), "command"))
                .collect(),
            None => match text.split_once(' ') {
                Some(("%run", path)) => files(path, text.len()),
                Some(("%restore", begun)) => self.checkpoints(begun, text.len()),
                Some(("%diff", begun)) => {
                    let last = begun.rfind(' ').map_or(0, |at| at + 1);
                    self.checkpoints(&begun[last..], text.len())
                }
                _ => Vec::new(),
            },
        }
    }
}

impl SessionCompleter {
    fn checkpoints(&self, begun: &str, end: usize) -> Vec<Suggestion> {
        let mut names = self.session.checkpoints();
        names.retain(|name| name.starts_with(begun));
        names.into_iter().map(|name| suggestion(name, end - begun.len(), end, "")).collect()
    }
}

/// The session counts code points, the editor bytes.
fn python(code: &str, found: Completions, offset: usize) -> Vec<Suggestion> {
    let byte = |points: usize| code.char_indices().nth(points).map_or(code.len(), |(at, _)| at);
    let (start, end) = (byte(found.start as usize), byte(found.end as usize));
    if start > end {
        return Vec::new();
    }
    found.matches.into_iter().map(|found| suggestion(found.text, offset + start, offset + end, &found.kind)).collect()
}

fn suggestion(value: String, start: usize, end: usize, kind: &str) -> Suggestion {
    let style = match kind {
        "function" => Color::Cyan.normal(),
        "class" => Color::Yellow.normal(),
        "module" => Color::Blue.normal(),
        "keyword" | "command" => Color::Purple.normal(),
        _ => Style::new(),
    };
    Suggestion { value, span: Span { start, end }, style: Some(style), ..Suggestion::default() }
}

/// Files and folders that begin so.
fn files(path: &str, end: usize) -> Vec<Suggestion> {
    let (folder, prefix) = path.rfind('/').map_or(("", path), |at| path.split_at(at + 1));
    let place = if folder.is_empty() { ".".into() } else { paths::expand(folder) };
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let wanted = name.starts_with(prefix) && (prefix.starts_with('.') || !name.starts_with('.'));
            (wanted && (is_folder || name.ends_with(".py"))).then(|| {
                let value = format!("{name}{}", if is_folder { "/" } else { "" });
                suggestion(value, end - prefix.len(), end, if is_folder { "module" } else { "" })
            })
        })
        .collect();
    found.sort_by(|one, other| one.value.cmp(&other.value));
    found
}

/// Knows when a text is complete, and how the next line is indented.
#[derive(Debug)]
pub(crate) struct SessionValidator {
    pub(crate) session: Arc<CurrentSession>,
    pub(crate) next: NextIndent,
}

impl Validator for SessionValidator {
    fn validate(&self, text: &str) -> ValidationResult {
        self.next.set(None);
        let code = match command::parse(text) {
            Some(command::Command::Time(code)) => code,
            Some(_) => return ValidationResult::Complete,
            None => indent::dedent(text).into_owned(),
        };
        if code.trim().is_empty() {
            return ValidationResult::Complete;
        }
        match self.session.is_complete(&code) {
            Some(answer) if answer.status == CompletenessStatus::Incomplete => {
                // As far as a terminal is wide: what it says is the session's.
                self.next.set(Some(answer.indent.min(200) as usize));
                ValidationResult::Incomplete
            }
            // What cannot be decided is for Python to judge.
            _ => ValidationResult::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn code_points_become_bytes() {
        let found = r#"{"matches": [{"text": "étude", "type": ""}], "start": 4, "end": 6}"#;
        let found: Completions = serde_json::from_str(found).unwrap();
        let suggestions = python("é = ét", found, 6);
        assert_eq!((suggestions[0].span.start, suggestions[0].span.end), (6 + 5, 6 + 8));
    }
}
