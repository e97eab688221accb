"""Memory that a fork does not copy, and memory that runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrepl3 import ExecutionError, Session

from .tools import comes_true, first_words, run

MEBI = 1 << 20


async def test_anonymous_shared_memory_comes_back(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import mmap; shared = mmap.mmap(-1, 10_000); view = memoryview(shared)")
        await run(session, "shared[:3] = b'one'")
        made = await session.snapshot()
        assert made.warnings == []
        for _ in range(2):
            await run(session, "shared[:3] = b'two'")
            assert (await session.rollback_to(made)).exact
            assert await run(session, "bytes(view[:3])") == "b'one'"


async def test_a_branch_has_shared_memory_of_its_own(python: str) -> None:
    """Its processes share it, its parent does not."""
    async with Session(python=python) as session:
        await run(
            session,
            "import mmap, multiprocessing, os; shared = mmap.mmap(-1, 10_000); shared[:3] = b'one'\n"
            "value = multiprocessing.get_context('fork').Value('i', 1)",
        )
        (branch,) = await session.branch()
        async with branch:
            code = "pid = os.fork()\nif pid == 0:\n    shared[:3] = b'two'; value.value = 2; os._exit(0)\n"
            code += "os.waitpid(pid, 0); (shared[:3], value.value)"
            assert await run(branch, code) == "(b'two', 2)"
            assert await run(session, "(shared[:3], value.value)") == "(b'one', 1)"
            await run(branch, "value.get_lock().acquire()")
            assert await run(session, "value.get_lock().acquire(timeout=10)") is True


async def test_named_shared_memory_of_a_branch_is_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "from multiprocessing import shared_memory; shared = shared_memory.SharedMemory(create=True, size=100)",
        )
        (branch,) = await session.branch()
        async with branch:
            assert "is shared with the session" in await first_words(branch, "/dev/shm/")
        await run(session, "shared.close(); shared.unlink()")


async def test_shared_memory_can_be_found_by_its_name_after_a_rollback(python: str) -> None:
    """A process of `multiprocessing` removes it when nobody is there any more; the other line is."""
    async with Session(python=python) as session:
        await run(
            session,
            "from multiprocessing import resource_tracker, shared_memory\n"
            "shared = shared_memory.SharedMemory(create=True, size=100); shared.buf[:1] = b'x'",
        )
        name = Path("/dev/shm") / await run(session, "shared.name")
        tracker = await run(session, "resource_tracker._resource_tracker._pid")
        made = await session.snapshot()
        assert made.warnings == []
        assert (await session.rollback_to(made)).exact
        # The tracker does what it is told, in order: it has seen all that came before.
        assert await run(
            session,
            "other = shared_memory.SharedMemory(create=True, size=100); other.close(); other.unlink()\n"
            "resource_tracker._resource_tracker._pid",
        ) == tracker
        assert os.path.exists(f"/proc/{tracker}/fd")
        assert name.exists()
        assert await run(session, "again = shared_memory.SharedMemory(shared.name); bytes(again.buf[:1])") == "b'x'"
        await run(session, "again.close()")
        await run(session, "shared.close(); shared.unlink()")
        assert not name.exists()


@pytest.mark.parametrize("size", [100, 20 * MEBI])
async def test_a_mapped_file_is_named(python: str, tmp_path: Path, size: int) -> None:
    path = tmp_path / "data"
    with path.open("wb") as file:
        file.truncate(size)
    async with Session(python=python) as session:
        await run(
            session,
            f"import mmap; file = open({str(path)!r}, 'r+b'); data = mmap.mmap(file.fileno(), 0)\n"
            "own = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY); data[0] = own[1] = 1",
        )
        result = await session.execute("data[0] = 2; own[1] = 2", transaction_policy="commit_on_success")
        assert result.warnings == [f"{path} is mapped and shared: changes to it are not undone"]
        with pytest.raises(ExecutionError) as caught:
            await session.execute("data[0] = 3; own[1] = 3; raise ValueError", transaction_policy="commit_on_success")
        assert f"{path} is shared: it is not undone" in str(caught.value.message.report)
        assert await run(session, "data[0], own[1]") == "(3, 2)"


async def test_numpy_memmap(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    path = tmp_path / "data"
    async with Session() as session:
        await run(
            session,
            "import numpy as np\n"
            f"data = np.memmap({str(path)!r}, dtype='i8', mode='w+', shape=10); data[:] = 1\n"
            f"copied = np.memmap({str(path)!r}, dtype='i8', mode='c'); read = np.memmap({str(path)!r}, mode='r')",
        )
        made = await session.snapshot()
        assert made.warnings == [f"{path} is mapped and shared: changes to it are not undone"]
        await run(session, "data[:] = 2; copied[:] = 3")
        back = await session.rollback_to(made)
        assert f"{path} is shared: it is not undone" in back.report
        # What is not undone is there; what is private is undone, and sees the file where it was not written to.
        assert await run(session, "[int(data.sum()), int(copied.sum()) in (10, 20)]") == [20, True]


async def test_shared_memory_that_is_too_large_to_be_copied_is_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, f"import mmap; shared = mmap.mmap(-1, {20 * MEBI}); shared[:3] = b'one'")
        made = await session.snapshot()
        assert len(made.warnings) == 1
        assert "is mapped and shared: changes to it are not undone" in made.warnings[0]
        await run(session, "shared[:3] = b'two'")
        back = await session.rollback_to(made)
        assert "is shared: it is not undone" in back.report
        assert await run(session, "shared[:3]") == "b'two'"


async def test_memory_that_runs_out_is_a_failure_that_is_undone(python: str) -> None:
    async with Session(python=python, limits={"memory": 1 << 30}) as session:
        await run(session, "kept = [1]")
        with pytest.raises(ExecutionError) as caught:
            await session.execute(
                "kept.append(2); parts = []\nwhile True: parts.append(bytearray(50_000_000))",
                transaction_policy="rollback_on_failure",
            )
        assert caught.value.message.ename == "MemoryError"
        assert caught.value.message.rolled_back
        assert await run(session, "kept, 'parts' in globals()") == "([1], False)"
        await run(session, "x = bytearray(500_000_000)")


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group for memory, if this machine lets us make one; its limit is not set yet."""
    for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        group = root / f"pyrepl3-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if limit_of(group).exists():
            yield group
            group.rmdir()
            return
        group.rmdir()
    pytest.skip("no control group for memory can be made here")


