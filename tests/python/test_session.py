"""Sessions: what they are started with, what they keep, what they tell."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import pyrepl3
from pyrepl3 import ExecuteMessage, ExecutionError, Limits, Session


async def value(session: Session, code: str) -> object:
    return (await session.execute(code)).value


async def test_a_session_runs_our_own_interpreter_in_our_directory() -> None:
    async with Session(name="mine") as session:
        assert await value(session, "import sys; sys.executable") == sys.executable
        assert await value(session, "import os; os.getcwd()") == os.getcwd()
        assert session.python is not None
        assert session.python.version == sys.version.split()[0]
        assert session.python.executable == sys.executable
        assert (session.python.prefix, session.python.implementation) == (sys.prefix, "cpython")
        assert session.id.startswith("ses_")
        assert session.id in repr(session)
        assert not session.closed
    assert session.closed
    assert "closed" in repr(session)


async def test_the_directory_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    monkeypatch.chdir(tmp_path)
    async with session:
        assert await value(session, "import os; os.getcwd()") == str(tmp_path)


async def test_directory_and_environment_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYREPL3_A", "a")
    monkeypatch.setenv("PYREPL3_B", "b")
    async with Session(cwd=tmp_path, env={"PYREPL3_B": None, "PYREPL3_C": "ü c"}) as session:
        assert await value(session, "import os; os.getcwd()") == str(tmp_path)
        found = await value(session, "[os.environ.get('PYREPL3_' + name) for name in 'ABC']")
        assert found == ["a", None, "ü c"]


async def test_preloaded_modules_are_there() -> None:
    async with Session(preload=["colorsys", "xml.dom.minidom"]) as session:
        assert await value(session, "import sys; 'colorsys' in sys.modules and 'xml.dom.minidom' in sys.modules")
        assert await value(session, "'colorsys' in dir()") is False


async def test_a_module_that_cannot_be_preloaded() -> None:
    session = Session(preload=["no_such_module_anywhere"])
    with pytest.raises(pyrepl3.EnvironmentFailed, match="no_such_module_anywhere") as caught:
        await session.start()
    assert caught.value.code == "environment_failed"


async def test_an_interpreter_that_is_not_there() -> None:
    session = Session(python="/nowhere/bin/python")
    with pytest.raises(pyrepl3.PythonNotFound, match="/nowhere/bin/python") as caught:
        await session.start()
    assert caught.value.code == "python_not_found"
    assert caught.value.how


async def test_isolation_that_is_not_there_is_an_error() -> None:
    with pytest.raises(pyrepl3.Unsupported):
        await Session(isolation="strict").start()
    async with Session(isolation="none") as session:
        assert await value(session, "1") == 1


async def test_a_limit_on_memory() -> None:
    async with Session(limits=Limits(memory=512 << 20)) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("block = bytearray(2 << 30)")
        assert caught.value.message.ename == "MemoryError"
        assert await value(session, "len(bytearray(1 << 20))") == 1 << 20


async def test_a_limit_on_the_queue() -> None:
    async with Session(limits={"queue": 2}) as session:
        running = session.execute("input()")
        queued = [session.execute("1") for _ in range(5)]
        ends = asyncio.gather(*queued, return_exceptions=True)
        await session.interrupt()
        with pytest.raises(ExecutionError):
            await running
        codes = [end.code for end in await ends if isinstance(end, pyrepl3.Pyrepl3Error)]
        assert codes
        assert set(codes) == {"too_many"}


async def test_sessions_do_not_see_each_other() -> None:
    async with Session() as one, Session() as two:
        await asyncio.gather(one.execute("x = 1"), two.execute("x = 2"))
        assert await value(one, "x") == 1
        assert await value(two, "x") == 2
        assert one.id != two.id


async def test_the_order_of_calls_is_the_order_of_execution() -> None:
    async with Session() as session:
        session.execute("log = []")
        executions = [session.execute(f"log.append({number})") for number in range(50)]
        assert await value(session, "log") == list(range(50))
        assert [(await execution).execution_count for execution in executions] == list(range(2, 52))


async def test_start_and_shutdown_may_be_repeated() -> None:
    session = Session()
    await session.start()
    await session.start()
    await asyncio.gather(session.shutdown(), session.shutdown())
    await session.shutdown()
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        session.execute("1")
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        await session.start()


async def test_a_shutdown_during_the_start() -> None:
    session = Session()
    start = asyncio.create_task(session.start())
    await asyncio.sleep(0)
    await session.shutdown()
    with pytest.raises(pyrepl3.SessionClosed):
        await start
    assert session.closed


async def test_a_shutdown_ends_what_runs_and_what_waits() -> None:
    session = Session()
    await session.start()
    running, queued = session.execute("while True: pass"), session.execute("1")
    await session.shutdown()
    for execution in (running, queued):
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await execution
        assert caught.value.code in ("execution_cancelled", "session_closed")


async def test_variables() -> None:
    async with Session() as session:
        await session.execute("import json\nnumber = 5\ntext = 'abc'")
        found = {each.name: each for each in await session.variables()}
        assert found["number"].type == "int"
        assert found["number"].repr == "5"
        assert found["text"].repr == "'abc'"
        assert not any(name.startswith("__") for name in found)


async def test_completion() -> None:
    async with Session() as session:
        await session.execute("an_uncommon_name = 'é'")
        found = await session.complete("print(an_unc")
        assert [match.text for match in found.matches] == ["an_uncommon_name"]
        assert (found.start, found.end) == (6, 12)
        found = await session.complete("'é'; an_unc + 1", 11)
        assert "an_uncommon_name" in [match.text for match in found.matches]
        found = await session.complete("an_uncommon_name.upp")
        assert any("upper" in match.text for match in found.matches)


async def test_inspection() -> None:
    async with Session() as session:
        await session.execute('def twice(x, by=2):\n    """Doubles."""\n    return x * by')
        found = await session.inspect("twice")
        assert found.found
        assert found.signature == "(x, by=2)"
        assert found.doc == "Doubles."
        assert "return x * by" in found.source or ""
        assert not (await session.inspect("no_such_name")).found


async def test_whether_code_is_complete() -> None:
    async with Session() as session:
        found = [(await session.is_complete(code)).status for code in ("1 + 1", "def f():", "1 +* 1")]
        assert found == ["complete", "incomplete", "invalid"]


async def test_the_status_is_told_while_code_runs() -> None:
    async with Session(name="mine") as session:
        assert (await session.status()).state == "idle"
        execution, queued = session.execute("input('? ')"), session.execute("1")
        async for message in execution:
            if isinstance(message, pyrepl3.InputMessage):
                status = await session.status()
                assert (status.name, status.state, status.running) == ("mine", "running", execution.id)
                assert status.queued == [queued.id]
                assert [prompt.id for prompt in status.inputs] == [message.id]
                await session.input_response(message.id, "")


async def test_a_given_id_is_the_executions_and_a_repeated_one_is_refused() -> None:
    async with Session() as session:
        execution = session.execute(ExecuteMessage("1 + 1", id="mine", timestamp=5.0))
        assert execution.id == "mine"
        result = await execution
        assert (result.value, result.execution_id) == (2, "mine")
        again = session.execute(ExecuteMessage("1 / 0", id="mine"))
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await again
        assert caught.value.code == "duplicate_id"
        with pytest.raises(pyrepl3.Pyrepl3Error, match=r"duplicate|used before|already"):
            async for _ in again:
                raise AssertionError("nothing comes")
        for odd in ("", "a\nb", "x" * 201):
            with pytest.raises(pyrepl3.BadRequest):
                await session.execute(ExecuteMessage("1", id=odd))


async def test_arguments_win_over_the_message() -> None:
    async with Session() as session:
        message = ExecuteMessage("while True: pass", timeout=1000)
        with pytest.raises(ExecutionError) as caught:
            await session.execute(message, timeout=0.05)
        assert caught.value.message.status == "timed_out"


async def test_an_idempotency_key_runs_code_once() -> None:
    async with Session() as session:
        await session.execute("count = 0")
        first = await session.execute("count += 1; count", idempotency_key="once")
        second = await session.execute("count += 1; count", idempotency_key="once")
        assert (first.value, first.replayed) == (1, False)
        assert (second.value, second.replayed) == (1, True)
        assert await value(session, "count") == 1
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await session.execute("other", idempotency_key="once")
        assert caught.value.code == "idempotency_mismatch"


async def test_stop_on_error_cancels_what_is_queued_behind() -> None:
    async with Session() as session:
        failing = session.execute("input()\n1 / 0", stop_on_error=True)
        queued = session.execute("ran = True")
        async for message in failing:
            if isinstance(message, pyrepl3.InputMessage):
                assert (await session.status()).queued == [queued.id]
                await session.input_response(message.id, "")
        with pytest.raises(ExecutionError):
            await failing
        with pytest.raises(ExecutionError) as caught:
            await queued
        assert caught.value.message.status == "cancelled"
        assert await value(session, "'ran' in dir()") is False


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": "1"},
        {"timeout": True},
        {"inputs": "Alice"},
        {"inputs": [1]},
        {"idempotency_key": 1},
        {"transaction_policy": 1},
    ],
    ids=str,
)
async def test_wrong_types_for_execute(arguments: dict[str, object]) -> None:
    async with Session() as session:
        with pytest.raises(TypeError):
            session.execute("1", **arguments)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="code must be"):
            session.execute(b"1")  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_wrong_time_limits(timeout: float) -> None:
    async with Session() as session:
        with pytest.raises(ValueError, match="timeout"):
            session.execute("1", timeout=timeout)
        with pytest.raises(ValueError, match="no transaction policy"):
            session.execute("1", transaction_policy="sometimes")


async def test_background_output_is_the_sessions() -> None:
    async with Session() as session:
        events = session.events()
        execution = session.execute(
            "import threading\n"
            "go = threading.Event()\n"
            "def later():\n    go.wait()\n    print('from behind', flush=True)\n"
            "thread = threading.Thread(target=later)\nthread.start()"
        )
        assert (await execution).stdout == ""
        waiting = asyncio.ensure_future(anext(events))
        # The thread prints when the execution has ended.
        await session.execute("threading.Timer(0.05, go.set).start()")
        message = await waiting
        assert isinstance(message, pyrepl3.OutputMessage)
        assert message.execution_id is None
        assert message.data.startswith("from behind")
        # A later iterator begins with what was kept.
        assert await anext(session.events()) == message
    assert [event async for event in events if not isinstance(event, pyrepl3.OutputMessage)] == []


async def test_a_worker_that_dies_while_idle_is_told(tmp_path: Path) -> None:
    async with Session() as session:
        events, gate = session.events(), tmp_path / "gate"
        dies = f"""
import os, threading, time
x = 1
def die():
    while not os.path.exists({str(gate)!r}): time.sleep(0.005)
    os._exit(3)
threading.Thread(target=die).start()"""
        await session.execute(dies)
        gate.touch()
        message = await anext(events)
        assert isinstance(message, pyrepl3.SessionLostMessage)
        assert message.recovered
        assert message.exit is not None
        assert message.exit.code == 3
        # Nothing runs unwittingly on a fresh namespace: the first request is refused.
        with pytest.raises(pyrepl3.SessionLost):
            await session.execute("x")
        assert await value(session, "'x' in dir()") is False
