//! Exit statuses, and what is said with them.

use crate::support::{Bench, finish};

#[test]
fn the_scripts_own_status_wins() {
    let bench = Bench::new();
    for (code, status) in [
        ("pass", 0),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(7)", 7),
        ("raise SystemExit(300)", 44),
        ("import sys; sys.exit('text')", 1),
        ("1/0", 1),
        ("x = = 1", 1),
        ("raise KeyboardInterrupt", 130),
        ("import os; os._exit(9)", 9),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.abort()", 134),
        ("import os; os.kill(os.getpid(), 15)", 143),
    ] {
        assert_eq!(bench.code(code).status, status, "{code}");
    }
}

#[test]
fn a_signal_that_killed_the_script_is_named() {
    let outcome = Bench::new().code("import os; os.kill(os.getpid(), 11)");
    assert_eq!(outcome.status, 139);
    assert_eq!(outcome.err, "pyrepl3: the script was killed by signal 11 (SIGSEGV)\n");
}

#[test]
fn os_exit_is_quiet() {
    let outcome = Bench::new().code("import os; print('before', flush=True); os._exit(5)");
    assert_eq!((outcome.status, outcome.out.as_str(), outcome.err.as_str()), (5, "before\n", ""));
}

#[test]
fn a_time_limit_is_124_and_says_so() {
    let bench = Bench::new();
    let outcome = bench.run(&["--timeout", "0.2", "-c", "import time\nprint('on', flush=True)\ntime.sleep(1000)"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (124, "on\n"));
    assert!(outcome.err.contains("line 3, in <module>"), "{}", outcome.err);
    assert!(outcome.err.ends_with("it exceeded the time limit of 0.2 s (--timeout)\n"), "{}", outcome.err);
}

#[test]
fn a_time_limit_holds_against_code_that_ignores_it_and_against_its_threads() {
    let bench = Bench::new();
    let stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException: pass";
    assert_eq!(bench.run(&["--timeout", "0.2", "-c", stubborn]).status, 124);
    let threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)";
    assert_eq!(bench.run(&["--timeout", "0.2", "-c", threads]).status, 124);
}

#[test]
fn what_cannot_be_run_is_wrong_usage() {
    let bench = Bench::new();
    bench.file("secret.py", "print(1)");
    for (arguments, said) in [
        (&[][..], "there is nothing to run"),
        (&["missing.py"], "cannot read missing.py"),
        (&["."], "Is a directory"),
        (&["--timeout", "0", "-c", "1"], "a time limit is a number of seconds above 0"),
        (&["--timeout", "-1", "-c", "1"], "above 0"),
        (&["--timeout", "inf", "-c", "1"], "above 0"),
        (&["--timeout", "x", "-c", "1"], "invalid value 'x'"),
        (&["--checkpoint", "", "-c", "1"], "the name cannot be used"),
        (&["--from", "a", "-c", "1"], "there is no checkpoint \"a\""),
        (&["--flag", "secret.py"], "unexpected argument '--flag'"),
        (&["-c"], "a value is required"),
    ] {
        let outcome = bench.run(arguments);
        assert_eq!((outcome.status, outcome.out.as_str()), (2, ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.err.contains(said), "{arguments:?}: {}", outcome.err);
    }
}

#[test]
fn a_file_without_permission_is_wrong_usage() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let name = bench.file("secret.py", "print(1)");
    std::fs::set_permissions(bench.path(&name), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(bench.path(&name)).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let outcome = bench.run(&[&name]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.err.contains("Permission denied"), "{}", outcome.err);
}

#[test]
fn an_environment_that_cannot_be_had_is_3() {
    let bench = Bench::new();
    for (arguments, said) in [
        (&["--isolation", "strict", "-c", "1"][..], "isolation \"strict\" is not available"),
        (&["--python", "/nonexistent", "-c", "1"], "no suitable Python interpreter"),
        (&["--preload", "no_such_module", "-c", "1"], "no_such_module"),
    ] {
        let outcome = bench.run(arguments);
        assert_eq!((outcome.status, outcome.out.as_str()), (3, ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.err.contains(said), "{arguments:?}: {}", outcome.err);
    }
    assert_eq!(bench.run(&["--isolation", "none", "-c", "print(1)"]).out, "1\n");
}

#[test]
fn preloaded_modules_are_there() {
    let outcome = Bench::new().run(&["--preload", "decimal", "-c", "import sys; print('decimal' in sys.modules)"]);
    assert_eq!(outcome.out, "True\n");
}

#[test]
fn what_a_script_leaves_behind_has_its_say() {
    let bench = Bench::new();
    let code = "
import atexit, threading, time
ready = threading.Event()
def late():
    ready.wait()
    print('thread')
threading.Thread(target=late).start()
atexit.register(print, 'atexit')
file = open('unflushed.txt', 'w')
file.write('data')
print('main')
ready.set()
";
    let outcome = bench.code(code);
    assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
    let mut lines: Vec<_> = outcome.out.lines().collect();
    assert_eq!(lines.pop(), Some("atexit"));
    lines.sort_unstable();
    assert_eq!(lines, ["main", "thread"]);
    assert_eq!(std::fs::read_to_string(bench.path("unflushed.txt")).unwrap(), "data");
}

#[test]
fn daemon_threads_and_children_do_not_keep_it() {
    let bench = Bench::new();
    let code = "
import subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)
print('main')
";
    let outcome = bench.code(code);
    assert_eq!((outcome.status, outcome.out.as_str()), (0, "main\n"));
}

#[test]
fn arguments_go_to_the_script() {
    let bench = Bench::new();
    let script = bench.file("show.py", "import sys; print(sys.argv[1:], __file__)");
    let file = bench.folder().canonicalize().unwrap().join("show.py");
    let outcome = bench.run(&[&script, "--flag", "-x", "--json", "--", "-c", "a b"]);
    assert_eq!(outcome.out, format!("['--flag', '-x', '--json', '--', '-c', 'a b'] {}\n", file.display()));
    let show = "import sys; print(sys.argv, repr(sys.path[0]))";
    assert_eq!(bench.run(&["-c", show, "a", "--json", "--"]).out, "['-c', 'a', '--json', '--'] ''\n");
    assert_eq!(bench.run(&[&format!("-c{show}"), "a", "--json"]).out, "['-c', 'a', '--json'] ''\n");
}

#[test]
fn arguments_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let odd = OsStr::from_bytes(b"caf\xe9.py");
    let code = b"import os, sys; print([os.fsencode(a) for a in sys.argv], os.path.basename(os.fsencode(__file__)))";
    std::fs::write(bench.folder().join(odd), code).unwrap();
    let mut command = bench.pyrepl3(&["run"]);
    command.arg(odd).arg(OsStr::from_bytes(b"\xff"));
    let outcome = finish(command, b"").text();
    assert_eq!(outcome.out, "[b'caf\\xe9.py', b'\\xff'] b'caf\\xe9.py'\n", "{}", outcome.err);
}

#[test]
fn modules_are_found_beside_the_script() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("real")).unwrap();
    bench.file("real/neighbour.py", "x = 'found'");
    bench.file("real/script.py", "import neighbour; print(neighbour.x)");
    std::os::unix::fs::symlink("real/script.py", bench.path("link.py")).unwrap();
    assert_eq!(bench.run(&["real/script.py"]).out, "found\n");
    assert_eq!(bench.run(&["link.py"]).out, "found\n");
}
