//! What is measured from Python: the project's own client, and the peer. Both print JSON: samples by key.

use super::report::Table;
use crate::{Done, root};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

fn collect(table: &mut Table, command: &mut Command) -> Done {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("a benchmark script failed: {}", output.status));
    }
    let found: BTreeMap<String, Vec<f64>> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("a benchmark script printed no samples: {error}"))?;
    for (key, samples) in found {
        table.add(&key, samples);
    }
    Ok(())
}

/// The project's own client.
pub(super) fn client(table: &mut Table, interpreter: &Path, binary: &Path) -> Done {
    let times = if table.quick { "10" } else { "1" };
    let script = root().join("xtask/src/bench/client.py");
    collect(
        table,
        Command::new(interpreter)
            .arg(script)
            .arg(times)
            .env("PYREPL3_BIN", binary)
            .env("PYTHONPATH", root().join("python/src")),
    )
}

/// What people do instead of a snapshot.
pub(super) fn alternatives(table: &mut Table, interpreter: &Path) -> Done {
    let times = if table.quick { "10" } else { "1" };
    collect(table, Command::new(interpreter).arg(root().join("xtask/src/bench/alternatives.py")).arg(times))
}

/// ipykernel through jupyter_client.
pub(super) fn peer(table: &mut Table, interpreter: &Path) -> Done {
    let times = if table.quick { "10" } else { "1" };
    collect(table, Command::new(interpreter).arg(root().join("xtask/src/bench/peer.py")).arg(times))
}
