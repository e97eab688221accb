//! What the editor's thread is asked for, and what it answers.

use std::time::Duration;

/// How often the editor looks for what others want of it.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// What the editor is asked for.
#[derive(Debug)]
pub(crate) enum EditorRequest {
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
pub(crate) enum EditorAnswer {
    Text(String),
    /// Ctrl-C.
    Cleared,
    /// Ctrl-D.
    EndOfFile,
    /// [`Editor::stop`](super::thread::Editor::stop) was called.
    Stopped,
    History(Vec<String>),
    /// The terminal failed.
    Failed(String),
}
