//! A person at a terminal: keys in, a screen out.

use crate::support::{Bench, DEADLINE};
use crate::surroundings;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

const ROWS: u16 = 50;
const COLUMNS: u16 = 100;
/// Asks a terminal where its cursor is.
const WHERE: &[u8] = b"\x1b[6n";

/// A program in a terminal of its own.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    seen: Arc<Seen>,
    // Closing it hangs up.
    _master: Box<dyn MasterPty + Send>,
}

struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
}

impl Terminal {
    /// The interactive session, ready for its first line.
    pub(crate) fn repl(bench: &Bench) -> Terminal {
        let terminal = Terminal::pyrepl3(bench, &[], &[]);
        terminal.expect("Ctrl-D leaves\n>>>");
        terminal
    }

    /// The program under test, with arguments and variables.
    pub(crate) fn pyrepl3(bench: &Bench, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_pyrepl3"));
        command.args(arguments);
        Terminal::start(bench, command, variables)
    }

    /// The program under test in a shell that tells its exit status, and the terminal's settings after it.
    pub(crate) fn in_shell(bench: &Bench) -> Terminal {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", "\"$0\"; echo status $?; stty -a", env!("CARGO_BIN_EXE_pyrepl3")]);
        let terminal = Terminal::start(bench, command, &[]);
        terminal.expect("Ctrl-D leaves\n>>>");
        terminal
    }

    fn start(bench: &Bench, mut command: CommandBuilder, variables: &[(&str, &str)]) -> Terminal {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        command.cwd(bench.folder());
        for name in surroundings::removed() {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        for (name, value) in bench.environment() {
            command.env(name, value);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let (rows, columns) = (NonZeroU16::new(ROWS).unwrap(), NonZeroU16::new(COLUMNS).unwrap());
        let state = State { parser: vt100::Parser::new(rows, columns, 0), raw: Vec::new(), ended: false };
        let seen = Arc::new(Seen { state: Mutex::new(state), changed: Condvar::new() });
        let mut output = pair.master.try_clone_reader().unwrap();
        let (watching, answering) = (seen.clone(), keys.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            let mut held = Vec::new();
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                held.extend_from_slice(&buffer[..count]);
                watching.take(&mut held, &answering);
            }
            watching.state.lock().unwrap().ended = true;
            watching.changed.notify_all();
        });
        Terminal { child, keys, seen, _master: pair.master }
    }

    /// Presses keys.
    pub(crate) fn keys(&self, keys: &str) {
        let mut writer = self.keys.lock().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Types a line.
    pub(crate) fn line(&self, text: &str) {
        self.keys(text);
        self.keys("\r");
    }

    /// Waits until there is an empty prompt, with a remark at its right or without.
    pub(crate) fn ready(&self) {
        self.wait("a prompt", at_empty_prompt);
    }

    /// Types a line at an empty prompt. It is seen before it is entered: else who types next could take the prompt that
    /// still stands there for the one after it.
    pub(crate) fn enter(&self, text: &str) {
        self.ready();
        self.keys(text);
        self.wait(text, |state| !at_empty_prompt(state));
        self.keys("\r");
    }

    /// Gives up the line that is being typed.
    pub(crate) fn clear(&self) {
        self.keys("\x03");
        self.ready();
    }

    /// Types a line and waits for what comes of it, and for the next prompt.
    pub(crate) fn answers(&self, line: &str, text: &str) {
        self.enter(line);
        let echoed = line.rsplit('\n').next().unwrap_or(line);
        self.expect(&format!("{echoed}\n{text}\n>>>"));
    }

    /// Waits until the screen shows a text. Lines are without the spaces at their ends.
    pub(crate) fn expect(&self, text: &str) {
        self.wait(text, |state| shown(state).contains(text));
    }

    fn wait(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.seen.state.lock().unwrap();
        while !condition(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !state.ended, "{what:?} never came; the screen:\n{}", shown(&state));
            state = self.seen.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// What the screen shows now.
    pub(crate) fn screen(&self) -> String {
        shown(&self.seen.state.lock().unwrap())
    }

    /// Everything that was sent to the terminal.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.seen.state.lock().unwrap().raw).into_owned()
    }

    /// The process at the terminal.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.process_id().unwrap()).unwrap()
    }

    /// Waits until the program has ended, and returns its exit status.
    pub(crate) fn ended(mut self) -> u32 {
        self.wait_for_end();
        self.child.wait().unwrap().exit_code()
    }

    /// Waits until the program has ended; the screen stays to be looked at.
    pub(crate) fn wait_for_end(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.seen.state.lock().unwrap();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never ended; the screen:\n{}", shown(&state));
            state = self.seen.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Seen {
    /// Shows what has come, and answers the terminal's part of the conversation.
    fn take(&self, held: &mut Vec<u8>, keys: &Mutex<Box<dyn Write + Send>>) {
        let mut state = self.state.lock().unwrap();
        while let Some(at) = held.windows(WHERE.len()).position(|window| window == WHERE) {
            let rest = held.split_off(at + WHERE.len());
            let now = std::mem::replace(held, rest);
            state.show(&now);
            let (row, column) = state.parser.screen().cursor_position();
            _ = write!(keys.lock().unwrap(), "\x1b[{};{}R", row + 1, column + 1);
            _ = keys.lock().unwrap().flush();
        }
        // The beginning of a question may be the end of what has come.
        let keep = (1..WHERE.len()).rev().find(|length| held.ends_with(&WHERE[..*length])).unwrap_or(0);
        let rest = held.split_off(held.len() - keep);
        let now = std::mem::replace(held, rest);
        state.show(&now);
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    fn show(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.raw.extend_from_slice(bytes);
    }
}

fn at_empty_prompt(state: &State) -> bool {
    let screen = shown(state);
    let last = screen.trim_end().lines().last().unwrap_or_default();
    last.strip_prefix(">>>").is_some_and(|rest| rest.is_empty() || rest.starts_with("          "))
}

fn shown(state: &State) -> String {
    let contents = state.parser.screen().contents();
    contents.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
