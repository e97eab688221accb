//! The same file under `pyrepl3 run` and under its interpreter: output, errors and status must be equal.

use crate::support::{Bench, finish};
use std::process::Command;

const SCRIPTS: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("hello", b"print('hi')"),
    ("no_newline", b"import sys; sys.stdout.write('no newline')"),
    ("docstring", b"'''doc'''\nprint(__doc__)"),
    ("names", b"print(__name__, __file__, __package__, __spec__)"),
    ("arguments", b"import sys; print(sys.argv, sys.path[0])"),
    ("fails", b"def f():\n    1/0\nf()\n"),
    ("fails_deep", b"def f(n):\n    if n: f(n - 1)\n    else: 1/0\nf(20)\n"),
    ("cause", b"try:\n    1/0\nexcept Exception as e:\n    raise ValueError('x') from e\n"),
    ("context", b"try:\n    1/0\nexcept Exception as e:\n    raise ValueError('x')\n"),
    ("exit", b"import sys; sys.exit(3)"),
    ("exit_text", b"import sys; sys.exit('bye')"),
    ("exit_negative", b"import sys; sys.exit(-1)"),
    ("exit_tuple", b"import sys; sys.exit((1, 2))"),
    ("exit_true", b"import sys; sys.exit(True)"),
    ("interrupts_itself", b"raise KeyboardInterrupt"),
    ("sigint_to_itself", b"import os, time; os.kill(os.getpid(), 2); time.sleep(10)"),
    ("syntax_error", b"x = = 1\n"),
    ("syntax_error_in_function", b"def f(:\n  pass\n"),
    ("tabs", b"if 1:\n\tx=1\n        y=2\n"),
    ("latin_1", b"# -*- coding: latin-1 -*-\nprint(ascii('\xe9'), len('\xe9'))\n"),
    ("byte_order_mark", b"\xef\xbb\xbfprint('bom')\n"),
    ("carriage_returns", b"x=1\r\nif x:\r\n    print(2)\r\n"),
    ("standard_error", b"import sys; print('e', file=sys.stderr); print('o')"),
    ("surrogate", b"print('\\udcff')"),
    ("warning", b"import warnings; warnings.warn('careful')"),
    ("deprecation", b"import warnings\ndef f(): warnings.warn('old', DeprecationWarning)\nf()"),
    ("logging", b"import logging; logging.warning('w')"),
    ("missing_module", b"import nonexistent_module"),
    ("neighbour", b"import neighbour; print(neighbour.x)"),
    ("bad_neighbour", b"import bad_neighbour"),
    ("atexit", b"import atexit; atexit.register(print, 'bye'); print('main')"),
    ("thread", b"import threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join(); print('main')"),
    ("thread_fails", b"import threading\ndef f():\n    1/0\nt = threading.Thread(target=f, name='T'); t.start(); t.join(); print('main')"),
    ("subprocess", b"import subprocess, sys; print('a', flush=True); subprocess.run([sys.executable, '-c', 'print(1)']); print('b')"),
    ("system", b"import os; print(os.system('echo hi; exit 3'))"),
    ("fork", b"import os, sys\npid = os.fork()\nif pid == 0:\n    print('child'); sys.exit(3)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"),
    ("multiprocessing", b"import multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n    with m.Pool(2) as p: print(p.map(f, [1, 2, 3]))"),
    ("spawn", b"import multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n    with m.get_context('spawn').Pool(1) as p: print(p.map(f, [1, 2]))"),
    ("asyncio", b"import asyncio\nasync def main(): await asyncio.sleep(0); print('a')\nasyncio.run(main())"),
    ("future", b"from __future__ import annotations\ndef f(x: undefined): pass\nprint(f.__annotations__)"),
    ("finalizer", b"class A:\n    def __del__(self): print('del')\na = A()\nprint('end')"),
    ("generator", b"def g():\n    try: yield 1\n    finally: print('finally')\nx = g(); next(x)\nprint('end')"),
    ("pickle", b"import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__module__)"),
    ("getsource", b"import inspect\ndef f():\n    return 1\nclass A:\n    x = 1\nprint(inspect.getsource(f), inspect.getsource(A))"),
    ("main_module", b"import __main__, sys; print(vars(__main__) is globals(), sys.modules['__main__'] is __main__)"),
    ("print_exc", b"import traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()"),
    ("input_at_end", b"input('p: ')"),
    ("no_standard_output", b"import sys; sys.stdout = None; print('x'); 1/0"),
    ("annotations", b"x: int = 1\nprint(__annotations__)"),
    ("umask_and_folder", b"import os; m = os.umask(0); print(m, os.getcwd())"),
    ("encodings", b"import sys; print(sys.stdin.encoding, sys.stdin.errors, sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors)"),
    ("descriptors", b"import sys; print(sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty())"),
];

