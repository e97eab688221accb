"""Freezing and waking, again and again, a session whose threads are all at work: none is lost, none is stuck.

`--long`: ten thousand times, all versions taken together.
"""

from __future__ import annotations

from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import LIMIT, run

BUSY = dedent("""
    import ctypes, hashlib, os, sys, threading, time, zlib

    # Else who wants the interpreter waits for five milliseconds each time, and the whole for minutes.
    sys.setswitchinterval(0.0002)
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = (ctypes.c_size_t,), (ctypes.c_void_p,)
    data = bytes(range(256)) * 1024
    digest, checksum, packed = hashlib.sha256(data).digest(), zlib.crc32(data), zlib.compress(data)
    wrong, stopped = [], False

    def python(number):
        total = sum({n: str(n) for n in range(200)})
        return total == 19900

    def hashes(number):
        return hashlib.sha256(data).digest() == digest and zlib.crc32(data) == checksum

    def packs(number):
        return zlib.decompress(zlib.compress(data)) == data

    def allocates(number):
        blocks = [libc.malloc(size) for size in (10, 1000, 100_000, 1_000_000)]
        for block in blocks: ctypes.memset(block, number, 10)
        fine = all(ctypes.string_at(block, 10) == bytes([number]) * 10 for block in blocks)
        for block in blocks: libc.free(block)
        return fine

    def begins(number):
        box = []
        few = [threading.Thread(target=box.append, args=(n,)) for n in range(3)]
        for each in few: each.start()
        for each in few: each.join()
        return sorted(box) == [0, 1, 2]

    lock, shared = threading.RLock(), [0, 0]
    def locks(number):
        with lock:
            shared[0] += 1
            with lock: shared[1] += 1
            return shared[0] == shared[1]

    def sleeps(number):
        time.sleep(0.001)
        return True

    pipes = {}
    def pipes_of(number):
        r, w = pipes.setdefault(number, os.pipe()) if number not in pipes else pipes[number]
        os.write(w, b"abc")
        return os.read(r, 3) == b"abc"

    def spawns(number):
        pid = os.posix_spawnp("true", ["true"], os.environ)
        return os.waitpid(pid, 0) == (pid, 0)

    # One each of those that start processes: they are slow. The others share what is left.
    works = [spawns, begins, begins] + [python, hashes, packs, allocates, locks, sleeps, pipes_of] * 4
    works = works[:30]
    done = [0] * len(works)
    def work(number):
        while not stopped:
            try:
                if not works[number](number): wrong.append((works[number].__name__, done[number]))
            except BaseException as error:
                wrong.append((works[number].__name__, repr(error)))
            done[number] += 1
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(works))]
    for each in threads: each.start()

    def who_stands(seen, limit=20.0):
        # Those that have not gone on since, or are gone: nobody, when they have had the time for it.
        end = time.monotonic() + limit
        def standing(): return [works[n].__name__ for n, then in enumerate(seen) if done[n] == then]
        while standing() and all(each.is_alive() for each in threads) and time.monotonic() < end: time.sleep(0.001)
        return standing(), [each.name for each in threads if not each.is_alive()], wrong

    def where_they_stand(seen):
        import traceback
        found, frames = [], sys._current_frames()
        for n, each in enumerate(threads):
            if done[n] == seen[n]:
                found.append(f"{works[n].__name__}, {done[n]} times, alive: {each.is_alive()}, has a frame: {each.ident in frames}")
                if each.ident in frames:
                    walk = traceback.walk_stack(frames[each.ident])
                    found += traceback.StackSummary.extract(walk, capture_locals=True).format()
        # A thread has another number after each return, and Python does not know it.
        for task in os.listdir("/proc/self/task"):
            def read(name):
                try:
                    with open(f"/proc/self/task/{task}/{name}") as file: return file.read().strip()
                except OSError as error: return str(error)
            found.append(f"{task}: {read('comm')} | {read('syscall')} | {read('wchan')} | {read('children')}")
        return "\\n".join(found)
""")


async def cycles(python: str, count: int) -> None:
    async with Session(python=python) as session:
        await run(session, BUSY)
        for number in range(count):
            made = await session.snapshot()
            back = await session.rollback_to(made)
            assert "thread" not in back.report, back.report
            await session.drop_snapshot(made)
            # To look at each takes longer than all the rest.
            if number % 10 == 9:
                await all_go_on(session, number)
        (branch,) = await session.branch()
        async with branch:
            # The child that a thread waits for is the other's.
            await run(branch, "wrong.clear()")
        result = await session.execute("stopped = True\nfor each in threads: each.join()\nwrong", timeout=LIMIT)
        assert result.value == []


async def all_go_on(session: Session, number: int) -> None:
    """On a machine that is busy with other things thirty threads take long, and one that is stuck never goes on."""
    await run(session, "seen = list(done)")
    for _ in range(4):
        found = await run(session, "who_stands(seen)")
        if found == "([], [], [])":
            return
    where = await run(session, "where_they_stand(seen)")
    raise AssertionError(f"after {number + 1} times: (those that stand, those that are gone, what was wrong) are {found}\n{where}")


PARTS = [*range(3), *(pytest.param(part, marks=pytest.mark.long) for part in range(3, 25))]


@pytest.mark.parametrize("part", PARTS)
async def test_no_thread_is_lost_or_stuck(python: str, part: int) -> None:
    """In parts, each of which has a limit."""
    await cycles(python, 100)


STARTS = dedent("""
    import threading
    data = {n: [n] * 3 for n in range(500)}
    def child(): [object() for _ in range(200)]
    def starts():
        while True:
            few = [threading.Thread(target=child) for _ in range(4)]
            for each in few: each.start()
            for each in few: each.join()
    for _ in range(4): threading.Thread(target=starts, daemon=True).start()
""")


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.long)])
async def test_a_thread_that_is_about_to_begin_does_not_go_on_in_a_saver(python: str, count: int) -> None:
    """It is no library's: it would run in an interpreter that has forgotten it, and end the process that saves."""
    async with Session(python=python) as session:
        await run(session, STARTS)
        for _ in range(count):
            made = await session.checkpoint()
            assert "data" in {one.name for one in made.variables}
