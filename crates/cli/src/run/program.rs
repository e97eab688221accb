//! What is to run: a file, standard input, or a text from the command line.

use crate::args::RunArgs;
use pyrepl3_engine::{Code, Failure};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A program and its surroundings, as Python sets them up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Bytes: Python finds out their encoding.
    pub(crate) source: Vec<u8>,
    /// Name in tracebacks.
    pub(crate) name: String,
    /// `sys.argv`.
    pub(crate) argv: Vec<OsString>,
    /// `sys.path[0]`.
    pub(crate) path0: PathBuf,
    /// `__file__`.
    pub(crate) file: Option<PathBuf>,
}

impl Program {
    /// Reads it.
    ///
    /// # Errors
    /// The file is missing, is a folder, or cannot be read.
    pub(crate) fn load(args: &RunArgs) -> Result<Program, Failure> {
        let given = if args.code.is_empty() { &args.script } else { &args.code };
        let Some((first, rest)) = given.split_first() else {
            return Err(Failure::new(
                Code::BadRequest,
                "there is nothing to run",
                "no file was named",
                "name one (pyrepl3 run FILE), pass code (pyrepl3 run -c CODE), or pipe it in (pyrepl3 run -)",
            ));
        };
        if !args.code.is_empty() {
            return Ok(Program::text(first.as_bytes().to_vec(), "<string>", "-c", rest));
        }
        if first == "-" {
            return Program::standard_input(rest);
        }
        let path = Path::new(first);
        let source = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        Ok(Program::file(source, path, rest, &std::env::current_dir().unwrap_or_default()))
    }

    /// Reads all of standard input. The script's own reads find its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn standard_input(rest: &[OsString]) -> Result<Program, Failure> {
        let mut source = Vec::new();
        io::stdin().lock().read_to_end(&mut source).map_err(|error| unreadable(Path::new("standard input"), &error))?;
        Ok(Program::text(source, "<stdin>", "-", rest))
    }

    fn text(source: Vec<u8>, name: &str, argv0: &str, rest: &[OsString]) -> Program {
        let argv = std::iter::once(OsString::from(argv0)).chain(rest.iter().cloned()).collect();
        Program { source, name: name.to_owned(), argv, path0: PathBuf::new(), file: None }
    }

    fn file(source: Vec<u8>, path: &Path, rest: &[OsString], cwd: &Path) -> Program {
        // Python puts the working folder before a relative path and changes nothing else of it: `__file__` and
        // tracebacks show `/home/me/./x.py` for `./x.py`.
        let absolute = if path.is_absolute() { path.to_path_buf() } else { cwd.join(path) };
        // But modules are looked for where the file really is.
        let real = path.canonicalize().unwrap_or_else(|_| absolute.clone());
        Program {
            source,
            name: absolute.to_string_lossy().into_owned(),
            argv: std::iter::once(path.as_os_str().to_owned()).chain(rest.iter().cloned()).collect(),
            path0: real.parent().map(Path::to_path_buf).unwrap_or_default(),
            file: Some(absolute),
        }
    }

    /// Python that sets what cannot be passed as text because it is not UTF-8; none if all is.
    pub(crate) fn correction(&self) -> Option<String> {
        let odd = |value: &OsStr| value.to_str().is_none();
        let decoded = |value: &OsStr| format!("__import__('os').fsdecode({})", bytes_literal(value.as_bytes()));
        let mut lines = Vec::new();
        if self.argv.iter().any(|argument| odd(argument)) {
            let argv: Vec<_> = self.argv.iter().map(|argument| decoded(argument)).collect();
            lines.push(format!("__import__('sys').argv[:] = [{}]", argv.join(", ")));
        }
        if odd(self.path0.as_os_str()) {
            lines.push(format!("__import__('sys').path[0] = {}", decoded(self.path0.as_os_str())));
        }
        if let Some(file) = self.file.as_deref().map(Path::as_os_str).filter(|file| odd(file)) {
            lines.push(format!("__file__ = {}", decoded(file)));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Python that gives a session that was saved by another program the arguments, path and file of this one.
    pub(crate) fn as_it_starts(&self) -> String {
        let decoded = |value: &OsStr| format!("__import__('os').fsdecode({})", bytes_literal(value.as_bytes()));
        let argv: Vec<_> = self.argv.iter().map(|argument| decoded(argument)).collect();
        let path0 = decoded(self.path0.as_os_str());
        let file = match &self.file {
            Some(file) => format!("__file__ = {}", decoded(file.as_os_str())),
            None => "globals().pop('__file__', None)".to_owned(),
        };
        let path = format!("__import__('sys').path[:1] == [{path0}] or __import__('sys').path.insert(0, {path0})");
        format!("__import__('sys').argv[:] = [{}]\n{path}\n{file}\nNone", argv.join(", "))
    }
}

fn bytes_literal(bytes: &[u8]) -> String {
    let mut literal = String::from("b'");
    for byte in bytes {
        literal.push_str(&format!("\\x{byte:02x}"));
    }
    literal.push('\'');
    literal
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let how = match error.kind() {
        io::ErrorKind::NotFound => "check the path, and the folder that you are in",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::PermissionDenied => "ask for the right to read it",
        _ => "",
    };
    Failure::new(Code::BadRequest, format!("cannot read {}", path.display()), error.to_string(), how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_relative_path_is_joined_and_not_tidied() {
        let program = Program::file(Vec::new(), Path::new("./no/x.py"), &["-v".into()], Path::new("/here"));
        assert_eq!(program.name, "/here/./no/x.py");
        assert_eq!(program.argv, ["./no/x.py", "-v"]);
        assert_eq!(program.path0, Path::new("/here/./no"));
    }

    #[test]
    fn text_needs_no_correction_and_bytes_get_one() {
        let plain = Program::text(Vec::new(), "<string>", "-c", &["é".into()]);
        assert_eq!(plain.correction(), None);
        let odd = Program::text(Vec::new(), "<string>", "-c", &[OsString::from_vec(vec![0xff])]);
        assert_eq!(
            odd.correction().unwrap(),
            "__import__('sys').argv[:] = [__import__('os').fsdecode(b'\\x2d\\x63'), __import__('os').fsdecode(b'\\xff')]"
        );
    }
}
