"""Signals that user code has handlers for, at any moment of the session's life."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from textwrap import dedent

import pytest

from pyrepl3 import ExecutionError, OutputMessage, Pyrepl3Error, Session

from .tools import comes_true, run

RAISES = dedent("""
    import signal, time
    kept = 42
    def handler(number, frame):
        raise TimeoutError("it rings")
    def counts(number, frame):
        rung.append(number)
    rung = []
    signal.signal(signal.SIGALRM, handler)
""")
AWAITS = "import asyncio; await asyncio.sleep(0)"


def printed(session: Session) -> list[str]:
    """What a session prints that no execution has printed, as it comes."""
    found: list[str] = []

    async def listen() -> None:
        async for message in session.events():
            if isinstance(message, OutputMessage) and message.execution_id is None:
                found.append(message.data)

    tasks.add(asyncio.create_task(listen()))
    return found


tasks: set[asyncio.Task[None]] = set()


@pytest.mark.parametrize("before", ["None", AWAITS], ids=["no loop", "a loop"])
async def test_a_handler_that_raises_between_executions(python: str, before: str) -> None:
    async with Session(python=python) as session:
        await run(session, RAISES)
        await run(session, before)
        found = printed(session)
        await asyncio.sleep(0)
        await run(session, "signal.setitimer(signal.ITIMER_REAL, 0.1)")
        await comes_true(lambda: "TimeoutError: it rings" in "".join(found))
        assert "<pyrepl3>" not in "".join(found)
        assert await run(session, "kept") == 42


@pytest.mark.parametrize("before", ["None", AWAITS], ids=["no loop", "a loop"])
async def test_a_timer_that_rings_all_the_time(python: str, before: str) -> None:
    """It interrupts what runs, and nothing else."""
    async with Session(python=python, undo=3) as session:
        await run(session, RAISES)
        await run(session, before)
        # On a loaded machine it rings before the execution has ended that sets it.
        for code in ("signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)", *(f"last = {number}; time.sleep(0.0005)" for number in range(60))):
            try:
                await session.execute(code)
            except ExecutionError as error:
                assert error.message.ename == "TimeoutError"
            if code.startswith(("last = 10;", "last = 30;", "last = 50;")):
                # A question looks at values by code of theirs.
                with suppress(Pyrepl3Error):
                    await session.variables()
                await session.drop_snapshot(await session.snapshot())
        while True:
            try:
                await session.execute("signal.setitimer(signal.ITIMER_REAL, 0)")
                break
            except ExecutionError as error:
                assert error.message.ename == "TimeoutError"
        assert await run(session, "kept") == 42


async def test_what_has_come_in_between_is_not_lost(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, RAISES + "signal.signal(signal.SIGALRM, counts)")
        for number in range(1, 6):
            await run(session, "signal.setitimer(signal.ITIMER_REAL, 0.002)")
            await asyncio.sleep(0.02)
            assert await run(session, "len(rung)") == number


async def test_user_code_sees_its_own_handlers(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, RAISES)
        assert await run(session, "signal.getsignal(signal.SIGALRM) is handler") is True
        assert await run(session, "signal.signal(signal.SIGALRM, counts) is handler") is True
        assert await run(session, "signal.signal(signal.SIGALRM, signal.SIG_DFL) is counts") is True
        assert await run(session, "signal.getsignal(signal.SIGALRM) is signal.SIG_DFL") is True
        with pytest.raises(ExecutionError, match="TypeError"):
            await session.execute("signal.signal(signal.SIGALRM, 'no handler')")
        # In a process of its own it is called at once.
        code = dedent("""
            import os
            def child():
                rung.clear()
                os.kill(os.getpid(), signal.SIGALRM)
                os._exit(len(rung))
            signal.signal(signal.SIGALRM, counts)
            pid = os.fork()
            if pid == 0:
                child()
            os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """)
        assert await run(session, code) == 1


async def test_a_handler_runs_while_input_waits(python: str) -> None:
    async with Session(python=python, on_input=slow) as session:
        await run(session, RAISES + "signal.signal(signal.SIGALRM, counts)")
        code = "signal.setitimer(signal.ITIMER_REAL, 0.05); answer = input(); len(rung), answer"
        assert (await session.execute(code)).repr == "(1, 'late')"


async def slow(_: object) -> str:
    await asyncio.sleep(0.3)
    return "late"
