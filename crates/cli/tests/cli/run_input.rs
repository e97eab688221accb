//! Standard input: the script's own, and the ways to pass a program.

use crate::support::{Bench, finish};

#[test]
fn the_script_reads_standard_input_as_it_is() {
    let bench = Bench::new();
    for (code, input, output) in [
        ("import sys; print(ascii(sys.stdin.read()))", &b"a\nb"[..], "'a\\nb'\n"),
        ("import sys; print(sys.stdin.buffer.read())", b"\xff\x00", "b'\\xff\\x00'\n"),
        ("print(input('? '), input())", b"one\ntwo\n", "? one two\n"),
        ("import os; print(os.read(0, 100))", b"raw", "b'raw'\n"),
        ("import sys; print([line for line in sys.stdin])", b"a\nb\n", "['a\\n', 'b\\n']\n"),
        ("import subprocess; subprocess.run(['cat'])", b"child", "child"),
        ("import os; os.system('cat')", b"shell", "shell"),
        ("import sys; print(len(sys.stdin.read()))", &[b'x'; 300_000], "300000\n"),
        ("pass", b"unread", ""),
    ] {
        let outcome = finish(bench.pyrepl3(&["run", "-c", code]), input).text();
        assert_eq!((outcome.status, outcome.out.as_str(), outcome.err.as_str()), (0, output, ""), "{code}");
    }
}

#[test]
fn the_end_of_input_is_an_eof_error() {
    let outcome = Bench::new().code("input('name: ')");
    assert_eq!((outcome.status, outcome.out.as_str()), (1, "name: "));
    assert!(outcome.err.ends_with("EOFError: EOF when reading a line\n"), "{}", outcome.err);
}

#[test]
fn input_may_be_closed() {
    let bench = Bench::new();
    let command = bench.shell("sh", "exec \"$0\" run -c 'print(1)' <&-", &[]);
    assert_eq!(finish(command, b"").text().out, "1\n");
}

#[test]
fn a_program_may_come_on_standard_input() {
    let bench = Bench::new();
    let program = b"import sys\nprint(sys.argv, repr(sys.stdin.read()))\n1/0\n";
    for arguments in [&["run", "-", "a", "-b"][..], &["run", "-"], &[], &["repl"]] {
        let outcome = finish(bench.pyrepl3(arguments), program).text();
        let expected = if arguments.len() > 2 { "['-', 'a', '-b'] ''\n" } else { "['-'] ''\n" };
        assert_eq!((outcome.status, outcome.out.as_str()), (1, expected), "{arguments:?}");
        assert!(outcome.err.contains("File \"<stdin>\", line 3, in <module>"), "{}", outcome.err);
    }
}

#[test]
fn nothing_on_standard_input_is_an_empty_program() {
    let outcome = finish(Bench::new().pyrepl3(&[]), b"").text();
    assert_eq!((outcome.status, outcome.out.as_str(), outcome.err.as_str()), (0, "", ""));
}

#[test]
fn code_has_its_own_name_in_tracebacks() {
    let outcome = Bench::new().code("def f():\n    1/0\nf()");
    assert!(outcome.err.contains("File \"<string>\", line 2, in f"), "{}", outcome.err);
}
