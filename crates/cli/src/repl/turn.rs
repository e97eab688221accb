//! The loop of the interactive session: what happens, one thing at a time.

use super::above::Above;
use super::colour::Palette;
use super::editor::{Answer, Ask, Editor, Parts};
use super::live::Live;
use super::screen::Screen;
use super::{Place, place, prompt, show, terminal};
use crate::bundle::{self, Album};
use crate::signals::{Asked, Signals};
use crate::{exit, size, start};
use pyrepl3_engine::protocol::JsonText;
use pyrepl3_engine::protocol::message::{
    Bundle, DisplayMessage, ErrorMessage, InputMessage, Message, OutputMessage, ResultMessage,
};
use pyrepl3_engine::{Code, ExecuteRequest, Execution, Session, SessionEvents};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// When to say that code has not stopped yet.
const SLOW_TO_STOP: Duration = Duration::from_millis(1500);
/// What is worth a remark at the right margin of the next prompt.
const SLOW: f64 = 2.0;

/// What the editor was asked for.
#[derive(Debug)]
enum Asking {
    Nothing,
    Line,
    Prompt(InputMessage),
}

/// What runs.
#[derive(Debug)]
struct Running {
    execution: Execution,
    request: ExecuteRequest,
    /// Whether time and memory are to be shown.
    timed: bool,
    retried: bool,
    /// Since when it is being stopped, and whether it was said that this takes long.
    stopping: Option<Instant>,
    said_so: bool,
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
    events: SessionEvents,
    signals: Signals,
    pub(super) editor: Editor,
    pub(super) screen: Screen,
    pub(super) palette: Palette,
    album: Option<Album>,
    asking: Asking,
    prompts: VecDeque<InputMessage>,
    running: Option<Running>,
    /// The loss of the session's state was told already, as the end of what ran.
    loss_told: bool,
    remark: String,
}

