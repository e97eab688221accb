"""Threads: a commit keeps them, a rollback names those that are gone and the locks that they held."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import run, until

COUNTER = dedent("""
    import threading, time
    count, stopped = 0, False
    def work():
        global count
        while not stopped:
            count += 1
            time.sleep(0.001)
    thread = threading.Thread(target=work, name="the counter", daemon=True)
    thread.start()
""")


async def test_a_commit_keeps_threads(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, COUNTER)
        async with session.transaction() as tx:
            before = await run(tx, "count")
        await until(session, f"count > {before} and thread.is_alive()")


async def test_what_is_undone_inside_is_named_before_and_after(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, COUNTER + "import os; x = 1; started = os.getpid()")
        made = await session.snapshot()
        assert made.warnings == ["the thread the counter runs: a rollback loses it"]
        await run(session, "x = 2")
        back = await session.rollback_to(made)
        assert not back.exact
        assert "the thread the counter is gone" in back.report
        assert await run(session, "(x, thread.is_alive(), threading.active_count(), os.getpid() != started)") == (
            "(1, False, 1, True)"
        )
        # What waits for it does not wait for ever, and another one can be started.
        await run(session, "thread.join(); thread = threading.Thread(target=work); thread.start(); before = count")
        await until(session, "count > before")
        await run(session, "stopped = True; thread.join()")


async def test_an_execution_says_so_before_it_runs(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, COUNTER)
        result = await session.execute("1", transaction_policy="rollback_on_failure")
        assert result.warnings == ["the thread the counter runs: a rollback loses it"]


async def test_a_thread_that_began_inside_ends_with_the_rollback(python: str) -> None:
    async with Session(python=python) as session:
        made = await session.snapshot()
        assert made.warnings == []
        await run(session, COUNTER)
        back = await session.rollback_to(made)
        assert back.exact
        assert await run(session, "import threading; (threading.active_count(), 'count' in globals())") == "(1, False)"


HOLDERS = {
    "a global": ("lock = threading.Lock()", "with lock: hold()", "lock"),
    "acquired by hand": ("lock = threading.Lock()", "lock.acquire(); hold()", "lock"),
    "in a frame below": ("lock = threading.Lock()\ndef deep():\n    hold()", "with lock: deep()", "lock"),
    "reentrant": ("lock = threading.RLock()", "with lock:\n    with lock: hold()", "lock"),
    "of a condition": ("lock = threading.Condition()", "with lock: hold()", "lock"),
    "a local variable": ("locks = [threading.Lock()]", "mine = locks[0]\nwith mine: hold()", "locks[0]"),
    "of an object": (
        "class Account: pass\naccount = Account(); account.guard = threading.Lock()",
        "with account.guard: hold()",
        "account.guard",
    ),
    "in a dict": ("locks = {'a': threading.Lock()}", "with locks['a']: hold()", "locks['a']"),
    "while it waits for another": (
        "lock, other = threading.Lock(), threading.Lock()\nother.acquire()",
        "with lock:\n    held.set(); other.acquire()",
        "lock",
    ),
}


@pytest.mark.parametrize("kind", HOLDERS)
async def test_a_lock_of_a_lost_thread_is_not_waited_for(python: str, kind: str) -> None:
    make, body, lock = HOLDERS[kind]
    code = f"import threading\nheld, never = threading.Event(), threading.Event()\n{make}\n"
    code += "def hold():\n    held.set(); never.wait()\n"
    code += "def work():\n" + "\n".join("    " + line for line in body.split("\n")) + "\n"
    code += "thread = threading.Thread(target=work, name='the holder', daemon=True); thread.start(); held.wait()"
    async with Session(python=python) as session:
        await run(session, code)
        if kind == "while it waits for another":
            # It has told of the first one before it waits for the second.
            await until(session, "import sys; sys._current_frames()[thread.ident].f_code.co_name == 'work'")
        made = await session.snapshot()
        assert any("the thread the holder holds the lock" in text for text in made.warnings)
        back = await session.rollback_to(made)
        assert "was held by the thread the holder, which is gone: it is released" in back.report
        assert await run(session, f"{lock}.acquire(timeout=10)") is True
        if kind == "while it waits for another":
            assert await run(session, "other.locked()") is True


async def test_a_thread_that_waits_at_a_condition_holds_no_lock_of_its_own(python: str) -> None:
    # At the moment between: the condition has made the lock by which this thread is woken, and has not let go of its own.
    code = dedent("""
        import threading
        class Slow:
            acquire = release = __enter__ = __exit__ = lambda *_: True
            _is_owned = lambda self: True
            def _release_save(self):
                inside.set(); never.wait()
        inside, never, condition = threading.Event(), threading.Event(), threading.Condition(Slow())
        thread = threading.Thread(target=condition.wait, name="the waiter", daemon=True)
        thread.start(); inside.wait()
    """)
    async with Session(python=python) as session:
        await run(session, code)
        await until(session, "import sys; sys._current_frames()[thread.ident].f_code.co_name == 'wait'")
        made = await session.snapshot()
        assert made.warnings == ["the thread the waiter runs: a rollback loses it"]


WAITERS = {
    "in a with statement": "with lock: pass",
    "by hand": "lock.acquire()",
    "with a limit": "lock.acquire(timeout=1000)",
    "of an object": "self = holder\nwith self.lock: pass",
}


@pytest.mark.parametrize("kind", WAITERS)
async def test_a_lock_that_a_lost_thread_waited_for_stays_its_owners(python: str, kind: str) -> None:
    body = "\n".join("    " + line for line in WAITERS[kind].split("\n"))
    async with Session(python=python) as session:
        await run(
            session,
            "import sys, threading, types\nlock = threading.Lock(); lock.acquire()\n"
            f"holder = types.SimpleNamespace(lock=lock)\nbegun = threading.Event()\n"
            f"def wait():\n    begun.set()\n{body}\n"
            "thread = threading.Thread(target=wait, daemon=True); thread.start(); begun.wait()",
        )
        await until(session, "sys._current_frames()[thread.ident].f_code.co_name == 'wait'")
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert await run(session, "lock.locked()") is True
        assert "the lock" not in back.report


async def test_a_thread_without_a_name_is_named_so(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import _thread, time; begun = []\ndef work(): begun.append(1); time.sleep(1000)")
        await run(session, "_thread.start_new_thread(work, ())")
        await until(session, "begun")
        async with session.transaction() as tx:
            back = await tx.rollback()
        assert "the thread without a name is gone" in back.report


async def test_objects_that_answer_for_others_are_let_be(python: str, tmp_path: Path) -> None:
    """What is looked for among all objects is looked for by type: no code of theirs runs."""
    async with Session(python=python) as session:
        await run(
            session,
            dedent(f"""
                import _thread, asyncio, concurrent.futures, random, time, weakref
                class Target: pass
                class Strange:
                    @property
                    def __class__(self): raise RuntimeError("it was asked")
                proxies = [weakref.proxy(Target()), Strange()]
                def work(proxy, strange): time.sleep(1000)
                _thread.start_new_thread(work, tuple(proxies))
                files, loop = [open({str(tmp_path / "file")!r}, "a"), proxies], asyncio.new_event_loop()
            """),
        )
        made = await session.snapshot()
        await session.rollback_to(made)
        (branch,) = await session.branch(random="split")
        async with branch:
            assert await run(branch, "len(proxies)") == 2


async def test_queues_events_and_executors_go_on(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            dedent("""
                import concurrent.futures, queue, threading
                tasks, simple, event = queue.Queue(), queue.SimpleQueue(), threading.Event()
                for waits in (tasks.get, simple.get, event.wait):
                    threading.Thread(target=waits, daemon=True).start()
                executor = concurrent.futures.ThreadPoolExecutor(2)
                first = executor.submit(pow, 2, 3).result()
                done = executor.submit(int, "7")
                concurrent.futures.wait([done])
            """),
        )
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert "ThreadPoolExecutor" in back.report
        assert await run(session, "(done.result(), list(executor.map(str, range(5))))") == (
            "(7, ['0', '1', '2', '3', '4'])"
        )
        assert await run(session, "tasks.put(1); tasks.get(timeout=10)") == 1
        assert await run(session, "simple.put(2); simple.get(timeout=10)") == 2
        assert await run(session, "event.set(); event.wait(10)") is True
        await run(session, "executor.shutdown()")


async def test_a_task_that_a_lost_thread_was_at_says_so(python: str) -> None:
    """Who waits for it would wait for ever. Tasks that nobody had begun run."""
    async with Session(python=python) as session:
        await run(
            session,
            dedent("""
                import concurrent.futures, threading
                begun, never = threading.Event(), threading.Event()
                executor = concurrent.futures.ThreadPoolExecutor(1)
                running = executor.submit(lambda: begun.set() or never.wait())
                queued = executor.submit(pow, 2, 3)
                begun.wait()
            """),
        )
        made = await session.snapshot()
        await session.rollback_to(made)
        assert await run(session, "type(running.exception(10)).__name__") == "BrokenThreadPool"
        assert await run(session, "executor.submit(pow, 3, 2).result(10), queued.result(10)") == "(9, 8)"
        await run(session, "executor.shutdown()")


@pytest.mark.parametrize("writes", ["print('x' * 1000)", "print('x', file=sys.stderr)", "logging.error('x')"])
async def test_threads_that_print_at_the_moment_of_the_fork(python: str, writes: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import logging, sys, threading\ndef work():\n    while True: " + writes + "\n"
            "for _ in range(3): threading.Thread(target=work, name='the printer', daemon=True).start()",
        )
        for number in range(10):
            made = await session.snapshot()
            if number % 3 == 0:
                back = await session.rollback_to(made)
                assert ("the printer is gone" in back.report) == (number == 0)
                await run(session, "for _ in range(3): threading.Thread(target=work, daemon=True).start()")
            await session.drop_snapshot(made)
        back = await session.rollback_to(await session.snapshot())
        result = await session.execute(f"{writes}; print('still here', flush=True)", timeout=30)
        assert "still here" in result.stdout


async def test_a_stream_that_a_lost_thread_was_writing(python: str) -> None:
    """The thread is in the middle of a write, which holds the lock of the file's buffer."""
    async with Session(python=python) as session:
        await run(
            session,
            dedent("""
                import os, socket, threading
                near, far = socket.socketpair()
                stream = near.makefile("wb")
                text = near.makefile("w")
                def work():
                    while True: stream.write(b"x" * 100_000)
                def work_too():
                    while True: text.write("x" * 100_000)
                for each in (work, work_too):
                    threading.Thread(target=each, name="the writer", daemon=True).start()
            """),
        )
        # Both are stuck in the kernel when the socket is full.
        await until(session, "import select; not select.select([], [near], [], 0.05)[1]")
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert "the thread the writer is gone" in back.report
        assert "was writing" in back.report
        await run(session, "far.setblocking(False)\ntry:\n while far.recv(1 << 20): pass\nexcept BlockingIOError: pass")
        await run(session, "stream.write(b'after'); stream.flush()")
        assert await run(session, "far.recv(1 << 20)") == "b'after'"
        await run(session, "text.write('after'); text.flush()")
        assert await run(session, "far.recv(1 << 20)") == "b'after'"
