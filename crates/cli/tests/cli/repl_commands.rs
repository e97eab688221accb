//! The commands of the interactive session.

use crate::pty::Terminal;
use crate::support::Bench;

#[test]
fn variables_are_listed() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%who", "no variables yet");
    terminal.enter("x = 42; words = ['a', 'b']");
    terminal.enter("%who");
    terminal.expect("name   type  size  value\nx      int   28 B  42\nwords  list");
    terminal.expect("['a', 'b']\n>>>");
}

#[test]
fn an_unknown_command_has_suggestions() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%hlep", "there is no command %hlep; did you mean %help?");
    terminal.answers("%run", "%run needs something to work on; write %run FILE");
    terminal.enter("%help");
    terminal.expect("%time CODE");
    terminal.expect("Ctrl-D leaves.\n>>>");
}

#[test]
fn time_and_memory_are_told() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("%time sum(range(10))");
    terminal.expect("\n45\ntook ");
    terminal.expect(", memory ");
    terminal.enter("%time for i in range(2):");
    terminal.expect("\n...");
    terminal.line("print('step', i)");
    terminal.keys("\r");
    terminal.expect("step 0\nstep 1\ntook ");
}

#[test]
fn files_run_in_the_session() {
    let bench = Bench::new();
    bench.file("job.py", b"# coding: latin-1\ntext = '\xe9'\nprint(__name__, seen)\n1/0\n");
    let terminal = Terminal::repl(&bench);
    terminal.enter("seen = 'before'");
    terminal.enter("%run job.py");
    terminal.expect("\n__main__ before\n");
    terminal.expect("job.py\", line 4, in <module>");
    terminal.expect("ZeroDivisionError: division by zero\n>>>");
    terminal.answers("text", "'é'");
    terminal.enter("%run missing.py");
    terminal.expect("cannot read missing.py: No such file or directory");
}

#[test]
fn names_are_explained() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("def greet(name='you'):");
    terminal.expect("\n...");
    terminal.line("'''Says hello.'''");
    terminal.keys("\r");
    terminal.expect("...\n>>>");
    terminal.enter("greet?");
    terminal.expect("greet(name='you')\nfunction, <execution 1>:1\n\nSays hello.\n>>>");
    terminal.enter("greet??");
    terminal.expect("function, <execution 1>:1\ndef greet(name='you'):\n    '''Says hello.'''\n>>>");
    terminal.enter("%doc nothing_here");
    terminal.expect("nothing_here is not known here");
}

#[test]
fn a_reset_begins_afresh() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("old = 1");
    terminal.answers("%reset", "a fresh session has begun");
    terminal.answers("'old' in dir()", "False");
    terminal.ready();
    terminal.keys("imp");
    terminal.keys("\t");
    terminal.expect(">>> import");
}

#[test]
fn pictures_are_saved_and_their_path_is_told() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("display(type('P', (), {'_repr_png_': lambda self: b'png'})())");
    terminal.expect("\nsaved ");
    terminal.expect("-1.png\n>>>");
    let folder = bench.path("data/pyrepl3/figures");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(std::fs::read(&files[0]).unwrap(), b"png");
    terminal.enter("h = display('first', display_id=True); h.update('second')");
    terminal.expect("\n'first'\n'second'\n>>>");
}
