"""What a session does as Python's own prompt does it: hooks, tasks without a running loop, the loop after `asyncio.run`."""

from __future__ import annotations

import asyncio

import pytest

from pyrepl3 import ErrorMessage, ExecutionError, Session


async def fails(session: Session, code: str) -> ErrorMessage:
    with pytest.raises(ExecutionError) as caught:
        await session.execute(code)
    return caught.value.message


async def test_a_displayhook_shows_values() -> None:
    async with Session() as session:
        assert not (await session.execute("6")).shown
        await session.execute("import sys\ndef hook(value): print('<', value, '>')\nsys.displayhook = hook")
        result = await session.execute("7")
        assert (result.stdout, result.value, result.repr, result.shown) == ("< 7 >\n", 7, "7", True)
        # A statement has no value; an expression whose value is None has one.
        assert (await session.execute("x = 1")).stdout == ""
        result = await session.execute("None")
        assert (result.stdout, result.shown) == ("< None >\n", False)
        assert (await session.execute("import asyncio\nawait asyncio.sleep(0, 'later')")).stdout == "< later >\n"
        await session.execute("sys.displayhook = sys.__displayhook__")
        result = await session.execute("8")
        assert (result.stdout, result.value, result.shown) == ("", 8, False)


async def test_a_displayhook_that_fails_is_the_executions_failure() -> None:
    async with Session() as session:
        await session.execute("import sys\ndef hook(value): raise OSError('no display')\nsys.displayhook = hook")
        error = await fails(session, "7")
        assert error.ename == "OSError" and [frame.name for frame in error.frames] == ["hook"]
        await session.execute("del sys.displayhook")
        assert (await fails(session, "7")).evalue == "lost sys.displayhook"
        await session.execute("sys.displayhook = sys.__displayhook__")
        assert (await session.execute("7")).value == 7


async def test_an_excepthook_shows_errors() -> None:
    async with Session() as session:
        assert not (await fails(session, "1/0")).shown
        await session.execute(
            "import sys, traceback\n"
            "def hook(kind, error, trace): print(kind.__name__, [f.name for f in traceback.extract_tb(trace)], file=sys.stderr)\n"
            "sys.excepthook = hook\ndef f(): 1/0"
        )
        error = await fails(session, "f()")
        assert error.shown and error.ename == "ZeroDivisionError" and "in f" in error.traceback
        with pytest.raises(ExecutionError) as caught:
            await session.execute("f()")
        assert caught.value.message.shown
        assert (await fails(session, "x ==")).shown
        # `raise SystemExit` is no error.
        assert not (await fails(session, "raise SystemExit(3)")).shown
        await session.execute("sys.excepthook = sys.__excepthook__")
        assert not (await fails(session, "f()")).shown


async def test_what_an_excepthook_prints_is_output() -> None:
    async with Session() as session:
        await session.execute("import sys\ndef hook(*what): print('hooked', what[0].__name__, what[2] is None, file=sys.stderr)\nsys.excepthook = hook")
        execution = session.execute("1/0")
        with pytest.raises(ExecutionError):
            await execution
        assert execution.stderr == "hooked ZeroDivisionError False\n"


async def test_an_excepthook_that_fails_hides_nothing() -> None:
    async with Session() as session:
        await session.execute("import sys\ndef hook(*what): raise OSError('no')\nsys.excepthook = hook")
        execution = session.execute("1/0")
        with pytest.raises(ExecutionError) as caught:
            await execution
        assert not caught.value.message.shown and caught.value.message.ename == "ZeroDivisionError"
        assert "Error in sys.excepthook" in execution.stderr and "OSError: no" in execution.stderr
        await session.execute("def hook(*what):\n    while True: pass\nsys.excepthook = hook")
        with pytest.raises(ExecutionError):
            await session.execute("1/0", timeout=0.5)
        await session.execute("sys.excepthook = sys.__excepthook__")
        assert (await session.execute("1 + 1")).value == 2