/// What is not alike yet, and what it needs.
const DIFFERENT: &[(&str, &[u8])] = &[
    // The worker decodes the source that tracebacks show as UTF-8, whatever its encoding.
    ("latin_1_traceback", b"# -*- coding: latin-1 -*-\nraise ValueError('\xe9')\n"),
    // A script's last expression has no value: its `repr` must not run.
    ("last_expression", b"class R:\n    def __repr__(self): print('repr!'); return 'R'\nR()"),
    // Top-level `await` is for prompts.
    ("await_at_top_level", b"async def f(): return 1\nawait f()"),
    // `sys.excepthook` is for scripts to set.
    ("excepthook", b"import sys\ndef h(t, v, tb): print('hook', t.__name__, v)\nsys.excepthook = h\n1/0"),
    // The status that the process has in the end.
    ("exit_in_atexit", b"import atexit, os\natexit.register(lambda: os._exit(7))\nprint('main', flush=True)"),
    ("killed_at_the_end", b"import os, threading\ndef f():\n    threading.main_thread().join()\n    os.kill(os.getpid(), 9)\nthreading.Thread(target=f).start()"),
    ("exit_huge", b"import sys; sys.exit(2 ** 70)"),
    ("closed_stderr", b"import sys; sys.stderr.close(); print('on', flush=True)"),
    ("default_handler", b"import signal; print(signal.getsignal(2) is signal.default_int_handler)"),
    ("standard_input_name", b"import sys; print(sys.stdin.name)"),
    ("exec_traceback", b"exec('1/0')"),
    ("encoding_unknown", b"# -*- coding: nonexistent -*-\nprint(1)\n"),
    ("encoding_wrong", b"print('\xff')\n"),
    ("indentation", b"if 1:\nprint(2)\n"),
    ("first_free_descriptor", b"import os; print(os.open('/dev/null', 0))"),
];

/// Status, output and errors.
fn outcome(command: Command) -> (i32, String, String) {
    let raw = finish(command, b"");
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    (raw.status, text(&raw.out), text(&raw.err))
}

#[test]
fn scripts_behave_as_under_python() {
    compare(SCRIPTS);
}

#[test]
#[ignore = "needs changes of the worker and the engine"]
fn scripts_that_do_not_behave_as_under_python_yet() {
    compare(DIFFERENT);
}

fn compare(scripts: &[(&str, &[u8])]) {
    let bench = Bench::new();
    bench.file("neighbour.py", "x = 1\n");
    bench.file("bad_neighbour.py", "def f():\n    raise ValueError('bad')\nf()\n");
    let mut different = Vec::new();
    for (name, source) in scripts {
        let file = bench.file(&format!("script_{name}.py"), source);
        let python = outcome(bench.python(&[&file, "a", "-b"]));
        let ours = outcome(bench.pyrepl3(&["run", &file, "a", "-b"]));
        if python != ours {
            different.push(format!("{name}\n  python  {python:?}\n  pyrepl3 {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn paths_are_shown_as_python_shows_them() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("folder")).unwrap();
    bench.file("folder/script.py", "print(__file__)\n1/0\n");
    let absolute = bench.path("folder/script.py").display().to_string();
    for path in ["folder/script.py", "./folder/script.py", "folder/../folder/script.py", &absolute] {
        assert_eq!(outcome(bench.pyrepl3(&["run", path])), outcome(bench.python(&[path])), "{path}");
    }
}
