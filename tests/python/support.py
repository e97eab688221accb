"""What the tests share: processes as the kernel sees them, and conditions that are waited for."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyrepl3

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCE = ROOT / "python" / "src"

MARK = f"PYREPL3_TEST_MARK={uuid.uuid4().hex}"
"""In the environment of everything that a test starts, so that it is found also when its parent is gone."""

DEADLINE = 30.0
"""Seconds after which a condition that did not come true is a failure."""


def processes() -> dict[int, str]:
    """Our descendants, zombies too, and whatever carries our mark: command lines by pid."""
    parents: dict[int, int] = {}
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        try:
            status = Path("/proc", entry, "stat").read_text(errors="replace")
            parents[pid] = int(status.rpartition(")")[2].split()[1])
            command = Path("/proc", entry, "cmdline").read_text(errors="replace").replace("\0", " ")
            environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if MARK.encode() in environment:
            found[pid] = command or status
        else:
            found.setdefault(-pid, command or status)
    ours = os.getpid()
    result: dict[int, str] = {}
    for key, command in found.items():
        pid = abs(key)
        if pid != ours and (key > 0 or _descends(pid, ours, parents)):
            result[pid] = command
    return result


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def eventually(condition: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    """Waits until a condition of the outside world holds; fails, and says `what`, at the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it did not come true: {what()}"
        time.sleep(0.002)


def engines() -> list[int]:
    """The engine processes that are our children."""
    return [pid for pid, command in processes().items() if " engine --handoff" in command]


async def messages_of(execution: pyrepl3.Execution) -> list[pyrepl3.Message]:
    """All messages of an execution."""
    return [message async for message in execution]


def client(code: str) -> list[str]:
    """The command of another client process that runs `code`."""
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"]


M = TypeVar("M", bound=pyrepl3.Message)


async def event_of(session: pyrepl3.Session, kind: type[M]) -> M:
    """The first message of a class that the session tells outside executions."""
    async for message in session.events():
        if isinstance(message, kind):
            return message
    raise AssertionError(f"the session has ended without a {kind.__name__}")


async def kill_engine(session: pyrepl3.Session) -> None:
    """Kills the engine of a session; returns when the session has noticed."""
    for pid in engines():
        os.kill(pid, signal.SIGKILL)
    async for _ in session.events():
        pass
    await session.shutdown()


@asynccontextmanager
async def restart(data: Path, **options: Any) -> AsyncIterator[pyrepl3.Session]:
    """A session whose engine is killed at the end: the next one has nothing but what is on disk."""
    session = pyrepl3.Session(data=data, **options)
    await session.start()
    yield session
    # By its name here: with `--service` it is another one.
    await kill_engine(session)
