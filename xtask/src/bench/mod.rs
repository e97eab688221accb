//! Benchmarks: what the engine costs, side by side with ipykernel through jupyter_client, in one run.
//!
//! `--only engine`, `--only many` (sessions with scripted workers), `--only travel` (snapshots, returns, branches),
//! `--only checkpoints` or `--only service` measures one part.
//!
//! `cargo xtask bench` builds in release mode, measures, prints a table, and with `--write` puts it into BENCHMARKS.md.

mod checkpoints;
mod engine;
mod many;
mod python;
mod report;
mod service;
mod travel;

use crate::{Done, cargo, run as command, target, venv};
use report::Table;

const HELP: &str = "cargo xtask bench [--only engine|many|travel|checkpoints|service] [--quick] [--no-peer] [--write]

Builds in release mode, measures, and prints tables.
  --only PART  measures one part only; may be given several times
  --quick      fewer repetitions
  --no-peer    leaves out what stands beside it: ipykernel, jupyter_server, dill, cloudpickle, Kishu (bare forks stay)
  --write      puts the tables into BENCHMARKS.md, in place of those that are there";

/// What there is to measure.
const PARTS: [&str; 5] = ["engine", "many", "travel", "checkpoints", "service"];

/// What is asked for on the command line.
#[derive(Default)]
struct Asked {
    only: Vec<String>,
    quick: bool,
    no_peer: bool,
    write: bool,
    help: bool,
    /// Whether this is the optimised build already.
    inner: bool,
}

impl Asked {
    fn read(args: &[String]) -> Done<Asked> {
        let mut asked = Asked::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => match args.next() {
                    Some(part) if PARTS.contains(&part.as_str()) => asked.only.push(part.clone()),
                    part => {
                        let found = part.map_or("nothing follows it".into(), |part| format!("not {part:?}"));
                        return Err(format!("--only takes one of {}; {found}\n{HELP}", PARTS.join(", ")));
                    }
                },
                "--quick" => asked.quick = true,
                "--no-peer" => asked.no_peer = true,
                "--write" => asked.write = true,
                "--inner" => asked.inner = true,
                "--help" | "-h" => asked.help = true,
                other => return Err(format!("bench knows no option {other:?}\n{HELP}")),
            }
        }
        if asked.write && !asked.only.is_empty() {
            return Err(
                "--write puts in the tables of all parts, in place of those that are there: leave out --only".into()
            );
        }
        Ok(asked)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

pub(crate) fn run(args: &[String]) -> Done {
    let asked = Asked::read(args)?;
    if asked.help {
        println!("{HELP}");
        return Ok(());
    }
    if !asked.inner {
        // Figures of an unoptimised build mean nothing.
        command(cargo().args(["build", "--release", "-p", "pyrepl3"]))?;
        return command(cargo().args(["run", "--release", "-p", "xtask", "--", "bench", "--inner"]).args(args));
    }
    let interpreter = venv::make()?;
    let binary = target().join("release/pyrepl3");
    let mut table = Table::new(asked.quick);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    // In a task, as an embedding program would call it: a call from outside the runtime costs a thread switch each way.
    let python = interpreter.clone();
    let (engine, travel, checkpoints) = (asked.wants("engine"), asked.wants("travel"), asked.wants("checkpoints"));
    let (many, service) = (asked.wants("many"), asked.wants("service"));
    let served = binary.clone();
    let measured = runtime.spawn(async move {
        if many {
            // First: memory that another part has left free would not be counted.
            many::measure(&mut table).await?;
        }
        if engine {
            engine::measure(&mut table, &python).await?;
        }
        if travel {
            travel::measure(&mut table, &python).await?;
        }
        if checkpoints {
            checkpoints::measure(&mut table, &python).await?;
        }
        if service {
            service::measure(&mut table, &python, &served).await?;
        }
        Ok::<_, String>(table)
    });
    let mut table = runtime.block_on(measured).map_err(|error| error.to_string())??;
    if engine {
        python::client(&mut table, &interpreter, &binary)?;
    }
    if travel {
        python::alternatives(&mut table, &interpreter, asked.no_peer)?;
    }
    if !asked.no_peer {
        if engine {
            python::peer(&mut table, &interpreter)?;
        }
        if service {
            python::server_peer(&mut table, &interpreter)?;
        }
        if checkpoints {
            python::savers(&mut table, &interpreter)?;
        }
    }
    println!("{}", table.markdown());
    if asked.write {
        table.write(&interpreter)?;
    }
    Ok(())
}
