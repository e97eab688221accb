//! The loop of the interactive session: what happens, one thing at a time.

use super::Place;
use super::above::Above;
use super::colour::Palette;
use super::editor::{Answer, Editor, Parts};
use super::live::Live;
use super::screen::Screen;
use super::steps::Steps;
use super::travel::Branches;
use crate::bundle::{self, Album};
use crate::place;
use crate::signals::{Asked, Signals};
use crate::{exit, size};
use pyrepl3_engine::protocol::message::{Bundle, DisplayMessage, InputMessage, Message, OutputMessage, Restored};
use pyrepl3_engine::{ExecuteRequest, Execution, Session, SessionEvents};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// When to say that code has not stopped yet.
pub(super) const SLOW_TO_STOP: Duration = Duration::from_millis(1500);
/// What the editor was asked for.
#[derive(Debug)]
pub(super) enum Asking {
    Nothing,
    Line,
    Prompt(InputMessage),
}

/// What runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) execution: Execution,
    pub(super) request: ExecuteRequest,
    /// Whether time and memory are to be shown.
    pub(super) timed: bool,
    pub(super) retried: bool,
    /// Since when it is being stopped, and whether it was said that this takes long.
    pub(super) stopping: Option<Instant>,
    pub(super) said_so: bool,
}

#[derive(Debug)]
enum Happening {
    Signal(Asked),
    Answer(Answer),
    Said(Option<Message>),
    Event(Option<Message>),
    Time,
}

/// The interactive session.
#[derive(Debug)]
pub(crate) struct Repl {
    place: Place,
    pub(super) live: Arc<Live>,
    pub(super) events: SessionEvents,
    pub(super) signals: Signals,
    pub(super) editor: Editor,
    pub(super) screen: Screen,
    pub(super) palette: Palette,
    album: Option<Album>,
    pub(super) asking: Asking,
    pub(super) prompts: VecDeque<InputMessage>,
    pub(super) running: Option<Running>,
    /// What was executed in this session, and the other sessions.
    pub(super) steps: Steps,
    pub(super) branches: Branches,
    /// The loss of the session's state was told already, as the end of what ran.
    pub(super) loss_told: bool,
    /// An aside for the next prompt.
    pub(super) remark: String,
}

impl Repl {
    pub(crate) fn new(place: Place, session: &Session, signals: Signals) -> io::Result<Repl> {
        let palette = Palette::from_env();
        let live = Live::new(session.clone(), Handle::current());
        let above = Arc::new(Above::default());
        let mut screen = Screen::new(above.clone());
        let folder = place::folder();
        let history = match folder.as_deref().map(place::history) {
            Some(Ok(path)) => Some(path),
            Some(Err(error)) => {
                screen.line(&palette.warning(&format!("the history is not kept: {error}")));
                None
            }
            None => {
                screen.line(&palette.warning("the history is not kept: HOME is not set"));
                None
            }
        };
        let editor = Editor::start(Parts { live: live.clone(), above, palette, history })?;
        Ok(Repl {
            place,
            live,
            events: session.events(),
            signals,
            editor,
            screen,
            palette,
            album: folder.map(|folder| Album::keeping(folder.join("figures"))),
            asking: Asking::Nothing,
            prompts: VecDeque::new(),
            running: None,
            steps: Steps::default(),
            branches: Branches::default(),
            loss_told: false,
            remark: String::new(),
        })
    }

    pub(super) fn session(&self) -> Session {
        self.live.session()
    }

    /// Runs until a person, the code, or a signal ends it; returns the exit status.
    pub(crate) async fn run(mut self, restored: Option<Restored>) -> u8 {
        self.greet();
        if let Some(restored) = restored {
            self.restored(&restored);
        }
        loop {
            self.ask().await;
            let done = match self.next().await {
                Happening::Signal(Asked::Interrupt) => {
                    self.screen.echoed("^C");
                    self.interrupt();
                    None
                }
                Happening::Signal(Asked::End(signal)) => return self.end(signal).await,
                Happening::Answer(answer) => self.answered(answer).await,
                Happening::Said(message) => self.said(message).await,
                Happening::Event(message) => self.event(message).await,
                Happening::Time => {
                    self.time();
                    None
                }
            };
            if let Some(status) = done {
                return self.leave(status).await;
            }
        }
    }

