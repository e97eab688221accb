//! What `pyrepl3 run` inherits, and hands on.

use crate::support::{Bench, Outcome, finish};
use serde_json::Value;

/// A script, in a shell that first does something to what it inherits. `redirections` stand behind the command.
fn after(bench: &Bench, preparation: &str, redirections: &str, code: &str) -> Outcome {
    let line = format!("{preparation}\nexec \"$0\" run -c \"$1\" {redirections}");
    finish(bench.shell("sh", &line, &[code]), b"").text()
}

#[test]
fn a_script_runs_whatever_was_inherited() {
    let bench = Bench::new();
    let code = "import subprocess, sys\n\
        child = subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True)\n\
        print('é', child.stdout.strip())";
    for (preparation, redirections) in [
        ("trap '' HUP INT QUIT TERM", ""),
        ("umask 0777", ""),
        ("umask 0", ""),
        ("unset LANG; export LC_ALL=C", ""),
        ("export LC_ALL=nowhere", ""),
        ("export TZ=XYZ-14", ""),
        ("ulimit -n 64", ""),
        ("unset HOME XDG_DATA_HOME", ""),
        ("", "<&-"),
        ("", "2>&-"),
        ("", "<&- 2>&-"),
        ("trap '' HUP INT; umask 077; unset LANG HOME XDG_DATA_HOME; export TZ=XYZ-14; ulimit -n 64", "<&-"),
    ] {
        let outcome = after(&bench, preparation, redirections, code);
        assert_eq!(
            (outcome.status, outcome.out.as_str(), outcome.err.as_str()),
            (0, "é 42\n", ""),
            "{preparation} {redirections}"
        );
    }
}

/// What a program finds, as JSON.
const FOUND: &str = "
import json, locale, os, resource, signal, sys, time
mask = os.umask(0); os.umask(mask)
print(json.dumps({
    'umask': mask,
    'limits': {name: resource.getrlimit(getattr(resource, name))
               for name in ('RLIMIT_NOFILE', 'RLIMIT_CORE', 'RLIMIT_STACK', 'RLIMIT_NPROC', 'RLIMIT_AS')},
    'ignored': [name for name in ('SIGHUP', 'SIGQUIT', 'SIGTERM', 'SIGUSR1')
                if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN],
    'zone': time.localtime().tm_gmtoff,
    'encodings': [locale.getpreferredencoding(), sys.getfilesystemencoding(), sys.stdout.encoding],
    'locale': [os.environ.get(name) for name in ('LANG', 'LC_ALL')],
    'folder': os.getcwd(),
}))
";

#[test]
fn a_script_inherits_what_it_would_inherit_under_python() {
    let bench = Bench::new();
    let python = crate::support::interpreter();
    for preparation in [
        "true",
        "umask 027",
        "ulimit -Sn 300",
        "ulimit -n 300",
        "ulimit -c 0",
        "export TZ=XYZ-14",
        "unset LANG; export LC_ALL=C",
        "trap '' HUP USR1",
    ] {
        let line = format!("{preparation}\n\"$0\" run -c \"$1\"\n\"$2\" -c \"$1\"");
        let outcome = finish(bench.shell("sh", &line, &[FOUND, python]), b"").text();
        let found: Vec<Value> = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found.len(), 2, "{preparation}: {outcome:?}");
        assert_eq!(found[0], found[1], "{preparation}");
    }
}

#[test]
fn a_session_has_the_descriptors_that_the_shell_had_and_the_program_has_more() {
    let bench = Bench::new();
    let code = "import os, resource\nprint(*resource.getrlimit(resource.RLIMIT_NOFILE))\n\
        os.system('ulimit -Sn; ulimit -Hn')";
    let outcome = after(&bench, "ulimit -Sn 300; ulimit -Hn 4000", "", code);
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("300 4000\n300\n4000\n", ""));
    let line = "ulimit -Sn 300; ulimit -Hn 4000\nexec \"$0\" doctor --json";
    let report: Value = serde_json::from_str(&finish(bench.shell("sh", line, &[]), b"").text().out).unwrap();
    let limits = &report["limits"];
    assert_eq!(
        [&limits["open_files"], &limits["open_files_engine"], &limits["open_files_hard"]],
        [&Value::from(300), &Value::from(4000), &Value::from(4000)]
    );
}
