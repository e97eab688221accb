"""What the tests of hazards share."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import support

from pyrepl3 import Session, WarningMessage

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