def limit_of(group: Path) -> Path:
    old = group / "memory.limit_in_bytes"
    return old if old.exists() else group / "memory.max"


def frozen_beside(live: int) -> list[str]:
    """The frozen processes of a worker: they are its siblings."""
    parent = Path("/proc", str(live), "stat").read_text().rpartition(")")[2].split()[1]
    siblings = Path("/proc", parent, "task", parent, "children").read_text().split()
    return [pid for pid in siblings if Path("/proc", pid, "comm").read_text().strip() == "pyrepl3-frozen"]


async def test_when_the_kernel_kills_for_memory_the_state_comes_back(python: str, small_group: Path) -> None:
    """The process that filled the memory is chosen, not the one that can undo that."""
    async with Session(python=python) as session:
        await run(session, "import os; kept = [1]; filled = bytearray(20_000_000)")
        made = await session.snapshot()
        live = await run(session, "os.getpid()")

        def frozen_of() -> str | None:
            return next(iter(frozen_beside(live)), None)

        # It says so itself, when it begins to wait.
        await comes_true(lambda: frozen_of() is not None)
        frozen = frozen_of()
        assert frozen is not None
        for pid in (str(live), frozen):
            (small_group / "cgroup.procs").write_text(pid)
        limit_of(small_group).write_text(str(200 * MEBI))
        swap = small_group / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        for _ in range(2):
            with pytest.raises(ExecutionError) as caught:
                await session.execute(
                    "kept.append(2); parts = []\nwhile True: parts.append(bytearray(b'x' * 10_000_000))",
                    transaction_policy="rollback_on_failure",
                )
            ended = caught.value.message
            assert (ended.status, ended.rolled_back, ended.session_lost) == ("crashed", True, False)
            assert ended.exit is not None
            assert ended.exit.signal == 9
            assert await run(session, "kept, len(filled), 'parts' in globals()") == "([1], 20000000, False)"
        assert (await session.rollback_to(made)).exact


