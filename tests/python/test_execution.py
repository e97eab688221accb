"""Executions: awaited, iterated, or both; results and errors."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect

import pytest

import pyrepl3
from pyrepl3 import DisplayMessage, ErrorMessage, Execution, ExecutionError, OutputMessage, ResultMessage, Session
from support import messages_of


async def test_an_execution_is_a_coroutine_for_asyncio() -> None:
    async with Session() as session:
        execution = session.execute("1 + 1")
        assert isinstance(execution, Execution)
        assert isinstance(execution, collections.abc.Coroutine)
        assert inspect.isawaitable(execution)
        assert asyncio.iscoroutine(execution)
        assert (await asyncio.create_task(execution)).value == 2
        assert [r.value for r in await asyncio.gather(session.execute("1"), session.execute("2"))] == [1, 2]
        assert (await asyncio.wait_for(session.execute("3"), 100)).value == 3
        assert (await asyncio.shield(session.execute("4"))).value == 4
        done, _ = await asyncio.wait([asyncio.ensure_future(session.execute("5"))])
        assert [task.result().value for task in done] == [5]


async def test_it_may_be_awaited_more_than_once() -> None:
    async with Session() as session:
        execution = session.execute("object()")
        tasks = [asyncio.create_task(execution) for _ in range(3)]
        first = await execution
        assert await execution is first
        assert [await task for task in tasks] == [first] * 3
        assert execution.done()
        assert execution.message is first
        assert "result" in repr(execution)


async def test_an_error_may_be_awaited_more_than_once() -> None:
    async with Session() as session:
        execution = session.execute("1 / 0")
        for _ in range(2):
            with pytest.raises(ExecutionError) as caught:
                await execution
            assert caught.value.execution is execution
            assert caught.value.message is execution.message


async def test_iterating_gives_every_message_and_does_not_raise() -> None:
    async with Session() as session:
        found = await messages_of(session.execute("print('a'); input(); display(5); input(); 7", inputs=["1", "2"]))
        assert [m.type for m in found] == ["output", "input", "display", "input", "result"]
        assert {m.execution_id for m in found} == {found[0].execution_id}
        assert {m.session_id for m in found} == {session.id}
        assert all(m.timestamp > 1e9 and m.id for m in found)
        found = await messages_of(session.execute("print('a'); 1 / 0"))
        assert [m.type for m in found] == ["output", "error"]


async def test_awaiting_and_iterating_at_once() -> None:
    async with Session() as session:
        execution = session.execute("for i in range(1000): print(i)")
        result, one, two = await asyncio.gather(execution, messages_of(execution), messages_of(execution))
        assert one == two
        assert one[-1] is result
        text = "".join(m.data for m in one if isinstance(m, OutputMessage))
        assert text == result.stdout == execution.stdout == "".join(f"{i}\n" for i in range(1000))
        assert await messages_of(execution) == one  # After the end, too.


async def test_what_has_come_so_far() -> None:
    async with Session() as session:
        execution = session.execute("import sys\nprint('out'); print('err', file=sys.stderr); display(1); input()")
        async for message in execution:
            if isinstance(message, pyrepl3.InputMessage):
                assert execution.stdout == "out\n"
                assert execution.stderr == "err\n"
                assert [m.data["text/plain"] for m in execution.displays] == ["1"]
                assert not execution.done()
                assert execution.message is None
                await session.input_response(message.id, "")
        result = await execution
        assert (result.stdout, result.stderr, result.displays) == ("out\n", "err\n", execution.displays)


async def test_a_result() -> None:
    async with Session() as session:
        await session.execute("a = 1; b = 2")
        result = await session.execute("a = 5; c = 3; del b\n[a, c]")
        assert isinstance(result, ResultMessage)
        assert (result.value, result.repr, result.value_type) == ([5, 3], "[5, 3]", "list")
        assert result.data == {"text/plain": "[5, 3]"}
        assert (result.changes.added, result.changes.rebound, result.changes.removed) == (["c"], ["a"], ["b"])
        assert result.duration > 0
        assert isinstance(result.memory_delta, int)
        assert result.execution_count == 2
        assert not result.replayed
        nothing = await session.execute("a = 5")
        assert (nothing.value, nothing.repr, nothing.value_type, nothing.data) == (None, None, None, {})


@pytest.mark.parametrize(
    "code",
    [
        "None",
        "True",
        "10**3000",
        "-10**5000",
        "0.1 + 0.2",
        "-0.0",
        "5e-324",
        "'é😀\\0'",
        "'\\ud800'",
        "[1, [2.5, {'a': None}]]",
        "{'$int': 5}",
        "{'$esc': {'$int': 10**4500}}",
        "{'a': 1, '$b': 2}",
        "[[[[[[]]]]]]",
    ],
)
async def test_values_are_exact(code: str) -> None:
    async with Session() as session:
        result = await session.execute(code)
        expected = eval(code)
        assert result.value == expected
        assert type(result.value) is type(expected)
        assert result.value_type == (None if expected is None else type(expected).__name__)


@pytest.mark.parametrize(
    "code", ["(1, 2)", "{1}", "object()", "float('nan')", "{1: 2}", "b'x'", "type('I', (int,), {})(5)", "'x' * 2**21"]
)
async def test_what_json_cannot_carry_is_described(code: str) -> None:
    async with Session() as session:
        result = await session.execute(code)
        assert result.value is None
        assert result.repr
        assert result.value_type
        assert result.data["text/plain"]


async def test_code_with_odd_characters() -> None:
    async with Session() as session:
        assert (await session.execute("'é😀\u2028'")).value == "é😀\u2028"
        # Python itself cannot carry a lone surrogate in source: an error that says so, and nothing breaks.
        with pytest.raises(ExecutionError) as caught:
            await session.execute("'\ud800'")
        assert caught.value.message.ename == "SyntaxError"
        assert (await session.execute("")).value is None
        assert (await session.execute("\n\n")).value is None


async def test_an_error() -> None:
    async with Session() as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("print('before')\ndef f():\n    raise ValueError('no')\nx = 1\nf()")
        error = caught.value
        message = error.message
        assert isinstance(message, ErrorMessage)
        assert (message.status, message.ename, message.evalue, message.error) == ("failed", "ValueError", "no", "no")
        assert message.traceback.startswith("Traceback (most recent call last):\n")
        assert message.traceback.rstrip().endswith("ValueError: no")
        assert [(frame.name, frame.lineno) for frame in message.frames] == [("<module>", 5), ("f", 3)]
        assert message.frames[1].line == "raise ValueError('no')"
        assert not message.rolled_back
        assert not message.session_lost
        assert set(message.changes.added) == {"f", "x"}
        assert message.stdout == "before\n"
        assert error.code == "execution_failed"
        assert error.what == "ValueError: no"
        assert message.traceback.strip() in str(error)
        assert (await session.execute("x")).value == 1


async def test_syntax_errors_and_exits_end_the_execution_alone() -> None:
    async with Session() as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("x = (")
        assert caught.value.message.ename == "SyntaxError"
        with pytest.raises(ExecutionError) as caught:
            await session.execute("import sys; sys.exit(3)")
        assert (caught.value.message.ename, caught.value.message.exit_code) == ("SystemExit", 3)
        assert (await session.execute("1")).value == 1


@pytest.mark.parametrize(
    ("code", "exit"),
    [
        ("import os; os._exit(5)", (5, None)),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", (None, 9)),
        ("import ctypes; ctypes.string_at(0)", (None, 11)),
    ],
)
async def test_a_crash_is_told_and_the_session_goes_on_fresh(code: str, exit: tuple[int | None, int | None]) -> None:
    async with Session() as session:
        await session.execute("x = 1")
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
        message = caught.value.message
        assert (message.status, message.session_lost) == ("crashed", True)
        assert message.exit is not None
        assert (message.exit.code, message.exit.signal) == exit
        assert caught.value.code == "execution_crashed"
        assert (await session.execute("'x' in dir()")).value is False


async def test_top_level_await() -> None:
    async with Session() as session:
        await session.execute("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 5")
        assert (await session.execute("await f()")).value == 5


async def test_displays() -> None:
    async with Session() as session:
        execution = session.execute(
            "class Page:\n    def _repr_html_(self): return '<p>hello</p>'\n"
            "handle = display(Page(), display_id='page')\nhandle.update('other')"
        )
        result = await execution
        first, second = result.displays
        assert isinstance(first, DisplayMessage)
        assert first.data["text/html"] == "<p>hello</p>"
        assert (first.display_id, first.update) == ("page", False)
        assert (second.display_id, second.update) == ("page", True)


async def test_a_large_display_after_unacknowledged_output() -> None:
    async with Session() as session:
        result = await session.execute(
            "print('x' * 200_000)\ndisplay({'text/plain': 'y' * (6 << 20)}, raw=True)\nprint('z' * 200_000)"
        )
        assert len(result.displays[0].data["text/plain"]) == 6 << 20
        assert len(result.stdout) == 400_002


# ---- cancelling --------------------------------------------------------------------------------------------


async def test_what_is_queued_and_cancelled_never_runs() -> None:
    async with Session() as session:
        running = session.execute("input()")
        queued = session.execute("ran = True")
        await queued.cancel()
        with pytest.raises(ExecutionError) as caught:
            await queued
        assert caught.value.message.status == "cancelled"
        await session.interrupt()
        with pytest.raises(ExecutionError):
            await running
        assert (await session.execute("'ran' in dir()")).value is False
        await queued.cancel()


async def test_what_runs_and_is_cancelled_is_interrupted() -> None:
    async with Session() as session:
        execution = session.execute("x = 1\nprint('on')\nwhile True: pass")
        async for message in execution:
            if isinstance(message, OutputMessage):
                await execution.cancel()
        assert isinstance(execution.message, ErrorMessage)
        assert (execution.message.status, execution.message.ename) == ("interrupted", "KeyboardInterrupt")
        assert (await session.execute("x")).value == 1


async def test_a_time_limit_on_awaiting_interrupts_it() -> None:
    async with Session() as session:
        execution = session.execute("while True: pass")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(execution, 0.05)
        # The next one waits until that has ended.
        assert (await session.execute("5")).value == 5
        with pytest.raises(ExecutionError) as caught:
            await execution
        assert caught.value.message.status == "interrupted"


@pytest.mark.parametrize("as_task", [False, True])
async def test_cancelling_the_task_that_awaits_interrupts_it(as_task: bool) -> None:
    async with Session() as session:
        execution = session.execute("print('on'); input()")

        async def waits() -> None:
            await execution

        task = asyncio.create_task(execution if as_task else waits())
        async for message in execution:
            if isinstance(message, OutputMessage):
                task.cancel()
        assert task.cancelled()
        assert isinstance(execution.message, ErrorMessage)
        assert execution.message.status == "interrupted"


async def test_an_execution_goes_on_when_nobody_refers_to_it() -> None:
    async with Session() as session:
        session.execute("x = 5; print('y' * 10_000_000)")
        gc.collect()
        assert (await session.execute("x")).value == 5


async def test_a_session_lives_while_its_execution_is_referred_to() -> None:
    session = Session()
    await session.start()
    execution = session.execute("7")
    del session
    gc.collect()
    assert (await execution).value == 7
    await execution._session.shutdown()


@pytest.mark.parametrize(
    "parts",
    [
        "__traceback__ = property(lambda self: 1 / 0)",
        "def __str__(self): raise KeyboardInterrupt",
        "def __str__(self): raise SystemExit",
        "def __repr__(self): raise BaseException",
    ],
)
async def test_an_exception_whose_parts_raise(parts: str) -> None:
    async with Session() as session:
        await session.execute(f"x = 1\nclass Odd(Exception):\n    {parts}")
        with pytest.raises(ExecutionError) as caught:
            await session.execute("raise Odd")
        assert caught.value.message.ename == "Odd"
        assert (await session.execute("x")).value == 1


async def test_nobody_looks_for_the_workers_own_source() -> None:
    # On a slow file system each directory of `sys.path` costs time, for each error.
    watch = (
        "import os; seen = []; real = os.stat\n"
        "def stat(path, *a, **k):\n    seen.append(str(path)); return real(path, *a, **k)\n"
        "os.stat = stat"
    )
    failing = ["1 / 0", "import asyncio\nawait asyncio.sleep('x')", "try:\n    1 / 0\nexcept Exception:\n    raise OSError"]
    async with Session() as session:
        await session.execute(watch)
        for code in failing:
            with pytest.raises(ExecutionError):
                await session.execute(code)
        seen = (await session.execute("os.stat = real; seen")).value
        assert [path for path in seen if "pyrepl3>" in path] == []


async def test_a_warning_is_shown_again_in_the_next_execution() -> None:
    async with Session() as session:
        for _ in range(2):
            execution = session.execute("import warnings; warnings.warn('look')")
            shown = "".join(m.data for m in await messages_of(execution) if isinstance(m, OutputMessage))
            assert shown.count("UserWarning: look") == 1
        execution = session.execute("for _ in range(3): warnings.warn('once for each place')")
        shown = "".join(m.data for m in await messages_of(execution) if isinstance(m, OutputMessage))
        assert shown.count("UserWarning") == 1


@pytest.mark.parametrize("code", ["x = 1\nreturn 5", "x = 1\n*a, *b = c", "x = 1\nbreak", "x = 1\ndef f():\n  nonlocal y"])
async def test_an_error_of_the_compiler_shows_its_line(code: str) -> None:
    line = code.splitlines()[-1].strip()
    async with Session() as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
        shown = caught.value.message.traceback.splitlines()
        assert shown[1].strip() == line and set(shown[2].strip()) == {"^"}, shown
