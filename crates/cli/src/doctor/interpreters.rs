//! The interpreters of this machine.

use super::missing::Missing;
use pyrepl3_engine::SearchPath;
use pyrepl3_engine::protocol::message::PythonInfo;
use pyrepl3_worker::find::{self, FindError, Found, OLDEST};
use serde::Serialize;
use std::path::Path;

/// What was found on the search path, or where the command line points.
#[derive(Debug, Serialize)]
pub(crate) struct Interpreters {
    pub(crate) interpreters: Vec<Interpreter>,
    /// Programs that look like interpreters and do not run.
    pub(crate) broken: Vec<Broken>,
}

/// An interpreter.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Interpreter {
    pub(crate) path: String,
    pub(crate) executable: String,
    pub(crate) version: String,
    pub(crate) implementation: String,
    pub(crate) prefix: String,
    /// Whether it is that of a virtual environment.
    pub(crate) virtual_environment: bool,
    pub(crate) suitable: bool,
    /// Why it is not suitable.
    pub(crate) why: Option<String>,
    /// Whether sessions use it when nothing else is said.
    pub(crate) default: bool,
}

/// A program that did not say what it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    pub(crate) path: String,
    pub(crate) why: String,
}

/// Looks for interpreters. Runs each of them once.
pub(crate) fn look(asked: Option<&Path>) -> Interpreters {
    let search = SearchPath::from_env();
    let mut found = Vec::new();
    if let Some(path) = asked {
        found.push(find::find(Some(path), &search));
    }
    found.extend(find::list(&search));
    let mut all = Interpreters { interpreters: Vec::new(), broken: Vec::new() };
    for one in found {
        match one {
            Ok(found) => {
                let interpreter = describe(&found);
                if !all.interpreters.iter().any(|known| known.is(&interpreter)) {
                    all.interpreters.push(interpreter);
                }
            }
            Err(FindError::Broken { path, why }) => all.broken.push(Broken { path, why: why.trim().to_owned() }),
            Err(error) => {
                let path = asked.map(|path| path.display().to_string()).unwrap_or_default();
                all.broken.push(Broken { path, why: error.to_string() });
            }
        }
    }
    all
}

fn describe(found: &Found) -> Interpreter {
    let info = &found.info;
    let suitable = found.is_suitable();
    let (major, minor) = OLDEST;
    let why = (!suitable).then(|| {
        if info.implementation == "cpython" {
            format!("too old: CPython {major}.{minor} or later is needed")
        } else {
            format!("it is {}: CPython {major}.{minor} or later is needed", info.implementation)
        }
    });
    Interpreter {
        path: found.path.display().to_string(),
        executable: info.executable.clone(),
        version: info.version.clone(),
        implementation: info.implementation.clone(),
        prefix: info.prefix.clone(),
        virtual_environment: Path::new(&info.prefix).join("pyvenv.cfg").is_file(),
        suitable,
        why,
        default: false,
    }
}

impl Interpreter {
    /// Whether both are the same program under two names.
    fn is(&self, other: &Interpreter) -> bool {
        self.prefix == other.prefix && same_file(&self.executable, &other.executable)
    }
}

fn same_file(one: &str, other: &str) -> bool {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    one == other || (real(one).is_some() && real(one) == real(other))
}

impl Interpreters {
    /// Marks the one that a session ran in.
    pub(crate) fn mark_default(&mut self, used: Option<&PythonInfo>) {
        for one in &mut self.interpreters {
            one.default =
                used.is_some_and(|used| used.prefix == one.prefix && same_file(&used.executable, &one.executable));
        }
    }

    pub(crate) fn missing(&self, missing: &mut Vec<Missing>) {
        if !self.interpreters.iter().any(|one| one.suitable) {
            let (major, minor) = OLDEST;
            missing.push(Missing::new(
                "a Python interpreter",
                format!("sessions need CPython {major}.{minor} or later"),
                "install one with your system's packages or from python.org, or name one with --python",
            ));
        }
    }
}
