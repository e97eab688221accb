"""Locked files, buffered writes and sqlite: nothing is written twice, and no lock is believed that is not there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pyrepl3 import Session

from .tools import run


@pytest.mark.parametrize("mode", ["w", "a", "r+", "wb", "ab"])
@pytest.mark.parametrize("end", ["rollback", "commit", "branch"])
async def test_what_is_buffered_is_written_once(python: str, tmp_path: Path, mode: str, end: str) -> None:
    path = tmp_path / "file"
    path.touch()
    prefix = "b" if "b" in mode else ""
    async with Session(python=python) as session:
        await run(session, f"file = open({str(path)!r}, {mode!r}); file.write({prefix}'before ')")
        if end == "branch":
            (branch,) = await session.branch()
            async with branch:
                await run(branch, "file.flush()")
            await run(session, f"file.write({prefix}'after'); file.close()")
        else:
            async with session.transaction() as tx:
                await run(tx, f"file.write({prefix}'INSIDE '); file.flush()" if end == "commit" else "file.flush()")
                await (tx.commit if end == "commit" else tx.rollback)()
            await run(session, f"file.write({prefix}'after'); file.close()")
    assert path.read_text() == ("before INSIDE after" if end == "commit" else "before after")


async def test_a_lock_is_free_where_its_file_is_closed(python: str, tmp_path: Path) -> None:
    """`flock` belongs to the open file: the frozen process has one of its own."""
    import fcntl

    path = tmp_path / "file"
    locked = f"other = open({str(path)!r})\ntry: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    locked += "except BlockingIOError: outcome = 'locked'\nelse: outcome = 'free'\nother.close(); outcome"
    async with Session(python=python, undo=5) as session:
        await run(session, f"import fcntl; file = open({str(path)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)")
        made = await session.snapshot()
        assert made.warnings == []
        for _ in range(2):
            await run(session, "file.close()")
            assert await run(session, locked) == "free"
            with path.open() as mine:
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            back = await session.rollback_to(made)
            assert back.exact
            # It is the session's again, and no frozen process has it: to close it is enough.
            assert await run(session, locked) == "locked"
        # What is undone keeps nobody from the lock; where it is done again, it has it again.
        await run(session, f"more = open({str(path) + '2'!r}, 'w'); fcntl.flock(more, fcntl.LOCK_EX)")
        await session.undo()
        with open(str(path) + "2") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert (await session.redo()).exact
        with open(str(path) + "2") as mine, pytest.raises(BlockingIOError):
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_shared_locks_of_two_open_files_are_both_there(python: str, tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "file"
    async with Session(python=python) as session:
        await run(session, f"import fcntl; a, b = open({str(path)!r}, 'a+'), open({str(path)!r}, 'r+')")
        await run(session, "fcntl.flock(a, fcntl.LOCK_SH); fcntl.flock(b, fcntl.LOCK_SH)")
        await session.rollback_to(await session.snapshot())
        for name in "ab":
            with path.open() as mine, pytest.raises(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            await run(session, f"{name}.close()")
        with path.open() as mine:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_lock_of_an_open_file_is_as_it_was(python: str, tmp_path: Path) -> None:
    """One that was given back inside is there again, one that was taken inside is not."""
    import fcntl

    held, free = tmp_path / "held", tmp_path / "free"
    async with Session(python=python) as session:
        await run(session, f"import fcntl; a = open({str(held)!r}, 'w'); b = open({str(free)!r}, 'w')")
        await run(session, "fcntl.flock(a, fcntl.LOCK_EX)")
        made = await session.snapshot()
        for _ in range(2):
            await run(session, "fcntl.flock(a, fcntl.LOCK_UN); fcntl.flock(b, fcntl.LOCK_EX)")
            back = await session.rollback_to(made)
            assert back.exact
            with held.open("w") as mine, pytest.raises(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with free.open("w") as mine:
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody else has taken it meanwhile: that is said.
        await run(session, "fcntl.flock(a, fcntl.LOCK_UN)")
        with held.open("w") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            back = await session.rollback_to(made)
            assert f"the lock on {held} is gone" in back.report and not back.exact


async def test_a_record_lock_is_taken_again(python: str, tmp_path: Path) -> None:
    """`lockf` belongs to the process, and the process is another one after a rollback."""
    import fcntl

    path = tmp_path / "file"
    async with Session(python=python) as session:
        await run(session, f"import fcntl; file = open({str(path)!r}, 'w'); fcntl.lockf(file, fcntl.LOCK_EX)")
        async with session.transaction() as tx:
            with path.open("w") as mine, pytest.raises(BlockingIOError):
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Given back inside, it is free.
            await run(tx, "fcntl.lockf(file, fcntl.LOCK_UN)")
            with path.open("w") as mine:
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            back = await tx.rollback()
        assert back.exact
        with path.open("w") as mine, pytest.raises(BlockingIOError):
            fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        made = await session.snapshot()
        await run(session, "fcntl.lockf(file, fcntl.LOCK_UN)")
        with path.open("w") as mine:
            fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            back = await session.rollback_to(made)
            assert f"the lock on {path} is gone" in back.report


async def test_a_database_in_memory_comes_back(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import sqlite3; db = sqlite3.connect(':memory:'); db.execute('create table t (x)')\n"
            "db.executemany('insert into t values (?)', [(i,) for i in range(1000)])\n"
            "rows = iter(db.execute('select x from t order by x')); next(rows)",
        )
        made = await session.snapshot()
        assert made.warnings == []
        await run(session, "db.execute('delete from t where x > 10'); db.commit()")
        assert (await session.rollback_to(made)).exact
        assert await run(session, "next(rows)[0], db.in_transaction") == "(1, True)"
        assert await run(session, "db.execute('select count(*), sum(x) from t').fetchone()") == "(1000, 499500)"
        await run(session, "db.rollback()")
        assert await run(session, "db.execute('select count(*) from t').fetchone()[0]") == 0


def whole(path: Path) -> list[int]:
    """What another process sees in the database, which must be in order."""
    with sqlite3.connect(path, timeout=30) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        return [x for (x,) in db.execute("select x from t order by x")]


CREATE = "import sqlite3; db = sqlite3.connect({path!r}, timeout=10); db.execute('pragma journal_mode={mode}')\n"
CREATE += "db.execute('create table t (x)'); db.execute('insert into t values (1)'); db.commit()"


async def test_an_idle_database_goes_on(python: str, tmp_path: Path) -> None:
    path = tmp_path / "db"
    async with Session(python=python) as session:
        await run(session, CREATE.format(path=str(path), mode="delete"))
        made = await session.snapshot()
        assert made.warnings == []
        await run(session, "db.execute('insert into t values (2)'); db.commit()")
        back = await session.rollback_to(made)
        assert f"what was committed to the sqlite database {path} is not undone" in back.report
        assert whole(path) == [1, 2]
        await run(session, "db.execute('insert into t values (3)'); db.commit()")
        # One that is open when the other line ends is rolled back by sqlite.
        async with session.transaction() as tx:
            await run(tx, "db.execute('insert into t values (4)')")
            await tx.rollback()
        await run(session, "db.execute('insert into t values (5)'); db.commit()")
        assert whole(path) == [1, 2, 3, 5]


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_a_database_in_use_is_named_and_never_harmed(python: str, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "db"
    async with Session(python=python) as session:
        await run(session, CREATE.format(path=str(path), mode=mode) + "\ndb.execute('insert into t values (2)')")
        made = await session.snapshot()
        assert f"the sqlite database {path} is in use: a rollback loses the connection to it" in made.warnings
        await run(session, "db.execute('insert into t values (3)'); db.commit()")
        back = await session.rollback_to(made)
        assert f"the connection to the sqlite database {path} was in use: close it and open it again" in back.report
        code = "try: db.execute('insert into t values (4)'); db.commit()\nexcept sqlite3.Error: outcome = 'no'\noutcome"
        assert await run(session, code) == "no"
        assert whole(path) == [1, 2, 3]
        await run(session, f"db.close(); db = sqlite3.connect({str(path)!r}, timeout=10)")
        await run(session, "db.execute('insert into t values (5)'); db.commit()")
        assert whole(path) == [1, 2, 3, 5]


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_branches_do_not_harm_a_database(python: str, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "db"
    again = f"db.close(); db = sqlite3.connect({str(path)!r}, timeout=20)"
    add = "db.executemany('insert into t values (?)', [({n},)] * 50); db.commit()"
    async with Session(python=python) as session:
        await run(session, CREATE.format(path=str(path), mode=mode))
        branches = await session.branch(2)
        for number, each in enumerate([session, *branches], start=2):
            if mode == "wal" and each is not session:
                await run(each, again)
            await run(each, add.format(n=number))
        assert len(whole(path)) == 151
        for each in branches:
            await each.shutdown()
        await run(session, add.format(n=9))
        assert len(whole(path)) == 201


async def test_a_fifo_that_is_open_for_both(python: str, tmp_path: Path) -> None:
    async with Session(python=python) as session:
        await run(session, f"import os; os.mkfifo({str(tmp_path / 'fifo')!r}); fd = os.open({str(tmp_path / 'fifo')!r}, os.O_RDWR)")
        await run(session, "os.write(fd, b'before')")
        made = await session.snapshot()
        for _ in range(2):
            assert await run(session, "os.write(fd, b' and after'), os.read(fd, 100)") == "(10, b'before and after')"
            back = await session.rollback_to(made)
            assert back.exact
        (branch,) = await session.branch()
        async with branch:
            assert await run(branch, "os.write(fd, b'!'), os.read(fd, 100)") == "(1, b'before!')"
        assert await run(session, "os.read(fd, 100)") == "b'before'"
