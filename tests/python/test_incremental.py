"""A second checkpoint sends what was written of large memory, and is the same as a whole one."""

import asyncio

import pytest

import pyrepl3
from pyrepl3 import Session

SETUP = """
import numpy as np
rng = np.random.default_rng(1)
a = rng.random(4 << 20)
b = rng.random(4 << 20)
view = a[100:200]
"""


def digest(name):
    return f"__import__('hashlib').sha256({name}.tobytes()).hexdigest()"


async def values(session, names):
    return [(await session.execute(digest(name))).value for name in names]


async def test_what_was_not_written_is_not_stored_again_and_all_comes_back(tmp_path):
    async with pyrepl3.Session(data=str(tmp_path)) as session:
        await session.execute(SETUP)
        first = await session.checkpoint("first")
        assert first.stored_bytes > 60 << 20
        seen = [await values(session, "ab")]
        await session.execute("a[1000:2000] = 7; view[0] = -1")
        second = await session.checkpoint("second")
        assert second.stored_bytes < 1 << 20
        seen.append(await values(session, "ab"))
        # Moved, replaced, and what another fork saw.
        await session.execute("pid = __import__('os').fork()\nif pid == 0: __import__('time').sleep(3); __import__('os')._exit(0)")
        await session.execute("c = a; a = b.copy(); a[-1] = 3; b = None; d = np.full(4 << 20, 2.5); d[5] = 1")
        third = await session.checkpoint("third")
        seen.append(await values(session, ("a", "c", "d")))
        assert third.size_bytes > 90 << 20
        await session.execute("d[5] = 2; d[2 << 20] = 9")
        await session.checkpoint("fourth")
        seen.append(await values(session, ("a", "c", "d")))
    async with pyrepl3.Session(data=str(tmp_path)) as other:
        for name, names, expected in zip(("first", "second", "third", "fourth"), ("ab", "ab", "acd", "acd"), seen):
            await other.restore(name)
            assert await values(other, names) == expected, name
        assert (await other.execute("c[100] == -1 and not d.flags.owndata")).value


async def test_after_a_return_nothing_is_taken_for_unchanged(tmp_path):
    async with pyrepl3.Session(data=str(tmp_path)) as session:
        await session.execute(SETUP)
        mark = await session.snapshot()
        await session.checkpoint("one")
        await session.execute("a[:] = 1")
        await session.checkpoint("two")
        await session.rollback_to(mark.snapshot_id)
        await session.execute("b[3] = 5")
        await session.checkpoint("three")
        expected = await values(session, "ab")
        await session.execute("b[4] = 5")
        await session.checkpoint("four")
        last = await values(session, "ab")
        for name, wanted in (("three", expected), ("four", last)):
            await session.restore(name)
            assert await values(session, "ab") == wanted


WRITING = """
import threading, time
stop, last = False, -1
def work():
    global last
    while not stop:
        a[(last + 1) % 50 * 80000] = last + 1
        last += 1
        if last % 20 == 0: time.sleep(0.001)
thread = threading.Thread(target=work, daemon=True); thread.start()
"""
# All that was written up to the moment is there, and at most the write after it, of which the count was not yet taken.
IS_OF_ONE_MOMENT = """
expected = np.random.default_rng(1).random(4 << 20)
for n in range(max(0, last - 49), last + 1): expected[n % 50 * 80000] = n
other = np.flatnonzero(a != expected).tolist()
ok = other in ([], [(last + 1) % 50 * 80000]) and all(a[at] == last + 1 for at in other)
[last, bool(ok)]
"""


async def test_what_other_threads_write_is_told_as_well(tmp_path):
    async with pyrepl3.Session(data=str(tmp_path)) as session:
        await session.execute(SETUP)
        await session.execute(WRITING)
        await session.checkpoint("first")
        stored = []
        for number in range(5):
            await session.execute("seen = last\nwhile last < seen + 40: time.sleep(0.001)")
            stored.append((await session.checkpoint(f"later{number}")).stored_bytes)
    assert max(stored) < 8 << 20, stored
    moments = []
    async with pyrepl3.Session(data=str(tmp_path)) as other:
        for number in range(5):
            await other.restore(f"later{number}")
            result = await other.execute(IS_OF_ONE_MOMENT)
            moments.append(result.value)
    assert all(ok for _last, ok in moments) and sorted(moments) == moments and len({last for last, _ok in moments}) == 5, moments


async def test_memory_that_changes_while_it_is_saved_is_saved_as_it_was() -> None:
    """Its pages are on their way to the supervisor while the session writes to them."""
    async with Session() as session:
        await session.execute("import numpy as np; a = np.zeros(1 << 25); b = a[:10]; small = np.arange(5.0)")
        saving = asyncio.create_task(session.checkpoint())
        await session.execute("for n in range(12): a += 1; small += 1")
        saved = await saving
        await session.execute("a += 100")
        await session.restore(saved)
        look = "[float(n) for n in (a.min(), a.max(), small[0], np.shares_memory(a, b), a[3] == b[3])]"
        least, most, first, *shared = (await session.execute(look)).value
        assert least == most == first and least in (0, 12) and shared == [1, 1]
