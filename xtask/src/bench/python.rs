//! What is measured from Python: the project's own client, and the peer. Both print JSON: samples by key.

use super::report::Table;
use crate::{Done, root, target, venv};
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

/// Bare forks and, unless only these are asked for, what people do instead of a snapshot.
pub(super) fn alternatives(table: &mut Table, interpreter: &Path, floors_only: bool) -> Done {
    let times = if table.quick { "10" } else { "1" };
    let mut script = Command::new(interpreter);
    script.arg(root().join("xtask/src/bench/alternatives.py")).arg(times);
    if floors_only {
        script.arg("floors");
    }
    collect(table, &mut script)
}

/// ipykernel through jupyter_client.
pub(super) fn peer(table: &mut Table, interpreter: &Path) -> Done {
    let times = if table.quick { "10" } else { "1" };
    collect(table, Command::new(interpreter).arg(root().join("xtask/src/bench/peer.py")).arg(times))
}

/// Kernels of jupyter_server, over its WebSocket.
pub(super) fn server_peer(table: &mut Table, interpreter: &Path) -> Done {
    let times = if table.quick { "10" } else { "1" };
    collect(table, Command::new(interpreter).arg(root().join("xtask/src/bench/jupyter_server_peer.py")).arg(times))
}

/// What people save a session with instead. Kishu wants packages of its own versions, and so an environment of its own;
/// where it does not install, its column stays empty, and this says why.
pub(super) fn savers(table: &mut Table, interpreter: &Path) -> Done {
    let place = target();
    for saver in ["dill", "cloudpickle"] {
        let script = root().join("xtask/src/bench/savers.py");
        collect(table, Command::new(interpreter).arg(script).arg(saver).arg(&place))?;
    }
    match venv::make_kishu() {
        Ok(kishu) => collect(table, Command::new(kishu).arg(root().join("xtask/src/bench/kishu_saver.py")).arg(&place)),
        Err(why) => {
            eprintln!("Kishu is not measured: {why}");
            Ok(())
        }
    }
}
