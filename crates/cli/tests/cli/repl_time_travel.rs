//! Undo, snapshots and branches in the terminal.

use crate::pty::Terminal;
use crate::support::Bench;

#[test]
fn lines_are_undone_and_done_again() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%undo", "there is nothing to undo");
    terminal.enter("words = ['a', 'b']; alias = words");
    terminal.enter("words.clear(); words = None");
    terminal.answers("%undo", "undone: words.clear(); words = None");
    terminal.answers("words is alias, words", "(True, ['a', 'b'])");
    terminal.answers("%redo", "there is nothing to redo: nothing was undone, or something else was run since");
    terminal.answers("%undo", "undone: words is alias, words");
    terminal.answers("%redo", "done again: words is alias, words");
    terminal.enter("%undo 2");
    terminal.expect("undone: words is alias, words\nundone: words = ['a', 'b']; alias = words\n>>>");
    terminal.answers("'words' in globals()", "False");
    terminal.answers("%undo 0", "\"0\" is no number of steps; write %undo 3");
    terminal.enter("%history 20");
    terminal.expect("\nwords.clear(); words = None  (undone)\n");
}

#[test]
fn a_crash_loses_nothing() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("x = [1]");
    terminal.enter("y = x");
    terminal.enter("x.append(2); import os, signal; os.kill(os.getpid(), signal.SIGSEGV)");
    terminal.expect("the session's process was killed by signal 11 (SIGSEGV)\n");
    terminal.expect("The state after execution 2 is back, exactly. Undone: execution 3.\n>>>");
    terminal.answers("x, x is y", "([1], True)");
    // That looked; what was before it was done before the crash.
    terminal.enter("%undo 2");
    terminal.expect("undone: x, x is y\nundone: y = x\n>>>");
    terminal.answers("'y' in globals()", "False");
}

#[test]
fn snapshots_are_returned_to_by_name() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%snapshots", "no snapshots yet; %snapshot NAME takes one");
    terminal.enter("x = 1");
    terminal.enter("%snapshot first");
    terminal.expect("first taken in ");
    terminal.expect("; %rollback first returns to it");
    terminal.enter("x = 2");
    terminal.enter("%snapshot");
    terminal.expect("s1 taken in ");
    terminal.enter("%snapshots");
    terminal.expect("name");
    terminal.expect("x = 1\n");
    terminal.expect("x = 2\n");
    terminal.expect("steps can be undone; they hold ");
    terminal.enter("%rollback first");
    terminal.expect("undone: x = 2\ngone with it, because taken later: s1\nfirst is back, exactly\n>>>");
    terminal.answers("x", "1");
    terminal.answers("%rollback s1", "there is no snapshot \"s1\"; there are: first");
    terminal.enter("%drop first");
    terminal.answers("%rollback first", "there is no snapshot \"first\"; %snapshot NAME takes one");
    terminal.answers("%rollback", "%rollback needs something to work on; write %rollback NAME");
}

#[test]
fn a_session_splits() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%branches", "there is one session; %branch splits it");
    terminal.enter("x = ['common']");
    terminal.answers("%branch trial", "in trial, with all that is in main; %switch main goes back");
    terminal.enter("x.append('trial')");
    terminal.enter("%branch trial");
    terminal.expect("\nthere is a branch \"trial\" already; %switch trial goes to it\n>>>");
    terminal.enter("%branches");
    terminal.expect("\n  main\n* trial\n");
    terminal.enter("%switch main");
    terminal.expect("\nin main\n>>>");
    terminal.enter("x");
    terminal.expect("\n['common']\n>>>");
    terminal.enter("%switch nowhere");
    terminal.expect("\nthere is no branch \"nowhere\"; %branches lists them\n>>>");
    terminal.enter("%switch trial");
    terminal.expect("\nin trial\n>>>");
    terminal.enter("x");
    terminal.expect("\n['common', 'trial']\n>>>");
    terminal.enter("%undo 2");
    terminal.expect("undone: x\nundone: x.append('trial')\n>>>");
}
