//! What the engine and a process that serves forks say to each other.

use crate::message::PythonInfo;
use serde::{Deserialize, Serialize};

/// What the engine asks of a zygote or a template.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ZygoteRequest<'a> {
    /// First frame: what to import. Descriptor: the native helper, where there is one.
    Environment {
        /// Modules to import.
        preload: &'a [String],
        /// Working directory for the imports.
        cwd: &'a str,
        /// Why there is no native helper.
        no_helper: Option<String>,
    },
    /// Fork a session. Descriptors: session init's channel, the worker's channel, stdout, stderr, standard input; with
    /// `linger` also a Unix socket that is bound and listens, where another supervisor can connect.
    Session {
        /// What keeps it apart from the machine.
        cell: Cell,
        /// The number of its first worker.
        worker: u64,
        /// Whether it outlives its supervisor. Without it all ends with session init's channel.
        #[serde(skip_serializing_if = "Option::is_none")]
        linger: Option<Linger>,
    },
    /// Fork a template. Descriptors: its channel, its stderr.
    Template {
        /// Warm-up code.
        code: &'a str,
    },
    /// Kill what became an orphan of a session whose init was killed.
    Sweep {},
}

/// What keeps a session apart from the machine, as the process that forks it is told. What it cannot do it refuses on the
/// worker's channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cell {
    /// Nothing: its code has all rights of the user.
    #[default]
    None,
}

/// How a session outlives its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Linger {
    /// Seconds that it waits for another one; then nothing of it is left.
    pub grace: f64,
    /// The epoch of the supervisor that starts it.
    pub epoch: u64,
}

/// What a zygote or a template says.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ZygoteEvent {
    /// It serves.
    Ready {
        /// Its interpreter.
        python: PythonInfo,
    },
    /// It cannot serve.
    Failed {
        /// What it was doing: `version`, `preload`, `warmup`.
        stage: String,
        /// What happened.
        what: String,
        /// Details, such as a traceback.
        #[serde(default)]
        detail: String,
    },
}
