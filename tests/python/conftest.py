"""The tests of the Python client.

They run against the real engine: `PYREPL3_BIN`, or the checkout's target/debug, or target/release. Those that
take the fixture `fake` run against fake_engine.py, which misbehaves on demand. Test functions may be coroutines.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "python" / "src"))
sys.path.insert(0, str(HERE))

import support  # noqa: E402

HANG = 120.0
"""Seconds after which a test hangs."""

name, _, value = support.MARK.partition("=")
os.environ[name] = value
if "PYREPL3_BIN" not in os.environ:
    for profile in ("debug", "release"):
        binary = support.ROOT / "target" / profile / "pyrepl3"
        if binary.exists():
            os.environ["PYREPL3_BIN"] = str(binary)
            break


stderr = 2
"""Where a test that hangs is told of; capturing is not on yet when this is set."""


def pytest_configure() -> None:
    """Keeps the standard error that is not captured."""
    global stderr
    stderr = os.dup(2)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs test functions that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def limited() -> None:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), HANG)

    asyncio.run(limited())
    return True


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test no process is left that was not there before: no engine, no worker, no zombie."""
    before = set(support.processes())
    faulthandler.dump_traceback_later(2 * HANG, exit=True, file=stderr)
    yield
    faulthandler.cancel_dump_traceback_later()
    if not set(support.processes()) <= before:
        gc.collect()  # A traceback, say, may still refer to a session.
    support.eventually(
        lambda: set(support.processes()) <= before,
        lambda: {pid: command for pid, command in support.processes().items() if pid not in before},
    )


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a user's data directory of its own; returns where checkpoints go without `data`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return tmp_path / "share" / "pyrepl3"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts the fake engine in the real one's place; call it to choose its handshake."""
    program = tmp_path / "pyrepl3"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {HERE / "fake_engine.py"} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PYREPL3_BIN", str(program))
    return lambda handshake: monkeypatch.setenv("FAKE_HANDSHAKE", handshake)
