//! The interactive session: lines, blocks, completion, history, prompts, Ctrl-C.

use crate::pty::Terminal;
use crate::support::Bench;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const TAB: &str = "\t";
const UP: &str = "\x1b[A";
const BACKSPACE: &str = "\x7f";

#[test]
fn values_and_output_are_shown() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("1 + 1", "2");
    terminal.enter("x = [1, 'a']; None");
    terminal.answers("x", "[1, 'a']");
    terminal.answers("_", "[1, 'a']");
    terminal.answers("print('out'); 5", "out\n5");
    terminal.answers("print('no end', end='')", "no end");
    terminal.answers("import sys; sys.stderr.write('err\\n') and None", "err");
    terminal.keys(CTRL_D);
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn a_block_is_indented_and_ends_with_an_empty_line() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("def f(n):");
    terminal.expect("\n...");
    terminal.line("if n:");
    terminal.line("return 'yes'");
    // A block ends with its `return`.
    terminal.expect("...         return 'yes'\n...");
    terminal.line("return 'no'");
    terminal.expect("...     return 'no'\n...");
    terminal.keys("\r");
    terminal.expect("...\n>>>");
    terminal.answers("f(1), f(0)", "('yes', 'no')");
}

#[test]
fn backspace_leaves_a_block() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("if False:");
    terminal.expect("\n...");
    terminal.line("print('no')");
    terminal.expect("print('no')\n...");
    terminal.keys(BACKSPACE);
    terminal.line("else:");
    terminal.line("print('yes')");
    terminal.expect("... else:\n...     print('yes')\n...");
    terminal.keys("\r");
    terminal.expect("\nyes\n>>>");
}

#[test]
fn tracebacks_are_pythons() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("1/0");
    terminal.expect("Traceback (most recent call last):\n  File \"<execution 1>\", line 1, in <module>\n    1/0\n");
    terminal.expect("ZeroDivisionError: division by zero\n>>>");
    terminal.enter("x = = 1");
    terminal.expect("SyntaxError: invalid syntax\n>>>");
}

#[test]
fn names_of_the_live_session_are_completed() {
    let bench = Bench::new();
    // Without colours there are no proposals from the history, which look like text here.
    let terminal = Terminal::pyrepl3(&bench, &[], &[("NO_COLOR", "1")]);
    terminal.enter("some_long_name = {'a': 1}");
    terminal.ready();
    for (typed, completed) in [
        ("some_l", ">>> some_long_name\n"),
        ("some_long_name.fromk", ">>> some_long_name.fromkeys\n"),
        ("import dataclas", ">>> import dataclasses\n"),
        ("%his", ">>> %history\n"),
        ("%time some_long_name.setd", ">>> %time some_long_name.setdefault\n"),
        ("é = 1; some_l", ">>> é = 1; some_long_name\n"),
    ] {
        terminal.keys(typed);
        terminal.keys(TAB);
        terminal.expect(completed);
        terminal.clear();
    }
    // Where there are several, they are shown.
    terminal.keys("some_long_name.po");
    terminal.keys(TAB);
    terminal.expect(">>> some_long_name.pop\n");
    terminal.expect("popitem");
}

#[test]
fn nothing_to_complete_shows_nothing() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.keys("zzz_unknown");
    terminal.keys(TAB);
    terminal.keys(" = 3");
    terminal.expect(">>> zzz_unknown = 3");
    terminal.keys("\r");
    terminal.answers("zzz_unknown", "3");
    assert!(!terminal.screen().contains("NO RECORDS"));
}

#[test]
fn ctrl_c_stops_code_and_clears_lines() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("print('on'); [None for _ in iter(int, 1)]");
    terminal.expect("\non\n");
    terminal.keys(CTRL_C);
    terminal.expect("KeyboardInterrupt\n>>>");
    terminal.keys("half a li");
    terminal.expect(">>> half a li");
    terminal.clear();
    assert!(terminal.screen().contains(">>> half a li\n>>>"));
    terminal.answers("1 + 1", "2");
}

#[test]
fn a_loop_is_stopped_with_its_state_kept() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("kept = 7; print('on')");
    terminal.expect("\non\n>>>");
    terminal.enter("exec('print(\"looping\")\\nwhile True: pass')");
    terminal.expect("\nlooping\n");
    terminal.keys(CTRL_C);
    terminal.expect("KeyboardInterrupt\n>>>");
    terminal.answers("kept", "7");
}

