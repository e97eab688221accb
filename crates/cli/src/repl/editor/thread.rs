//! The line editor, on a thread of its own: it waits for keys, which no task may do.
//!
//! ```text
//!   tasks --EditorRequest--> editor's thread --EditorAnswer--> tasks
//! ```

use super::line_editor::{EditorParts, input_editor, line_editor};
use super::password;
use super::prompt::PaintedPrompt;
use super::requests::{EditorAnswer, EditorRequest};
use crate::repl::display::print_queue::PrintQueue;
use reedline::{EditCommand, Reedline, SearchDirection, SearchQuery, Signal};
use std::io;
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
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        std::thread::Builder::new().name("editor".into()).spawn(move || {
            let mut thread = EditorThread::new(parts, flag);
            while let Ok(ask) = inbox.recv() {
                if outbox.send(thread.answer(ask)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Editor { asks, answers, stop, busy: false })
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

    /// Has it answer soon, whatever has been typed.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The thread's own: one editor for lines, another for answers to prompts.
struct EditorThread {
    parts: EditorParts,
    stop: Arc<AtomicBool>,
    lines: Option<Reedline>,
    inputs: Option<Reedline>,
}

impl EditorThread {
    fn new(parts: EditorParts, stop: Arc<AtomicBool>) -> EditorThread {
        let (lines, inputs) = (line_editor(&parts, stop.clone()), input_editor(&parts, stop.clone()));
        EditorThread { lines: Some(lines), inputs: Some(inputs), parts, stop }
    }

    fn answer(&mut self, ask: EditorRequest) -> EditorAnswer {
        match ask {
            EditorRequest::Line(right) => {
                let prompt = PaintedPrompt::line(self.parts.palette, &right);
                let answer = read(&mut self.lines, &prompt, &self.parts.queue);
                // At once, so that whatever ends this program leaves it behind.
                _ = self.lines.as_mut().map(Reedline::sync_history);
                answer
            }
            EditorRequest::Input(text) => {
                let prompt = PaintedPrompt::input(self.parts.palette, &text);
                read(&mut self.inputs, &prompt, &self.parts.queue)
            }
            EditorRequest::Password(text) => password::read(&text, &self.parts.queue, &self.stop),
            EditorRequest::History(count) => {
                let everything = SearchQuery::everything(SearchDirection::Backward, None);
                let history = self.lines.as_ref().map(Reedline::history);
                let found = history.and_then(|history| history.search(everything).ok()).unwrap_or_default();
                EditorAnswer::History(found.into_iter().take(count).rev().map(|item| item.command_line).collect())
            }
        }
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
