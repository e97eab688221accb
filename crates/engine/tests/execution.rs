//! What code does in a session, and what is said of it.

mod common;

use common::{engine, finish, interpreters, run, session, session_with};
use pyrepl3_engine::protocol::message::CompletenessStatus;
use pyrepl3_engine::protocol::message::{EndStatus, PythonInfo};
use pyrepl3_engine::{Code, ExecuteRequest, SessionOptions, Source};

#[tokio::test]
async fn the_namespace_persists_and_the_last_expression_is_the_value() {
    let (engine, session) = session().await;
    let first = run(&session, "x = 42").await;
    assert_eq!(first.ok().changes.added, ["x"]);
    assert_eq!(first.ok().repr, None);
    assert_eq!(run(&session, "x * 2").await.value(), "84");
    let third = run(&session, "x = 43\ny = 1\ndel y\nz = 2\nx").await;
    assert_eq!(third.value(), "43");
    assert_eq!((third.ok().changes.added.join(","), third.ok().changes.rebound.join(",")), ("z".into(), "x".into()));
    assert_eq!(run(&session, "del z").await.ok().changes.removed, ["z"]);
    assert_eq!(run(&session, "").await.repr(), "None");
    assert_eq!(run(&session, "# only a comment").await.repr(), "None");
    assert_eq!(run(&session, "__name__, __builtins__ is __import__('builtins')").await.repr(), "('__main__', True)");
    engine.shutdown().await;
}

