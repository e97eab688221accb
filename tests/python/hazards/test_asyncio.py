"""asyncio: a loop that wakes in another process works there, with the tasks that it had."""

from __future__ import annotations

import asyncio
from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import run, until

BACKGROUND = dedent("""
    import asyncio
    count, gate = 0, asyncio.Event()
    async def work():
        global count
        while True:
            await asyncio.sleep(0.001)
            count += 1
    async def wait():
        await gate.wait()
        return "through the gate"
    ticking, waiting = asyncio.create_task(work()), asyncio.create_task(wait())
    await asyncio.sleep(0)
""")

EVERYTHING = {
    "sleep": "await asyncio.sleep(0.01, 'done')",
    "a thread": "await asyncio.to_thread(str.upper, 'done')",
    "from another thread": """
        import threading
        future = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, 'done')).start()
        await future
    """,
    "a subprocess": """
        process = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
        out, _ = await process.communicate(b'done')
        (out, process.returncode)
    """,
    "a server and its client": """
        async def serve(reader, writer):
            writer.write(await reader.readline()); await writer.drain(); writer.close()
        server = await asyncio.start_server(serve, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b'done\\n')
        line = await reader.readline()
        writer.close(); server.close()
        line
    """,
    "a signal": """
        import os, signal
        got, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, got.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(got.wait(), 10)
        loop.remove_signal_handler(signal.SIGUSR1)
        'done'
    """,
    "a time limit": """
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except asyncio.TimeoutError:
            outcome = 'done'
        outcome
    """,
}


async def test_tasks_go_on_where_they_were(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, BACKGROUND)
        made = await session.snapshot()
        assert made.warnings == []
        before = await run(session, "count")
        await until(session, f"count > {before} + 20")
        await run(session, "gate.set(); ticking.cancel(); await waiting")
        back = await session.rollback_to(made)
        assert back.exact
        seen = await run(session, "count")
        assert await run(session, "waiting.done(), ticking.done(), gate.is_set()") == "(False, False, False)"
        await until(session, f"count > {seen}")
        assert await run(session, "gate.set(); await waiting") == "through the gate"


@pytest.mark.parametrize("what", EVERYTHING)
async def test_everything_works_after_a_rollback_and_in_a_branch(python: str, what: str) -> None:
    code = dedent(EVERYTHING[what])
    async with Session(python=python) as session:
        await run(session, BACKGROUND)
        expected = await run(session, code)
        assert "done" in expected.lower()
        made = await session.snapshot()
        await run(session, code)
        await session.rollback_to(made)
        (branch,) = await session.branch()
        async with branch:
            found = await asyncio.gather(run(session, code), run(branch, code))
            assert list(found) == [expected] * 2
            before = await run(branch, "count")
            await until(branch, f"count > {before}")


async def test_a_loop_of_the_users_own(python: str) -> None:
    """Not the session's: it runs when the user runs it."""
    async with Session(python=python) as session:
        await run(
            session,
            dedent("""
                import asyncio, threading
                loop = asyncio.new_event_loop()
                async def woken():
                    future = loop.create_future()
                    threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "woken")).start()
                    return await asyncio.wait_for(future, 20)
                task = loop.create_task(asyncio.sleep(0, "later"))
                loop.run_until_complete(woken())
            """),
        )
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert back.exact
        branches = await session.branch(2)
        try:
            # All at once: none takes the bytes by which another one is woken.
            for _ in range(5):
                found = await asyncio.gather(
                    *(run(each, "loop.run_until_complete(woken())") for each in [session, *branches])
                )
                assert found == ["woken"] * 3
        finally:
            for each in branches:
                await each.shutdown()


async def test_a_failure_inside_of_await_is_undone(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, BACKGROUND + "\nx = 1")
        for _ in range(3):
            with pytest.raises(Exception, match="ValueError"):
                await session.execute(
                    "x = 2; await asyncio.sleep(0); raise ValueError", transaction_policy="commit_on_success"
                )
            assert await run(session, "await asyncio.sleep(0, x)") == 1
