//! Benchmarks: what the engine costs, side by side with ipykernel through jupyter_client, in one run.
//!
//! `--only engine` or `--only travel` (snapshots, returns, branches) measures one half.
//!
//! `cargo xtask bench` builds in release mode, measures, prints a table, and with `--write` puts it into BENCHMARKS.md.

mod engine;
mod python;
mod report;
mod travel;

use crate::{Done, cargo, run as command, target, venv};
use report::Table;

pub(crate) fn run(args: &[String]) -> Done {
    if !args.iter().any(|arg| arg == "--inner") {
        // Figures of an unoptimised build mean nothing.
        command(cargo().args(["build", "--release", "-p", "pyrepl3"]))?;
        return command(cargo().args(["run", "--release", "-p", "xtask", "--", "bench", "--inner"]).args(args));
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let interpreter = venv::make()?;
    let binary = target().join("release/pyrepl3");
    let mut table = Table::new(quick);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    // In a task, as an embedding program would call it: a call from outside the runtime costs a thread switch each way.
    let python = interpreter.clone();
    let only = args.iter().position(|arg| arg == "--only").and_then(|at| args.get(at + 1)).cloned();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let (engine, travel) = (wanted("engine"), wanted("travel"));
    let measured = runtime.spawn(async move {
        if engine {
            engine::measure(&mut table, &python).await?;
        }
        if travel {
            travel::measure(&mut table, &python).await?;
        }
        Ok::<_, String>(table)
    });
    let mut table = runtime.block_on(measured).map_err(|error| error.to_string())??;
    if engine {
        python::client(&mut table, &interpreter, &binary)?;
    }
    if !args.iter().any(|arg| arg == "--no-peer") {
        if engine {
            python::peer(&mut table, &interpreter)?;
        }
        if travel {
            python::alternatives(&mut table, &interpreter)?;
        }
    }
    println!("{}", table.markdown());
    if args.iter().any(|arg| arg == "--write") {
        table.write(&interpreter)?;
    }
    Ok(())
}
