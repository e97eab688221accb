//! The two line editors as they are set up: one for lines of Python, one for answers to prompts.

use super::completion::{NoCompleter, SessionCompleter, SessionValidator};
use super::completion_menu::CompletionMenu;
use super::indent::{KeyAction, NextIndent};
use super::requests::POLL;
use super::waiting_keys::{AnyText, WaitingKeys, Watched};
use crate::repl::current_session::CurrentSession;
use crate::repl::display::colour::{Palette, Plain, Source};
use crate::repl::display::print_queue::PrintQueue;
use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, default_emacs_keybindings,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Entries that the history keeps.
const HISTORY: usize = 10_000;
const COMPLETIONS: &str = "completions";
const INDENT: &str = "indent";
const BACKSPACE: &str = "backspace";

/// What the editor works with.
#[derive(Debug, Clone)]
pub(crate) struct EditorParts {
    pub(crate) session: Arc<CurrentSession>,
    pub(crate) queue: Arc<PrintQueue>,
    pub(crate) palette: Palette,
    pub(crate) history: Option<PathBuf>,
    pub(crate) keys: WaitingKeys,
}

/// For lines of Python and commands.
pub(crate) fn line_editor(parts: &EditorParts, stop: Arc<AtomicBool>) -> Reedline {
    let next = NextIndent::default();
    let mut keys = default_emacs_keybindings();
    let tab = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(COMPLETIONS.into()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, tab);
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    // The search of the history takes no `Multiple`; there Enter is Enter.
    let enter = vec![ReedlineEvent::Enter, ReedlineEvent::Menu(INDENT.into())];
    let enter = ReedlineEvent::UntilFound(vec![ReedlineEvent::Multiple(enter), ReedlineEvent::Enter]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Enter, enter);
    let newline = ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, newline);
    let erase = ReedlineEvent::Edit(vec![EditCommand::Backspace]);
    let backspace = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(BACKSPACE.into()), erase]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Backspace, backspace);

    let colours = parts.palette.is_on();
    let selected = if colours { Style::new().reverse() } else { Style::new() };
    let completions = ColumnarMenu::default()
        .with_name(COMPLETIONS)
        .with_marker("")
        .with_column_padding(2)
        .with_text_style(Style::new())
        .with_selected_text_style(selected)
        .with_match_text_style(Style::new())
        .with_selected_match_text_style(selected);

    let mut editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_highlighter(Box::new(Source))
        .with_validator(Box::new(Watched {
            validator: SessionValidator { session: parts.session.clone(), next: next.clone() },
            keys: parts.keys.clone(),
        }))
        .with_completer(Box::new(SessionCompleter { session: parts.session.clone(), queue: parts.queue.clone() }))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(CompletionMenu(completions))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(KeyAction::indent(INDENT, next))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(KeyAction::backspace(BACKSPACE))))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_ansi_colors(colours)
        .use_bracketed_paste(true)
        .with_break_signal(stop)
        .with_poll_interval(POLL);
    if colours {
        // Without colours a hint looks like text that was typed.
        editor = editor.with_hinter(Box::new(DefaultHinter::default().with_style(Color::DarkGray.normal())));
    }
    if let Some(history) = parts.history.clone().and_then(|file| FileBackedHistory::with_file(HISTORY, file).ok()) {
        editor = editor.with_history(Box::new(history));
    }
    editor
}

/// For answers to prompts.
pub(crate) fn input_editor(parts: &EditorParts, stop: Arc<AtomicBool>) -> Reedline {
    let mut editor = Reedline::create()
        .with_highlighter(Box::new(Plain))
        .with_completer(Box::new(NoCompleter { queue: parts.queue.clone() }))
        .with_validator(Box::new(Watched { validator: AnyText, keys: parts.keys.clone() }))
        .with_ansi_colors(parts.palette.is_on())
        .with_break_signal(stop)
        .with_poll_interval(POLL);
    // What was answered before can be answered again, but it is not kept: it may be private.
    if let Ok(history) = FileBackedHistory::new(HISTORY) {
        editor = editor.with_history(Box::new(history));
    }
    editor
}
