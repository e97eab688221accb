//! The command line as people and programs meet it: the real binary, real interpreters, a real terminal.

mod checkpoint;
mod doctor;
mod pty;
mod repl;
mod repl_background;
mod repl_checkpoints;
mod repl_commands;
mod repl_time_travel;
mod run_inheritance;
mod run_input;
mod run_like_python;
mod run_output;
mod run_signals;
mod run_status;
mod serve;
mod support;
// The engine's tests begin in the same state.
#[path = "../../../engine/tests/common/surroundings.rs"]
mod surroundings;
mod usage;
