//! Project chores, as `cargo xtask CHORE`.
//!
//! * `test`: everything that must pass: Rust tests, documentation tests, Python tests, types.
//! * `bench`: measures, side by side with peers, and writes BENCHMARKS.md.
//! * `schema`: writes `docs/protocol.schema.json`.
//! * `venv`: makes the Python environment that the other chores use, under `target/venv`.

mod bench;
mod schema;
mod test;
mod venv;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match chore.as_str() {
        "test" => test::run(&rest),
        "bench" => bench::run(&rest),
        "schema" => schema::write(),
        "venv" => venv::make().map(drop),
        _ => Err("usage: cargo xtask test|bench|schema|venv".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What a chore says when it fails.
type Done<T = ()> = Result<T, String>;

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command in the root of the checkout, and fails as it fails.
fn run(command: &mut Command) -> Done {
    eprintln!("$ {}", show(command));
    let status = command.current_dir(root()).status().map_err(|error| format!("{}: {error}", show(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", show(command))) }
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
