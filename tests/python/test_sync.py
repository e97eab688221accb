"""The client without await."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import threading
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import ErrorMessage, ExecutionError, InputMessage, OutputMessage, PoolConfig, ResultMessage, _portal
from pyrepl3.sync import Session, SessionPool
from support import client, engines, eventually, processes


def test_a_session() -> None:
    with Session(name="mine") as session:
        session.execute("x = 42")
        result = session.execute("print('hi'); x * 2")
        assert isinstance(result, ResultMessage)
        assert (result.value, result.stdout) == (84, "hi\n")
        with pytest.raises(ExecutionError) as caught:
            session.execute("1 / 0")
        assert caught.value.message.ename == "ZeroDivisionError"
        assert session.id.startswith("ses_")
        assert session.name == "mine"
        assert session.python is not None
        assert "x" in [each.name for each in session.variables()]
        assert session.complete("impor").matches[0].text == "import"
        assert session.inspect("len").found
        assert session.is_complete("def f():").status == "incomplete"
        assert session.status().state == "idle"
        session.interrupt()
    assert session.closed
    session.shutdown()
    assert engines() == []


def test_the_thread_ends_with_the_last() -> None:
    before = threading.active_count()
    one, two = Session(), Session()
    one.start()
    two.start()
    two.start()
    assert threading.active_count() == before + 1
    one.shutdown()
    assert two.execute("1").value == 1
    two.shutdown()
    assert threading.active_count() == before
    assert _portal._portal is None


async def test_inside_a_running_event_loop() -> None:
    with Session() as session:
        assert session.execute("1 + 1").value == 2
    async with pyrepl3.Session() as other:
        assert (await other.execute("2")).value == 2


def test_streaming() -> None:
    with Session() as session:
        found = list(session.stream("for i in range(1000): print(i)\n7"))
        assert "".join(m.data for m in found if isinstance(m, OutputMessage)) == "".join(f"{i}\n" for i in range(1000))
        assert isinstance(found[-1], ResultMessage)
        assert found[-1].value == 7
        assert isinstance(list(session.stream("1 / 0"))[-1], ErrorMessage)


def test_a_stream_is_sent_at_once_and_may_be_left() -> None:
    with Session() as session:
        stream = session.stream("x = 1")
        assert session.execute("x").value == 1
        for _ in session.stream("for i in range(20): print('y' * 1_000_000)\ny = 2"):
            break
        assert session.execute("y").value == 2
        assert [m.type.value for m in stream] == ["result"]


def test_a_slow_stream_misses_nothing() -> None:
    with Session() as session:
        count = 0
        for message in session.stream("for i in range(24): print('x' * 1048575)"):
            if isinstance(message, OutputMessage):
                count += len(message.data)
                assert message.dropped == 0
        assert count == 24 << 20


def test_what_is_refused() -> None:
    with Session() as session:
        with pytest.raises(TypeError):
            session.execute(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            session.stream("1", salvage="x")
        with pytest.raises(pyrepl3.UnknownInput):
            session.input_response("none", "x")
    with pytest.raises(pyrepl3.PythonNotFound):
        Session(python="/nowhere/python").start()
    assert _portal._portal is None


def test_on_input_is_called_in_the_thread_that_waits() -> None:
    threads: list[Any] = []

    def on_input(message: InputMessage) -> str:
        threads.append(threading.current_thread())
        return message.prompt.upper()

    with Session(on_input=on_input) as session:
        assert session.execute("[input('a'), input('b')]").value == ["A", "B"]
        assert [m.value for m in session.stream("input('c')") if isinstance(m, ResultMessage)] == ["C"]
        assert threads == [threading.current_thread()] * 3
        assert session.execute("input('d')", inputs=["given"]).value == "given"


def test_prompts_of_the_background_have_a_thread_of_their_own() -> None:
    threads: list[str] = []
    asked = threading.Event()

    def on_input(message: InputMessage) -> str:
        threads.append(threading.current_thread().name)
        asked.set()
        return "late"

    with Session(on_input=on_input) as session:
        session.execute(
            "import threading\nanswers = []\ngo = threading.Event()\n"
            "def ask():\n    go.wait()\n    answers.append(input())\n"
            "thread = threading.Thread(target=ask); thread.start()"
        )
        session.execute("threading.Timer(0.05, go.set).start()")
        assert asked.wait(60)
        assert session.execute("thread.join(); answers").value == ["late"]
    assert threads == ["pyrepl3-input"]


def test_on_input_that_fails_is_end_of_file(caplog: pytest.LogCaptureFixture) -> None:
    def on_input(message: InputMessage) -> str:
        raise LookupError("nothing to say")

    with Session(on_input=on_input) as session:
        with pytest.raises(ExecutionError) as caught:
            session.execute("input()")
        assert isinstance(caught.value.__cause__, LookupError)
    assert "nothing to say" in caplog.text


def test_a_prompt_of_a_stream_that_was_left_is_answered() -> None:
    with Session(on_input=lambda message: "answer") as session:
        for _ in session.stream("print('on'); x = input()"):
            break
        gc.collect()
        assert session.execute("x").value == "answer"


def test_another_thread_answers_and_interrupts() -> None:
    with Session() as session:
        results: list[Any] = []

        def work(code: str) -> None:
            try:
                results.append(session.execute(code).value)
            except ExecutionError as error:
                results.append(error.message.status)

        thread = threading.Thread(target=work, args=("input()",))
        thread.start()
        while not (prompts := session.status().inputs):
            pass
        session.input_response(prompts[0].id, "from the main thread")
        thread.join()
        thread = threading.Thread(target=work, args=("while True: pass",))
        thread.start()
        while not session.status().running:
            pass
        session.interrupt()
        thread.join()
        assert results == ["from the main thread", "interrupted"]


def test_events() -> None:
    with Session() as session:
        session.execute("import threading\ngo = threading.Event()")
        session.execute("threading.Thread(target=lambda: (go.wait(), print('behind', flush=True))).start()")
        session.execute("threading.Timer(0.05, go.set).start()")
        message = next(session.events())
        assert isinstance(message, OutputMessage)
        assert message.data.startswith("behind")


def test_many_threads_at_once() -> None:
    with Session() as session:
        found: list[int] = []
        threads = [threading.Thread(target=lambda n=n: found.append(session.execute(str(n)).value)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(20))


@pytest.mark.parametrize("call", ["execute", "stream", "on_input"])
def test_ctrl_c_interrupts_the_code_waits_and_is_raised(call: str) -> None:
    main = threading.get_ident()

    def on_input(message: InputMessage) -> str:
        signal.pthread_kill(main, signal.SIGINT)
        return "too late"

    with Session(on_input=on_input if call == "on_input" else None) as session:
        session.execute("x = 1")
        watcher = None
        if call != "on_input":

            def watch() -> None:
                while not session.status().running:
                    pass
                signal.pthread_kill(main, signal.SIGINT)

            watcher = threading.Thread(target=watch)
            watcher.start()
        with pytest.raises(KeyboardInterrupt):
            if call == "stream":
                list(session.stream("while True: pass"))
            else:
                session.execute("input()\nwhile True: pass" if call == "on_input" else "while True: pass")
        if watcher is not None:
            watcher.join()
        # It has ended, and its state is there.
        assert session.status().running is None
        assert session.execute("x").value == 1


def test_ctrl_c_in_a_terminal_reaches_the_client_alone() -> None:
    code = (
        "import os, pyrepl3.sync\n"
        "with pyrepl3.sync.Session() as s:\n"
        "    s.execute('x = 5')\n"
        "    try:\n"
        "        for m in s.stream('print(1)\\nwhile True: pass'):\n"
        "            print('ready', flush=True)\n"
        "    except KeyboardInterrupt:\n"
        # Ctrl-C may have come while the loop's body ran: leaving a loop leaves the code running.
        "        s.interrupt()\n"
        "        print(s.execute('x').value)\n"
    )
    with subprocess.Popen(client(code), stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to the whole group.
        assert process.stdout.read() == b"5\n"
    assert process.returncode == 0


def test_a_session_that_nobody_refers_to_is_ended() -> None:
    with Session():
        before = set(processes())
        session = Session(on_input=lambda message: "x")
        session.start()
        session.execute("x = 1")
        assert set(processes()) > before
        del session
        gc.collect()
        eventually(lambda: set(processes()) <= before)
    session = Session()
    session.start()
    del session
    gc.collect()
    eventually(lambda: engines() == [] and _portal._portal is None)


def test_an_engine_that_is_killed() -> None:
    session = Session()
    session.start()
    for pid in engines():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(pyrepl3.SessionLost):
        session.execute("while True: pass")
    session.shutdown()


def test_a_blocking_call_in_its_own_thread_is_refused() -> None:
    with Session() as session:
        portal = session._portal
        assert portal is not None

        async def inside() -> Any:
            return session.execute("1")

        with pytest.raises(pyrepl3.BadRequest, match="wait for itself"):
            portal.run(inside)


def test_a_pool() -> None:
    with SessionPool(PoolConfig(min_idle=1, max_sessions=2, warmup_code="ready = 1")) as pool:
        assert pool.config.max_sessions == 2
        with pool.session() as session:
            assert session.execute("ready").value == 1
            with pytest.raises(pyrepl3.BadRequest, match="release"):
                session.shutdown()
        with pytest.raises(pyrepl3.SessionClosed, match="given back"):
            session.execute("1")
        one, two = pool.acquire(), pool.acquire(timeout=60)
        with pytest.raises(pyrepl3.PoolTimeout):
            pool.acquire(timeout=0.05)
        assert pool.stats().leased == 2
        pool.release(one)
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            pool.release(one)
        assert caught.value.code == "not_acquired"
    assert two.closed
    with pytest.raises(pyrepl3.SessionClosed):
        two.execute("1")
    with pytest.raises(pyrepl3.PoolClosed):
        pool.acquire()
    pool.stop()


def test_on_input_of_a_pool() -> None:
    threads: list[Any] = []

    def on_input(message: InputMessage) -> str:
        threads.append(threading.current_thread())
        return "yes"

    with SessionPool(on_input=on_input) as pool, pool.session() as session:
        assert session.execute("input()").value == "yes"
    assert threads == [threading.current_thread()]


def test_a_pools_block_stops_what_still_runs() -> None:
    with SessionPool(max_sessions=1) as pool:
        with pool.session() as session:
            session.stream("while True: pass")
        with pool.session(timeout=60) as session:
            assert session.execute("1").value == 1


def test_asyncio_sessions_and_blocking_ones_share_the_engine() -> None:
    async def both() -> None:
        async with pyrepl3.Session() as session:
            assert (await session.execute("1")).value == 1
            with Session() as blocking:
                assert blocking.execute("2").value == 2
                assert len(engines()) == 1

    asyncio.run(both())
