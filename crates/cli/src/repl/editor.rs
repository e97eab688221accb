//! The line editor, on a thread of its own: it waits for keys, which no task may do.
//!
//! ```text
//!   tasks --Ask--> editor's thread --Answer--> tasks
//! ```

use super::above::Above;
use super::colour::{Palette, Plain, Source};
use super::complete::{Complete, Names, Nothing};
use super::indent::{Action, Next};
use super::live::Live;
use super::password;
use super::prompt::Painted;
use super::quiet::Quiet;
use crate::place::HISTORY;
use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, SearchDirection, SearchQuery, Signal, default_emacs_keybindings,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::mpsc as channel;

/// How often the editor looks for what others want of it.
pub(crate) const POLL: Duration = Duration::from_millis(50);

const COMPLETIONS: &str = "completions";
const INDENT: &str = "indent";
const BACKSPACE: &str = "backspace";

/// What the editor is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A line of Python, or a command. The text is an aside at the right margin.
    Line(String),
    /// An answer to a prompt that code shows.
    Input(String),
    /// One that is not shown.
    Password(String),
    /// The last so many entries of the history.
    History(usize),
}

/// What it answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Text(String),
    /// Ctrl-C.
    Cleared,
    /// Ctrl-D.
    EndOfFile,
    /// [`Editor::stop`] was called.
    Stopped,
    History(Vec<String>),
    /// The terminal failed.
    Failed(String),
}

/// A handle to the editor's thread.
#[derive(Debug)]
pub(crate) struct Editor {
    asks: mpsc::Sender<Ask>,
    answers: channel::UnboundedReceiver<Answer>,
    stop: Arc<AtomicBool>,
    busy: bool,
}

/// What the editor works with.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) live: Arc<Live>,
    pub(crate) above: Arc<Above>,
    pub(crate) palette: Palette,
    pub(crate) history: Option<PathBuf>,
}

impl Editor {
    /// Starts the thread.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub(crate) fn start(parts: Parts) -> io::Result<Editor> {
        let (asks, inbox) = mpsc::channel();
        let (outbox, answers) = channel::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        std::thread::Builder::new().name("editor".into()).spawn(move || {
            let mut desk = Desk::new(parts, flag);
            while let Ok(ask) = inbox.recv() {
                if outbox.send(desk.answer(ask)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Editor { asks, answers, stop, busy: false })
    }

    /// Asks for something. One thing at a time.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.stop.store(false, Ordering::Release);
        // That the thread is gone is told by `answer`.
        _ = self.asks.send(ask);
        self.busy = true;
    }

    /// Whether an answer is due.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The answer that is due.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = self.answers.recv().await;
        self.busy = false;
        answer.unwrap_or_else(|| Answer::Failed("the line editor has ended".into()))
    }

    /// Has it answer soon, whatever has been typed.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The thread's own: one editor for lines, another for answers to prompts.
struct Desk {
    parts: Parts,
    stop: Arc<AtomicBool>,
    lines: Option<Reedline>,
    inputs: Option<Reedline>,
}

impl Desk {
    fn new(parts: Parts, stop: Arc<AtomicBool>) -> Desk {
        let (lines, inputs) = (line_editor(&parts, stop.clone()), input_editor(&parts, stop.clone()));
        Desk { lines: Some(lines), inputs: Some(inputs), parts, stop }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Line(right) => {
                let prompt = Painted::line(self.parts.palette, &right);
                let answer = read(&mut self.lines, &prompt, &self.parts.above);
                // At once, so that whatever ends this program leaves it behind.
                _ = self.lines.as_mut().map(Reedline::sync_history);
                answer
            }
            Ask::Input(text) => {
                let prompt = Painted::input(self.parts.palette, &text);
                read(&mut self.inputs, &prompt, &self.parts.above)
            }
            Ask::Password(text) => password::read(&text, &self.parts.above, &self.stop),
            Ask::History(count) => {
                let everything = SearchQuery::everything(SearchDirection::Backward, None);
                let history = self.lines.as_ref().map(Reedline::history);
                let found = history.and_then(|history| history.search(everything).ok()).unwrap_or_default();
                Answer::History(found.into_iter().take(count).rev().map(|item| item.command_line).collect())
            }
        }
    }
}

fn read(place: &mut Option<Reedline>, prompt: &Painted, above: &Above) -> Answer {
    // An editor is changed by value, and every line gets a printer of its own.
    let Some(editor) = place.take() else { return Answer::Failed("the line editor is gone".into()) };
    let mut editor = editor.with_external_printer(above.open());
    let answer = match editor.read_line(prompt) {
        Ok(Signal::Success(text)) => Answer::Text(text),
        Ok(Signal::CtrlC) => Answer::Cleared,
        Ok(Signal::CtrlD) => Answer::EndOfFile,
        Ok(_) => {
            // What was typed belongs to nobody any more.
            editor.run_edit_commands(&[EditCommand::Clear]);
            Answer::Stopped
        }
        Err(error) => Answer::Failed(error.to_string()),
    };
    *place = Some(editor);
    answer
}

fn line_editor(parts: &Parts, stop: Arc<AtomicBool>) -> Reedline {
    let next = Next::default();
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
        .with_validator(Box::new(Complete { live: parts.live.clone(), next: next.clone() }))
        .with_completer(Box::new(Names { live: parts.live.clone(), above: parts.above.clone() }))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(Quiet(completions))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(Action::indent(INDENT, next))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(Action::backspace(BACKSPACE))))
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

fn input_editor(parts: &Parts, stop: Arc<AtomicBool>) -> Reedline {
    let mut editor = Reedline::create()
        .with_highlighter(Box::new(Plain))
        .with_completer(Box::new(Nothing { above: parts.above.clone() }))
        .with_ansi_colors(parts.palette.is_on())
        .with_break_signal(stop)
        .with_poll_interval(POLL);
    // What was answered before can be answered again, but it is not kept: it may be private.
    if let Ok(history) = FileBackedHistory::new(HISTORY) {
        editor = editor.with_history(Box::new(history));
    }
    editor
}