#[test]
fn code_that_will_not_stop_is_killed_and_that_is_said() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [2]); gone = 1; print('on')");
    terminal.expect("\non\n>>>");
    terminal.enter("import time; print('sleeping'); time.sleep(1000)");
    terminal.expect("\nsleeping\n");
    terminal.keys(CTRL_C);
    terminal.expect("has not stopped yet");
    terminal.expect("its process was killed\nThe state after execution 1 is back, exactly. Undone: execution 2.");
    terminal.enter("gone");
    terminal.expect("1\n>>>");
}

#[test]
fn prompts_of_the_code_are_answered_in_the_terminal() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("name = input('Name: ')");
    terminal.expect("\nName:");
    terminal.line("Älice");
    terminal.expect("Name: Älice\n>>>");
    terminal.answers("name", "'Älice'");
    terminal.enter("print('partial ', end=''); input('then: '), input('two\\nlines: ')");
    terminal.expect("\npartial then:");
    terminal.line("a");
    terminal.expect("\ntwo\nlines:");
    terminal.line("b");
    terminal.expect("('a', 'b')\n>>>");
    terminal.enter("input('end? ')");
    terminal.expect("\nend?");
    terminal.keys(CTRL_D);
    terminal.expect("EOFError: EOF when reading a line\n>>>");
    terminal.enter("input('stop? ')");
    terminal.expect("\nstop?");
    terminal.keys(CTRL_C);
    terminal.expect("KeyboardInterrupt\n>>>");
}

#[test]
fn a_password_is_not_shown() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import getpass; len(getpass.getpass('Secret: '))");
    terminal.expect("\nSecret:");
    terminal.keys("hunter");
    terminal.keys(BACKSPACE);
    terminal.keys("\r");
    terminal.expect("\n5\n>>>");
    assert!(!terminal.raw().contains("hunte"));
}

#[test]
fn the_history_lasts() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let first = Terminal::repl(&bench);
    first.answers("40 + 2", "42");
    first.enter("def f():");
    first.line("return 'block'");
    first.keys("\r");
    first.answers("f()", "'block'");
    first.ready();
    first.keys(CTRL_D);
    assert_eq!(first.ended(), 0);
    let file = bench.path("data/pyrepl3/history");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Terminal::repl(&bench);
    second.keys(UP);
    second.expect(">>> f()");
    second.keys(UP);
    second.expect(">>> def f():\n...     return 'block'");
    second.keys("\r");
    second.answers("f()", "'block'");
    second.ready();
    second.keys(CTRL_R);
    second.keys("40");
    second.expect("(history: 40) 40 + 2");
    second.keys("\r");
    second.keys("\r");
    second.expect("40 + 2\n42\n>>>");
    second.enter("%history 3");
    second.expect("f()\n40 + 2\n>>>");
}

#[test]
fn pasted_blocks_run_whole() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    let block = "    def g(a):\n        b = a\n\n        return b * 2\n\n    for i in range(2):\n        print(g(i))\n";
    terminal.keys(&format!("\x1b[200~{block}\x1b[201~"));
    terminal.expect("print(g(i))");
    terminal.keys("\r");
    terminal.expect("\n0\n2\n>>>");
}

#[test]
fn leaving_has_a_status_and_restores_the_terminal() {
    for (line, status) in [("exit(5)", 5), ("quit()", 0), ("raise SystemExit('text')", 1), ("%quit", 0), ("exit", 0)] {
        let bench = Bench::new();
        let terminal = Terminal::in_shell(&bench);
        terminal.enter(line);
        terminal.expect(&format!("status {status}\n"));
        terminal.wait_for_end();
        let screen = terminal.screen();
        assert!(screen.contains(" icanon ") && screen.contains(" echo ") && screen.contains("isig "), "{screen}");
    }
}

#[test]
fn the_session_leaves_as_python_does() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import atexit; atexit.register(lambda: open('left.txt', 'w').write('bye')) and None");
    terminal.enter("import threading; gate = threading.Event(); threading.Thread(target=lambda: (gate.wait(), print('late'))).start()");
    terminal.enter("threading.Timer(0.3, gate.set).start()");
    terminal.answers("1 + 1", "2");
    terminal.keys(CTRL_D);
    terminal.wait_for_end();
    assert!(terminal.screen().contains("\nlate"), "{}", terminal.screen());
    assert_eq!(std::fs::read_to_string(bench.path("left.txt")).unwrap(), "bye");
}

#[test]
fn ctrl_d_is_seen_at_any_moment_behind_enter() {
    let bench = Bench::new();
    for moment in 0..12 {
        let terminal = Terminal::repl(&bench);
        terminal.line("1 + 1");
        std::thread::sleep(std::time::Duration::from_micros(moment * 400));
        terminal.keys(CTRL_D);
        terminal.wait_for_end();
        assert!(terminal.screen().contains("1 + 1\n2"), "{}", terminal.screen());
    }
}

