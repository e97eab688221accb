"""What is on disk outlives whoever is killed, whenever, and is shared by engines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

import pyrepl3
from pyrepl3 import CheckpointDamaged, ProgressMessage, Session
from support import client, engines, eventually

SLOW = """
class Slow:
    def __init__(self, n): self.n = n
    def __getstate__(self):
        import time; time.sleep(0.05); return {'n': self.n}
"""


def files(data: Path) -> dict[Path, int]:
    """The sizes of all files of a data directory."""
    return {path: path.stat().st_size for path in data.rglob("*") if path.is_file()}


async def test_the_engine_is_killed_while_it_saves(tmp_path: Path) -> None:
    session = Session(data=tmp_path)
    await session.start()
    await session.execute(f"{SLOW}import random\nx = [1]; y = x")
    good = await session.checkpoint("good")
    await session.execute("x.append(2)\nfor n in range(20): globals()[f's{n}'] = Slow(n)")
    await session.execute("big = random.Random(0).randbytes(8 << 20)")

    def kill(message: ProgressMessage) -> None:
        if message.done > 10:
            for pid in engines():
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(pyrepl3.SessionLost):
        await session.checkpoint("never", on_progress=kill)
    await session.shutdown()

    async with Session(data=tmp_path) as session:
        assert [each.checkpoint_id for each in await session.checkpoints()] == [good.checkpoint_id]
        await session.restore("good")
        assert (await session.execute("x, x is y, 's1' in dir()")).repr == "([1], True, False)"
        await session.execute("x.append(3)")
        again = await session.checkpoint("again")
        assert again.parent == good.checkpoint_id
        # Nothing is left of the one that was being written.
        assert sum(files(tmp_path).values()) < 1 << 20


async def test_the_worker_is_killed_while_it_is_saved(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute(f"{SLOW}for n in range(20): globals()[f's{{n}}'] = Slow(n)")
        begun = asyncio.Event()
        saving = asyncio.create_task(session.checkpoint("one", on_progress=lambda _: begun.set()))
        await begun.wait()
        os.kill((await session.status()).pid, signal.SIGKILL)
        # The state is being written by another process, which has it all.
        made = await saving
        with pytest.raises(pyrepl3.SessionLost):
            await session.execute("s1")
        await session.restore(made)
        assert (await session.execute("s1.n, s19.n")).repr == "(1, 19)"


async def test_two_engines_on_one_data_directory(own_data: Path) -> None:
    # One is started without `data`, the other with the same directory by name: two processes.
    async with Session() as one, Session(data=own_data) as two:
        assert len(engines()) == 2
        await asyncio.gather(one.execute("x = 'one'; big = b'1' * 100_000"), two.execute("x = 'two'"))
        names = [f"{who}{number}" for number in range(3) for who in ("one", "two")]
        saving = [
            (one if name.startswith("one") else two).checkpoint(name)  # All at once.
            for name in names
        ]
        made = await asyncio.gather(*saving)
        assert len({each.checkpoint_id for each in made}) == 6
        for session in (one, two):
            assert {each.name for each in await session.checkpoints()} == set(names)
        await asyncio.gather(one.restore("two0"), two.restore("one2"))
        assert (await one.execute("x")).value == "two"
        assert (await two.execute("x, len(big)")).repr == "('one', 100000)"
        # What one deletes, the other does not need.
        await asyncio.gather(*(one.delete_checkpoint(name) for name in names if name != "one1"))
        await two.restore("one1")
        assert (await two.execute("len(big)")).value == 100_000
        assert [each.name for each in await one.checkpoints()] == ["one1"]


def test_another_client_goes_on_with_it(tmp_path: Path) -> None:
    run = "from pyrepl3.sync import Session\nwith Session(data={data!r}{more}) as session: {body}"
    body = "session.execute('x = [1, 2]'); session.checkpoint('x')"
    subprocess.run(client(run.format(data=str(tmp_path), more="", body=body)), check=True, timeout=60)
    body = "print(session.execute('sum(x)').value)"
    code = run.format(data=str(tmp_path), more=", from_checkpoint='x'", body=body)
    found = subprocess.run(client(code), check=True, timeout=60, capture_output=True, text=True)
    assert found.stdout == "3\n"


def test_a_client_that_is_killed_while_it_saves_leaves_nothing_behind(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pyrepl3.sync import Session
session = Session(data={str(tmp_path)!r})
session.start()
session.execute({SLOW!r} + "for n in range(20): globals()[f's{{n}}'] = Slow(n)")
session.checkpoint(on_progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""
    assert subprocess.run(client(code), timeout=60).returncode == -signal.SIGKILL
    eventually(lambda: engines() == [])

    async def look() -> None:
        async with Session(data=tmp_path) as session:
            assert await session.checkpoints() == []
            await session.checkpoint()

    asyncio.run(look())


async def test_a_checkpoint_that_is_damaged_says_so_and_the_others_are_good(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        before = files(tmp_path)
        text = "import random; x = random.Random(0).randbytes(1 << 20); y = [1]; z = y\ndef f(): return y"
        await session.execute(text)
        bad = await session.checkpoint("bad")
        pack = max((path for path in files(tmp_path) if path not in before), key=lambda path: path.stat().st_size)
    async with Session(data=tmp_path) as session:
        await session.execute("x = 1")
        good = await session.checkpoint("good")
    content = bytearray(pack.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    pack.chmod(0o600)
    pack.write_bytes(content)
    async with Session(data=tmp_path) as session:
        await session.execute("x = 'mine'")
        with pytest.raises(CheckpointDamaged) as caught:
            await session.restore(bad)
        assert caught.value.code == "checkpoint_damaged"
        assert bad.checkpoint_id in str(caught.value) and "restore it partially" in str(caught.value)
        assert (await session.execute("x")).value == "mine"
        back = await session.restore(bad, partial=True)
        (lost,) = back.lost
        assert lost.name == "x" and "damaged" in lost.reason and bad.checkpoint_id in lost.reason
        assert (await session.execute("'x' not in dir() and y is z and f() is y")).value is True
        await session.restore(good)
        assert (await session.execute("x")).value == 1


async def test_a_data_directory_that_cannot_be_written() -> None:
    async with Session(data="/proc/nowhere") as session:
        await session.execute("x = 1")
        with pytest.raises(pyrepl3.CheckpointFailed) as caught:
            await session.checkpoint()
        assert "/proc/nowhere" in str(caught.value)
        assert (await session.execute("x")).value == 1
