//! The line editor, on a thread of its own: it waits for keys, which no task may do.
//!
//! ```text
//!   tasks --EditorRequest--> editor's thread --EditorAnswer--> tasks
//! ```

use super::completion::SessionValidator;
use super::indent::NextIndent;
use super::line_editor::{EditorParts, input_editor, line_editor};
use super::password;
use super::prompt::PaintedPrompt;
use super::requests::{EditorAnswer, EditorRequest};
use super::typed_ahead::{Typed, TypedAhead};
use crate::repl::display::print_queue::PrintQueue;
use crate::repl::display::terminal;
use reedline::{EditCommand, HistoryItem, Reedline, SearchDirection, SearchQuery, Signal, ValidationResult, Validator};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use tokio::sync::mpsc as channel;

/// A handle to the editor's thread.
#[derive(Debug)]
pub(crate) struct Editor {
    asks: mpsc::Sender<EditorRequest>,
    answers: channel::UnboundedReceiver<EditorAnswer>,
    stop: Arc<AtomicBool>,
    forget: Arc<AtomicBool>,
    busy: bool,
}

impl Editor {
    /// Starts the thread.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub(crate) fn start(parts: EditorParts) -> io::Result<Editor> {
        let (asks, inbox) = mpsc::channel();
        let (outbox, answers) = channel::unbounded_channel();
        let (stop, forget) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (stop.clone(), forget.clone());
        std::thread::Builder::new().name("editor".into()).spawn(move || {
            let mut thread = EditorThread::new(parts, flags);
            while let Ok(ask) = inbox.recv() {
                if outbox.send(thread.answer(ask)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Editor { asks, answers, stop, forget, busy: false })
    }

    /// Asks for something. One thing at a time.
    pub(crate) fn ask(&mut self, ask: EditorRequest) {
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
    pub(crate) async fn answer(&mut self) -> EditorAnswer {
        let answer = self.answers.recv().await;
        self.busy = false;
        answer.unwrap_or_else(|| EditorAnswer::Failed("the line editor has ended".into()))
    }

    /// Has it forget lines that were typed while code ran, as the terminal does at Ctrl-C.
    pub(crate) fn forget_typed_ahead(&self) {
        self.forget.store(true, Ordering::Release);
    }

    /// Has it answer soon, whatever has been typed.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The thread's own: one editor for lines, another for answers to prompts.
struct EditorThread {
    parts: EditorParts,
    stop: Arc<AtomicBool>,
    forget: Arc<AtomicBool>,
    lines: Option<Reedline>,
    inputs: Option<Reedline>,
    typed: TypedAhead,
    /// Tells whether a text that was typed ahead is complete.
    validator: SessionValidator,
    /// Keys wait that were read while the editor had the terminal; they are older than lines that wait there.
    has_keys: bool,
}

impl EditorThread {
    fn new(parts: EditorParts, (stop, forget): (Arc<AtomicBool>, Arc<AtomicBool>)) -> EditorThread {
        let (lines, inputs) = (line_editor(&parts, stop.clone()), input_editor(&parts, stop.clone()));
        let validator = SessionValidator { session: parts.session.clone(), next: NextIndent::default() };
        let (lines, inputs, typed) = (Some(lines), Some(inputs), TypedAhead::default());
        EditorThread { parts, stop, forget, lines, inputs, typed, validator, has_keys: false }
    }

    fn answer(&mut self, ask: EditorRequest) -> EditorAnswer {
        if self.forget.swap(false, Ordering::AcqRel) {
            self.typed.clear();
        }
        if !self.has_keys && terminal::is_in_line_mode() {
            self.typed.read(rustix::stdio::stdin());
        }
        match ask {
            EditorRequest::Line(right) => {
                let prompt = PaintedPrompt::line(self.parts.palette, &right);
                let answer = self.typed_line(&prompt).unwrap_or_else(|| {
                    let answer = read(&mut self.lines, &prompt, &self.parts.queue);
                    self.has_keys = self.parts.keys.take();
                    answer
                });
                // At once, so that whatever ends this program leaves it behind.
                _ = self.lines.as_mut().map(Reedline::sync_history);
                answer
            }
            EditorRequest::Input(text) => {
                let prompt = PaintedPrompt::input(self.parts.palette, &text);
                self.typed_answer(&text, true).unwrap_or_else(|| {
                    insert(self.inputs.as_mut(), self.typed.take_begun());
                    let answer = read(&mut self.inputs, &prompt, &self.parts.queue);
                    self.has_keys = self.parts.keys.take();
                    answer
                })
            }
            EditorRequest::Password(text) => self.typed_answer(&text, false).unwrap_or_else(|| {
                let answer = password::read(&text, self.typed.take_begun(), &self.parts, &self.stop);
                self.has_keys = self.parts.keys.take();
                answer
            }),
            EditorRequest::History(count) => {
                let everything = SearchQuery::everything(SearchDirection::Backward, None);
                let history = self.lines.as_ref().map(Reedline::history);
                let found = history.and_then(|history| history.search(everything).ok()).unwrap_or_default();
                EditorAnswer::History(found.into_iter().take(count).rev().map(|item| item.command_line).collect())
            }
        }
    }
}

impl EditorThread {
    /// A line that was typed ahead, shown as if it were typed now. What is not complete is put into the editor.
    fn typed_line(&mut self, prompt: &PaintedPrompt) -> Option<EditorAnswer> {
        let mut text = String::new();
        while let Some(typed) = self.typed.next() {
            match typed {
                Typed::EndOfFile if text.is_empty() => return Some(EditorAnswer::EndOfFile),
                Typed::EndOfFile => {}
                Typed::Line(line) => {
                    text.push_str(&line);
                    if matches!(self.validator.validate(&text), ValidationResult::Complete) {
                        show(&prompt.with(&text));
                        self.remember(&text);
                        return Some(EditorAnswer::Text(text));
                    }
                    text.push('\n');
                }
            }
        }
        insert(self.lines.as_mut(), text + &self.typed.take_begun());
        None
    }

    /// An answer to a prompt that was typed ahead.
    fn typed_answer(&mut self, prompt: &str, shown: bool) -> Option<EditorAnswer> {
        match self.typed.next()? {
            Typed::EndOfFile => Some(EditorAnswer::EndOfFile),
            Typed::Line(line) => {
                show(&format!("{prompt}{}", if shown { &line } else { "" }));
                Some(EditorAnswer::Text(line))
            }
        }
    }

    fn remember(&mut self, text: &str) {
        if let Some(editor) = self.lines.as_mut().filter(|_| !text.trim().is_empty()) {
            // A line that is not remembered is still run.
            _ = editor.history_mut().save(HistoryItem::from_command_line(text));
        }
    }
}

/// Shows a line that was typed ahead. What the terminal has shown of a further one stands where it begins.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone is told by SIGHUP.
    _ = stdout.write_all(format!("\r\u{1b}[K{text}\n").as_bytes());
    _ = stdout.flush();
}

fn insert(editor: Option<&mut Reedline>, text: String) {
    if let Some(editor) = editor.filter(|_| !text.is_empty()) {
        editor.run_edit_commands(&[EditCommand::InsertString(text)]);
    }
}

fn read(slot: &mut Option<Reedline>, prompt: &PaintedPrompt, queue: &PrintQueue) -> EditorAnswer {
    // An editor is changed by value, and every line gets a printer of its own.
    let Some(editor) = slot.take() else { return EditorAnswer::Failed("the line editor is gone".into()) };
    let mut editor = editor.with_external_printer(queue.open());
    let answer = match editor.read_line(prompt) {
        Ok(Signal::Success(text)) => EditorAnswer::Text(text),
        Ok(Signal::CtrlC) => EditorAnswer::Cleared,
        Ok(Signal::CtrlD) => EditorAnswer::EndOfFile,
        Ok(_) => {
            // What was typed belongs to nobody any more.
            editor.run_edit_commands(&[EditCommand::Clear]);
            EditorAnswer::Stopped
        }
        Err(error) => EditorAnswer::Failed(error.to_string()),
    };
    *slot = Some(editor);
    answer
}