impl Repl {
    pub(crate) fn new(place: Place, session: Session, signals: Signals) -> io::Result<Repl> {
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
            loss_told: false,
            remark: String::new(),
        })
    }

    pub(super) fn session(&self) -> Session {
        self.live.session()
    }

    /// Runs until a person, the code, or a signal ends it; returns the exit status.
    pub(crate) async fn run(mut self) -> u8 {
        self.greet();
        loop {
            self.ask().await;
            let done = match self.next().await {
                Happening::Signal(Asked::Interrupt) => {
                    self.screen.echoed("^C");
                    self.interrupt()
                }
                Happening::Signal(Asked::End(signal)) => return self.end(signal).await,
                Happening::Answer(answer) => self.answered(answer).await,
                Happening::Said(message) => self.said(message).await,
                Happening::Event(message) => self.event(message).await,
                Happening::Time => self.time(),
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

    fn time(&mut self) -> Option<u8> {
        let now = Instant::now();
        if self.screen.deadline().is_some_and(|at| at <= now) {
            self.screen.show_unfinished();
        }
        if let Some(running) = &mut self.running {
            if !running.said_so && running.stopping.is_some_and(|since| since + SLOW_TO_STOP <= now) {
                running.said_so = true;
                self.screen
                    .line(&self.palette.aside("the code has not stopped yet; if it does not, its process is killed"));
            }
        }
        None
    }

    // ---- the editor ----

    /// Gives the editor something to do, if it is time.
    async fn ask(&mut self) {
        if self.editor.is_busy() {
            return;
        }
        let prompt = match &self.running {
            // Prompts of what runs come at once; but not one whose code is being stopped.
            Some(running) if running.stopping.is_none() => {
                let id = Some(running.execution.id());
                let mine = self.prompts.iter().position(|prompt| prompt.execution_id.as_deref() == id);
                mine.and_then(|at| self.prompts.remove(at))
            }
            Some(_) => None,
            None => self.prompts.pop_front(),
        };
        if let Some(prompt) = prompt {
            let shown = self.screen.begin_editing(&prompt.prompt, terminal::columns());
            self.editor.ask(if prompt.password { Ask::Password(shown) } else { Ask::Input(shown) });
            self.asking = Asking::Prompt(prompt);
        } else if self.running.is_none() {
            self.screen.finish_line();
            self.screen.begin_editing(prompt::LINE, terminal::columns());
            self.editor.ask(Ask::Line(std::mem::take(&mut self.remark)));
            self.asking = Asking::Line;
        }
    }

    /// The editor has answered.
    async fn answered(&mut self, answer: Answer) -> Option<u8> {
        let asking = std::mem::replace(&mut self.asking, Asking::Nothing);
        self.screen.end_editing();
        if let Answer::Failed(why) = &answer {
            crate::message::error("the terminal cannot be read", why, "");
            return Some(exit::ENVIRONMENT);
        }
        match asking {
            Asking::Line => match answer {
                Answer::Text(text) => self.line(text).await,
                Answer::EndOfFile => Some(exit::SUCCESS),
                _ => None,
            },
            Asking::Prompt(prompt) => {
                match answer {
                    Answer::Text(text) => self.reply(&prompt, Some(text)).await,
                    Answer::EndOfFile => self.reply(&prompt, None).await,
                    Answer::Cleared if self.running.is_some() => {
                        // The code decides what becomes of it: see `prune`.
                        self.prompts.push_front(prompt);
                        self.interrupt();
                    }
                    Answer::Cleared => {
                        self.reply(&prompt, None).await;
                        self.screen.line(&self.palette.aside("(it was told that there is no input)"));
                    }
                    _ => self.prompts.push_front(prompt),
                }
                self.prune().await;
                None
            }
            Asking::Nothing => None,
        }
    }

    async fn reply(&mut self, prompt: &InputMessage, value: Option<String>) {
        let value = value.map(|text| JsonText::new(&text));
        if let Err(failure) = self.session().input_response(&prompt.id, value).await {
            if failure.code != Code::UnknownInput {
                self.failure(&failure);
            }
        }
    }

    /// Forgets prompts that nobody waits at any more.
    async fn prune(&mut self) {
        let Ok(status) = self.session().status().await else { return };
        let waits = |prompt: &InputMessage| status.inputs.iter().any(|input| input.id == prompt.id);
        self.prompts.retain(waits);
        if matches!(&self.asking, Asking::Prompt(prompt) if !waits(prompt)) {
            self.editor.stop();
        }
    }

    // ---- executions ----

    /// Runs code.
    pub(super) fn execute(&mut self, request: ExecuteRequest, timed: bool) {
        match self.session().execute(request.clone()) {
            Ok(execution) => {
                self.running =
                    Some(Running { execution, request, timed, retried: false, stopping: None, said_so: false });
            }
            Err(failure) => self.failure(&failure),
        }
    }

    fn interrupt(&mut self) -> Option<u8> {
        if let Some(running) = &mut self.running {
            running.stopping.get_or_insert_with(Instant::now);
            let session = self.live.session();
            tokio::spawn(async move { session.interrupt().await });
        }
        None
    }

    /// A message of what runs.
    async fn said(&mut self, message: Option<Message>) -> Option<u8> {
        match message {
            Some(Message::OutputMessage(output)) => self.output(&output),
            Some(Message::DisplayMessage(display)) => self.display(&display),
            Some(Message::InputMessage(prompt)) => {
                if let Some(running) = &mut self.running {
                    // It asks, so it goes on.
                    (running.stopping, running.said_so) = (None, false);
                }
                self.prompts.push_back(prompt);
            }
            Some(Message::ResultMessage(result)) => self.completed(&result).await,
            Some(Message::ErrorMessage(error)) => return self.failed(&error).await,
            Some(_) => {}
            None => self.refused(),
        }
        None
    }

    async fn completed(&mut self, result: &ResultMessage) {
        self.screen.finish_line();
        if let Some(text) = show::result(self.palette, result) {
            self.screen.line(&text);
        }
        self.save(&result.data);
        if self.running.take().is_some_and(|running| running.timed) {
            self.screen.line(&self.palette.aside(&show::cost(result.duration, result.memory_delta)));
        } else if result.duration >= SLOW {
            self.remark = format!("took {}", size::seconds(result.duration));
        }
        self.prune().await;
    }

    async fn failed(&mut self, error: &ErrorMessage) -> Option<u8> {
        let running = self.running.take();
        if let Some(code) = error.exit_code {
            return Some(exit::of_code(code));
        }
        self.screen.line(&show::error(self.palette, error));
        if running.is_some_and(|running| running.timed) {
            self.screen.line(&self.palette.aside(&format!("took {}", size::seconds(error.duration))));
        }
        self.loss_told = error.session_lost;
        self.prune().await;
        None
    }

    fn refused(&mut self) {
        let Some(running) = self.running.take() else { return };
        match running.execution.refusal() {
            // The loss was announced when it happened, so the line is meant for what there is now.
            Some(failure) if failure.code == Code::SessionLost && !running.retried => {
                self.execute(running.request, running.timed);
                if let Some(again) = &mut self.running {
                    again.retried = true;
                }
            }
            Some(failure) => {
                let failure = failure.clone();
                self.failure(&failure);
            }
            None => {}
        }
    }

    pub(super) fn failure(&mut self, failure: &pyrepl3_engine::Failure) {
        self.screen.line(&self.palette.error(&failure.to_string()));
    }

    // ---- the session ----

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
            Some(_) => {}
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
                self.screen.line(&self.palette.aside("a fresh session has begun"));
                None
            }
            Err(failure) => {
                self.failure(&failure);
                Some(exit::ENVIRONMENT)
            }
        }
    }

    fn output(&mut self, output: &OutputMessage) {
        if output.dropped > 0 {
            let text = format!("[{} of output were left out]", size::bytes(output.dropped));
            self.screen.line(&self.palette.aside(&text));
        }
        self.screen.write(&output.data);
    }

    fn display(&mut self, display: &DisplayMessage) {
        if !self.save(&display.data) {
            if let Some(text) = bundle::text(&display.data, "text/plain") {
                self.screen.line(&text);
            }
        }
    }

    /// Saves the images of a bundle; whether there were any.
    fn save(&mut self, data: &Bundle) -> bool {
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

    // ---- the end ----

    /// Lets the session leave as a Python program does. Its threads are waited for; Ctrl-C ends that.
    async fn leave(mut self, status: u8) -> u8 {
        let session = self.session();
        if let Ok(now) = session.status().await {
            for input in now.inputs {
                _ = session.input_response(&input.id, None).await;
            }
        }
        let leaving = session.leave(i32::from(status), true);
        tokio::pin!(leaving);
        let mut told = false;
        loop {
            tokio::select! {
                () = &mut leaving => break,
                asked = self.signals.next() => match asked {
                    Asked::Interrupt => {
                        let session = session.clone();
                        tokio::spawn(async move { session.interrupt().await });
                    }
                    Asked::End(signal) => return exit::of_signal(signal),
                },
                message = self.events.next() => match message {
                    Some(Message::OutputMessage(output)) => self.output(&output),
                    Some(_) => {}
                    None => break,
                },
                () = tokio::time::sleep(SLOW_TO_STOP), if !told => {
                    told = true;
                    self.screen.line(&self.palette.aside("waiting for the session's threads to end; Ctrl-C stops waiting"));
                }
            }
        }
        while let Some(message) = self.events.next().await {
            if let Message::OutputMessage(output) = message {
                self.output(&output);
            }
        }
        self.screen.finish_line();
        status
    }

    /// A signal ends the program: at once, but with the terminal as it was.
    async fn end(mut self, signal: i32) -> u8 {
        if self.editor.is_busy() {
            self.editor.stop();
            _ = tokio::time::timeout(start::PATIENCE, self.editor.answer()).await;
            self.screen.end_editing();
            self.screen.write("\n");
        }
        _ = tokio::time::timeout(start::PATIENCE, self.session().shutdown()).await;
        exit::of_signal(signal)
    }
}
