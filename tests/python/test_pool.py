"""Pools."""

from __future__ import annotations

import asyncio
import gc

import pytest

import pyrepl3
from pyrepl3 import ExecutionError, PoolConfig, Session, SessionPool


async def value(session: Session, code: str) -> object:
    return (await session.execute(code)).value


async def test_sessions_are_warm_and_pristine() -> None:
    async with SessionPool(
        PoolConfig(min_idle=1, max_sessions=3, warmup_code="import colorsys\nready = [1]", preload=["csv"])
    ) as pool:
        async with pool.session() as session:
            assert await value(session, "import sys; 'csv' in sys.modules and colorsys.__name__") == "colorsys"
            await session.execute("ready.append(2); mine = 1")
        async with pool.session() as session:
            assert await value(session, "ready") == [1]
            assert await value(session, "'mine' in dir()") is False


async def test_a_kept_session_keeps_its_state() -> None:
    async with SessionPool(min_idle=1, max_sessions=1, reset="keep") as pool:
        session = await pool.acquire()
        await session.execute("mine = 1")
        await pool.release(session)
        async with pool.session() as again:
            assert await value(again, "mine") == 1
            assert not again.closed
        assert session.closed


async def test_a_session_that_was_given_back_is_of_no_use() -> None:
    async with SessionPool() as pool:
        session = await pool.acquire()
        await session.execute("1")
        await pool.release(session)
        assert session.closed
        with pytest.raises(pyrepl3.SessionClosed, match="given back"):
            session.execute("1")
        with pytest.raises(pyrepl3.SessionClosed, match="given back"):
            await session.variables()
        with pytest.raises(pyrepl3.Pyrepl3Error, match="given back already") as caught:
            await pool.release(session)
        assert caught.value.code == "not_acquired"


async def test_a_session_from_elsewhere_cannot_be_given_back() -> None:
    async with SessionPool() as pool, SessionPool() as other, Session() as session:
        lent = await other.acquire()
        for foreign in (session, lent, Session()):
            with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
                await pool.release(foreign)
            assert caught.value.code == "not_acquired"
        await other.release(lent)


async def test_a_loan_cannot_be_shut_down() -> None:
    async with SessionPool() as pool:
        session = await pool.acquire()
        with pytest.raises(pyrepl3.BadRequest, match="release"):
            await session.shutdown()
        assert await value(session, "1") == 1
        await pool.release(session)


async def test_a_busy_session_cannot_be_given_back() -> None:
    async with SessionPool() as pool:
        session = await pool.acquire()
        execution = session.execute("input()")
        async for _ in execution:
            break
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await pool.release(session)
        assert caught.value.code == "busy"
        await session.interrupt()
        with pytest.raises(ExecutionError):
            await execution
        await pool.release(session)


async def test_leaving_the_block_stops_what_still_runs() -> None:
    async with SessionPool(max_sessions=1) as pool:
        with pytest.raises(asyncio.TimeoutError):
            async with pool.session() as session:
                queued = session.execute("1")
                await queued
                await asyncio.wait_for(session.execute("while True: pass"), 0.05)
        async with pool.session() as session:
            running = session.execute("while True: pass")
            queued = session.execute("ran = True")
        for execution in (running, queued):
            with pytest.raises(pyrepl3.Pyrepl3Error):
                await execution
        assert (await pool.stats()).leased == 0


async def test_a_task_that_is_cancelled_in_the_block_gives_back() -> None:
    async with SessionPool(max_sessions=1) as pool:

        async def work() -> None:
            async with pool.session() as session:
                inside.set()
                await session.execute("while True: pass")

        inside = asyncio.Event()
        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with pool.session(timeout=20) as session:
            assert await value(session, "1") == 1


async def test_a_full_pool_times_out() -> None:
    async with SessionPool(max_sessions=1, acquire_timeout=0.05) as pool:
        async with pool.session():
            with pytest.raises(pyrepl3.PoolTimeout) as caught:
                await pool.acquire()
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.code == "pool_timeout"
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=0)
            with pytest.raises(ValueError):
                await pool.acquire(timeout=-1)
        assert (await pool.stats()).timeouts == 2


