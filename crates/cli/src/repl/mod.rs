//! `pyrepl3 repl`: a session in the terminal.
//!
//! ```text
//!   keys -> editor (thread) --answer--> event_loop ----> session
//!             |     ^                       |  <---- messages
//!             v     '--- print_queue <--- console
//!          terminal <-----------------------'
//! ```
//!
//! Parts that know nothing of each other: `editor` (keys), `display` (what is seen), `current_session` (the session, as
//! both see it), `prompts` (who waits for an answer), `running` (what runs), `branches` (the other sessions),
//! `execution_log` (which lines were run, and which of them are undone), `command` (what lines mean).
//!
//! `state` puts them together as [`Repl`](state::Repl); `launch` makes one, `event_loop` turns it. What it does is in
//! `messages` and `execution` (what the session says, what runs), `prompting` (what the editor is asked), `dispatch`
//! (entered lines), `time_travel` (undo, snapshots), `branching`, `checkpoints` and `shutdown`.

mod branches;
mod branching;
mod checkpoints;
mod command;
mod current_session;
mod dispatch;
mod display;
mod editor;
mod event_loop;
mod execution;
mod execution_log;
mod launch;
mod messages;
mod prompting;
mod prompts;
mod running;
mod session_factory;
mod shutdown;
mod state;
mod time_travel;

pub(crate) use launch::main;
