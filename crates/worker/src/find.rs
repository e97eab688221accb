//! Finding an interpreter: a flag (a path or a virtual environment), `VIRTUAL_ENV`, `PATH`.

use pyrepl3_protocol::message::PythonInfo;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest CPython that works.
pub const OLDEST: (u32, u32) = (3, 10);

/// Where to look. The library never reads the environment by itself: a program asks for it with
/// [`SearchPath::from_env`].
#[derive(Debug, Clone, Default)]
pub struct SearchPath {
    /// An active virtual environment, as `VIRTUAL_ENV` names it.
    pub virtual_env: Option<PathBuf>,
    /// Directories with programs, as in `PATH`.
    pub path: Option<OsString>,
}

impl SearchPath {
    /// As this process's environment says.
    pub fn from_env() -> Self {
        SearchPath {
            virtual_env: std::env::var_os("VIRTUAL_ENV").filter(|value| !value.is_empty()).map(PathBuf::from),
            path: std::env::var_os("PATH"),
        }
    }

    fn programs(&self) -> Vec<PathBuf> {
        let mut names = vec!["python3".to_owned(), "python".to_owned()];
        names.extend((OLDEST.1..=20).rev().map(|minor| format!("python3.{minor}")));
        let mut found = Vec::new();
        if let Some(env) = &self.virtual_env {
            found.push(env.join("bin/python"));
        }
        let directories: Vec<PathBuf> = self.path.iter().flat_map(std::env::split_paths).collect();
        for name in &names {
            found.extend(directories.iter().map(|directory| directory.join(name)).filter(|path| is_program(path)));
        }
        found
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// An interpreter that was asked what it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// The program to run.
    pub path: PathBuf,
    /// What it says of itself.
    pub info: PythonInfo,
}

impl Found {
    /// Whether the worker can run in it.
    pub fn is_suitable(&self) -> bool {
        let mut parts = self.info.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        self.info.implementation == "cpython" && version >= OLDEST
    }
}

/// Why no interpreter was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The path that was asked for is neither a program nor a virtual environment.
    #[error("{0} is neither a Python interpreter nor a virtual environment")]
    NotPython(String),
    /// It is too old, or not CPython.
    #[error("{path} is {implementation} {version}; CPython 3.10 or later is needed")]
    Unsuitable {
        /// The program.
        path: String,
        /// `sys.implementation.name`.
        implementation: String,
        /// Its version.
        version: String,
    },
    /// It did not run.
    #[error("{path} did not run: {why}")]
    Broken {
        /// The program.
        path: String,
        /// What it printed, or what the system said.
        why: String,
    },
    /// None was found.
    #[error("no CPython 3.10 or later was found{}", if tried.is_empty() { String::new() } else { format!(" (tried {})", tried.join(", ")) })]
    None {
        /// What was tried.
        tried: Vec<String>,
    },
}

/// The program that a user means by a path: itself, or the interpreter of a virtual environment.
///
/// # Errors
/// [`FindError::NotPython`].
pub fn program(path: &Path) -> Result<PathBuf, FindError> {
    let not_python = || FindError::NotPython(path.display().to_string());
    if path.is_dir() {
        return ["bin/python", "bin/python3"]
            .iter()
            .map(|name| path.join(name))
            .find(|program| is_program(program))
            .ok_or_else(not_python);
    }
    if is_program(path) { Ok(path.to_path_buf()) } else { Err(not_python()) }
}

/// Asks an interpreter what it is: runs it once, which takes some ten milliseconds.
///
/// # Errors
/// [`FindError::Broken`] when it does not run.
pub fn probe(path: &Path) -> Result<Found, FindError> {
    const SCRIPT: &str = "import sys; i=getattr(sys,'implementation',None); \
        sys.stdout.write('\\n'.join(['%d.%d.%d' % tuple(sys.version_info[:3]), sys.executable or '', sys.prefix, getattr(i,'name','cpython')]))";
    let broken = |why: String| FindError::Broken { path: path.display().to_string(), why };
    let output = Command::new(path)
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| broken(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().map(str::to_owned);
    match (output.status.success(), lines.next(), lines.next(), lines.next(), lines.next()) {
        (true, Some(version), Some(executable), Some(prefix), Some(implementation)) => {
            Ok(Found { path: path.to_path_buf(), info: PythonInfo { version, executable, prefix, implementation } })
        }
        _ => Err(broken(
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it printed nothing").to_owned(),
        )),
    }
}

/// The interpreter to use: the one asked for, else the first suitable one on the search path.
///
/// # Errors
/// Why there is none.
pub fn find(asked: Option<&Path>, search: &SearchPath) -> Result<Found, FindError> {
    if let Some(path) = asked {
        let mut resolved = program(path);
        if resolved.is_err() && path.components().count() == 1 {
            // A bare name, as `python3.12`: looked up like a command.
            let directories: Vec<PathBuf> = search.path.iter().flat_map(std::env::split_paths).collect();
            if let Some(found) = directories.iter().map(|directory| directory.join(path)).find(|path| is_program(path))
            {
                resolved = Ok(found);
            }
        }
        let found = probe(&resolved?)?;
        return if found.is_suitable() { Ok(found) } else { Err(unsuitable(&found)) };
    }
    let mut tried = Vec::new();
    for program in search.programs() {
        match probe(&program) {
            Ok(found) if found.is_suitable() => return Ok(found),
            Ok(found) => {
                tried.push(format!("{}: {} {}", program.display(), found.info.implementation, found.info.version));
            }
            Err(error) => tried.push(error.to_string()),
        }
    }
    Err(FindError::None { tried })
}

fn unsuitable(found: &Found) -> FindError {
    FindError::Unsuitable {
        path: found.path.display().to_string(),
        implementation: found.info.implementation.clone(),
        version: found.info.version.clone(),
    }
}

/// Every interpreter on the search path, each once, with what it says of itself.
pub fn list(search: &SearchPath) -> Vec<Result<Found, FindError>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for program in search.programs() {
        match probe(&program) {
            Ok(one) => {
                if seen.insert((one.info.executable.clone(), one.info.prefix.clone())) {
                    found.push(Ok(one));
                }
            }
            Err(error) => found.push(Err(error)),
        }
    }
    found
}