    fn greet(&mut self) {
        let python = self.session().python();
        let (version, path) = python.map_or_else(Default::default, |python| (python.version, python.executable));
        let name = self.palette.strong(&format!("pyrepl3 {}", env!("CARGO_PKG_VERSION")));
        self.screen.line(&format!("{name}  Python {version}  {}", self.palette.aside(&path)));
        self.screen.line(&self.palette.aside("%help lists the commands, Tab completes, Ctrl-D leaves"));
    }

    async fn next(&mut self) -> Happening {
        let slow = self.running.as_ref().filter(|running| !running.said_so).and_then(|running| running.stopping);
        let deadline = [slow.map(|since| since + SLOW_TO_STOP), self.screen.deadline()].into_iter().flatten().min();
        let running = &mut self.running;
        let behind = self.screen.is_behind();
        tokio::select! {
            biased;
            asked = self.signals.next() => Happening::Signal(asked),
            answer = self.editor.answer(), if self.editor.is_busy() => Happening::Answer(answer),
            message = async { match running { Some(running) => running.execution.next().await, None => None } },
                if running.is_some() && !behind => Happening::Said(message),
            message = self.events.next(), if !behind => Happening::Event(message),
            () = tokio::time::sleep(Duration::from_millis(50)), if behind => Happening::Time,
            () = async { tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()).await },
                if deadline.is_some() => Happening::Time,
        }
    }

    fn time(&mut self) {
        let now = Instant::now();
        if self.screen.deadline().is_some_and(|at| at <= now) {
            self.screen.show_unfinished();
        }
        if let Some(running) = &mut self.running
            && !running.said_so
            && running.stopping.is_some_and(|since| since + SLOW_TO_STOP <= now)
        {
            running.said_so = true;
            let text = "the code has not stopped yet; if it does not, its process is killed";
            self.screen.line(&self.palette.aside(text));
        }
    }

    /// What happens outside executions.
    async fn event(&mut self, message: Option<Message>) -> Option<u8> {
        match message {
            Some(Message::OutputMessage(output)) => self.output(&output),
            Some(Message::DisplayMessage(display)) => self.display(&display),
            Some(Message::InputMessage(prompt)) => {
                if matches!(self.asking, Asking::Line) {
                    let text = format!("a thread asks {:?}: it comes after this line", prompt.prompt.trim_end());
                    self.screen.line(&self.palette.aside(&text));
                }
                self.prompts.push_back(prompt);
            }
            Some(Message::SessionLost(lost)) => {
                if !std::mem::take(&mut self.loss_told) {
                    self.screen.line(&self.palette.warning(&lost.reason));
                }
                self.prune().await;
            }
            Some(other) => self.aside(&other),
            None => return self.fresh().await,
        }
        None
    }

    /// Puts another session in the place of one that has ended.
    pub(super) async fn fresh(&mut self) -> Option<u8> {
        self.prompts.clear();
        match self.place.session().await {
            Ok(session) => {
                self.events = session.events();
                self.live.replace(session);
                self.steps = Steps::default();
                self.screen.line(&self.palette.aside("a fresh session has begun"));
                None
            }
            Err(failure) => {
                self.failure(&failure);
                Some(exit::ENVIRONMENT)
            }
        }
    }

    pub(super) fn output(&mut self, output: &OutputMessage) {
        if output.dropped > 0 {
            let text = format!("[{} of output were left out]", size::bytes(output.dropped));
            self.screen.line(&self.palette.aside(&text));
        }
        self.screen.write(&output.data);
    }

    pub(super) fn display(&mut self, display: &DisplayMessage) {
        if !self.save(&display.data)
            && let Some(text) = bundle::text(&display.data, "text/plain")
        {
            self.screen.line(&text);
        }
    }

    /// Saves the images of a bundle; whether there were any.
    pub(super) fn save(&mut self, data: &Bundle) -> bool {
        let images = bundle::images(data);
        let Some(album) = self.album.as_mut().filter(|_| !images.is_empty()) else { return false };
        let now = chrono::Local::now().format("%Y-%m-%d-%H%M%S").to_string();
        match album.save(&now, &images) {
            Ok(paths) => {
                for path in paths {
                    self.screen.line(&self.palette.aside(&format!("saved {}", path.display())));
                }
            }
            Err(error) => self.screen.line(&self.palette.error(&format!("a figure could not be saved: {error}"))),
        }
        true
    }
}