#[test]
fn a_signal_to_end_restores_the_terminal() {
    let bench = Bench::new();
    let terminal = Terminal::in_shell(&bench);
    terminal.keys("half");
    terminal.expect(">>> half");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", terminal.pid())).unwrap();
    let child = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    terminal.expect("\nstatus 143\n");
    terminal.wait_for_end();
    let screen = terminal.screen();
    assert!(screen.contains(" icanon ") && screen.contains(" echo "), "{screen}");
}

#[test]
fn no_color_means_none() {
    let bench = Bench::new();
    let plain = Terminal::pyrepl3(&bench, &[], &[("NO_COLOR", "1")]);
    plain.expect("Ctrl-D leaves\n>>>");
    plain.answers("[1, 'a', None]", "[1, 'a', None]");
    plain.enter("1/0");
    plain.expect("ZeroDivisionError: division by zero\n>>>");
    // `ESC [ … m` with anything but 0 sets a colour or a style.
    let coloured = |text: &str| {
        text.split("\x1b[").skip(1).any(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(0);
            rest[end..].starts_with('m') && !matches!(&rest[..end], "" | "0")
        })
    };
    assert!(!coloured(&plain.raw()), "{:?}", plain.raw());
    let painted = Terminal::repl(&bench);
    painted.answers("[1, 'a', None]", "[1, 'a', None]");
    assert!(coloured(&painted.raw()));
}

#[test]
fn json_is_not_for_people() {
    let bench = Bench::new();
    let terminal = Terminal::pyrepl3(&bench, &["repl", "--json"], &[]);
    terminal.wait_for_end();
    assert!(terminal.screen().contains("--json is not for the interactive session"), "{}", terminal.screen());
    assert_eq!(terminal.ended(), 2);
}

/// Runs until a file is there, which the test makes once it has typed ahead.
const UNTIL_GO: &str = "import os\nprint('started')\nwhile not os.path.exists('go'): pass\n";

/// Has the session run that, and code after it.
fn run_until_go(bench: &Bench, then: &str) -> Terminal {
    let terminal = Terminal::repl(bench);
    bench.file("script.py", format!("{UNTIL_GO}{then}"));
    terminal.enter("%run script.py");
    terminal.expect("\nstarted\n");
    terminal
}

#[test]
fn lines_that_are_typed_while_code_runs_are_run_after_it() {
    let bench = Bench::new();
    let terminal = run_until_go(&bench, "");
    for line in ["a = 20", "def f():", "    return a + 1", "", "f() * 2", "(a", "+ 1)"] {
        terminal.line(line);
    }
    terminal.keys("a + 80");
    terminal.expect("\na + 80");
    bench.file("go", "");
    terminal.expect(">>> a = 20\n>>> def f():\n...     return a + 1\n...\n>>> f() * 2\n42\n>>> (a\n... + 1)\n21\n");
    terminal.expect("21\n>>> a + 80");
    terminal.keys("\r");
    terminal.expect(">>> a + 80\n100\n>>>");
    terminal.keys(UP);
    terminal.expect("100\n>>> a + 80");
    terminal.keys(UP);
    terminal.expect("100\n>>> (a\n... + 1)");
}

#[test]
fn what_is_typed_ahead_answers_prompts() {
    let bench = Bench::new();
    let terminal = run_until_go(&bench, "name = input('name? ')");
    terminal.line("Ada");
    terminal.line("name.upper()");
    terminal.expect("\nname.upper()\n");
    bench.file("go", "");
    terminal.expect("name? Ada\n>>> name.upper()\n'ADA'\n>>>");
}

#[test]
fn ctrl_c_forgets_what_is_typed_ahead() {
    let bench = Bench::new();
    let terminal = run_until_go(&bench, "");
    terminal.line("print('un' + 'wanted')");
    terminal.expect("\nprint('un' + 'wanted')\n");
    terminal.keys(CTRL_C);
    terminal.expect("KeyboardInterrupt\n>>>");
    terminal.answers("1 + 1", "2");
    assert!(!terminal.screen().contains("\nunwanted"));
}

#[test]
fn ctrl_d_that_is_typed_ahead_leaves() {
    let bench = Bench::new();
    let terminal = run_until_go(&bench, "");
    terminal.line("b = 1");
    terminal.keys(CTRL_D);
    terminal.expect("\nb = 1\n");
    bench.file("go", "");
    assert_eq!(terminal.ended(), 0);
}
