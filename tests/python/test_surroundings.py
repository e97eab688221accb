"""Where the client cannot work it says so: a Python without fork hooks, a thread without asyncio, trio."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import Session, SessionPool, sync
from support import SOURCE, client, engines


def test_without_fork_hooks_the_import_says_what_is_needed() -> None:
    code = f"import os, sys; del os.register_at_fork; sys.path.insert(0, {str(SOURCE)!r}); import pyrepl3"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert last.startswith("ImportError: pyrepl3 cannot be used here")
    for part in (sys.platform, "os.register_at_fork", "Linux", "CPython 3.10"):
        assert part in last


def by_hand(coroutine: Coroutine[Any, Any, object]) -> object:
    """Drives a coroutine without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


@pytest.mark.parametrize(
    "make",
    [lambda: Session().start(), lambda: Session().__aenter__(), lambda: SessionPool().start()],
    ids=["session", "block", "pool"],
)
def test_without_an_event_loop_the_start_says_what_is_needed(make: Callable[[], Coroutine[Any, Any, object]]) -> None:
    with pytest.raises(pyrepl3.NoEventLoop) as caught:
        by_hand(make())
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert error.code == "no_event_loop"
    assert "asyncio" in error.what
    assert "none runs" in error.why
    assert "asyncio.run" in error.how
    assert "pyrepl3.sync" in error.how
    assert engines() == []


def test_what_was_not_started_can_be_shut_down_without_an_event_loop() -> None:
    for each in (Session(), SessionPool()):
        by_hand(each.shutdown())
        by_hand(each.aclose())


def test_trio_is_named() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with pytest.raises(pyrepl3.NoEventLoop, match="trio"):
            async with Session():
                raise AssertionError("it cannot start")

    trio.run(main)


def test_under_trio_the_blocking_client_works_in_a_thread() -> None:
    trio = pytest.importorskip("trio")

    def work() -> object:
        with sync.Session() as session:
            return session.execute("6 * 7").value

    assert trio.run(trio.to_thread.run_sync, work) == 42


def test_a_start_that_failed_so_can_be_repeated_where_asyncio_runs() -> None:
    code = """
import asyncio, pyrepl3
session = pyrepl3.Session()
try: session.start().send(None)
except pyrepl3.NoEventLoop: pass
else: raise SystemExit("it started")
async def main():
    async with session:
        assert (await session.execute("1")).value == 1
asyncio.run(main())
"""
    subprocess.run(client(code), check=True)
