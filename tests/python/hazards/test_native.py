"""Native libraries: pools of threads, which go on, and what no fork can copy."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import Session, SnapshotRefused

from .tools import LIMIT, run

WORK = {
    "HistGradientBoosting": """
        from sklearn.ensemble import HistGradientBoostingClassifier
        def work():
            model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(data, target)
            return round(float(model.predict_proba(data).sum()), 6)
    """,
    "KMeans": """
        from sklearn.cluster import KMeans
        def work():
            return round(float(KMeans(3, n_init=1, random_state=0).fit(data).inertia_), 6)
    """,
    "OpenBLAS": """
        def work():
            return round(float(np.linalg.svd(data[:300] @ data[:300].T, compute_uv=False).sum()), 6)
    """,
    "joblib": """
        import joblib
        def work():
            return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(pow)(i, 2) for i in range(20)))
    """,
}


def setup(name: str) -> str:
    pytest.importorskip("numpy")
    if name != "OpenBLAS":
        pytest.importorskip("sklearn")
    return (
        "import numpy as np\nrng = np.random.default_rng(0)\n"
        "data = rng.normal(size=(2000, 20)); target = (data[:, 0] > 0).astype(int)\n" + dedent(WORK[name])
    )


@pytest.fixture
def joblibs_remains() -> Iterator[None]:
    """What joblib's processes share has names, which a process of its own removes when they have ended. That one ends
    with the session, which leaves no process behind, before it has done so."""
    shared = Path("/dev/shm")
    before = set(shared.iterdir())
    yield
    for path in set(shared.iterdir()) - before:
        if path.name.startswith("sem.loky-"):
            path.unlink(missing_ok=True)
        elif path.name.startswith("joblib_memmapping_folder_"):
            shutil.rmtree(path, ignore_errors=True)


@pytest.mark.usefixtures("joblibs_remains")
async def test_joblibs_own_thread_is_anywhere_when_a_branch_is_made() -> None:
    """It looks which processes there are before it waits for one of them to end: in a branch there is none."""
    hold = dedent("""
        import threading
        from joblib.externals.loky import process_executor
        at_gate, gate = threading.Event(), threading.Event()
        kind = process_executor._ExecutorManagerThread
        original = kind.wait_result_broken_or_wakeup
        def wait(self):
            at_gate.set()
            gate.wait()
            return original(self)
        kind.wait_result_broken_or_wakeup = wait
        (thread,) = process_executor._threads_wakeups
        thread.thread_wakeup.wakeup()
    """)
    async with Session() as session:
        await run(session, setup("joblib"))
        first = await run(session, "work()")
        await run(session, hold)
        assert await run(session, f"at_gate.wait({LIMIT})") is True
        (branch,) = await session.branch()
        async with branch:
            assert await run(branch, "gate.set(); work()") == first
        assert await run(session, "gate.set(); work()") == first


@pytest.mark.usefixtures("joblibs_remains")
@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("used_before", [True, False])
async def test_a_pool_works_before_and_after_a_rollback_and_in_branches(name: str, used_before: bool) -> None:
    async with Session() as session:
        await run(session, setup(name))
        if used_before:
            await run(session, "expected = work()")
        made = await session.snapshot()
        first = await run(session, "work()")
        back = await session.rollback_to(made)
        # Pools of threads go on; processes are lost, and named.
        assert back.exact or name == "joblib"
        assert await run(session, "work()") == first
        branches = await session.branch(2)
        try:
            assert await asyncio.gather(*(run(each, "work()") for each in [session, *branches])) == [first] * 3
            made = await branches[0].snapshot()
            assert await run(branches[0], "work()") == first
            await branches[0].rollback_to(made)
            assert await run(branches[0], "work()") == first
        finally:
            for each in branches:
                await each.shutdown()
        async with session.transaction() as tx:
            assert await run(tx, "work()") == first
        assert await run(session, "work()") == first


async def test_a_failure_between_two_parallel_regions() -> None:
    async with Session() as session:
        await run(session, setup("HistGradientBoosting"))
        first = await run(session, "work()")
        for _ in range(3):
            with pytest.raises(Exception, match="ValueError"):
                await session.execute("work(); raise ValueError", transaction_policy="commit_on_success", timeout=60)
            assert await run(session, "work()") == first


def any_library() -> Path | None:
    """A small shared library that does nothing of its own when it is loaded."""
    folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
    found = sorted(folder.glob("_*bisect*.so")) + sorted(folder.glob("*.so"))
    return found[0] if found else None


@pytest.mark.parametrize("name", ["libcuda.so.1", "libamdhip64.so"])
async def test_a_gpu_is_refused_up_front(tmp_path: Path, name: str) -> None:
    library = any_library()
    if library is None:
        pytest.skip("no shared library to stand in for the driver's")
    shutil.copy(library, tmp_path / name)
    async with Session(python=sys.executable) as session:
        await run(session, f"import ctypes; x = 1; await_me = ctypes.PyDLL({str(tmp_path / name)!r})")
        for attempt in (
            session.snapshot(),
            session.branch(),
            session.transaction().__aenter__(),
            session.execute("x = 2", transaction_policy="rollback_on_failure"),
            session.execute("x = 2", transaction_policy="explicit"),
        ):
            with pytest.raises(SnapshotRefused, match=f"{name} is loaded.*GPU") as caught:
                await attempt
            assert "commit_always" in caught.value.how
        # Nothing of it ran, and the rest works.
        assert await run(session, "x") == 1
        assert await session.snapshots() == []


async def test_a_gpu_that_is_first_used_inside(tmp_path: Path) -> None:
    """The snapshot is from before, and so can be returned to."""
    library = any_library()
    if library is None:
        pytest.skip("no shared library to stand in for the driver's")
    shutil.copy(library, tmp_path / "libcuda.so.1")
    async with Session() as session:
        made = await session.snapshot()
        await run(session, f"import ctypes; gpu = ctypes.PyDLL({str(tmp_path / 'libcuda.so.1')!r})")
        with pytest.raises(SnapshotRefused):
            await session.snapshot()
        assert (await session.rollback_to(made)).exact
        await session.snapshot()


SHARED = {
    "a pseudoterminal": "import pty; a, b = pty.openpty(); __import__('tty').setraw(b)",
    "a message queue": "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
    "q = libc.mq_open(b'/pyrepl3-hazard-{pid}', 0o102, 0o600, None)\n"
    "assert q >= 0, ctypes.get_errno()\nlibc.mq_unlink(b'/pyrepl3-hazard-{pid}')",
}


@pytest.mark.parametrize("what", SHARED)
async def test_what_is_shared_is_named(python: str, what: str) -> None:
    async with Session(python=python) as session:
        await run(session, SHARED[what].format(pid=os.getpid()))
        back = await session.rollback_to(await session.snapshot())
        assert not back.exact and f"{what} (descriptor " in back.report, back.report
        assert "is shared: it is not undone" in back.report


async def test_what_was_set_for_the_process_is_set(python: str) -> None:
    """What `prctl` sets and a fork does not hand on."""
    async with Session(python=python) as session:
        await run(
            session,
            "import ctypes, signal; libc = ctypes.CDLL(None); libc.prctl(1, signal.SIGUSR2, 0, 0, 0); libc.prctl(36, 1, 0, 0, 0)\n"
            "def told(what):\n    value = ctypes.c_int(); libc.prctl(what, ctypes.byref(value), 0, 0, 0); return value.value",
        )
        made = await session.snapshot()
        for _ in range(2):
            await run(session, "libc.prctl(1, 0, 0, 0, 0); libc.prctl(36, 0, 0, 0, 0)")
            assert (await session.rollback_to(made)).exact
            assert await run(session, "told(2) == signal.SIGUSR2 and told(37) == 1") is True


PLACE = """
import struct, sys, types
package = types.ModuleType("_pyrepl3")
package.__path__ = [sys.argv[1]]
sys.modules["_pyrepl3"] = package
from _pyrepl3.native import place_of_pid
# Threads, and whether they have begun; two addresses; where they are; three flags; the pid; locks.
def state(pid, high, flags): return struct.pack("=4I4IQ3I I 10I 3s", 4, 1, 0, 0, 5000, high, 9000, high, 1064960, *flags, pid, *range(2, 12), b"end")
for pid in (4321, 22016, 1, 1064960):
    for flags in ((0, 0, 0), (1, 0, 0), (1, 1, 0)):
        for high in (0x5600, 22016, pid):
            assert place_of_pid(state(pid, high, flags), pid) == 52 or pid == 1, (pid, high, flags)
assert place_of_pid(state(4321, 1, (0, 0, 0)), 4322) is None
assert place_of_pid(state(4321, 1, (0, 5, 0)), 4321) is None
assert place_of_pid(b"", 1) is None
"""


def test_the_pid_that_numexpr_remembers_is_found_whatever_its_addresses_are() -> None:
    """Where half of an address was the same number as the pid, numexpr computed with threads beside those that were there."""
    package = Path(__file__).parents[3] / "crates/worker/py"
    done = subprocess.run([sys.executable, "-c", PLACE, package], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
