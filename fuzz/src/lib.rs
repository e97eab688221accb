//! Every decoder against bytes that may say anything: frames and messages, packs, manifests, exports, what is remembered of sessions, journals, segments of events, frames of frozen processes.
//!
//! [`targets`] has one function for each, which panics where something is wrong. The programs in `fuzz_targets` give it to libfuzzer, which goes on without end
//! and follows the code's paths; [`search`] runs it over `seeds/`, which are valid inputs, and over a number of changes to them, in the tests and without a nightly
//! compiler.

mod mutate;
mod search;
pub mod targets;

pub use search::{Finding, search};

/// Runs a target over the files that are named on the command line.
pub fn replay(target: fn(&[u8])) {
    for path in std::env::args_os().skip(1) {
        match std::fs::read(&path) {
            Ok(bytes) => target(&bytes),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
}
