"""Checkpoints of sessions that cannot be frozen: their own process writes the state down, and goes on as it was."""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import CheckpointFailed, ExecutionError, Session, SnapshotRefused, WarningMessage
from support import DEADLINE

DEVICE = """
    import ctypes, os
    gpu = ctypes.PyDLL({path!r})
    class Tensor:
        "As a library for GPUs does it: of no use in a forked process, nor where there is no device."
        owner = os.getpid()
        def __init__(self, numbers):
            self.numbers = numbers
        def __reduce__(self):
            assert os.getpid() == self.owner, "cannot use the device in a forked process"
            return to_device, (self.numbers, self.owner)
    def to_device(numbers, owner):
        assert os.path.exists({path!r}), "there is no device"
        assert os.getppid() != owner, "cannot use the device in a forked process"
        Tensor.owner = os.getpid()
        return Tensor(numbers)
"""


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """What stands in for a GPU's driver: a small library that has its name."""
    folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
    found = sorted(folder.glob("*.so"))
    if not found:
        pytest.skip("no shared library to stand in for the driver's")
    return Path(shutil.copy(found[0], tmp_path / "libcuda.so.1"))


@asynccontextmanager
async def unfreezable(driver: Path) -> AsyncIterator[Session]:
    async with Session() as session:
        await session.execute(dedent(DEVICE).format(path=str(driver)))
        with pytest.raises(SnapshotRefused, match="GPU"):
            await session.snapshot()
        yield session


async def value(session: Session, code: str) -> object:
    result = await session.execute(code, timeout=DEADLINE)
    return result.repr if result.value is None else result.value


async def test_it_is_saved_and_warned_of(driver: Path) -> None:
    async with unfreezable(driver) as session:
        events = session.events()
        await session.execute(
            "class Point:\n    def __init__(self, x): self.x = x\n"
            "p = Point([1]); shared = p.x; f = lambda n: n + k; k = 5; big = list(range(100_000)); import os; os.environ['HUE'] = 'red'"
        )
        made = await session.checkpoint()
        assert {"p", "shared", "f", "k", "big", "Point"} <= {one.name for one in made.variables}
        # The library itself is an object of this process.
        assert {one.name for one in made.lost} == {"gpu"}
        assert made.pause > 0
        async for event in events:
            if isinstance(event, WarningMessage):
                assert "cannot be frozen" in event.text and "libcuda.so.1" in event.text and "it waits" in event.text
                break
        # The session goes on, and the checkpoint is whole: here, and in another session.
        assert await value(session, "p.x.append(2); (p.x, f(1))") == "([1, 2], 6)"
        async with Session() as other:
            await other.restore(made)
            assert await value(other, "p.x is shared and type(p) is Point and f(1) == 6 and len(big) == 100_000")
            assert await value(other, "__import__('os').environ['HUE']") == "red"


async def test_what_lives_on_the_device_is_saved_there(driver: Path) -> None:
    """A fork could neither pickle nor load it."""
    async with unfreezable(driver) as session:
        await session.execute("t = Tensor([1, 2]); both = [t, t]")
        made = await session.checkpoint()
        assert {"t", "both"} <= {one.name for one in made.variables}
        # A session that cannot be frozen could not go back to what it was, if a restore failed.
        with pytest.raises(SnapshotRefused, match="GPU"):
            await session.restore(made)
    # Where there is a device it is back on it.
    async with Session() as other:
        assert {one.name for one in (await other.restore(made)).lost} == {"gpu"}
        assert await value(other, "both[0] is both[1] is t and t.numbers == [1, 2]")
    driver.unlink()
    async with Session() as other:
        lost = {one.name: one.reason for one in (await other.restore(made)).lost}
        assert "there is no device" in lost["t"] and lost["both"] == lost["t"]
        assert await value(other, "Tensor.__name__") == "Tensor"


