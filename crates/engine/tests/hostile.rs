//! User code that attacks its own session's channel and processes: it ends its own session with a typed error, and
//! nothing else.

mod common;

use common::{engine, eventually, finish, is_alive, marked, run};
use pyrepl3_engine::protocol::message::{EndStatus, Message};
use pyrepl3_engine::{Code, SessionOptions};

/// Finds the control channel among the worker's descriptors.
const FIND: &str = "import os, socket, stat, struct, json\n\
    fds = [int(f) for f in os.listdir('/proc/self/fd')]\n\
    fd = max(f for f in fds if os.path.exists(f'/proc/self/fd/{f}') and 'socket' in os.readlink(f'/proc/self/fd/{f}'))\n\
    def frame(b): os.write(fd, struct.pack('>I', len(b)) + b)\n";

#[tokio::test]
async fn tampering_ends_the_session_and_nothing_else() {
    let engine = engine();
    let bystander = engine.start(SessionOptions::default()).await.unwrap();
    run(&bystander, "x = 1").await;
    for (attack, why) in [
        ("os.write(fd, b'\\x00\\x00\\x00\\x05hello')", "does not hold a message"),
        ("os.write(fd, b'\\xff\\xff\\xff\\xff' + b'x' * 100)", "more than the limit"),
        ("frame(b'[' * 1_000_000)", "nested deeper"),
        (
            "frame(b'{\"seq\":2,\"t\":\"result\",\"id\":1,\"value\":' + b'[' * 1_000_000 + b']' * 1_000_000 + b'}')",
            "nested deeper",
        ),
        ("frame(json.dumps({'seq': 99, 't': 'result', 'id': 1}).encode())", "frame"),
        (
            "frame(json.dumps({'seq': 2, 't': 'result', 'id': 77, 'duration': 0.1, 'memory_delta': 0}).encode())",
            "broke the protocol",
        ),
        (
            "frame(json.dumps({'seq': 2, 't': 'hello', 'python': {'version': '', 'executable': '', 'prefix': '', 'implementation': ''}}).encode())",
            "hello twice",
        ),
        ("frame(json.dumps({'seq': 2, 't': 'nonsense'}).encode())", "unknown message type"),
        (
            "frame(json.dumps({'seq': 2, 't': 'result', 'id': 1, 'duration': 'long'}).encode())",
            "does not hold a message",
        ),
        ("frame(b'\\xff\\xfe')", "does not hold a message"),
        ("os.kill(os.getppid(), 9)", "session init was killed"),
    ] {
        let victim = engine.start(SessionOptions::default()).await.unwrap();
        let pid = victim.status().await.unwrap().pid.unwrap();
        let queued = victim.execute(format!("{FIND}{attack}\nimport time; time.sleep(1000)").as_str()).unwrap();
        let next = victim.execute("1").unwrap();
        let error = finish(queued).await.err().clone();
        assert_eq!((error.ename.as_str(), error.status), ("ProtocolError", EndStatus::Crashed), "{attack}: {error:?}");
        assert!(error.evalue.contains(why), "{attack}: {}", error.evalue);
        assert!(finish(next).await.error.is_some());
        eventually("the worker is gone", || !is_alive(pid)).await;
        let refused = victim.execute("1").map(drop).err().map(|failure| failure.code);
        assert!(matches!(refused, Some(Code::SessionClosed) | None), "{refused:?}");
        assert_eq!(run(&bystander, "x").await.value(), "1");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_worker_that_cuts_itself_off_is_ended_and_loses_no_more_than_a_crash() {
    let engine = engine();
    let victim = engine.start(SessionOptions::default()).await.unwrap();
    run(&victim, "x = 1").await.ok();
    victim.snapshot(None).await.unwrap();
    for attack in [
        format!("{FIND}import time; os.close(fd); time.sleep(1000)"),
        "import os; os.execv('/bin/sleep', ['sleep', '1000'])".to_owned(),
        "import os, time; os.closerange(3, 1 << 20)\nwhile True: pass".to_owned(),
    ] {
        let pid = victim.status().await.unwrap().pid.unwrap();
        let error = run(&victim, attack.as_str()).await.err().clone();
        assert_eq!((error.status, error.rolled_back), (EndStatus::Crashed, true), "{attack}: {error:?}");
        assert!(error.evalue.contains("closed its control channel and lived on"), "{}", error.evalue);
        eventually("the worker is gone", || !is_alive(pid)).await;
        assert_eq!(run(&victim, "x").await.value(), "1");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn a_forged_result_is_found_out_when_the_true_one_comes() {
    let engine = engine();
    let victim = engine.start(SessionOptions::default()).await.unwrap();
    let forge = format!(
        "{FIND}frame(json.dumps({{'seq': 2, 't': 'result', 'id': 1, 'value': 'forged', 'duration': 0.1, 'memory_delta': 0}}).encode())"
    );
    let forged = finish(victim.execute(forge.as_str()).unwrap()).await;
    assert_eq!(forged.value(), "\"forged\"");
    let mut events = victim.events();
    let lost = loop {
        match events.next().await.map(pyrepl3_engine::Event::into_message) {
            Some(Message::SessionLost(lost)) => break lost,
            Some(_) => {}
            None => panic!("no word of it"),
        }
    };
    assert!(!lost.recovered);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_flood_of_frames_does_not_fill_the_supervisor() {
    let engine = engine();
    let victim = engine.start(SessionOptions::default()).await.unwrap();
    let mut flood = victim.execute("for i in range(2000): display('x' * 100_000)\n'done'").unwrap();
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    common::until(&mut flood, |_| true).await;
    let bystander = engine.start(SessionOptions::default()).await.unwrap();
    for _ in 0..100 {
        run(&bystander, "1").await;
    }
    assert!(resident().saturating_sub(before) < 64 << 20);
    let ran = finish(flood).await;
    assert_eq!((ran.displays.len(), ran.value()), (1999, "\"done\""));
    engine.shutdown().await;
}

#[tokio::test]
async fn daemons_of_a_session_whose_init_was_killed_are_swept() {
    let engine = engine();
    let marker = format!("PYREPL3_MARK={}-swept", std::process::id());
    let (name, value) = marker.split_once('=').unwrap();
    let mut options = SessionOptions::default();
    options.env.insert(name.into(), Some(value.into()));
    let victim = engine.start(options).await.unwrap();
    run(&victim, "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)").await;
    eventually("the daemon is there", || marked(&marker).len() == 1).await;
    let killed = victim.execute("import os, time; os.kill(os.getppid(), 9); time.sleep(1000)").unwrap();
    assert_eq!(finish(killed).await.err().ename, "ProtocolError");
    eventually("nothing is left", || marked(&marker).is_empty()).await;
    engine.shutdown().await;
}