async def test_who_waits_gets_the_next_that_is_free() -> None:
    async with SessionPool(max_sessions=1, acquire_timeout=60) as pool:

        async def work() -> object:
            async with pool.session() as session:
                return await value(session, "1")

        first = await pool.acquire()
        waiting = [asyncio.create_task(work()) for _ in range(3)]
        while (await pool.stats()).waiting < 3:
            pass
        cancelled = waiting.pop(1)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await pool.release(first)
        assert await asyncio.gather(*waiting) == [1, 1]


async def test_acquires_that_are_cancelled_at_any_moment_lose_no_session() -> None:
    async with SessionPool(min_idle=1, max_sessions=2, acquire_timeout=60) as pool:
        for turns in range(30):
            task = asyncio.create_task(pool.acquire())
            for _ in range(turns % 10):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                await pool.release(task.result())
        both = [await pool.acquire(timeout=60) for _ in range(2)]
        for session in both:
            await pool.release(session)


async def test_a_loan_that_crashes_is_replaced() -> None:
    async with SessionPool(max_sessions=1) as pool:
        async with pool.session() as session:
            with pytest.raises(ExecutionError):
                await session.execute("import os; os._exit(1)")
        async with pool.session(timeout=60) as session:
            assert await value(session, "1") == 1


async def test_a_loan_that_nobody_refers_to_comes_free() -> None:
    async with SessionPool(max_sessions=1, acquire_timeout=60) as pool:
        session = await pool.acquire()
        await session.execute("x = 1")
        del session
        gc.collect()
        async with pool.session() as session:
            assert await value(session, "'x' in dir()") is False


async def test_warm_up_code_that_fails() -> None:
    with pytest.raises(pyrepl3.EnvironmentFailed, match="ZeroDivisionError"):
        await SessionPool(warmup_code="1 / 0").start()


async def test_shutdown_ends_the_loans_too_and_may_be_repeated() -> None:
    pool = SessionPool()
    await pool.start()
    await pool.start()
    session = await pool.acquire()
    execution = session.execute("while True: pass")
    await asyncio.gather(pool.shutdown(), pool.stop())
    await pool.shutdown()
    assert session.closed
    with pytest.raises(pyrepl3.Pyrepl3Error):
        await execution
    with pytest.raises(pyrepl3.SessionClosed):
        session.execute("1")
    for call in (pool.acquire, pool.stats, pool.start):
        with pytest.raises(pyrepl3.PoolClosed, match="shut down"):
            await call()
    with pytest.raises(pyrepl3.PoolClosed):
        await pool.release(session)


async def test_stats() -> None:
    async with SessionPool(min_idle=2, max_sessions=4) as pool:
        assert pool.id.startswith("pol_")
        async with pool.session():
            found = await pool.stats()
        assert found.leased == 1
        assert found.hits + found.misses == 1
        assert 0 <= found.wait_seconds.p50 <= found.wait_seconds.p99 <= found.wait_seconds.max


async def test_on_input_of_a_pool() -> None:
    async with SessionPool(on_input=lambda message: "from the pool") as pool, pool.session() as session:
        assert await value(session, "input()") == "from the pool"


async def test_many_loans_at_once() -> None:
    async with SessionPool(min_idle=2, max_sessions=4, acquire_timeout=60) as pool:

        async def work(number: int) -> object:
            async with pool.session() as session:
                return await value(session, f"'mine' in dir(), globals().__setitem__('mine', 1), {number}\n{number}")

        assert await asyncio.gather(*(work(number) for number in range(20))) == list(range(20))
        assert (await pool.stats()).leased == 0


async def test_sessions_of_a_pool_undo() -> None:
    config = PoolConfig(min_idle=1, max_sessions=1, reset="keep", default_policy="rollback_on_failure", undo=3)
    async with SessionPool(config) as pool:
        async with pool.session() as session:
            await session.execute("x = [1]")
            with pytest.raises(ExecutionError) as caught:
                await session.execute("x.append(2); 1 / 0")
            assert caught.value.message.rolled_back
            assert caught.value.message.undone == [2]
            await session.execute("x.append(3)")
            assert (await session.undo()).undone == [3]
            assert await value(session, "x") == [1]
            await session.execute("x.append('never committed')", transaction_policy="explicit")
        # It was given back within a transaction: that is undone, and its steps of undo are nobody else's.
        async with pool.session() as again:
            with pytest.raises(pyrepl3.NothingToUndo):
                await again.undo()
            assert await value(again, "x") == [1]
    with pytest.raises(pyrepl3.BadValue):
        PoolConfig(default_policy="sometimes")