async def test_the_process_is_as_it_was(driver: Path) -> None:
    async with unfreezable(driver) as session:
        await session.execute(
            """if 1:
            import gc, signal, sys, threading, time, warnings
            ended, rung = [], []
            signal.signal(signal.SIGCHLD, lambda *_: ended.append(1))
            signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
            signal.setitimer(signal.ITIMER_REAL, 0.6)
            begun = time.monotonic()
            warnings.simplefilter("error", BytesWarning)
            sys.setrecursionlimit(1717)
            def look():
                return (gc.isenabled(), sys.getrecursionlimit(), sys.getswitchinterval(), list(warnings.filters), id(warnings.filters),
                        signal.getsignal(signal.SIGCHLD), signal.getsignal(signal.SIGALRM), sorted(globals()), len(os.listdir("/proc/self/fd")))
            class Slow:
                def __reduce__(self):
                    time.sleep(0.3)
                    return int, (1,)
            slow = [Slow(), Slow()]
            before = before_ = None
            before = look()
            """
        )
        await session.checkpoint()
        assert await value(session, "[(a, b) for a, b in zip(before, look()) if a != b]") == []
        assert await value(session, "ended") == []
        # The timer went off while the session was being saved, and is not lost; nor did it come too early.
        assert await value(session, "time.sleep(0.7); len(rung)") == 1
        assert await value(session, "rung[0] - begun > 0.55")
        # A child's end is still heard.
        assert await value(session, "os.waitpid(os.spawnlp(os.P_NOWAIT, 'true', 'true'), 0)[1]") == 0
        assert await value(session, "len(ended)") == 1


async def test_it_can_be_interrupted(driver: Path) -> None:
    async with unfreezable(driver) as session:
        await session.execute(
            "import time\nclass Slow:\n    def __reduce__(self):\n        time.sleep(8); return int, ()\n"
            "a, b, c, d = Slow(), Slow(), Slow(), Slow()"
        )
        events = session.events()
        saving = asyncio.ensure_future(session.checkpoint())
        # It is said when it begins.
        async for event in events:
            if isinstance(event, WarningMessage):
                break
        await asyncio.sleep(0.5)
        await session.interrupt()
        with pytest.raises(CheckpointFailed, match="interrupted"):
            await asyncio.wait_for(saving, DEADLINE)
        assert await value(session, "1 + 1") == 2
        assert await session.checkpoints() == []


async def test_what_waits_comes_after_it(driver: Path) -> None:
    """What is saved is the state when it was asked for."""
    async with unfreezable(driver) as session:
        await session.execute("import time\nclass Slow:\n    def __reduce__(self):\n        time.sleep(0.5); return int, ()\nz = Slow(); n = 1")
        saving = asyncio.ensure_future(session.checkpoint())
        await asyncio.sleep(0)
        await session.execute("n = 2")
        made = await saving
        async with Session() as other:
            await other.restore(made)
            assert await value(other, "n") == 1


async def test_a_process_that_ends_over_it(driver: Path) -> None:
    async with unfreezable(driver) as session:
        await session.execute("import os\nclass Bad:\n    def __reduce__(self):\n        os._exit(3)\nbad = Bad()")
        with pytest.raises(CheckpointFailed, match='perhaps over "bad".*its state is lost'):
            await session.checkpoint()
        with pytest.raises(ExecutionError, match="NameError"):
            await session.execute("bad")
        assert await value(session, "2") == 2


async def test_what_loading_does_is_done_elsewhere(driver: Path) -> None:
    """What is written is loaded back, but not in the session."""
    async with unfreezable(driver) as session:
        await session.execute(
            "made = []\nclass Seen:\n    def __init__(self): made.append(1)\n    def __reduce__(self): return Seen, ()\n"
            "class Base:\n    kinds = []\n    def __init_subclass__(cls): Base.kinds.append(cls.__name__)\nclass Sub(Base): pass\n"
            "seen = Seen(); liar = type('Liar', (), {'__reduce__': lambda self: (int, ())})()"
        )
        made = await session.checkpoint()
        assert await value(session, "(len(made), Base.kinds)") == "(1, ['Sub'])"
        assert "seen" in {one.name for one in made.variables}


async def test_a_session_with_another_reason(python: str) -> None:
    """So few descriptors are left that none is free for a snapshot."""
    async with Session(python=python) as session:
        await session.execute(
            "import os, resource; x = [1]\nfds = []\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
            "try:\n    while True: fds.append(os.open('/dev/null', os.O_RDONLY))\nexcept OSError: pass\nos.close(fds.pop())"
        )
        try:
            made = await session.checkpoint()
        except (SnapshotRefused, CheckpointFailed) as error:
            assert "open" in str(error)
        else:
            assert "x" in {one.name for one in made.variables}
        assert await value(session, "x") == [1]
