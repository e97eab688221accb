//! Output: captured at the descriptors, whole, in order, and never held up by one who does not listen.

mod common;

use common::{eventually, finish, run, session, until};
use pyrepl3_engine::protocol::message::{Message, Stream};

#[tokio::test]
async fn output_of_every_origin_comes_before_the_end() {
    let (engine, session) = session().await;
    let code = "import ctypes, os, subprocess, sys, threading\n\
        print('python')\n\
        sys.stdout.write('no newline'); sys.stdout.flush()\n\
        libc = ctypes.CDLL(None); libc.write(1, b' from C\\n', 8)\n\
        os.write(1, b'descriptor\\n')\n\
        subprocess.run(['echo', 'child'])\n\
        t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
        print('error', file=sys.stderr); os.system('echo shell >&2')\n\
        print('last', end='')";
    for _ in 0..20 {
        let ran = run(&session, code).await;
        assert_eq!(ran.stdout, "python\nno newline from C\ndescriptor\nchild\nthread\nlast");
        assert_eq!(ran.stderr, "error\nshell\n");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn split_characters_and_binary_bytes_survive() {
    let (engine, session) = session().await;
    let code = "import os\nfor b in 'aé€😀'.encode():\n    os.write(1, bytes([b]))\n    os.sched_yield()";
    let ran = run(&session, code).await;
    assert_eq!((ran.stdout.as_str(), ran.stdout_bytes.as_slice()), ("aé€😀", "aé€😀".as_bytes()));
    let binary = run(&session, "os.write(1, bytes(range(256))); None").await;
    assert_eq!(binary.stdout_bytes, (0..=255).collect::<Vec<u8>>());
    let cut = run(&session, "os.write(1, '€'.encode()[:2]); None").await;
    assert_eq!((cut.stdout.as_str(), cut.stdout_bytes.as_slice()), ("\u{fffd}", &b"\xe2\x82"[..]));
    assert_eq!(run(&session, "print('clean')").await.stdout, "clean\n");
    engine.shutdown().await;
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The seeds' `test_large_output`, at the size that used to be lost and far beyond.
#[tokio::test]
async fn test_large_output() {
    let (engine, session) = session().await;
    let ran = run(&session, "print('x' * (2 << 20))").await;
    assert_eq!(ran.stdout.len(), (2 << 20) + 1);
    let before = resident();
    let code = "import os, hashlib\nchunk = os.urandom(1 << 20)\nh = hashlib.blake2b()\nfor i in range(1024):\n    block = chunk[i:] + chunk[:i]\n    h.update(block)\n    rest = memoryview(block)\n    while rest: rest = rest[os.write(1, rest):]\nh.hexdigest()";
    let mut execution = session.execute(code).unwrap();
    let check = "import hashlib, sys\nh = hashlib.blake2b()\nwhile b := sys.stdin.buffer.read(1 << 16): h.update(b)\nprint(h.hexdigest())";
    let mut child = std::process::Command::new("python3")
        .args(["-c", check])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut sink = child.stdin.take().unwrap();
    let (mut total, mut most, mut digest) = (0, 0, String::new());
    while let Some(message) = execution.next().await {
        match message.into_message() {
            Message::OutputMessage(output) => {
                let bytes = match output.bytes {
                    Some(bytes) => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bytes).unwrap(),
                    None => output.data.into_bytes(),
                };
                assert_eq!(output.dropped, 0);
                total += bytes.len();
                std::io::Write::write_all(&mut sink, &bytes).unwrap();
                most = most.max(resident());
            }
            Message::ResultMessage(result) => digest = result.value.unwrap().get().trim_matches('"').to_owned(),
            other => panic!("{other:?}"),
        }
    }
    drop(sink);
    assert_eq!(total, 1 << 30);
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim(), digest);
    assert!(most.saturating_sub(before) < 200 << 20, "the supervisor grew by {} MB", (most - before) >> 20);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_only_its_own_session() {
    let (engine, stuck) = session().await;
    let free = engine.start(pyrepl3_engine::SessionOptions::default()).await.unwrap();
    let before = resident();
    let mut silent = stuck.execute("for i in range(3000): print('x' * 100_000)\n'done'").unwrap();
    // One message is read, and then no more: the code waits in its print.
    until(&mut silent, |message| matches!(message, Message::OutputMessage(_))).await;
    for i in 0..50 {
        assert_eq!(run(&free, format!("{i}").as_str()).await.value(), i.to_string());
    }
    assert!(resident().saturating_sub(before) < 100 << 20);
    // It can be interrupted all the same, and what it says then is told.
    stuck.interrupt().await.unwrap();
    assert_eq!(finish(silent).await.err().ename, "KeyboardInterrupt");
    // Read on, it comes whole.
    let whole = run(&stuck, "for i in range(100): print('y' * 100_000)").await;
    assert_eq!(whole.stdout.len(), 100 * 100_001);
    // And a handle that is dropped holds nothing up.
    drop(stuck.execute("for i in range(3000): print('z' * 100_000)").unwrap());
    assert_eq!(run(&stuck, "'after'").await.value(), "\"after\"");
    engine.shutdown().await;
}

#[tokio::test]
async fn what_is_left_running_writes_to_the_session() {
    let (engine, session) = session().await;
    let mut events = session.events();
    let code = "import threading\ngo, done = threading.Event(), threading.Event()\ndef late():\n    go.wait(); print('late', flush=True); done.set()\nthreading.Thread(target=late, daemon=True).start()";
    assert_eq!(run(&session, code).await.stdout, "");
    let mut second = session.execute("import subprocess\np = subprocess.Popen(['sh', '-c', 'read x; echo from child'], stdin=subprocess.PIPE)\ngo.set(); done.wait()\n'end'").unwrap();
    // While an execution runs, output counts as its own.
    let message = until(&mut second, |message| matches!(message, Message::OutputMessage(_))).await;
    let Message::OutputMessage(output) = message else { unreachable!() };
    assert_eq!((output.data.as_str(), output.stream), ("late\n", Stream::Stdout));
    finish(second).await;
    run(&session, "def close(): p.stdin.write(b'\\n'); p.stdin.close()\nthreading.Timer(0.01, close).start()").await;
    let Message::OutputMessage(output) = events.next().await.unwrap().into_message() else { panic!() };
    assert_eq!((output.data.as_str(), output.execution_id), ("from child\n", None));
    // A writer that never ends does not hold up an execution's end.
    let ran = run(&session, "q = subprocess.Popen(['sh', '-c', 'while :; do echo y; done'])\n'ended'").await;
    assert_eq!(ran.value(), "\"ended\"");
    run(&session, "q.kill(); q.wait()").await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_print_needs_no_full_buffer() {
    let (engine, session) = session().await;
    let mut execution = session.execute("print('now')\ninput()").unwrap();
    let first = until(&mut execution, |_| true).await;
    assert!(matches!(first, Message::OutputMessage(output) if output.data == "now\n"));
    let Message::InputMessage(prompt) = until(&mut execution, |_| true).await else { panic!() };
    session.input_response(&prompt.id, None).await.unwrap();
    assert_eq!(finish(execution).await.err().ename, "EOFError");
    let mut looping = session.execute("import time\nprint('a')\nwhile True: time.sleep(10)").unwrap();
    assert!(matches!(until(&mut looping, |_| true).await, Message::OutputMessage(_)));
    looping.cancel().await.unwrap();
    let pid = session.status().await.unwrap().pid.unwrap();
    engine.shutdown().await;
    eventually("the worker is gone", || !common::is_alive(pid)).await;
}

/// A figure stands where it was shown among what is printed. (Output after a large display once came before it, or as
/// the session's own.)
#[tokio::test]
async fn displays_and_output_keep_their_order() {
    let (engine, session) = session().await;
    for size in [10, 200_000, 6 << 20] {
        let code = format!(
            "for i in range(5):\n    print(f'<{{i}}>' + 'x' * 100_000)\n    display({{'text/plain': str(i) + 'y' * {size}}}, raw=True)\nprint('last')"
        );
        let mut execution = session.execute(code.as_str()).unwrap();
        let mut seen = String::new();
        while let Some(message) = execution.next().await {
            match message.into_message() {
                Message::OutputMessage(output) => {
                    assert!(output.execution_id.is_some());
                    seen.push_str(&output.data.replace(['x', '\n'], ""));
                }
                Message::DisplayMessage(display) => {
                    seen.push_str(
                        &display.data["text/plain"].get().replace(['y', '"'], "").replace(char::is_whitespace, ""),
                    );
                }
                Message::ResultMessage(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, "<0>0<1>1<2>2<3>3<4>4last", "{size}");
    }
    engine.shutdown().await;
}
