"""multiprocessing and its pools: those of processes do not survive a rollback, and say so; those of threads do."""

from __future__ import annotations

from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import WAYS, alive, as_it_was, comes_true, first_words, run

SETUP = "import multiprocessing, multiprocessing.pool\ncontext = multiprocessing.get_context('fork')\n"


async def test_a_pool_goes_on_after_a_commit(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, SETUP + "pool = context.Pool(2)")
        async with session.transaction() as tx:
            assert await run(tx, "pool.map(abs, [-1, -2])") == [1, 2]
        assert await run(session, "pool.map(abs, [-3, -4])") == [3, 4]
        await run(session, "pool.terminate(); pool.join()")


async def test_a_pool_of_inside_ends_with_the_rollback(python: str) -> None:
    async with Session(python=python) as session:
        async with session.transaction() as tx:
            await run(tx, SETUP + "pool = context.Pool(2)")
            pids = await run(tx, "[process.pid for process in pool._pool]")
            await tx.rollback()
        await comes_true(lambda: not any(alive(pid) for pid in pids))
        assert await run(session, SETUP + "with context.Pool(2) as pool: outcome = pool.map(abs, [-1])\noutcome") == [1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_pool_of_threads_goes_on(python: str, way: str) -> None:
    """With one task at which a thread is, and one that waits."""
    code = SETUP + dedent("""
        import threading
        pool = multiprocessing.pool.ThreadPool(1)
        begun, go = threading.Event(), threading.Event()
        running = pool.apply_async(lambda: begun.set() or go.wait())
        queued = pool.map_async(abs, [-1, -2])
        begun.wait()
    """)
    async with as_it_was(python, code, "go.set(); queued.get(); pool.terminate(); pool.join()", way) as session:
        assert await run(session, "running.ready(), queued.ready(), len(pool._pool)") == "(False, False, 1)"
        assert await run(session, "go.set(); running.get(30), queued.get(30)") == "(True, [1, 2])"
        assert await run(session, "pool.map(abs, [-3, -4])") == [3, 4]
        await run(session, "pool.close(); pool.join()")


async def test_a_pool_of_before_says_that_it_is_gone(python: str) -> None:
    kind = "context.Pool(2)"
    async with Session(python=python) as session:
        await run(session, SETUP + f"pool = {kind}; pool.map(abs, [-1, -2])")
        pids = await run(session, "[p.pid for p in pool._pool]")
        made = await session.snapshot()
        assert any("a rollback loses" in text for text in made.warnings)
        back = await session.rollback_to(made)
        assert "Pool is gone with its processes: make a new one" in back.report
        code = "try: outcome = pool.map(abs, [-1])\nexcept ValueError as error: outcome = str(error)\noutcome"
        assert await run(session, code) == "Pool not running"
        await comes_true(lambda: not any(alive(pid) for pid in pids))
        await run(session, "pool.terminate(); pool.join(); del pool")
        assert await run(session, f"with {kind} as pool: outcome = pool.map(abs, [-1, -2])\noutcome") == [1, 2]


@pytest.mark.parametrize("kind", ["context.Pool(2)", "futures.ProcessPoolExecutor(2, mp_context=context)"])
async def test_a_pool_in_a_branch_says_that_it_is_gone(python: str, kind: str) -> None:
    """It can be ended there, and the parent's goes on."""
    async with Session(python=python) as session:
        await run(session, SETUP + f"import concurrent.futures as futures\npool = {kind}; list(pool.map(abs, [-1, -2]))")
        (branch,) = await session.branch()
        async with branch:
            assert "is gone with its processes: make a new one" in await first_words(branch, "is gone")
            code = "try: outcome = list(pool.map(abs, [-1]))\n"
            code += "except Exception as error: outcome = type(error).__name__\noutcome"
            assert await run(branch, code) in ("ValueError", "BrokenProcessPool")
            end = "pool.terminate(); pool.join()" if "Executor" not in kind else "pool.shutdown()"
            await run(branch, end)
            assert await run(branch, f"pool = {kind}; list(pool.map(abs, [-1, -2]))") == [1, 2]
            await run(branch, end)
        assert await run(session, "list(pool.map(abs, [-3, -4]))") == [3, 4]
        await run(session, end)


@pytest.mark.parametrize("way", ["branch", "rollback"])
async def test_a_pool_whose_process_was_about_to_tell_a_result_can_be_ended(python: str, way: str) -> None:
    """It had locked what is told through, and unlocks it in its own memory only."""
    async with Session(python=python) as session:
        await run(session, SETUP + "pool = context.Pool(2); pool.map(abs, [-1, -2]); pool._outqueue._wlock.acquire()")
        if way == "branch":
            (branch,) = await session.branch()
            async with branch:
                await first_words(branch, "is gone")
                await run(branch, "pool.terminate(); pool.join()")
            await run(session, "pool._outqueue._wlock.release()")
            assert await run(session, "pool.map(abs, [-3, -4])") == [3, 4]
        else:
            await session.rollback_to(await session.snapshot())
        await run(session, "pool.terminate(); pool.join()")


async def test_an_executor_of_processes_says_that_it_is_broken(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            SETUP + "import concurrent.futures as futures\n"
            "executor = futures.ProcessPoolExecutor(2, mp_context=context); executor.submit(abs, -1).result()",
        )
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert "ProcessPoolExecutor is gone with its processes: make a new one" in back.report
        code = "try: outcome = executor.submit(abs, -1).result(10)\n"
        # In words of ours, or of its own, once its thread has seen the end of its processes.
        code += "except futures.process.BrokenProcessPool as error: outcome = type(error).__name__\noutcome"
        assert await run(session, code) == "BrokenProcessPool"
        await run(session, "executor.shutdown(); del executor")
        code = "with futures.ProcessPoolExecutor(1, mp_context=context) as executor:\n"
        code += "    outcome = executor.submit(abs, -2).result()\noutcome"
        assert await run(session, code) == 2


async def test_a_process_of_before_can_be_joined(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            SETUP + "import os, signal, time\n"
            "process = context.Process(target=time.sleep, args=(1000,)); process.start()\n"
            "ended = context.Process(target=os._exit, args=(3,)); ended.start()",
        )
        made = await session.snapshot()
        await session.rollback_to(made)
        code = "process.is_alive(), process.join(0.01), process in multiprocessing.active_children()"
        assert await run(session, code) == "(True, None, True)"
        assert await run(session, "ended.join(); ended.exitcode") == 3
        assert await run(session, "process.terminate(); process.join(); process.exitcode") == -15


async def test_queues_and_events_of_the_session(python: str) -> None:
    """What is in a queue comes back; and after a rollback it works on, also with new processes."""
    async with Session(python=python) as session:
        await run(
            session,
            SETUP + dedent("""
                queue, simple = context.Queue(), context.SimpleQueue()
                event, value, lock = context.Event(), context.Value("i", 1), context.Lock()
                queue.put("one"); simple.put("one"); lock.acquire()
                queue.get(timeout=10); queue.put("two")
            """),
        )
        # Its feeder thread has written it.
        await run(session, "queue._reader.poll(10)")
        made = await session.snapshot()
        await run(session, "queue.get(timeout=10); simple.get(); event.set(); value.value = 2; lock.release()")
        await session.rollback_to(made)
        code = "queue.get(timeout=10), simple.get(), event.is_set(), value.value, lock.acquire(False)"
        assert await run(session, code) == "('two', 'one', False, 1, False)"
        code = "queue.put('three')\nprocess = context.Process(target=lambda: simple.put(queue.get(timeout=10)))\n"
        code += "process.start(); process.join(); simple.get()"
        assert await run(session, code) == "three"


async def test_a_queue_that_another_process_has_is_named(python: str) -> None:
    """A pipe of which both ends are here, and in a process from before."""
    async with Session(python=python) as session:
        await run(
            session,
            SETUP + "queue = context.SimpleQueue()\n"
            "process = context.Process(target=queue.get); process.start()",
        )
        made = await session.snapshot()
        assert any("a rollback loses the pipe to another process" in text for text in made.warnings)
        back = await session.rollback_to(made)
        assert "was a pipe to another process" in back.report
        await run(session, "process.kill(); process.join()")


async def test_shared_memory_comes_back(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "from multiprocessing import shared_memory\n"
            "shared = shared_memory.SharedMemory(create=True, size=5000); shared.buf[:3] = b'one'",
        )
        made = await session.snapshot()
        await run(session, "shared.buf[:3] = b'two'")
        await session.rollback_to(made)
        assert await run(session, "bytes(shared.buf[:3])") == "b'one'"
        await run(session, "shared.close(); shared.unlink()")
