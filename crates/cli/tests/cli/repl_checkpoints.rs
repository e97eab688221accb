//! Saved sessions in the terminal.

use crate::pty::Terminal;
use crate::support::Bench;

#[test]
fn a_session_is_saved_and_brought_back() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.answers("%checkpoints", "no checkpoints yet; %checkpoint NAME makes one");
    terminal.enter("words = ['a']; alias = words");
    terminal.enter("gen = (i for i in words)");
    terminal.enter("%checkpoint first");
    terminal.expect("saved as first (ckp_");
    terminal.expect("not saved: gen: ");
    terminal.enter("words.append('b'); more = 1");
    terminal.enter("%diff first");
    terminal.expect("added");
    terminal.expect("changed  words");
    terminal.enter("%restore fir\t");
    terminal.expect("first (ckp_");
    terminal.expect("not back: gen: ");
    terminal.expect("%undo returns to the state before it\n>>>");
    terminal.answers("words, alias is words, 'more' in globals()", "(['a'], True, False)");
    terminal.enter("%undo 2");
    terminal.ready();
    terminal.enter("words, 'more' in globals()");
    terminal.expect("(['a', 'b'], True)");
    terminal.enter("%checkpoints");
    terminal.expect("name   id");
    terminal.enter("%restore nothing");
    terminal.expect("there is no checkpoint \"nothing\"");
    terminal.expect("there are: first (ckp_");
}

#[test]
fn another_terminal_goes_on_after_a_kill() {
    let bench = Bench::new();
    let terminal = Terminal::repl(&bench);
    terminal.enter("words = ['a']; alias = words");
    terminal.enter("def longest(): return max(words)");
    terminal.enter("%checkpoint work");
    terminal.expect("saved as work (ckp_");
    let pid = rustix::process::Pid::from_raw(terminal.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    terminal.wait_for_end();
    let terminal = Terminal::pyrepl3(&bench, &["repl", "--from", "work"], &[]);
    terminal.expect("work (ckp_");
    terminal.enter("words.append('z'); alias is words, longest()");
    terminal.expect("(True, 'z')");
}

#[test]
fn a_checkpoint_that_is_not_there_is_said_before_anything_starts() {
    let bench = Bench::new();
    let terminal = Terminal::pyrepl3(&bench, &["repl", "--from", "nothing"], &[]);
    terminal.expect("there is no checkpoint \"nothing\"");
    assert_eq!(terminal.ended(), 2);
}