#[tokio::test]
async fn values_are_exact_or_none() {
    let (engine, session) = session().await;
    for (code, value) in [
        ("None", "null"),
        ("True", "true"),
        ("-7", "-7"),
        ("2**200", "1606938044258990275541962092341162602522202993782792835301376"),
        ("1.0", "1.0"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("-0.0", "-0.0"),
        ("1e400", "null"),
        ("float('nan')", "null"),
        ("'h\\u00e9\\ud800'", r#""h\u00e9\ud800""#),
        ("[1, [2.5, None], {'a': 'b'}]", r#"[1,[2.5,null],{"a":"b"}]"#),
        ("(1, 2)", "null"),
        ("{1: 2}", "null"),
        ("b'x'", "null"),
        ("{'$int': '0x10'}", r#"{"$esc":{"$int":"0x10"}}"#),
        ("type('S', (str,), {})('x')", "null"),
        ("[float('inf')]", "null"),
        ("'x' * (1 << 21)", "null"),
    ] {
        assert_eq!(run(&session, code).await.value(), value, "{code}");
    }
    let huge = run(&session, "-10**5000").await;
    assert!(huge.value().starts_with(r#"{"$int":"-0x"#));
    assert_eq!(run(&session, "l = []\nfor _ in range(64): l = [l]\nl").await.value(), "null");
    assert_ne!(run(&session, "l = []\nfor _ in range(63): l = [l]\nl").await.value(), "null");
    assert_eq!(run(&session, "l = [1]\nfor _ in range(40): l = [l, l]\nl").await.value(), "null");
    assert_eq!(run(&session, "l = []; l.append(l); l").await.repr(), "[[...]]");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_repr_harms_nothing() {
    let (engine, session) = session().await;
    run(&session, "class R:\n def __init__(self, f): self.f = f\n def __repr__(self): return self.f()").await;
    let raised = run(&session, "R(lambda: 1/0)").await;
    assert_eq!(raised.repr(), "<R: its repr() raised ZeroDivisionError: division by zero>");
    assert!(run(&session, "R(lambda: 5)").await.repr().contains("TypeError"));
    assert!(run(&session, "R(lambda: 'x' * 10**9)").await.repr().ends_with("1,000,000,000 characters in all]"));
    assert!(run(&session, "[0] * 10**7").await.repr().ends_with("characters]"));
    assert!(run(&session, "'x' * 10**8").await.repr().len() < 70_000);
    assert!(run(&session, "{i: str(i) for i in range(10**6)}").await.repr().starts_with("{0: '0', 1: '1',"));
    assert_eq!(run(&session, "R(lambda: '\\ud800')").await.repr(), "\\ud800");
    let looping =
        ExecuteRequest::from("def f():\n while True: pass\nR(f)").with_timeout(std::time::Duration::from_millis(300));
    assert_eq!(run(&session, looping).await.err().ename, "TimeoutError");
    assert_eq!(run(&session, "x = 1; x").await.value(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn tracebacks_show_source_of_earlier_executions_and_no_frames_of_ours() {
    let (engine, session) = session().await;
    run(&session, "def f(n):\n    return 1 / n").await;
    let failed = run(&session, "f(0)").await;
    let error = failed.err();
    assert_eq!((error.status, error.ename.as_str()), (EndStatus::Failed, "ZeroDivisionError"));
    assert_eq!(error.error, "division by zero");
    assert!(
        error.traceback.starts_with(
            "Traceback (most recent call last):\n  File \"<execution 2>\", line 1, in <module>\n    f(0)\n"
        )
    );
    assert!(
        error.traceback.contains("File \"<execution 1>\", line 2, in f\n    return 1 / n\n"),
        "{}",
        error.traceback
    );
    assert!(!error.traceback.contains("pyrepl3"));
    assert_eq!(error.frames.len(), 2);
    assert_eq!((error.frames[1].name.as_str(), error.frames[1].lineno), ("f", 2));
    let syntax = run(&session, "x = (1,\n  2 3)").await;
    assert_eq!(syntax.err().ename, "SyntaxError");
    assert!(
        syntax.err().traceback.contains("line 2") && syntax.err().traceback.contains('^'),
        "{}",
        syntax.err().traceback
    );
    assert!(!syntax.err().traceback.contains("Traceback"));
    let asynchronous =
        run(&session, "import asyncio\nasync def g():\n    await asyncio.sleep(0)\n    f(0)\nawait g()").await;
    assert!(!asynchronous.err().traceback.contains("base_events"), "{}", asynchronous.err().traceback);
    assert!(asynchronous.err().traceback.contains("await g()"));
    let chained = run(&session, "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e").await;
    assert!(chained.err().traceback.contains("direct cause"));
    let thread =
        run(&session, "import threading\nt = threading.Thread(target=f, args=(0,), name='T')\nt.start(); t.join()")
            .await;
    assert!(
        thread.stderr.contains("Exception in thread T") && thread.stderr.contains("return 1 / n"),
        "{}",
        thread.stderr
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn exceptions_of_every_kind_are_told() {
    let (engine, session) = session().await;
    for (code, ename) in [
        ("exit(3)", "SystemExit"),
        ("raise SystemExit('bye')", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): f()\nf()", "RecursionError"),
        ("class E(Exception):\n def __str__(self): raise ValueError\nraise E", "E"),
        ("raise Exception('\\ud800')", "Exception"),
        ("'\\0'\nx = '\0'", "SyntaxError"),
        ("(", "SyntaxError"),
    ] {
        let ran = run(&session, code).await;
        // A null byte is a ValueError before 3.12.
        let ename = if code.contains('\0') && ran.err().ename == "ValueError" { "ValueError" } else { ename };
        assert_eq!((ran.err().ename.as_str(), ran.err().status), (ename, EndStatus::Failed), "{code}");
    }
    assert_eq!(run(&session, "exit(3)").await.err().exit_code, Some(3));
    let text = run(&session, "raise SystemExit('bye')").await;
    assert_eq!((text.err().exit_code, text.stderr.as_str()), (Some(1), "bye\n"));
    assert_eq!(run(&session, "input").await.ok().value_type.as_deref(), Some("function"));
    engine.shutdown().await;
}

#[tokio::test]
async fn top_level_await_runs_on_a_loop_that_the_session_keeps() {
    let (engine, session) = session().await;
    run(&session, "import asyncio, contextvars\nv = contextvars.ContextVar('v', default=0)").await;
    assert_eq!(run(&session, "async def f(): await asyncio.sleep(0); return 7\nawait f()").await.value(), "7");
    assert_eq!(
        run(&session, "async def g():\n    for i in range(3): yield i\n[i async for i in g()]").await.value(),
        "[0,1,2]"
    );
    let code = "class C:\n async def __aenter__(self): return 5\n async def __aexit__(self, *a): pass\nasync with C() as c: r = c\nr";
    assert_eq!(run(&session, code).await.value(), "5");
    // One loop, one context, from execution to execution; synchronous code shares the context.
    assert_eq!(
        run(&session, "l = asyncio.get_running_loop(); await asyncio.sleep(0); token = v.set(1)").await.repr(),
        "None"
    );
    assert_eq!(run(&session, "v.get()").await.value(), "1");
    assert_eq!(
        run(&session, "await asyncio.sleep(0); asyncio.get_running_loop() is l, v.get()").await.repr(),
        "(True, 1)"
    );
    // Tasks go on between executions.
    run(&session, "done = asyncio.get_running_loop().create_future()\nasync def later():\n    await asyncio.sleep(0.01)\n    print('ticked', flush=True)\n    done.set_result(1)\ntask = asyncio.create_task(later())\nawait asyncio.sleep(0)").await;
    let mut events = session.events();
    let ticked = tokio::time::timeout(common::LIMIT, events.next()).await.unwrap().unwrap();
    assert_eq!(ticked.type_name(), "output");
    assert_eq!(run(&session, "done.done()").await.value(), "true");
    assert_eq!(run(&session, "asyncio.run(f())").await.value(), "7");
    assert_eq!(run(&session, "await f()").await.value(), "7");
    engine.shutdown().await;
}

#[tokio::test]
async fn definitions_of_the_session_have_source_and_pickle() {
    let (engine, session) = session().await;
    run(&session, "import inspect, pickle, multiprocessing, subprocess, sys\ndef f(x):\n    return x + 1\n").await;
    run(&session, "class C:\n    n = 1\n    def m(self):\n        return f(self.n)\n\nclass D(C):\n    flag = True\n")
        .await;
    assert_eq!(run(&session, "inspect.getsource(f)").await.value(), r#""def f(x):\n    return x + 1\n""#);
    assert!(run(&session, "inspect.getsource(C)").await.value().starts_with(r#""class C:\n    n = 1"#));
    assert_eq!(run(&session, "inspect.getsource(D)").await.value(), r#""class D(C):\n    flag = True\n""#);
    run(&session, "class D(C):\n    flag = 2\n").await;
    assert_eq!(run(&session, "inspect.getsource(D)").await.value(), r#""class D(C):\n    flag = 2\n""#);
    assert_eq!(run(&session, "pickle.loads(pickle.dumps(C())).m()").await.value(), "2");
    assert_eq!(
        run(&session, "with multiprocessing.get_context('fork').Pool(2) as p: r = p.map(f, [1, 2, 3])\nr")
            .await
            .value(),
        "[2,3,4]"
    );
    assert_eq!(
        run(&session, "subprocess.run([sys.executable, '-c', 'print(6)'], capture_output=True, text=True).stdout")
            .await
            .value(),
        r#""6\n""#
    );
    let child =
        run(&session, "import os\npid = os.fork()\nif pid: _ = os.waitpid(pid, 0)\nelse: print('child')\npid == 0")
            .await;
    assert_eq!((child.value(), child.stdout.as_str()), ("false", "child\n"));
    engine.shutdown().await;
}

#[tokio::test]
async fn large_and_odd_source() {
    let (engine, session) = session().await;
    let lines: String = (0..100_000).map(|i| format!("v{} = {i}  # some words to make it long\n", i % 100)).collect();
    assert!(lines.len() > 4_000_000);
    assert_eq!(run(&session, format!("{lines}v7").as_str()).await.value(), "99907");
    let surrogate: pyrepl3_engine::protocol::JsonText = serde_json::from_str(r#""x = 1\ny = '\ud800'""#).unwrap();
    let ran = run(&session, surrogate).await;
    assert_eq!(ran.err().ename, "SyntaxError");
    assert!(ran.err().traceback.contains("lone surrogate") && ran.err().traceback.contains("line 2"));
    let latin = ExecuteRequest::new(Source::Bytes(b"# -*- coding: latin-1 -*-\ns = '\xe9'\ns".to_vec()));
    assert_eq!(run(&session, latin).await.value(), r#""\u00e9""#);
    let broken = ExecuteRequest::new(Source::Bytes(b"s = '\xe9'".to_vec()));
    assert_eq!(run(&session, broken).await.err().ename, "SyntaxError");
    assert_eq!(run(&session, "from __future__ import annotations").await.repr(), "None");
    assert_eq!(run(&session, "def f(x: undefined): pass\nf.__annotations__").await.repr(), "{'x': 'undefined'}");
    engine.shutdown().await;
}

#[tokio::test]
async fn displays_and_bundles() {
    let (engine, session) = session().await;
    let code = "class H:\n def _repr_html_(self): return '<b>h</b>'\n def _repr_png_(self): return b'png'\n def _repr_svg_(self): 1/0\ndisplay(H(), 1)\nhandle = display('a', display_id='d')\nhandle.update('b')\nH()";
    let ran = run(&session, code).await;
    assert_eq!(ran.displays.len(), 4);
    assert_eq!(ran.displays[0].data["text/html"].get(), r#""<b>h</b>""#);
    assert_eq!(ran.displays[0].data["image/png"].get(), r#""cG5n""#);
    assert!(ran.displays[0].metadata["errors"].get().contains("ZeroDivisionError"));
    assert_eq!(ran.displays[2].display_id.as_deref(), Some("d"));
    assert!(ran.displays[3].update);
    assert_eq!(ran.ok().data["text/html"].get(), r#""<b>h</b>""#);
    let bundle = run(
        &session,
        "class M:\n def _repr_mimebundle_(self, include=None, exclude=None): return {'a/b': {'k': 1}}, {'m': 2}\nM()",
    )
    .await;
    assert_eq!(bundle.ok().data["a/b"].get(), r#"{"k":1}"#);
    engine.shutdown().await;
}

#[tokio::test]
async fn variables_completions_and_inspection() {
    let (engine, session) = session().await;
    run(&session, "import math\nnumbers = [1, 2]\nclass C:\n    'doc of C'\n    def meth(self, a, b=2): 'doc of meth'\n    @property\n    def boom(self): raise SystemExit\nc = C()").await;
    let variables = session.variables().await.unwrap();
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["math", "numbers", "C", "c"]);
    let texts = async |code: &str| {
        let found = session.complete(code, None).await.unwrap();
        found.data.matches.into_iter().map(|completion| completion.text).collect::<Vec<_>>()
    };
    assert_eq!(texts("numb").await, ["numbers"]);
    assert_eq!(texts("x = math.isf").await, ["isfinite"]);
    assert_eq!(texts("c.").await, ["boom", "meth"]);
    assert_eq!(texts("c.boom.x").await, Vec::<String>::new());
    assert!(texts("import ma").await.contains(&"math".to_owned()));
    assert!(texts("from math import sq").await.contains(&"sqrt".to_owned()));
    let about = session.inspect("C.meth").await.unwrap();
    assert_eq!((about.signature.as_deref(), about.doc.as_deref()), (Some("(self, a, b=2)"), Some("doc of meth")));
    for (code, status) in [
        ("x = 1", CompletenessStatus::Complete),
        ("def f():", CompletenessStatus::Incomplete),
        ("f(", CompletenessStatus::Incomplete),
        ("x = = 1", CompletenessStatus::Invalid),
        ("await f()", CompletenessStatus::Complete),
    ] {
        assert_eq!(session.is_complete(code).await.unwrap().status, status, "{code}");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn user_code_cannot_break_what_the_worker_uses() {
    let (engine, session) = session().await;
    let code = "import builtins, json, os, sys, time, traceback, threading\n\
        builtins.len = builtins.repr = builtins.type = builtins.print = builtins.isinstance = None\n\
        builtins.exec = builtins.compile = builtins.eval = builtins.id = builtins.set = None\n\
        json.dumps = json.loads = os.write = os.getpid = time.perf_counter = None\n\
        json.encoder.c_make_encoder = traceback.TracebackException = None\n\
        sys.modules.clear()";
    run(&session, code).await;
    assert_eq!(run(&session, "x = 5\nx").await.value(), "5");
    assert_eq!(run(&session, "1/0").await.err().ename, "ZeroDivisionError");
    let (_other, fresh) = common::session().await;
    run(&fresh, "import sys; sys.stdout.close(); sys.stderr = None").await;
    assert_eq!(run(&fresh, "print('still')").await.stdout, "still\n");
    run(&fresh, "import io, sys; real, sys.stdout = sys.stdout, io.StringIO()").await;
    assert_eq!(run(&fresh, "print('hidden'); sys.stdout.getvalue()").await.value(), r#""hidden\n""#);
    engine.shutdown().await;
}

#[tokio::test]
async fn every_interpreter_runs_the_same_way() {
    let found = interpreters();
    assert!(!found.is_empty());
    let engine = engine();
    for python in found {
        let options = SessionOptions { python: Some(python.display().to_string()), ..SessionOptions::default() };
        let session = engine.start(options).await.unwrap_or_else(|failure| panic!("{}: {failure}", python.display()));
        let PythonInfo { version, .. } = session.python().unwrap();
        eprintln!("running in {version}");
        run(&session, "import asyncio, contextvars\nv = contextvars.ContextVar('v')\nx = 20").await;
        assert_eq!(run(&session, "x * 2").await.value(), "40");
        let failed = run(&session, "def f():\n    raise ValueError('no')\nf()").await;
        assert!(
            failed.err().traceback.starts_with(
                "Traceback (most recent call last):\n  File \"<execution 3>\", line 3, in <module>\n    f()\n"
            ),
            "{}",
            failed.err().traceback
        );
        assert!(!failed.err().traceback.contains("pyrepl3"));
        assert!(!run(&session, "x ==== 1").await.err().traceback.contains("Traceback"));
        assert_eq!(run(&session, "await asyncio.sleep(0, 'slept')").await.value(), r#""slept""#);
        run(&session, "await asyncio.sleep(0); _ = v.set(9)").await;
        assert_eq!(run(&session, "v.get()").await.value(), "9");
        assert_eq!(run(&session, "await asyncio.sleep(0); v.get()").await.value(), "9");
        let request = ExecuteRequest::from("input('Name: ')").with_inputs(["Bob".into()]);
        assert_eq!(run(&session, request).await.value(), r#""Bob""#);
        run(&session, "import inspect\nclass K:\n    attr = 1\n").await;
        assert_eq!(run(&session, "inspect.getsource(K)").await.value(), r#""class K:\n    attr = 1\n""#);
        let mut spinning = session.execute("print('go')\nwhile True: pass").unwrap();
        common::until(&mut spinning, |message| message.type_name() == "output").await;
        session.interrupt().await.unwrap();
        assert_eq!(finish(spinning).await.err().status, EndStatus::Interrupted);
        assert_eq!(
            run(&session, "import os; os.kill(os.getpid(), 11)").await.err().exit.as_ref().unwrap().signal,
            Some(11)
        );
        assert_eq!(run(&session, "'x' in dir()").await.value(), "false");
        session.variables().await.unwrap();
        session.complete("imp", None).await.unwrap();
        session.shutdown().await;
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn ids_and_idempotency_keys() {
    let (engine, session) = session().await;
    let with_id = |id: &str| ExecuteRequest::from("1").with_id(id);
    assert_eq!(finish(session.execute(with_id("mine")).unwrap()).await.ok().execution_id.as_deref(), Some("mine"));
    let again = session.execute(with_id("mine")).unwrap().result().await.unwrap_err();
    assert!(matches!(again, pyrepl3_engine::ExecutionError::Refused(f) if f.code == Code::DuplicateId));
    assert_eq!(session.execute(with_id("")).unwrap_err().code, Code::BadRequest);
    let keyed = |code: &str| ExecuteRequest::from(code).with_idempotency_key("k");
    run(&session, "n = 0").await;
    let (first, second) = (session.execute(keyed("n += 1\nn")).unwrap(), session.execute(keyed("n += 1\nn")).unwrap());
    assert_eq!(finish(first).await.value(), "1");
    let second = finish(second).await;
    assert_eq!((second.value(), second.ok().replayed), ("1", true));
    assert_eq!(run(&session, keyed("n += 1\nn")).await.value(), "1");
    assert_eq!(run(&session, "n").await.value(), "1");
    let other = session.execute(keyed("other")).unwrap().result().await.unwrap_err();
    assert!(matches!(other, pyrepl3_engine::ExecutionError::Refused(f) if f.code == Code::IdempotencyMismatch));
    engine.shutdown().await;
}

#[tokio::test]
async fn unsuitable_environments_are_refused_in_words() {
    let engine = engine();
    let start = async |options: SessionOptions| engine.start(options).await.unwrap_err();
    let python = |path: &str| SessionOptions { python: Some(path.into()), ..SessionOptions::default() };
    assert_eq!(start(python("/nonexistent/python")).await.code, Code::PythonNotFound);
    assert_eq!(start(python("/bin/true")).await.code, Code::PythonNotFound);
    assert_eq!(start(python("/tmp")).await.code, Code::PythonNotFound);
    let preload = SessionOptions { preload: vec!["json".into(), "no_such_module".into()], ..SessionOptions::default() };
    let failure = start(preload).await;
    assert_eq!(failure.code, Code::EnvironmentFailed);
    assert!(failure.to_string().contains("no_such_module"), "{failure}");
    let isolated = SessionOptions { isolation: Some("strict".into()), ..SessionOptions::default() };
    assert_eq!(start(isolated).await.code, Code::Unsupported);
    let cwd = SessionOptions { cwd: Some("/nonexistent".into()), ..SessionOptions::default() };
    let failure = start(cwd).await;
    assert!(failure.to_string().contains("nonexistent"), "{failure}");
    engine.shutdown().await;
}

#[tokio::test]
async fn cwd_environment_and_limits() {
    let mut options = SessionOptions { cwd: Some("/".into()), ..SessionOptions::default() };
    options.env.insert("PYREPL3_TEST".into(), Some("yes".into()));
    options.env.insert("HOME".into(), None);
    options.limits.memory = Some(400 << 20);
    options.limits.open_files = Some(64);
    let (engine, session) = session_with(options).await;
    assert_eq!(
        run(&session, "import os\nos.getcwd(), os.environ['PYREPL3_TEST'], 'HOME' in os.environ").await.repr(),
        "('/', 'yes', False)"
    );
    assert_eq!(run(&session, "b = bytearray(1 << 30)").await.err().ename, "MemoryError");
    assert_eq!(run(&session, "f = [open('/dev/null') for _ in range(100)]").await.err().ename, "OSError");
    assert_eq!(run(&session, "1").await.value(), "1");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_loop_that_is_stopped_goes_on() {
    let (engine, session) = session().await;
    let stopped =
        "import asyncio\nloop = asyncio.get_running_loop()\nloop.call_soon(loop.stop)\nawait asyncio.sleep(0.01)\n5";
    assert_eq!(run(&session, stopped).await.value(), "5");
    // Between executions, too.
    let later = "seen = []\nloop.call_later(0.01, lambda: (loop.stop(), seen.append(1)))\nawait asyncio.sleep(0)";
    run(&session, later).await.ok();
    while run(&session, "len(seen)").await.value() == "0" {}
    assert_eq!(run(&session, "await asyncio.sleep(0, 7)").await.value(), "7");
    engine.shutdown().await;
}
