"""Debuggers and tracers in a session: they see the session's code, and none of the worker's."""

from __future__ import annotations

import asyncio

import pytest

from pyrepl3 import ExecutionError, Session
from support import DEADLINE

F = """
def f(x):
    y = x + 1
    return y
"""


async def debug(session: Session, code: str, commands: list[str]) -> str:
    """What a debugger prints that is told these commands."""
    execution = session.execute(code, inputs=commands, timeout=DEADLINE)
    try:
        await execution
    except ExecutionError as error:
        assert error.message.ename == "BdbQuit", error.message
    assert "<pyrepl3>" not in execution.stdout, execution.stdout
    return execution.stdout


@pytest.mark.parametrize("command", ["where", "bt"])
async def test_a_debugger_lists_no_frames_of_ours(python: str, command: str) -> None:
    async with Session(python=python) as session:
        await session.execute(F)
        said = await debug(session, "import pdb\ndef g():\n    pdb.set_trace()\n    return f(1)\ng()", [command, "u", "u", "u", "c"])
        assert said.count("in g()") + said.count("g()\n") >= 1
        assert "Oldest frame" in said


async def test_a_debugger_steps_over_what_is_ours(python: str) -> None:
    """Out of the session's code, too: it ends there."""
    async with Session(python=python) as session:
        await session.execute(F)
        said = await debug(session, "import pdb\npdb.set_trace()\nprint('printed')\nf(1)", ["s"] * 12 + ["c"])
        assert "printed" in said and "--Call--" in said and "return y" in said
        # What comes after it is not traced.
        assert (await session.execute("f(2)")).value == 3


async def test_pdb_run_and_post_mortem(python: str) -> None:
    async with Session(python=python) as session:
        await session.execute(F)
        assert "2" in await debug(session, "import pdb; pdb.runcall(f, 1)", ["n", "p y", "c"])
        with pytest.raises(ExecutionError):
            await session.execute("f('text')")
        assert "'text'" in await debug(session, "pdb.pm()", ["p x", "w", "q"])


async def test_breakpoint_in_a_thread_and_in_a_coroutine(python: str) -> None:
    async with Session(python=python) as session:
        await session.execute(F)
        assert "y = x + 1" in await debug(session, "import asyncio\nasync def a():\n    breakpoint()\n    return f(1)\nawait a()", ["s", "s", "s", "w", "c"])


async def test_a_tracer_that_raises_harms_nobody(python: str) -> None:
    async with Session(python=python) as session:
        await session.execute("import sys, threading\ndef bad(*_): raise RuntimeError('tracer')")
        for call in ("sys.settrace(bad)", "sys.setprofile(bad)", "threading.settrace(bad)"):
            # Where the call returns to is its own code: there the profiler may be heard for the first time.
            try:
                await session.execute(call)
            except ExecutionError as error:
                assert "tracer" in error.message.evalue
            await asyncio.sleep(0.05)
            try:
                await session.execute("1 + 1")
            except ExecutionError as error:
                assert "tracer" in error.message.evalue
            assert (await session.execute("sys.settrace(None), sys.setprofile(None), threading.settrace(None), 7")).repr == "(None, None, None, 7)"
            assert {one.name for one in await session.variables()} == {"sys", "threading", "bad"}
        await session.execute("x = 5\nsys.settrace(lambda *_: None)")
        snapshot = await session.snapshot()
        await session.rollback_to(snapshot)
        assert (await session.execute("x")).value == 5


async def test_nothing_of_ours_is_traced(python: str) -> None:
    async with Session(python=python) as session:
        await session.execute("import sys\nseen = set()\ndef note(frame, event, argument):\n    seen.add(frame.f_code.co_filename)\n    return note\n" + F)
        for name in ("settrace", "setprofile"):
            await session.execute(f"sys.{name}(note)")
            await session.execute("print(f(1), file=sys.stderr); input()", inputs=["x"])
            await session.execute(f"sys.{name}(None)")
        files = (await session.execute("sorted(seen)")).value
        assert isinstance(files, list) and files and all(str(file).startswith("<execution") for file in files), files
        await session.execute("seen.clear()")
        monitors = (await session.execute("hasattr(sys, 'monitoring')")).value
        if monitors:
            await session.execute("M = sys.monitoring; M.use_tool_id(3, 'x')\ndef start(code, at): seen.add(code.co_filename)\nM.register_callback(3, M.events.PY_START, start)")
            await session.execute("M.set_events(3, M.events.PY_START)")
            await session.execute("print(f(1)); input()", inputs=["x"])
            await session.execute("M.set_events(3, 0)")
            files = (await session.execute("sorted(seen)")).value
            assert isinstance(files, list) and files and all(str(file).startswith("<execution") for file in files), files
