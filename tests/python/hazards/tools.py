"""What the tests of hazards share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import support

from pyrepl3 import ExecutionError, Session, WarningMessage

LIMIT = 30.0
"""Seconds after which code in a session hangs: it is stopped, and the test fails."""


async def run(session: Any, code: str) -> Any:
    """What an execution shows of its value: the value itself where it is plain, its repr elsewhere."""
    result = await session.execute(code, timeout=LIMIT)
    return result.repr if result.value is None else result.value


async def until(session: Any, code: str) -> None:
    """Runs code again and again until its value is true."""
    end = time.monotonic() + support.DEADLINE
    while not await run(session, code):
        assert time.monotonic() < end, f"it did not come true: {code}"


async def comes_true(condition: Any) -> None:
    """The same for a condition in this process, whose event loop goes on."""
    end = time.monotonic() + support.DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def first_words(branch: Session, part: str) -> str:
    """The warning with which a branch begins that has these words in it."""
    texts: list[str] = []

    async def look() -> str:
        async for message in branch.events():
            if isinstance(message, WarningMessage):
                texts.append(message.text)
                if part in message.text:
                    return message.text
        raise AssertionError

    try:
        return await asyncio.wait_for(look(), LIMIT)
    except asyncio.TimeoutError:
        raise AssertionError(f"the branch did not say {part!r}, but {texts}") from None


WAYS = ("rollback", "twice", "failure", "kill", "undo", "redo", "branch", "parent")
"""How a state comes to be there again that `as_it_was` is asked for."""

KILL = "\n(lambda p: p.kill(p.getpid(), 9))(__import__('posix'))"


@asynccontextmanager
async def as_it_was(
    python: str, setup: str, change: str, way: str, ready: str = "True", branch_says: str | None = None
) -> AsyncIterator[Session]:
    """A session in the state that `setup` made, after `change` changed it and that was taken back, or in a branch of it.
    Nothing is named: not before, and not after. `ready`: what has to be true before the state is that of the setup.
    `branch_says`: the end of the one text in which a branch does name something."""
    async with Session(python=python, undo=5) as session:
        await run(session, setup)
        await until(session, ready)
        if way in ("branch", "parent"):
            (branch,) = await session.branch()
            told: list[str] = []

            async def listen() -> None:
                async for message in branch.events():
                    if isinstance(message, WarningMessage):
                        told.append(message.text)

            listener = asyncio.create_task(listen())
            async with branch:
                # Each goes on alone, whatever the other does.
                await run(session if way == "branch" else branch, change)
                yield branch if way == "branch" else session
            await listener
            assert told == [] if branch_says is None else len(told) == 1 and told[0].endswith(branch_says), told
            return
        if way in ("failure", "kill"):
            ends = KILL if way == "kill" else "\nraise LookupError('undo')"
            with pytest.raises(ExecutionError) as caught:
                await session.execute(change + ends, transaction_policy="rollback_on_failure", timeout=LIMIT)
            message = caught.value.message
            assert message.status == ("crashed" if way == "kill" else "failed"), message
            assert way == "kill" or (message.ename, message.evalue) == ("LookupError", "undo"), message
            assert message.rolled_back
            assert message.warnings == []
            assert ", exactly." in str(message.report), message.report
        elif way in ("undo", "redo"):
            await run(session, "in_between = 1")
            await run(session, change)
            # Back from the change; or further back, and forth again to just before it.
            for step in [session.undo] if way == "undo" else [session.undo, session.undo, session.redo]:
                back = await step()
                assert back.exact, back.report
            assert await run(session, "in_between") == 1
        else:
            made = await session.snapshot()
            assert made.warnings == []
            for _ in range(2 if way == "twice" else 1):
                await run(session, change)
                back = await session.rollback_to(made)
                assert back.exact, back.report
        yield session
