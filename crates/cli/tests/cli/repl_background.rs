//! What happens while a line is edited: output, prompts, the end of the session's process.

use crate::pty::Terminal;
use crate::support::Bench;

#[test]
fn background_output_comes_above_the_line() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import threading; go = threading.Event()");
    terminal.enter("threading.Thread(target=lambda: [go.wait(), print('tick 1\\ntick 2'), print('no end', end='', flush=True)], daemon=True).start()");
    terminal.expect(".start()\n>>>");
    // The event is set by something that is not an execution: a file appears.
    terminal.enter("import os, time; threading.Thread(target=lambda: [[time.sleep(0.01) for _ in iter(lambda: os.path.exists('go'), True)], go.set()], daemon=True).start()");
    terminal.enter("'ready'");
    terminal.expect("'ready'\n'ready'\n>>>");
    terminal.ready();
    terminal.keys("typed");
    terminal.expect(">>> typed");
    bench.file("go", "");
    terminal.expect("\ntick 1\ntick 2\nno end\n>>> typed");
    terminal.keys(" = 5\r");
    terminal.answers("typed", "5");
}

#[test]
fn a_threads_prompt_comes_after_the_line() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import threading, os, time");
    terminal.enter("def ask():");
    terminal.line("while not os.path.exists('go'): time.sleep(0.01)");
    terminal.line("print('got', input('Who? '))");
    terminal.keys("\r");
    terminal.expect("...\n>>>");
    terminal.enter("threading.Thread(target=ask).start()");
    terminal.expect("threading.Thread(target=ask).start()\n>>>");
    terminal.keys("1 + ");
    terminal.expect(">>> 1 +");
    bench.file("go", "");
    terminal.expect("a thread asks \"Who?\": it comes after this line\n>>> 1 +");
    terminal.line("1");
    terminal.expect("\n2\nWho?");
    terminal.line("me");
    terminal.expect("Who? me\ngot me\n>>>");
}

#[test]
fn the_death_of_the_process_is_announced_and_the_next_line_runs() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import threading, os, time");
    terminal.enter("def end():");
    terminal.line("while not os.path.exists('go'): time.sleep(0.01)");
    terminal.line("os._exit(3)");
    terminal.keys("\r");
    terminal.enter("threading.Thread(target=end).start()");
    terminal.expect("threading.Thread(target=end).start()\n>>>");
    bench.file("go", "");
    terminal.expect(
        "The worker process exited with code 3 while nothing ran. The state after execution 2 is back, exactly.",
    );
    terminal.enter("'os' in dir()");
    terminal.expect("True\n>>>");
}

#[test]
fn a_crash_while_code_runs_is_told_once() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("import os; os.kill(os.getpid(), 9)");
    terminal.expect("the session's process was killed by signal 9 (SIGKILL)\nThe beginning of the session is back, exactly. Undone: execution 1.\n>>>");
    terminal.answers("1 + 1", "2");
    assert_eq!(terminal.screen().matches("SIGKILL").count(), 1, "{}", terminal.screen());
}
