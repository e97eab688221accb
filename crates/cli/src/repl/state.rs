//! The interactive session: all its parts.

use super::branches::Branches;
use super::current_session::CurrentSession;
use super::display::colour::Palette;
use super::display::console::Console;
use super::display::print_queue::PrintQueue;
use super::display::screen::Screen;
use super::editor::line_editor::EditorParts;
use super::editor::thread::Editor;
use super::editor::waiting_keys::WaitingKeys;
use super::execution_log::ExecutionLog;
use super::prompts::{EditorTask, Prompts};
use super::running::Running;
use super::session_factory::SessionFactory;
use crate::bundle::Album;
use crate::paths;
use crate::signals::Signals;
use pyrepl3_engine::{Events, Session};
use std::io;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The interactive session.
#[derive(Debug)]
pub(crate) struct Repl {
    pub(super) factory: SessionFactory,
    pub(super) current: Arc<CurrentSession>,
    pub(super) events: Events,
    pub(super) signals: Signals,
    pub(super) editor: Editor,
    pub(super) editor_task: EditorTask,
    pub(super) console: Console,
    pub(super) prompts: Prompts,
    pub(super) running: Option<Running>,
    /// What was executed in this session, and the other sessions.
    pub(super) log: ExecutionLog,
    pub(super) branches: Branches<OtherSession>,
    /// The loss of the session's state was told already, as the end of what ran.
    pub(super) loss_told: bool,
    /// An aside for the next prompt.
    pub(super) remark: String,
}

/// A session that the terminal is not connected to now.
#[derive(Debug)]
pub(super) struct OtherSession {
    pub(super) session: Session,
    pub(super) events: Events,
    pub(super) log: ExecutionLog,
    /// Prompts of its threads that wait until somebody comes back.
    pub(super) prompts: Prompts,
}

impl Repl {
    pub(crate) fn new(factory: SessionFactory, session: &Session, signals: Signals) -> io::Result<Repl> {
        let palette = Palette::from_env();
        let current = CurrentSession::new(session.clone(), Handle::current());
        let queue = Arc::new(PrintQueue::default());
        let data_dir = paths::data_dir();
        let album = data_dir.as_ref().map(|data_dir| Album::keeping(data_dir.join("figures")));
        let mut console = Console::new(Screen::new(queue.clone()), palette, album);
        let history = match data_dir.as_deref().map(paths::history_file) {
            Some(Ok(path)) => Some(path),
            Some(Err(error)) => {
                console.warning(&format!("the history is not kept: {error}"));
                None
            }
            None => {
                console.warning("the history is not kept: HOME is not set");
                None
            }
        };
        let editor = Editor::start(EditorParts {
            session: current.clone(),
            queue,
            palette,
            history,
            keys: WaitingKeys::default(),
        })?;
        Ok(Repl {
            factory,
            current,
            events: session.events(),
            signals,
            editor,
            editor_task: EditorTask::Nothing,
            console,
            prompts: Prompts::default(),
            running: None,
            log: ExecutionLog::default(),
            branches: Branches::default(),
            loss_told: false,
            remark: String::new(),
        })
    }

    pub(super) fn session(&self) -> Session {
        self.current.session()
    }
}
