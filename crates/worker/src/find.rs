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
///
/// A version manager's shim that does not answer is left out where an interpreter of its name is there: on the search
/// path, or among the versions that stand beside the shims.
pub fn list(search: &SearchPath) -> Vec<Result<Found, FindError>> {
    let mut known = Listed::default();
    let mut shims = Vec::new();
    for program in search.programs() {
        match probe(&program) {
            Ok(one) => known.add(one),
            Err(error) if is_shim(&program) => shims.push((program, error)),
            Err(error) => known.list.push(Err(error)),
        }
    }
    for (shim, error) in shims {
        let name = shim.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !known.has(&name) {
            versions_beside(&shim).iter().filter_map(|real| probe(real).ok()).for_each(|one| known.add(one));
        }
        if !known.has(&name) {
            known.list.push(Err(error));
        }
    }
    known.list
}

/// Interpreters found so far, each once.
#[derive(Default)]
struct Listed {
    seen: std::collections::BTreeSet<(String, String)>,
    list: Vec<Result<Found, FindError>>,
}

impl Listed {
    fn add(&mut self, one: Found) {
        if self.seen.insert((one.info.executable.clone(), one.info.prefix.clone())) {
            self.list.push(Ok(one));
        }
    }

    /// Whether one of them is what a command of this name would run: `python3.12` is any 3.12, `python` any 3.
    fn has(&self, name: &str) -> bool {
        let wanted = name.strip_prefix("python").filter(|wanted| !wanted.is_empty()).unwrap_or("3");
        self.list.iter().flatten().any(|one| {
            one.info.version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// Whether a program is a script by which a version manager (pyenv) picks the interpreter. It answers only where a
/// version of that name was chosen.
fn is_shim(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 2];
    let is_script = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    is_script && &start == b"#!" && path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "shims")
}

/// The programs of a shim's name in pyenv's tree: `ROOT/versions/*/bin/NAME` for `ROOT/shims/NAME`.
fn versions_beside(shim: &Path) -> Vec<PathBuf> {
    let root = shim.parent().and_then(Path::parent);
    let (Some(root), Some(name)) = (root, shim.file_name()) else { return Vec::new() };
    let Ok(versions) = std::fs::read_dir(root.join("versions")) else { return Vec::new() };
    let mut found: Vec<_> = versions.flatten().map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| is_program(path));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(path: &Path, script: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A pyenv in which no version was chosen: its shims only say so.
    fn pyenv(root: &Path, versions: &[&str], shims: &[&str]) -> SearchPath {
        for version in versions {
            let home = root.join("versions").join(version);
            let minor = version.rsplit_once('.').unwrap().0;
            for name in ["python".to_owned(), "python3".to_owned(), format!("python{minor}")] {
                program(
                    &home.join("bin").join(name),
                    &format!("printf '{version}\\n{0}/bin/python3\\n{0}\\ncpython\\n'", home.display()),
                );
            }
        }
        for shim in shims {
            program(&root.join("shims").join(shim), "echo 'command not found' >&2; exit 127");
        }
        SearchPath { virtual_env: None, path: Some(root.join("shims").into_os_string()) }
    }

    fn listed(search: &SearchPath) -> Vec<String> {
        let text = |one: &Result<Found, FindError>| match one {
            Ok(found) => found.info.version.clone(),
            Err(FindError::Broken { path, .. }) => format!("broken {}", path.rsplit('/').next().unwrap()),
            Err(error) => error.to_string(),
        };
        let mut all: Vec<_> = list(search).iter().map(text).collect();
        all.sort();
        all
    }

    #[test]
    fn the_interpreters_beside_pyenvs_shims_are_listed_in_their_place() {
        let root = tempfile::tempdir().unwrap();
        let search = pyenv(root.path(), &["3.10.4", "3.11.7", "3.11.8"], &["python3.10", "python3.11", "python3.12"]);
        assert_eq!(listed(&search), ["3.10.4", "3.11.7", "3.11.8", "broken python3.12"]);
        // One name for all versions is answered by any of them.
        let search = pyenv(root.path(), &[], &["python", "python3"]);
        assert_eq!(listed(&search), ["3.10.4", "3.11.7", "3.11.8", "broken python3.12"]);
    }

    #[test]
    fn a_shim_is_left_out_where_the_real_one_is_on_the_search_path() {
        let root = tempfile::tempdir().unwrap();
        let shims = pyenv(root.path(), &["3.10.4", "3.11.7"], &["python3.11"]).path.unwrap();
        let real = root.path().join("versions/3.11.7/bin");
        let path = std::env::join_paths([PathBuf::from(shims), real]).unwrap();
        assert_eq!(listed(&SearchPath { virtual_env: None, path: Some(path) }), ["3.11.7"]);
    }

    #[test]
    fn a_broken_program_that_is_no_shim_is_told() {
        let root = tempfile::tempdir().unwrap();
        program(&root.path().join("python3"), "exit 1");
        let search = SearchPath { virtual_env: None, path: Some(root.path().as_os_str().to_owned()) };
        assert_eq!(listed(&search), ["broken python3"]);
    }
}