async def test_the_live_process_is_the_first_to_go(python: str) -> None:
    """Where memory runs out for the whole machine, too."""
    async with Session(python=python) as session, session.transaction() as tx:
        live = await run(tx, "import os; os.getpid()")

        def score(pid: object) -> int:
            return int(Path("/proc", str(pid), "oom_score_adj").read_text())

        def stay() -> bool:
            try:
                frozen = [score(pid) for pid in frozen_beside(live)]
            except FileNotFoundError:
                return False  # that of an execution before has just ended
            return bool(frozen) and max(frozen) < score(live)

        # Each says so itself, when it begins to wait.
        await comes_true(stay)


async def test_memory_that_is_an_open_file_comes_back(python: str) -> None:
    code = "import os; fd = os.memfd_create('held'); os.write(fd, b'one'); os.lseek(fd, 1, 0); twin = os.dup(fd)\n"
    code += "reader = os.open(f'/proc/self/fd/{fd}', os.O_RDONLY); empty = os.memfd_create('empty')"
    there = "os.pread(reader, 100, 0), os.fstat(empty).st_size, os.lseek(twin, 0, 1), os.path.sameopenfile(fd, twin)"
    async with Session(python=python) as session:
        await run(session, code)
        made = await session.snapshot()
        assert made.warnings == []
        for inside in ("os.pwrite(fd, b'two and more', 0); os.write(empty, b'x')", "os.ftruncate(fd, 0); os.close(reader)"):
            await run(session, inside)
            back = await session.rollback_to(made)
            assert back.exact, back.report
            assert await run(session, f"repr(({there}))") == "(b'one', 0, 1, True)"
        (branch,) = await session.branch()
        async with branch:
            await run(branch, "os.pwrite(twin, b'branch', 0)")
            await run(session, "os.pwrite(fd, b'parent', 0)")
            assert await run(branch, f"repr(({there}))") == "(b'branch', 0, 1, True)"
            assert await run(session, f"repr(({there}))") == "(b'parent', 0, 1, True)"
            assert await run(branch, "os.readlink(f'/proc/self/fd/{fd}')") == "/memfd:held (deleted)"


async def test_memory_that_is_mapped_and_an_open_file_comes_back(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import mmap, os; fd = os.memfd_create('held'); os.truncate(fd, 8192)\n"
            "one = mmap.mmap(fd, 4096); one[:5] = b'first'; os.pwrite(fd, b'second', 4096)",
        )
        made = await session.snapshot()
        await run(session, "one[:5] = b'other'; os.pwrite(fd, b'others', 4096)")
        assert (await session.rollback_to(made)).exact
        assert await run(session, "repr((one[:5], os.pread(fd, 6, 4096)))") == "(b'first', b'second')"
        (branch,) = await session.branch()
        async with branch:
            said = await first_words(branch, "memfd:held")
            assert "shared with the session that this one was branched from" in said


async def test_an_open_file_of_memory_that_is_too_large_is_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, f"import os; fd = os.memfd_create('large'); os.truncate(fd, {20 * MEBI})")
        made = await session.snapshot()
        assert len(made.warnings) == 1 and "/memfd:large" in made.warnings[0]
        back = await session.rollback_to(made)
        assert not back.exact and "/memfd:large" in back.report


async def test_memory_that_was_sealed_inside_is_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import fcntl, os; fd = os.memfd_create('held', os.MFD_ALLOW_SEALING); os.write(fd, b'one')")
        made = await session.snapshot()
        await run(session, "os.write(fd, b'two'); fcntl.fcntl(fd, 1033, 8)")  # F_ADD_SEALS, F_SEAL_WRITE
        back = await session.rollback_to(made)
        assert not back.exact and "/memfd:held" in back.report
        # What nobody can change is as it was.
        made = await session.snapshot()
        assert (await session.rollback_to(made)).exact
