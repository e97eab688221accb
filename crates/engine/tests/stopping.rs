//! Interrupts, timeouts, cancellation, and processes that die.

mod common;

use common::{eventually, finish, impatient, is_alive, marked, run, session, session_with, until};
use pyrepl3_engine::protocol::message::{EndStatus, ErrorMessage, Message, StopStep};
use pyrepl3_engine::{Code, ExecuteRequest, Execution, Session, SessionOptions};
use std::time::Duration;

fn limited(code: &str, seconds: f64) -> ExecuteRequest {
    ExecuteRequest::from(code).with_timeout(Duration::from_secs_f64(seconds))
}

/// Starts code that prints `go`, and waits until it has.
async fn going(session: &Session, code: &str) -> Execution {
    // Code that must be met at a certain place says `GO` there; any other begins with it.
    let code = if code.contains("GO") { code.to_owned() } else { format!("GO\n{code}") };
    let code = code.replace("GO", "print('go', flush=True)");
    let mut execution = session.execute(code.as_str()).unwrap();
    until(&mut execution, |message| matches!(message, Message::OutputMessage(_))).await;
    execution
}

async fn interrupted(session: &Session, code: &str) -> ErrorMessage {
    let execution = going(session, code).await;
    session.interrupt().await.unwrap();
    finish(execution).await.err().clone()
}

