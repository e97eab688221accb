"""What happens at the end, or by itself, happens once: in the line that survives."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import first_words, run, until


def ending(log: Path) -> str:
    """Things of all kinds that leave a line in a file when they end."""
    return dedent(f"""
        import atexit, os, tempfile, weakref
        def note(what):
            with open({str(log)!r}, "a") as file:
                print(what, file=file)
        class Closes:
            def __init__(self, name): self.name = name
            def __del__(self, note=note): note(self.name)
        class Target: pass
        one, target = Closes("__del__"), Target()
        finalizer = weakref.finalize(target, note, "finalize")
        atexit.register(note, "atexit")
        directory, named = tempfile.TemporaryDirectory(), tempfile.NamedTemporaryFile()
        paths = directory.name, named.name
    """)


ALL = ["__del__", "atexit", "finalize"]


@pytest.mark.parametrize("end", ["rolled back", "committed", "undone and redone"])
async def test_the_end_comes_once(python: str, tmp_path: Path, end: str) -> None:
    log = tmp_path / "log"
    log.touch()
    async with Session(python=python, undo=2) as session:
        await run(session, ending(log))
        paths = [Path(path) for path in (await session.execute("list(paths)")).value]
        if end == "undone and redone":
            await run(session, "x = 1")
            await session.undo()
            await session.redo()
        else:
            async with session.transaction() as tx:
                await run(tx, "x = Closes('inside')")
                await (tx.rollback if end == "rolled back" else tx.commit)()
        assert log.read_text() == ""
        assert all(path.exists() for path in paths)
    inside = ["inside"] if end == "committed" else []
    assert sorted(log.read_text().split()) == sorted(ALL + inside)
    assert not any(path.exists() for path in paths)


async def test_a_branch_ends_only_what_is_its_own(python: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    async with Session(python=python) as session:
        await run(session, ending(log))
        paths = [Path(path) for path in (await session.execute("list(paths)")).value]
        (branch,) = await session.branch()
        async with branch:
            await run(branch, "mine = Closes('own'); atexit.register(note, 'own_atexit')")
            await run(branch, f"own = tempfile.mkdtemp(dir={str(tmp_path)!r})")
            await run(branch, "scratch = tempfile.TemporaryDirectory()")
            scratch = Path((await branch.execute("scratch.name")).value)
            assert scratch.exists()
        assert sorted(log.read_text().split()) == ["own", "own_atexit"]
        assert not scratch.exists()
        assert all(path.exists() for path in paths)
    assert sorted(log.read_text().split()) == sorted([*ALL, "own", "own_atexit"])
    assert not any(path.exists() for path in paths)


async def test_exit_functions_that_are_taken_back(python: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    async with Session(python=python) as session:
        await run(session, ending(log) + "\ndef other(): note('other')\natexit.register(other)")
        (branch,) = await session.branch()
        async with branch:
            # Its own are taken back, too, and what is registered again is its own.
            await run(branch, "atexit.register(note, 'never'); atexit.unregister(note)")
            await run(branch, "atexit.unregister(other); atexit.register(other)")
        assert log.read_text() == "other\n"
        await run(session, "atexit.unregister(other)")
    assert sorted(log.read_text().split()) == sorted([*ALL, "other"])


async def test_signal_handlers_and_masks_come_back(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import os, signal; got = []\nhandler = lambda *_: got.append('first')\n"
            "signal.signal(signal.SIGUSR1, handler); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
        )
        made = await session.snapshot()
        await run(
            session,
            "signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_SETMASK, [])",
        )
        assert (await session.rollback_to(made)).exact
        assert await run(session, "signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR2}") is True
        await run(session, "os.kill(os.getpid(), signal.SIGUSR1)")
        await until(session, "got == ['first']")
        assert await run(session, "signal.getsignal(signal.SIGUSR1) is handler") is True


@pytest.mark.parametrize(
    "arm",
    [
        "signal.setitimer(signal.ITIMER_REAL, 0.05, 0.01)",
        "signal.alarm(1)",
    ],
)
async def test_timers_run_on_after_a_rollback(python: str, arm: str) -> None:
    async with Session(python=python) as session:
        await run(session, f"import signal; got = []; signal.signal(signal.SIGALRM, lambda *_: got.append(1)); {arm}")
        made = await session.snapshot()
        await run(session, "signal.setitimer(signal.ITIMER_REAL, 0); before = 1")
        await session.rollback_to(made)
        await until(session, "len(got) > 0")
        await run(session, "signal.setitimer(signal.ITIMER_REAL, 0)")


async def test_timers_stay_with_the_parent_of_a_branch_and_are_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import signal; signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(1000)")
        (branch,) = await session.branch()
        async with branch:
            assert await run(branch, "signal.getitimer(signal.ITIMER_REAL)[0]") == 0.0
            assert "timer" in await first_words(branch, "timer")
        assert await run(session, "signal.alarm(0) > 0") is True


@pytest.mark.xfail(strict=True, reason="what the C library's stdout holds is in both processes after the fork")
async def test_output_that_is_buffered_comes_once(python: str) -> None:
    """Python's own, and the C library's."""
    async with Session(python=python) as session:
        code = "import ctypes, sys; libc = ctypes.CDLL(None); sys.stdout.write('python '); libc.printf(b'of c ')"
        shown = (await session.execute(code)).stdout
        made = await session.snapshot()
        shown += (await session.execute("libc.fflush(None)")).stdout
        back = await session.rollback_to(made)
        assert back.exact
        shown += (await session.execute("libc.fflush(None)")).stdout
        assert (shown.count("python "), shown.count("of c ")) == (1, 1)