async def test_a_task_can_be_started_without_a_running_loop() -> None:
    """As at the prompt of `python -m asyncio`."""
    async with Session() as session:
        await session.execute(
            "import asyncio\nfrom asyncio import create_task\nseen = []\n"
            "async def work(n):\n"
            "    for i in range(n):\n"
            "        await asyncio.sleep(0.001); seen.append(i)\n"
            "    return n\n"
            "task = asyncio.create_task(work(3), name='mine')"
        )
        assert (await session.execute("task.get_name()")).value == "mine"
        assert (await session.execute("await task")).value == 3
        assert (await session.execute("seen")).value == [0, 1, 2]
        # It goes on while nothing runs.
        await session.execute("other = create_task(work(2))")
        for _ in range(200):
            if (await session.execute("other.done()")).value:
                break
            await asyncio.sleep(0.02)
        assert (await session.execute("other.result()")).value == 2
        # `asyncio.run` works beside it, also in the same execution.
        code = "third = asyncio.create_task(work(1)); asyncio.run(work(2))"
        assert (await session.execute(code)).value == 2
        assert (await session.execute("await third")).value == 1
        # In other threads it says what it says in any program.
        code = "import threading; said = []\ndef other():\n    coroutine = work(1)\n    try: asyncio.create_task(coroutine)\n"
        code += "    except RuntimeError as error: said.append(str(error)); coroutine.close()\n"
        code += "t = threading.Thread(target=other); t.start(); t.join(); said"
        assert (await session.execute(code)).value == ["no running event loop"]


async def test_the_sessions_loop_is_current_after_asyncio_run() -> None:
    async with Session() as session:
        await session.execute("import asyncio\nawait asyncio.sleep(0)\nloop = asyncio.get_running_loop()")
        await session.execute("asyncio.run(asyncio.sleep(0))")
        assert (await session.execute("asyncio.get_event_loop() is loop")).value is True
        # One that user code has set stays.
        await session.execute("mine = asyncio.new_event_loop(); asyncio.set_event_loop(mine)")
        assert (await session.execute("asyncio.get_event_loop() is mine")).value is True
        await session.execute("asyncio.set_event_loop(None); mine.close()")
        assert (await session.execute("asyncio.get_event_loop() is loop")).value is True


async def test_to_start_tasks_so_is_no_patch_of_the_sessions() -> None:
    async with Session() as session:
        await session.execute("import asyncio; f = asyncio.create_task")
        made = await session.checkpoint("test-prompt-create-task")
        assert made.lost == []
        async with Session() as other:
            await other.restore(made)
            assert (await other.execute("import asyncio.tasks; f is asyncio.create_task is asyncio.tasks.create_task")).value is True


@pytest.mark.parametrize(
    "clears",
    [
        "sys.modules.clear()",
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('_pyrepl3')] and None",
        "sys.meta_path.clear(); sys.modules.clear(); sys.meta_path[:] = kept",
    ],
)
async def test_a_session_works_without_its_modules(clears: str) -> None:
    """The worker's are among them."""
    async with Session(undo=3) as session:
        await session.execute("import sys; kept = sys.meta_path[-3:]; x = [1]\nasync def five(): return 5")
        await session.execute(clears)
        assert (await session.execute("await five()")).value == 5
        assert (await session.execute("x.append(2); x")).value == [1, 2]
        await session.undo()
        assert (await session.execute("x")).value == [1]
        assert (await fails(session, "1/0")).ename == "ZeroDivisionError"
        made = await session.checkpoint(f"test-prompt-{len(clears)}")
        assert "x" in {variable.name for variable in made.variables}
        (branch,) = await session.branch()
        async with branch:
            assert (await branch.execute("x")).value == [1]
        async with Session() as other:
            await other.restore(made)
            assert (await other.execute("x")).value == [1]
        assert [one.name for one in await session.variables() if one.name == "x"] == ["x"]
