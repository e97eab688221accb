//! Signals on their way to a script.

use crate::support::{Bench, Raw, Running};
use rustix::process::Signal;

/// Starts code, waits until it says `ready`, sends signals, and waits for its end. The code then sleeps in short turns: a
/// signal that comes between its last instruction and a long sleep is only seen after that, as in any Python.
fn signalled(bench: &Bench, code: &str, signals: &[Signal]) -> Raw {
    let running = Running::start(bench.pyrepl3(&["run", "-c", code]));
    running.expect("ready\n");
    for signal in signals {
        running.signal(*signal);
    }
    running.finish()
}

#[test]
fn ctrl_c_is_a_keyboard_interrupt() {
    let outcome = signalled(
        &Bench::new(),
        "import time\ntry:\n    print('ready', flush=True)\n    while True: time.sleep(0.01)\nfinally:\n    print('cleaned')",
        &[Signal::INT],
    )
    .text();
    assert_eq!((outcome.status, outcome.out.as_str()), (130, "ready\ncleaned\n"));
    assert!(
        outcome.err.starts_with("Traceback (most recent call last):\n  File \"<string>\", line "),
        "{}",
        outcome.err
    );
    assert!(outcome.err.ends_with("KeyboardInterrupt\n"), "{}", outcome.err);
}

#[test]
fn a_script_that_handles_ctrl_c_decides_itself() {
    let bench = Bench::new();
    for (then, status) in [("print('caught')", 0), ("raise SystemExit(5)", 5), ("import sys; sys.exit()", 0)] {
        let code = format!(
            "import time\ntry:\n    print('ready', flush=True)\n    while True: time.sleep(0.01)\nexcept KeyboardInterrupt:\n    {then}"
        );
        let outcome = signalled(&bench, &code, &[Signal::INT]).text();
        assert_eq!((outcome.status, outcome.err.as_str()), (status, ""), "{then}");
    }
}

#[test]
fn every_ctrl_c_reaches_the_script() {
    let bench = Bench::new();
    let code = "import time\nfor i in range(2):\n    try:\n        print('waits', i, flush=True)\n        while True: time.sleep(0.01)\n    except KeyboardInterrupt:\n        pass";
    let running = Running::start(bench.pyrepl3(&["run", "-c", code]));
    running.expect("waits 0\n");
    running.signal(Signal::INT);
    running.expect("waits 1\n");
    running.signal(Signal::INT);
    let outcome = running.finish().text();
    assert_eq!((outcome.status, outcome.out.as_str()), (0, "waits 0\nwaits 1\n"));
}

#[test]
fn a_handler_of_the_scripts_own_is_called() {
    let code = "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(3))\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)";
    let outcome = signalled(&Bench::new(), code, &[Signal::INT]).text();
    assert_eq!(outcome.status, 3, "{}", outcome.err);
}

#[test]
fn ctrl_c_ends_the_wait_for_threads() {
    let code = "import threading, time\ndef f():\n    threading.main_thread().join()\n    print('ready', flush=True)\n    time.sleep(1000)\nthreading.Thread(target=f).start()";
    // The main thread has ended, so there is no execution any more: only the wait is interrupted.
    let bench = Bench::new();
    let mut running = Running::start(bench.pyrepl3(&["run", "-c", code]));
    running.expect("ready\n");
    // Python itself misses a signal that comes while its main thread is about to wait for a lock: press again.
    while running.child.try_wait().unwrap().is_none() {
        running.signal(Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(running.finish().status, 0);
}

#[test]
fn a_signal_to_end_ends_all() {
    let bench = Bench::new();
    let code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)";
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let outcome = signalled(&bench, code, &[signal]);
        assert_eq!((outcome.status, outcome.out), (status, b"ready\n".to_vec()));
    }
}

#[test]
fn nothing_is_left_when_the_program_is_killed() {
    let bench = Bench::new();
    let code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)";
    assert_eq!(signalled(&bench, code, &[Signal::KILL]).status, 137);
    // The bench looks for what is left.
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let bench = Bench::new();
    let code = "import os, signal, time\nprint('ready', flush=True)\ninput()\nprint('alive')";
    let mut command = bench.shell("sh", "trap '' INT HUP; exec \"$0\" run -c \"$1\"", &[code]);
    command.stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    running.expect("ready\n");
    running.signal(Signal::INT);
    running.signal(Signal::HUP);
    std::io::Write::write_all(running.child.stdin.as_mut().unwrap(), b"\n").unwrap();
    let outcome = running.finish().text();
    assert_eq!((outcome.status, outcome.out.as_str(), outcome.err.as_str()), (0, "ready\nalive\n", ""));
}
