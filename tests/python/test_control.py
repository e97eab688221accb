"""Interrupts and time limits."""

from __future__ import annotations

import asyncio

import pytest

from pyrepl3 import ErrorMessage, ExecutionError, OutputMessage, Session
from support import messages_of

STUCK = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nprint('on')\nwhile True: pass"
"""SIGINT alone does not stop it."""


async def started(execution: object) -> None:
    async for message in execution:  # type: ignore[attr-defined]
        if isinstance(message, OutputMessage):
            return


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "import subprocess as s; s.run(['sleep', '1000'])",
        "input()",
    ],
)
async def test_an_interrupt_stops_what_runs_and_state_stays(code: str) -> None:
    async with Session() as session:
        execution = session.execute(f"x = 5\nprint('on')\n{code}")
        await started(execution)
        await session.interrupt()
        assert execution.done()
        message = execution.message
        assert isinstance(message, ErrorMessage)
        assert (message.status, message.ename, message.stopped_by) == ("interrupted", "KeyboardInterrupt", "interrupt")
        with pytest.raises(ExecutionError) as caught:
            await execution
        assert caught.value.code == "execution_interrupted"
        assert (await session.execute("x")).value == 5


async def test_an_interrupt_when_nothing_runs_is_nothing() -> None:
    async with Session() as session:
        await session.interrupt()
        assert (await session.execute("1")).value == 1


async def test_code_that_ignores_the_interrupt_is_killed() -> None:
    async with Session(limits={"interrupt_grace": 0.1}) as session:
        execution = session.execute("x = 5\n" + STUCK)
        await started(execution)
        await session.interrupt()
        message = execution.message
        assert isinstance(message, ErrorMessage)
        assert (message.status, message.stopped_by, message.session_lost) == ("interrupted", "kill", True)
        assert message.ename == "KeyboardInterrupt"
        assert (await session.execute("'x' in dir()")).value is False


async def test_a_time_limit() -> None:
    async with Session() as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("x = 5\nwhile True: pass", timeout=0.05)
        message = caught.value.message
        assert (message.status, message.ename, message.stopped_by) == ("timed_out", "TimeoutError", "interrupt")
        assert caught.value.code == "execution_timed_out"
        assert (await session.execute("x", timeout=100)).value == 5


async def test_waiting_in_the_queue_does_not_count() -> None:
    async with Session() as session:
        first = session.execute("input()")
        second = session.execute("'in time'", timeout=0.2)
        waiting = asyncio.ensure_future(messages_of(second))
        done, _ = await asyncio.wait([waiting], timeout=0.5)  # Longer than its limit.
        assert not done
        await session.interrupt()
        with pytest.raises(ExecutionError):
            await first
        assert (await second).value == "in time"
        await waiting


async def test_what_is_queued_runs_after_an_interrupt() -> None:
    async with Session() as session:
        running, queued = session.execute("while True: pass"), session.execute("'next'")
        await session.interrupt()
        assert (await queued).value == "next"
        with pytest.raises(ExecutionError):
            await running


async def test_user_code_may_handle_the_interrupt() -> None:
    async with Session() as session:
        execution = session.execute("try:\n    print('on'); input()\nexcept KeyboardInterrupt:\n    x = 'handled'\nx")
        await started(execution)
        await session.interrupt()
        assert (await execution).value == "handled"
