//! What a script prints, and `--json`, `--figures`.

use crate::support::{Bench, Running, finish};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn bytes_come_as_they_were_written() {
    let bench = Bench::new();
    let code = "import sys, os\nsys.stdout.buffer.write(bytes(range(256)) * 300)\nsys.stdout.flush()\nos.write(2, b'\\xff\\x00')";
    let raw = finish(bench.pyrepl3(&["run", "-c", code]), b"");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!((raw.status, raw.out, raw.err), (0, all.repeat(300), b"\xff\x00".to_vec()));
}

#[test]
fn ten_megabytes_come_through_a_pipe() {
    let bench = Bench::new();
    let code = "import sys\nfor i in range(1000): sys.stdout.write(f'{i:09}\\n' * 1000)";
    let raw = finish(bench.pyrepl3(&["run", "-c", code]), b"");
    assert_eq!(raw.out.len(), 10_000_000);
    let expected: Vec<u8> = (0..1000).flat_map(|i| format!("{i:09}\n").repeat(1000).into_bytes()).collect();
    assert!(raw.out == expected, "the bytes differ");
}

#[test]
fn output_comes_while_the_script_runs() {
    let bench = Bench::new();
    let mut command = bench.pyrepl3(&["run", "-c", "print('ready'); print('got', input())"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    running.expect("ready\n");
    std::io::Write::write_all(running.child.stdin.as_mut().unwrap(), b"it\n").unwrap();
    running.expect("got it\n");
    assert_eq!(running.finish().status, 0);
}

#[test]
fn streams_are_kept_apart() {
    let outcome = Bench::new().code("import sys; print('out'); print('err', file=sys.stderr)");
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn a_reader_that_leaves_ends_the_script_quietly() {
    let bench = Bench::new();
    let endless = bench.file("endless.py", "while True: print('y')");
    let thread = bench.file(
        "thread.py",
        "import threading, time\ndef f():\n    while True: print('y'); time.sleep(0.001)\nthreading.Thread(target=f).start()\n",
    );
    for script in [endless, thread] {
        let line = format!("\"$0\" run {script} | head -1; echo status ${{PIPESTATUS[0]}}");
        let outcome = finish(bench.shell("bash", &line, &[]), b"").text();
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("y\nstatus 141\n", ""), "{script}");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let bench = Bench::new();
    let outcome = finish(bench.shell("sh", "\"$0\" run -c 'print(1)' > /dev/full", &[]), b"").text();
    assert_eq!(outcome.status, 3);
    assert!(outcome.err.contains("No space left on device"), "{}", outcome.err);
}

fn lines(json: &str) -> Vec<Value> {
    json.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn json_is_one_message_a_line_and_nothing_else() {
    let bench = Bench::new();
    let code = "import sys, os\nprint('a')\ndisplay('b')\nos.write(1, b'\\xff')\nprint(input())\n1/0";
    let outcome = finish(bench.pyrepl3(&["run", "--json", "-c", code]), b"typed\n").text();
    assert_eq!((outcome.status, outcome.err.as_str()), (1, ""));
    let messages = lines(&outcome.out);
    let types: Vec<_> = messages.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(types.last(), Some(&"error"));
    assert!(types.contains(&"display"));
    let text: String = messages.iter().filter_map(|message| message["data"].as_str()).collect();
    assert_eq!(text, "a\n\u{fffd}typed\n");
    let last = messages.last().unwrap();
    assert_eq!((last["ename"].as_str(), last["status"].as_str()), (Some("ZeroDivisionError"), Some("failed")));
}

#[test]
fn json_tells_programs_too_why_there_is_no_session() {
    let outcome = Bench::new().run(&["--json", "--python", "/nonexistent", "-c", "1"]);
    assert_eq!(outcome.status, 3);
    let messages = lines(&outcome.out);
    assert_eq!((messages.len(), messages[0]["code"].as_str()), (1, Some("python_not_found")));
}

#[test]
fn displays_are_text_or_figures() {
    let bench = Bench::new();
    let code = "
class Picture:
    def _repr_png_(self): return b'png'
    def _repr_svg_(self): return '<svg/>'
    def __repr__(self): return 'a picture'
display(Picture(), 'text')
";
    let outcome = bench.code(code);
    assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("a picture\n'text'\n", ""));
    let outcome = bench.run(&["--figures", "shots", "-c", code]);
    assert_eq!(outcome.out, "'text'\n");
    assert_eq!(outcome.err, "saved shots/figure-1.png\nsaved shots/figure-1.svg\n");
    assert_eq!(std::fs::read(bench.path("shots/figure-1.png")).unwrap(), b"png");
    assert_eq!(std::fs::read(bench.path("shots/figure-1.svg")).unwrap(), b"<svg/>");
}
