//! Input over the protocol: in every form, from every thread, in every execution.

mod common;

use common::{finish, interpreters, run, session, until};
use pyrepl3_engine::protocol::message::{InputMessage, Message};
use pyrepl3_engine::{Code, ExecuteRequest, Execution, SessionOptions};

async fn prompt(execution: &mut Execution) -> InputMessage {
    match until(execution, |message| matches!(message, Message::InputMessage(_))).await {
        Message::InputMessage(input) => input,
        _ => unreachable!(),
    }
}

fn answered(code: &str, answers: &[&str]) -> ExecuteRequest {
    ExecuteRequest::from(code).with_inputs(answers.iter().map(|&answer| answer.into()))
}

/// The seeds' test, on every interpreter: input works in the first execution, the second, and the thousandth.
#[tokio::test]
async fn test_input_persistence_fixed() {
    let engine = common::engine();
    for python in interpreters() {
        let options = SessionOptions { python: Some(python.display().to_string()), ..SessionOptions::default() };
        let session = engine.start(options).await.unwrap();
        for (code, text) in [("name = input('Enter name: ')", "Alice"), ("age = input('Enter age: ')", "30")] {
            let mut execution = session.execute(code).unwrap();
            let input = prompt(&mut execution).await;
            assert!(input.prompt.starts_with("Enter "));
            session.input_response(&input.id, Some(text.into())).await.unwrap();
            finish(execution).await.ok();
        }
        assert_eq!(run(&session, "f'{name} is {age} years old'").await.value(), r#""Alice is 30 years old""#);
        run(&session, "first = input").await;
        for i in 0..1000 {
            let request = answered("int(input())", &[&i.to_string()]);
            assert_eq!(run(&session, request).await.value(), i.to_string());
        }
        assert_eq!(run(&session, "import builtins\nfirst is input is builtins.input").await.value(), "true");
        session.shutdown().await;
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn every_form_of_input() {
    let (engine, session) = session().await;
    for (code, answers, repr) in [
        ("input('p')", &["a"][..], "'a'"),
        ("import builtins\nbuiltins.input(5)", &["b"], "'b'"),
        ("from builtins import input as i\ni()", &["é€\u{1f600}"], "'é€😀'"),
        ("exec('r = input()', {}, d := {})\nd['r']", &["c"], "'c'"),
        ("exec('r = input()', d := {'__builtins__': vars(builtins)})\nd['r']", &["d"], "'d'"),
        ("import sys\nsys.stdin.readline()", &["e"], "'e\\n'"),
        ("[line for line in sys.stdin]", &["1", "2"], "['1\\n', '2\\n']"),
        ("sys.stdin.read()", &["x", "y"], "'x\\ny\\n'"),
        ("sys.stdin.read(3), sys.stdin.readline()", &["abcdef"], "('abc', 'def\\n')"),
        ("sys.stdin.readlines()", &["x", "y"], "['x\\n', 'y\\n']"),
        ("sys.stdin.buffer.readline()", &["é"], "b'\\xc3\\xa9\\n'"),
        ("import getpass\ngetpass.getpass()", &["secret"], "'secret'"),
        ("from getpass import getpass as g\ng('pw: ')", &["s2"], "'s2'"),
        ("input(prompt)", &[], ""),
        (
            "import threading\nr = []\nt = threading.Thread(target=lambda: r.append(input('t')))\nt.start(); t.join()\nr",
            &["z"],
            "['z']",
        ),
        ("async def f(): return input()\nawait f()", &["aw"], "'aw'"),
    ] {
        let ran = run(&session, answered(code, answers)).await;
        if repr.is_empty() {
            assert_eq!(ran.err().ename, "NameError");
        } else {
            assert_eq!(ran.repr(), repr, "{code}");
            assert!(ran.inputs.iter().all(|input| input.answered));
        }
    }
    assert!(run(&session, answered("getpass.getpass()", &["x"])).await.inputs[0].password);
    assert_eq!(run(&session, answered("input(); input()", &["only"])).await.err().ename, "EOFError");
    let surrogate: pyrepl3_engine::protocol::JsonText = serde_json::from_str(r#""\ud800""#).unwrap();
    let lone = ExecuteRequest::from("input() == '\\ud800'").with_inputs([surrogate]);
    assert_eq!(run(&session, lone).await.value(), "true");
    // `exit()` closes standard input; the session's goes on.
    run(&session, "try: exit()\nexcept SystemExit: pass").await;
    assert_eq!(run(&session, answered("input(), sys.stdin.readline()", &["1", "2"])).await.repr(), "('1', '2\\n')");
    // A user's own `input` is left alone.
    run(&session, "input = lambda *a: 'mine'").await;
    assert_eq!(run(&session, "input('x')").await.value(), r#""mine""#);
    assert_eq!(run(&session, answered("builtins.input()", &["theirs"])).await.value(), r#""theirs""#);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_waiting_prompt_is_visible_and_answered_once() {
    let (engine, session) = session().await;
    let mut execution = session.execute("x = input('who? ')").unwrap();
    let input = prompt(&mut execution).await;
    let status = session.status().await.unwrap();
    assert_eq!((status.inputs.len(), status.inputs[0].prompt.as_str()), (1, "who? "));
    assert_eq!(status.inputs[0].execution_id.as_deref(), Some(execution.id()));
    assert_eq!(session.input_response("inp_nonsense", None).await.unwrap_err().code, Code::UnknownInput);
    session.input_response(&input.id, Some("me".into())).await.unwrap();
    assert_eq!(session.input_response(&input.id, Some("me".into())).await.unwrap_err().code, Code::UnknownInput);
    finish(execution).await.ok();
    // Interrupted, timed out, ended.
    let mut execution = session.execute("input()").unwrap();
    let input = prompt(&mut execution).await;
    session.interrupt().await.unwrap();
    assert_eq!(finish(execution).await.err().ename, "KeyboardInterrupt");
    assert_eq!(session.input_response(&input.id, None).await.unwrap_err().code, Code::UnknownInput);
    assert!(session.status().await.unwrap().inputs.is_empty());
    let request = ExecuteRequest::from("input()").with_timeout(std::time::Duration::from_millis(50));
    assert_eq!(run(&session, request).await.err().ename, "TimeoutError");
    assert_eq!(run(&session, answered("input()", &["fine"])).await.value(), r#""fine""#);
    engine.shutdown().await;
}

#[tokio::test]
async fn threads_prompt_at_once_and_are_answered_out_of_order() {
    let (engine, session) = session().await;
    let code = "import threading\nr = {}\nts = [threading.Thread(target=lambda i=i: r.update({i: input(f't{i}')})) for i in range(8)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nsorted(r.items())";
    let mut execution = session.execute(code).unwrap();
    let mut inputs = Vec::new();
    for _ in 0..8 {
        inputs.push(prompt(&mut execution).await);
    }
    inputs.reverse();
    inputs.swap(0, 3);
    for input in &inputs {
        session.input_response(&input.id, Some(format!("answer to {}", input.prompt).into())).await.unwrap();
    }
    let expected: Vec<String> = (0..8).map(|i| format!("({i}, 'answer to t{i}')")).collect();
    assert_eq!(finish(execution).await.repr(), format!("[{}]", expected.join(", ")));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_background_prompt_outlives_its_execution_while_the_main_thread_reads_on() {
    let (engine, session) = session().await;
    let mut execution = session.execute("import threading\nr = []\nt = threading.Thread(target=lambda: r.append(input('bg')), daemon=True)\nt.start()\nimport time\nwhile not t.is_alive(): pass").unwrap();
    let mut events = session.events();
    // The prompt is told within the execution or after it, whichever comes first.
    let mut background = None;
    while let Some(message) = execution.next().await {
        if let Message::InputMessage(input) = message.into_message() {
            background = Some(input);
        }
    }
    let background = match background {
        Some(input) => input,
        None => match events.next().await.unwrap().into_message() {
            Message::InputMessage(input) => input,
            other => panic!("{other:?}"),
        },
    };
    for i in 0..100 {
        assert_eq!(run(&session, format!("{i} + 1").as_str()).await.value(), (i + 1).to_string());
        assert_eq!(run(&session, answered("input('main')", &["m"])).await.value(), r#""m""#);
    }
    assert_eq!(session.status().await.unwrap().inputs.len(), 1);
    session.input_response(&background.id, Some("late".into())).await.unwrap();
    assert_eq!(run(&session, "t.join(); r").await.repr(), "['late']");
    // The same while the main thread sleeps in its event loop.
    run(&session, "import asyncio\nawait asyncio.sleep(0)\nt = threading.Thread(target=lambda: r.append(input('bg2')), daemon=True)\nt.start()").await;
    let mut waiting = session.status().await.unwrap().inputs;
    while waiting.is_empty() {
        tokio::task::yield_now().await;
        waiting = session.status().await.unwrap().inputs;
    }
    for _ in 0..20 {
        assert_eq!(run(&session, "await asyncio.sleep(0, 3)").await.value(), "3");
    }
    session.input_response(&waiting[0].id, Some("later".into())).await.unwrap();
    assert_eq!(run(&session, "t.join(); r").await.repr(), "['late', 'later']");
    engine.shutdown().await;
}
