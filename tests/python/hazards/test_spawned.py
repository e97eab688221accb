"""Processes that `multiprocessing` starts anew have the session's definitions, and nothing of its executions happens again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrepl3 import ExecutionError, Session

from .tools import comes_true, run

METHODS = ["spawn", "forkserver"]

DEFINITIONS = [
    "from __future__ import annotations",
    "import multiprocessing as mp, functools, enum, dataclasses, collections, typing",
    "try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None",
    "factor = 7; table = {'a': [1, 2]}; open({marker!r}, 'a').write('x')",
    "def twice(x: Unknown): return 0",
    "def twice(x: Unknown): return 2 * x",
    "def times(x): return x * factor",
    "def looks(key): return table[key], no_such_module",
    "class Point:\n    def __init__(self, x): self.x = x\n    def moved(self, by=1): return type(self)(self.x + by * factor)\n    def __eq__(self, other): return self.x == other.x",
    "@dataclasses.dataclass\nclass Item:\n    n: int\n    tags: list = dataclasses.field(default_factory=list)",
    "class Colour(enum.Enum):\n    RED = 1",
    "Pair = collections.namedtuple('Pair', 'a b'); T = typing.TypeVar('T'); cube = lambda x: x ** 3\ndef cubes(x): return cube(x)",
    "@functools.lru_cache\ndef cached(x): return x + factor",
    "def fails(x):\n    raise ValueError(f'no {x}')",
    "def swap(pair): return Pair(pair.b, pair.a)",
    "def tagged(item): item.tags.append(Colour.RED); return item",
    "def global_of(x):\n    global counted\n    counted = x\n    return counted",
]


async def defined(session: Session, method: str, marker: Path) -> None:
    for code in DEFINITIONS:
        await run(session, code.replace("{marker!r}", repr(str(marker))))
    await run(session, f"ctx = mp.get_context({method!r})")


@pytest.mark.parametrize("method", METHODS)
async def test_functions_and_classes_of_the_session(python: str, method: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    async with Session(python=python) as session:
        await defined(session, method, marker)
        await run(session, "pool = ctx.Pool(2)")
        assert await run(session, "pool.map(twice, [1, 2, 3])") == [2, 4, 6]
        assert await run(session, "pool.map(times, [1]), pool.map(cached, [1]), pool.map(cubes, [2]), pool.map(global_of, [4])") == "([7], [8], [8], [4])"
        assert await run(session, "pool.map(looks, ['a'])") == "[([1, 2], None)]"
        assert await run(session, "pool.map(Point.moved, [Point(1)]) == [Point(8)]") is True
        assert await run(session, "pool.map(swap, [Pair(1, 2)])") == "[Pair(a=2, b=1)]"
        assert await run(session, "pool.map(tagged, [Item(3)]) == [Item(3, [Colour.RED])]") is True
        assert await run(session, "pool.apply(Point(1).moved, (2,)).x") == 15
        await run(session, "pool.close(); pool.join()")
        # No execution has run again.
        assert marker.read_text() == "x"


@pytest.mark.parametrize("method", METHODS)
async def test_a_failure_there_shows_its_source(python: str, method: str, tmp_path: Path) -> None:
    async with Session(python=python) as session:
        await defined(session, method, tmp_path / "marker")
        with pytest.raises(ExecutionError) as caught:
            await run(session, "with ctx.Pool(1) as pool: pool.map(fails, [5])")
        assert "ValueError: no 5" in str(caught.value) and "raise ValueError(f'no {x}')" in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
async def test_executors_queues_and_processes(python: str, method: str, tmp_path: Path) -> None:
    async with Session(python=python) as session:
        await defined(session, method, tmp_path / "marker")
        await run(session, "from concurrent.futures import ProcessPoolExecutor\ndef puts(q, n): q.put(Point(n))")
        assert await run(session, "with ProcessPoolExecutor(2, mp_context=ctx) as pool: r = list(pool.map(times, [1, 2]))\nr") == [7, 14]
        assert await run(session, "q = ctx.Queue(); p = ctx.Process(target=puts, args=(q, 3)); p.start(); got = q.get(timeout=20); p.join()\ngot == Point(3), p.exitcode") == "(True, 0)"


@pytest.mark.parametrize("method", METHODS)
async def test_after_a_rollback_and_in_a_branch(python: str, method: str, tmp_path: Path) -> None:
    async with Session(python=python) as session:
        await defined(session, method, tmp_path / "marker")
        # Its directory is a file, and files are not undone.
        await run(session, "import multiprocessing.util; multiprocessing.util.get_temp_dir()")
        made = await session.snapshot()
        await run(session, "def twice(x): return 'other'")
        assert await run(session, "with ctx.Pool(1) as pool: r = pool.map(twice, [1])\nr") == ["other"]
        await session.rollback_to(made)
        assert await run(session, "with ctx.Pool(1) as pool: r = pool.map(twice, [1])\nr") == [2]
        (branch,) = await session.branch()
        async with branch:
            await run(branch, "def twice(x): return 'branch'")
            assert await run(branch, "with ctx.Pool(1) as pool: r = pool.map(twice, [1])\nr") == ["branch"]
        assert await run(session, "with ctx.Pool(1) as pool: r = pool.map(twice, [1])\nr") == [2]


async def test_after_a_restore(python: str, tmp_path: Path) -> None:
    async with Session(python=python) as session:
        await defined(session, "spawn", tmp_path / "marker")
        made = await session.checkpoint()
    async with Session(python=python) as session:
        await session.restore(made)
        assert await run(session, "import multiprocessing\nctx = multiprocessing.get_context('spawn')\nwith ctx.Pool(1) as pool: r = pool.map(times, [1])\nr") == [7]


async def test_what_is_too_large_or_cannot_be_pickled_is_not_there(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import multiprocessing as mp, threading\nctx = mp.get_context('spawn')\nbig = bytes(20 << 20); lock = threading.Lock(); small = 5")
        await run(session, "def of_big(x): return len(big)\ndef of_lock(x): return lock\ndef of_small(x): return small")
        for name, what in (("of_big", "big"), ("of_lock", "lock")):
            with pytest.raises(ExecutionError, match=f"name '{what}' is not defined"):
                await run(session, f"with ctx.Pool(1) as pool: pool.map({name}, [1])")
        assert await run(session, "with ctx.Pool(1) as pool: r = pool.map(of_small, [1])\nr") == [5]


async def test_the_usual_way_to_start(python: str) -> None:
    """Whatever that is in this version."""
    async with Session(python=python) as session:
        await run(session, "import multiprocessing\ndef f(x): return x + 1")
        assert await run(session, "with multiprocessing.Pool(2) as pool: r = pool.map(f, range(5))\nr") == [1, 2, 3, 4, 5]


def semaphores() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("sem.mp-*")}


@pytest.mark.parametrize("ends", ["by a rollback", "by a failure", "by a crash", "by a kill", "at the session's end"])
async def test_no_semaphore_is_left(python: str, ends: str) -> None:
    """They have names, which a process of its own removes when those who could use them have ended."""
    before = semaphores()
    making = "q = ctx.Queue(); p = ctx.Pool(1); r = p.map(abs, [-1])"
    async with Session(python=python) as session:
        await run(session, "import multiprocessing, os, signal, time; ctx = multiprocessing.get_context('spawn')")
        made = await session.snapshot()
        if ends == "by a failure":
            with pytest.raises(ExecutionError):
                await session.execute(f"{making}\n1 / 0", transaction_policy="rollback_on_failure")
        else:
            await run(session, making)
            assert semaphores() - before
        if ends == "by a rollback":
            await session.rollback_to(made)
        elif ends == "by a crash":
            await session.drop_snapshot(made)
            with pytest.raises(ExecutionError):
                await session.execute("os.kill(os.getpid(), signal.SIGKILL)")
        elif ends == "by a kill":
            await session.drop_snapshot(made)
            is_killed = False
            while not is_killed:
                # On a loaded machine the first interrupt may come before it is ignored.
                with pytest.raises(ExecutionError) as caught:
                    await session.execute("signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)", timeout=0.5)
                is_killed = caught.value.message.session_lost
        if ends != "at the session's end":
            await comes_true(lambda: not semaphores() - before)
    await comes_true(lambda: not semaphores() - before)
