//! Indentation: Enter in a block, Backspace before the first word of a line, code pasted from within a block.
//!
//! The editor has no event that looks at its text, but menus may. So each of the two keys is bound to a menu that is
//! never seen: opening it changes the text.

use reedline::{Completer, Editor, LineBuffer, Menu, MenuEvent, MenuSettings, Painter, Suggestion, UndoBehavior};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Columns of one level.
pub(crate) const LEVEL: usize = 4;

/// The indentation of the line that is about to begin, as the session sees it; set where the editor asks whether the
/// text is complete, used once the line has begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct NextIndent(Arc<Mutex<Option<usize>>>);

impl NextIndent {
    pub(crate) fn set(&self, indent: Option<usize>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = indent;
    }

    fn take(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A menu that is never seen, and acts when it is opened.
pub(crate) struct KeyAction {
    settings: MenuSettings,
    act: Box<dyn FnMut(&mut Editor) + Send>,
}

impl KeyAction {
    /// Indents a line that Enter has begun.
    pub(crate) fn indent(name: &str, next: NextIndent) -> KeyAction {
        let act = move |editor: &mut Editor| {
            if let Some(indent) = next.take().filter(|indent| *indent > 0) {
                editor.edit_buffer(|line| begin_line(line, indent), UndoBehavior::CreateUndoPoint);
            }
        };
        KeyAction { settings: MenuSettings::default().with_name(name).with_marker(""), act: Box::new(act) }
    }

    /// Deletes to the left: a level where there is nothing but indentation, else a character.
    pub(crate) fn backspace(name: &str) -> KeyAction {
        let act = |editor: &mut Editor| {
            let selected = editor.get_selection();
            editor.edit_buffer(|line| delete_left(line, selected), UndoBehavior::CreateUndoPoint);
        };
        KeyAction { settings: MenuSettings::default().with_name(name).with_marker(""), act: Box::new(act) }
    }
}

/// At the end of the text the session knows best; within it the line before is the model.
fn begin_line(line: &mut LineBuffer, indent: usize) {
    let at = line.insertion_point();
    let text = line.get_buffer();
    let width = if at == text.len() {
        indent
    } else {
        let before = text[..at].trim_end_matches('\n');
        let last = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        let width = last.len() - last.trim_start_matches(' ').len();
        if last.trim_end().ends_with(':') { width + LEVEL } else { width }
    };
    line.insert_str(&" ".repeat(width));
}

fn delete_left(line: &mut LineBuffer, selected: Option<(usize, usize)>) {
    if let Some((start, end)) = selected {
        line.clear_range_safe(start..end);
        line.set_insertion_point(start);
        line.clear_selection();
        return;
    }
    let at = line.insertion_point();
    let text = line.get_buffer();
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let width = at - start;
    if width > 0 && text[start..at].bytes().all(|byte| byte == b' ') {
        let keep = start + (width - 1) / LEVEL * LEVEL;
        line.clear_range_safe(keep..at);
        line.set_insertion_point(keep);
    } else {
        line.delete_left_grapheme();
    }
}

impl Menu for KeyAction {
    fn settings(&self) -> &MenuSettings {
        &self.settings
    }

    fn is_active(&self) -> bool {
        false
    }

    fn set_active(&mut self, _active: bool) {}

    fn clear_input(&mut self) {}

    fn menu_event(&mut self, _event: MenuEvent) {}

    fn can_quick_complete(&self) -> bool {
        false
    }

    fn can_partially_complete(&mut self, _updated: bool, editor: &mut Editor, _completer: &mut dyn Completer) -> bool {
        (self.act)(editor);
        false
    }

    fn update_values(&mut self, _editor: &mut Editor, _completer: &mut dyn Completer) {}

    fn reset_position(&mut self) {}

    fn update_working_details(&mut self, _: &mut Editor, _: &mut dyn Completer, _: &Painter) {}

    fn replace_in_buffer(&self, _editor: &mut Editor) {}

    fn menu_required_lines(&self, _columns: u16) -> u16 {
        0
    }

    fn menu_string(&self, _lines: u16, _colours: bool) -> String {
        String::new()
    }

    fn min_rows(&self) -> u16 {
        0
    }

    fn get_values(&self) -> &[Suggestion] {
        &[]
    }
}

/// Code that was copied from within a block: what all its lines are indented by is taken away.
pub(crate) fn dedent(code: &str) -> Cow<'_, str> {
    let first = code.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let margin = &first[..first.len() - first.trim_start_matches([' ', '\t']).len()];
    if margin.is_empty() || !code.lines().all(|line| line.starts_with(margin) || line.trim().is_empty()) {
        return Cow::Borrowed(code);
    }
    let lines = code
        .split_inclusive('\n')
        .map(|line| line.strip_prefix(margin).unwrap_or(line.trim_start_matches([' ', '\t'])));
    Cow::Owned(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(text: &str, at: usize) -> LineBuffer {
        let mut line = LineBuffer::from(text);
        line.set_insertion_point(at);
        line
    }

    #[test]
    fn backspace_takes_a_level() {
        for (text, at, after) in [
            ("        x", 8, "    x"),
            ("      x", 6, "    x"),
            ("ab", 2, "a"),
            ("x\n    ", 6, "x\n"),
            ("x\n", 2, "x"),
            ("", 0, ""),
            ("é", 2, ""),
        ] {
            let mut line = buffer(text, at);
            delete_left(&mut line, None);
            assert_eq!(line.get_buffer(), after, "{text:?}");
        }
        let mut line = buffer("abc", 3);
        delete_left(&mut line, Some((0, 2)));
        assert_eq!(line.get_buffer(), "c");
    }

    #[test]
    fn a_line_begins_where_its_block_is() {
        let mut line = buffer("if x:\n", 6);
        begin_line(&mut line, 4);
        assert_eq!(line.get_buffer(), "if x:\n    ");
        let mut line = buffer("if x:\n    a\n\n    b", 12);
        begin_line(&mut line, 0);
        assert_eq!(line.get_buffer(), "if x:\n    a\n    \n    b");
    }

    #[test]
    fn a_common_margin_goes() {
        assert_eq!(dedent("  if x:\n\n    y\n"), "if x:\n\n  y\n");
        assert_eq!(dedent("  x\ny"), "  x\ny");
        assert_eq!(dedent("x\n  y"), "x\n  y");
        assert_eq!(dedent(""), "");
    }
}