#[tokio::test]
async fn what_python_can_stop_is_stopped_and_the_state_stays() {
    let (engine, session) = session().await;
    run(&session, "import time, os, socket, select, threading, subprocess, asyncio, signal\nkept = 1").await;
    for code in [
        "while True: pass",
        "time.sleep(1000)",
        "a, b = socket.socketpair(); a.recv(1)",
        "os.system('sleep 1000')",
        "while True: os.system('sleep 1000')",
        "subprocess.run(['sleep', '1000'])",
        "threading.Event().wait()",
        "threading.Lock().__enter__(); l = threading.Lock(); l.acquire(); l.acquire()",
        "input('forever')",
        "await asyncio.sleep(1000)",
        "await asyncio.get_running_loop().create_future()",
        "async def spin():\n    while True: pass\nawait spin()",
        "async def spin():\n    while True: pass\nt = asyncio.create_task(spin())\nawait asyncio.sleep(1000)",
        "select.select([], [], [])",
        "sum(i for i in range(10**12))",
        "[i for i in iter(int, 1)]",
        "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(1000)",
        "class R:\n def __repr__(self): time.sleep(1000)\nR()",
        "try:\n    GO; time.sleep(1000)\nfinally:\n    cleaned = True",
    ] {
        let error = interrupted(&session, code).await;
        assert_eq!(
            (error.ename.as_str(), error.status, error.stopped_by),
            ("KeyboardInterrupt", EndStatus::Interrupted, Some(StopStep::Interrupt)),
            "{code}: {error:#?}"
        );
        assert!(!error.session_lost, "{code}: {error:#?}");
        let after = run(&session, "kept").await;
        assert!(after.error.is_none(), "{code}: {after:#?}");
        assert_eq!(after.value(), "1", "{code}");
    }
    assert_eq!(run(&session, "cleaned").await.value(), "true");
    // One that swallows it and completes is a success; one that turns it into something else was still interrupted.
    let swallowed = going(&session, "try: GO; time.sleep(1000)\nexcept KeyboardInterrupt: pass\n'ok'").await;
    session.interrupt().await.unwrap();
    assert_eq!(finish(swallowed).await.value(), "\"ok\"");
    let turned =
        interrupted(&session, "try: GO; time.sleep(1000)\nexcept KeyboardInterrupt: raise ValueError('v')").await;
    assert_eq!((turned.ename.as_str(), turned.status), ("KeyboardInterrupt", EndStatus::Interrupted));
    assert!(turned.evalue.contains("ValueError: v") && turned.traceback.contains("ValueError: v"));
    // One that nobody sent is a failure.
    assert_eq!(run(&session, "raise KeyboardInterrupt").await.err().status, EndStatus::Failed);
    // Nothing runs: nothing happens.
    session.interrupt().await.unwrap();
    assert_eq!(run(&session, "kept").await.value(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn what_python_cannot_stop_is_killed_and_the_session_goes_on() {
    let (engine, session) = session_with(impatient()).await;
    let mut events = session.events();
    let ignore = "import ctypes, signal, time";
    for code in [
        "while True:\n    try: GO; time.sleep(1000)\n    except KeyboardInterrupt: pass",
        "signal.signal(signal.SIGINT, signal.SIG_IGN); GO; time.sleep(1000)",
        "c = ctypes.CDLL(None); m = ctypes.create_string_buffer(64); c.pthread_mutex_lock(m)\ntry: GO; c.pthread_mutex_lock(m)\nexcept KeyboardInterrupt: c.pthread_mutex_lock(m)",
        "signal.signal(signal.SIGINT, lambda *a: None); GO\nwhile True: pass",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]); GO; time.sleep(1000)",
    ] {
        run(&session, ignore).await;
        let error = interrupted(&session, code).await;
        assert_eq!(
            (error.ename.as_str(), error.status, error.stopped_by, error.session_lost),
            ("KeyboardInterrupt", EndStatus::Interrupted, Some(StopStep::Kill), true),
            "{code}"
        );
        assert_eq!(error.exit.unwrap().signal, Some(9));
        assert!(matches!(events.next().await.as_deref(), Some(Message::SessionLost(lost)) if lost.recovered));
        assert_eq!(run(&session, "'time' in dir()").await.value(), "false");
    }
    let error = run(
        &session,
        limited("import time\nwhile True:\n    try: time.sleep(9)\n    except KeyboardInterrupt: pass", 0.1),
    )
    .await;
    assert_eq!((error.err().ename.as_str(), error.err().status), ("TimeoutError", EndStatus::TimedOut));
    assert!(error.err().session_lost && error.err().evalue.contains("time limit of 0.1 s"));
    engine.shutdown().await;
}

#[tokio::test]
async fn timeouts() {
    let (engine, session) = session().await;
    run(&session, "import time\nkept = 1").await;
    let error = run(&session, limited("time.sleep(1000)", 0.05)).await.err().clone();
    assert_eq!(
        (error.ename.as_str(), error.status, error.stopped_by),
        ("TimeoutError", EndStatus::TimedOut, Some(StopStep::Interrupt))
    );
    assert!(
        error.traceback.contains("time.sleep(1000)") && error.traceback.trim_end().ends_with("time limit of 0.05 s"),
        "{}",
        error.traceback
    );
    let swallowed = run(&session, limited("try: time.sleep(1000)\nexcept KeyboardInterrupt: pass", 0.05)).await;
    assert_eq!(swallowed.err().status, EndStatus::TimedOut);
    // Waits in the queue do not count.
    let first = session.execute("time.sleep(0.3)").unwrap();
    let second = session.execute(limited("'quick'", 0.2)).unwrap();
    assert!(finish(first).await.result.is_some());
    assert_eq!(finish(second).await.value(), "\"quick\"");
    assert_eq!(session.execute(limited("1", 0.0)).unwrap_err().code, Code::BadRequest);
    assert_eq!(run(&session, "kept").await.value(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn an_interrupt_never_hits_the_next_execution() {
    let (engine, session) = session().await;
    run(&session, "n = 0").await;
    for round in 0..300 {
        let first = session.execute("n += 1").unwrap();
        let (session2, round2) = (session.clone(), round);
        let late = tokio::spawn(async move {
            for _ in 0..round2 % 7 {
                tokio::task::yield_now().await;
            }
            session2.interrupt().await
        });
        let first = finish(first).await;
        assert!(first.result.is_some() || first.err().status == EndStatus::Interrupted);
        late.await.unwrap().unwrap();
        assert_eq!(run(&session, "7").await.value(), "7", "round {round}");
    }
    // Interrupted before it has begun: it never runs, or stops at once.
    for _ in 0..50 {
        let spinning = session.execute("while True: pass").unwrap();
        session.interrupt().await.unwrap();
        assert_eq!(finish(spinning).await.err().status, EndStatus::Interrupted);
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn the_queue_runs_in_order_and_can_be_cancelled() {
    let (engine, session) = session().await;
    run(&session, "log = []").await;
    let running = going(&session, "import time; time.sleep(1000)").await;
    let second = session.execute("log.append(2)").unwrap();
    let third = session.execute("log.append(3)").unwrap();
    assert_eq!(session.status().await.unwrap().queued, [second.id(), third.id()]);
    second.cancel().await.unwrap();
    let cancelled = finish(second).await;
    assert_eq!((cancelled.err().status, cancelled.err().execution_count), (EndStatus::Cancelled, 0));
    running.cancel().await.unwrap();
    assert_eq!(finish(running).await.err().status, EndStatus::Interrupted);
    assert!(finish(third).await.result.is_some());
    assert_eq!(run(&session, "log").await.repr(), "[3]");
    assert_eq!(session.cancel("exe_none").await.unwrap_err().code, Code::UnknownExecution);
    // After a failure the queue goes on, unless it is asked to stop.
    let failing = session.execute("1/0").unwrap();
    let after = session.execute("4").unwrap();
    assert!(finish(failing).await.error.is_some());
    assert_eq!(finish(after).await.value(), "4");
    let failing = session.execute(ExecuteRequest::from("1/0").stopping_on_error()).unwrap();
    let after = session.execute("4").unwrap();
    assert!(finish(failing).await.error.is_some());
    assert_eq!(finish(after).await.err().status, EndStatus::Cancelled);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_worker_that_dies_gives_one_typed_end() {
    let (engine, session) = session().await;
    for (code, signal, exit_code) in [
        ("import ctypes; ctypes.string_at(0)", Some(11), None),
        ("import os; os._exit(3)", None, Some(3)),
        ("import os; os.kill(os.getpid(), 9)", Some(9), None),
        ("import os; os.abort()", Some(6), None),
    ] {
        run(&session, "state = 1").await;
        let queued = session.execute(code).unwrap();
        let next = session.execute("'state' in dir()").unwrap();
        let error = finish(queued).await.err().clone();
        assert_eq!((error.status, error.ename.as_str(), error.session_lost), (EndStatus::Crashed, "WorkerDied", true));
        let exit = error.exit.unwrap();
        assert_eq!((exit.signal, exit.code, exit.out_of_memory), (signal, exit_code, false), "{code}");
        assert_eq!(finish(next).await.value(), "false");
    }
    let printed =
        run(&session, "print('last words', end=''); import sys; sys.stdout.flush(); import os; os._exit(0)").await;
    assert_eq!(printed.stdout, "last words");
    assert_eq!(session.status().await.unwrap().incarnation, 6);
    // While nothing runs: the next request learns it before anything runs on a fresh namespace.
    let mut events = session.events();
    let gate = tempfile::tempdir().unwrap();
    let gate = gate.path().join("gate");
    let dies = format!(
        "x = 1\nimport threading, os, time\ndef die():\n    while not os.path.exists({gate:?}): time.sleep(0.005)\n    \
         os._exit(7)\nthreading.Thread(target=die).start()"
    );
    run(&session, dies).await.ok();
    std::fs::File::create(&gate).unwrap();
    loop {
        match events.next().await.unwrap().into_message() {
            Message::SessionLost(lost) if lost.reason.contains("while nothing ran") => break,
            _ => {}
        }
    }
    let refused = session.execute("x").unwrap().result().await.unwrap_err();
    assert!(
        matches!(refused, pyrepl3_engine::ExecutionError::Refused(f) if f.code == Code::SessionLost && f.why.contains("code 7"))
    );
    assert_eq!(run(&session, "'x' in dir()").await.value(), "false");
    engine.shutdown().await;
}

#[tokio::test]
async fn nothing_outlives_its_session() {
    let marker = format!("PYREPL3_MARK={}", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let mut options = SessionOptions::default();
    options.env.insert(name.into(), Some(format!("{value}-outlive")));
    let marker = format!("{marker}-outlive");
    let (engine, session) = session_with(options).await;
    let code = "import subprocess, os, sys\n\
        subprocess.Popen(['sleep', '1000'])\n\
        subprocess.Popen(['sh', '-c', 'trap \"\" TERM INT HUP; while :; do sleep 1; done'], start_new_session=True)\n\
        daemon = 'import os, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(1000)'\n\
        subprocess.run([sys.executable, '-c', daemon])\n\
        subprocess.Popen(['sh', '-c', 'kill -STOP $$'])";
    run(&session, code).await;
    eventually("the processes are there", || marked(&marker).len() >= 4).await;
    let pid = session.status().await.unwrap().pid.unwrap();
    session.shutdown().await;
    assert_eq!(marked(&marker), Vec::<i32>::new());
    assert!(!is_alive(pid));
    assert_eq!(session.execute("1").map(drop).unwrap_err().code, Code::SessionClosed);
    // A crash takes along what the lost worker had started.
    let mut options = SessionOptions::default();
    options.env.insert(name.into(), Some(format!("{value}-outlive")));
    let session = engine.start(options).await.unwrap();
    run(&session, "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)").await;
    eventually("the process is there", || marked(&marker).len() == 1).await;
    assert!(run(&session, "import os; os._exit(1)").await.err().session_lost);
    assert_eq!(run(&session, "1").await.value(), "1");
    assert_eq!(marked(&marker), Vec::<i32>::new());
    // A session that nobody holds ends too.
    let pid = session.status().await.unwrap().pid.unwrap();
    drop(session);
    eventually("the worker is gone", || !is_alive(pid)).await;
    engine.shutdown().await;
}

#[tokio::test]
async fn a_session_leaves_as_a_python_program_does() {
    let (engine, session) = session().await;
    let path = std::env::temp_dir().join(format!("pyrepl3-leave-{}", std::process::id()));
    let code = format!(
        "import atexit, tempfile, os\nf = open({path:?}, 'w')\nf.write('unflushed ')\nd = tempfile.TemporaryDirectory()\n\
         atexit.register(lambda: f.write('atexit'))\nd.name",
        path = path.display().to_string()
    );
    let directory = run(&session, code.as_str()).await.value().trim_matches('"').to_owned();
    assert!(std::path::Path::new(&directory).exists());
    session.shutdown().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "unflushed atexit");
    assert!(!std::path::Path::new(&directory).exists());
    std::fs::remove_file(path).unwrap();
    // One that will not leave is made to.
    let stubborn = engine.start(SessionOptions::default()).await.unwrap();
    run(&stubborn, "import atexit, time; atexit.register(time.sleep, 1000)").await;
    let busy = engine.start(SessionOptions::default()).await.unwrap();
    let spinning = busy.execute("while True: pass").unwrap();
    let (a, b) = (stubborn.shutdown(), busy.shutdown());
    tokio::join!(a, b);
    assert_eq!(finish(spinning).await.err().status, EndStatus::Cancelled);
    engine.shutdown().await;
}
