"""Threads: a commit, a rollback and a branch keep them, each where it was, with the locks that it held."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import InputMessage, Session

from .tools import WAYS, as_it_was, run, until

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


@pytest.mark.parametrize("way", WAYS)
async def test_a_thread_goes_on(python: str, way: str) -> None:
    async with as_it_was(python, COUNTER, "stopped = True; thread.join(); del thread", way, "count") as session:
        assert await run(
            session,
            "(thread.is_alive(), threading.active_count(), stopped, thread.name,"
            " thread in threading.enumerate(), thread.ident in __import__('sys')._current_frames())",
        ) == "(True, 2, False, 'the counter', True, True)"
        seen = await run(session, "count")
        await until(session, f"count > {seen}")
        # It ends when it is told to, and is seen to end; and another one can be started.
        await run(session, "stopped = True; thread.join(); ended = count")
        assert await run(session, "(thread.is_alive(), threading.active_count())") == "(False, 1)"
        await run(session, "stopped = False; thread = threading.Thread(target=work); thread.start()")
        await until(session, "count > ended")
        await run(session, "stopped = True; thread.join()")


async def test_nothing_is_said_of_threads(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, COUNTER)
        result = await session.execute("1", transaction_policy="rollback_on_failure")
        assert result.warnings == []


async def test_a_thread_that_began_inside_ends_with_the_rollback(python: str) -> None:
    async with Session(python=python) as session:
        made = await session.snapshot()
        assert made.warnings == []
        await run(session, COUNTER)
        back = await session.rollback_to(made)
        assert back.exact
        assert await run(session, "import threading; (threading.active_count(), 'count' in globals())") == "(1, False)"


async def test_a_thread_without_a_name(python: str) -> None:
    """Python's own list of threads does not have it."""
    code = dedent("""
        import _thread, threading
        begun, go, ended = threading.Event(), threading.Event(), threading.Event()
        def work():
            begun.set(); go.wait(); ended.set()
        _thread.start_new_thread(work, ())
        begun.wait()
    """)
    async with as_it_was(python, code, "go.set(); ended.wait()", "twice") as session:
        assert await run(session, "(go.is_set(), ended.is_set(), _thread._count())") == "(False, False, 1)"
        assert await run(session, "go.set(); ended.wait(30)") is True
        await until(session, "_thread._count() == 0")


# ---- locks -------------------------------------------------------------------------------------------------


HOLDERS = {
    "a global": ("lock = threading.Lock()", "with lock: hold()", "lock"),
    "acquired by hand": ("lock = threading.Lock()", "lock.acquire(); hold(); lock.release()", "lock"),
    "in a frame below": ("lock = threading.Lock()\ndef deep():\n    hold()", "with lock: deep()", "lock"),
    "reentrant": ("lock = threading.RLock()", "with lock:\n    with lock: hold()", "lock"),
    "of a condition": ("lock = threading.Condition()", "with lock: hold()", "lock"),
    "a local variable": ("locks = [threading.Lock()]", "mine = locks[0]\nwith mine: hold()", "locks[0]"),
    "of an object": (
        "class Account: pass\naccount = Account(); account.guard = threading.Lock()",
        "with account.guard: hold()",
        "account.guard",
    ),
}


def each_alone(parts: dict[str, tuple[str, str]]) -> str:
    """Code that makes a namespace of its own for each part, runs that part's first code there, and starts a thread that runs
    the second. `on` runs code in all of them and returns its values, by the name of the part."""
    code = dedent("""
        import threading
        places = {}
        def begin(name, make, work):
            place = places[name] = {"threading": threading, "got": [], "tid": None}
            exec(make, place)
            def body():
                place["tid"] = threading.get_native_id()
                exec(work, place)
                place["got"].append(1)
            place["thread"] = threading.Thread(target=body, name=name, daemon=True)
            place["thread"].start()
        def on(codes):
            found = {}
            for name, place in places.items():
                code = codes if type(codes) is str else codes[name]
                *before, last = code.split("; ")
                exec("; ".join(before), place)
                found[name] = eval(last, place)
            return found
        def sleeps(tid):
            # Where it waits is a system call; that it sleeps says that it is there.
            return tid and open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[0] == "S"
    """)
    return code + "".join(f"begin({name!r}, {make!r}, {work!r})\n" for name, (make, work) in parts.items())


@pytest.mark.parametrize("way", WAYS)
async def test_a_lock_stays_the_threads_that_holds_it(python: str, way: str) -> None:
    held = "held, go = threading.Event(), threading.Event()\ndef hold():\n    held.set(); go.wait()\n"
    code = each_alone({name: (held + make, body) for name, (make, body, _) in HOLDERS.items()})
    code += "assert all(place['held'].wait(30) for place in places.values())\n"
    take = {name: f"go.set(); {lock}.acquire(timeout=30)" for name, (_, _, lock) in HOLDERS.items()}
    tried = {name: f"({lock}.acquire(False), thread.is_alive())" for name, (_, _, lock) in HOLDERS.items()}
    # It lets go of it itself, which it could not do with a lock that it does not hold.
    end = {name: f"{lock}.release(); thread.join(); (got, thread.is_alive())" for name, (_, _, lock) in HOLDERS.items()}
    async with as_it_was(python, code, f"on({take})", way) as session:
        assert await found(session, tried) == dict.fromkeys(HOLDERS, "(False, True)")
        assert await found(session, take) == dict.fromkeys(HOLDERS, "True")
        assert await found(session, end) == dict.fromkeys(HOLDERS, "([1], False)")


async def found(session: Session, codes: str | dict[str, str]) -> dict[str, str]:
    """What `on` returns, as texts."""
    texts: dict[str, str] = await run(session, f"{{name: repr(value) for name, value in on({codes!r}).items()}}")
    return texts


WAITERS = {
    "a signal": (
        # Nobody else is to take it: threads that are started later have the same mask.
        "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "signal.sigwait([signal.SIGUSR1])",
        "os.kill(os.getpid(), signal.SIGUSR1)",
    ),
    "a lock": ("lock = threading.Lock(); lock.acquire()", "lock.acquire()", "lock.release()"),
    "a lock with a limit": ("lock = threading.Lock(); lock.acquire()", "lock.acquire(timeout=1000)", "lock.release()"),
    "a reentrant lock": ("lock = threading.RLock(); lock.acquire()", "lock.acquire()", "lock.release()"),
    "an event": ("event = threading.Event()", "event.wait()", "event.set()"),
    "an event with a limit": ("event = threading.Event()", "event.wait(1000)", "event.set()"),
    "a condition": (
        "condition = threading.Condition()",
        "with condition: condition.wait()",
        "with condition: condition.notify()",
    ),
    "a semaphore": ("semaphore = threading.Semaphore(0)", "semaphore.acquire()", "semaphore.release()"),
    "a barrier": ("barrier = threading.Barrier(2)", "barrier.wait()", "barrier.wait()"),
    "a queue": ("import queue; tasks = queue.Queue()", "tasks.get()", "tasks.put(1)"),
    "a queue with a limit": ("import queue; tasks = queue.Queue()", "tasks.get(timeout=1000)", "tasks.put(1)"),
    "a full queue": ("import queue; tasks = queue.Queue(1); tasks.put(1)", "tasks.put(2)", "tasks.get()"),
    "a simple queue": ("import queue; tasks = queue.SimpleQueue()", "tasks.get()", "tasks.put(1)"),
    "a thread": (
        "gate = threading.Event(); other = threading.Thread(target=gate.wait, daemon=True); other.start()",
        "other.join()",
        "gate.set()",
    ),
    "a future": ("from concurrent.futures import Future; future = Future()", "future.result()", "future.set_result(1)"),
    "a pipe": ("import os; r, w = os.pipe()", "os.read(r, 1)", "os.write(w, b'x')"),
    "a full pipe": (
        "import os; r, w = os.pipe(); os.set_blocking(w, False); filled = 0\n"
        "try:\n    while True: filled += os.write(w, bytes(4096))\nexcept BlockingIOError: os.set_blocking(w, True)",
        "os.write(w, b'x')",
        "os.read(r, 8192)",
    ),
    "a socket": ("import socket; near, far = socket.socketpair()", "near.recv(1)", "far.send(b'x')"),
    "a socket with a limit": (
        "import socket; near, far = socket.socketpair(); near.settimeout(1000)",
        "near.recv(1)",
        "far.send(b'x')",
    ),
    "select": ("import os, select; r, w = os.pipe()", "select.select([r], [], [])", "os.write(w, b'x')"),
    "poll": (
        "import os, select; r, w = os.pipe(); poll = select.poll(); poll.register(r, select.POLLIN)",
        "poll.poll()",
        "os.write(w, b'x')",
    ),
    "epoll": (
        "import os, select; r, w = os.pipe(); epoll = select.epoll(); epoll.register(r, select.EPOLLIN)",
        "epoll.poll()",
        "os.write(w, b'x')",
    ),
    "a connection": (
        "import socket; server = socket.create_server(('127.0.0.1', 0))",
        "server.accept()[0].close()",
        "socket.create_connection(server.getsockname()).close()",
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_thread_that_waits_goes_on_waiting(python: str, way: str) -> None:
    # A port is one line's only.
    wanted = {what: parts for what, parts in WAITERS.items() if what != "a connection" or way not in ("branch", "parent")}
    code = each_alone({what: (make, wait) for what, (make, wait, _) in wanted.items()})
    end = {what: f"exec({last!r}); None" for what, (_, _, last) in wanted.items()}
    change = f"on({end!r})\nfor place in places.values(): place['thread'].join()"
    ready = "all(sleeps(place['tid']) for place in places.values())"
    async with as_it_was(python, code, change, way, ready) as session:
        assert await found(session, "(got, thread.is_alive())") == dict.fromkeys(wanted, "([], True)")
        await run(session, f"on({end!r}); None")
        assert await found(session, "thread.join(30); got") == dict.fromkeys(wanted, "[1]")


@pytest.mark.parametrize("way", ["twice", "branch"])
async def test_a_thread_between_the_locks_of_a_condition(python: str, way: str) -> None:
    """The condition has made the lock by which this thread is woken, and has not let go of its own."""
    code = dedent("""
        import threading
        class Slow:
            acquire = release = locked = __enter__ = __exit__ = lambda *_: True
            _is_owned = lambda self: True
            def _release_save(self):
                inside.set(); go.wait()
            def _acquire_restore(self, _): pass
        inside, go, condition = threading.Event(), threading.Event(), threading.Condition(Slow())
        thread = threading.Thread(target=condition.wait, daemon=True)
        thread.start(); inside.wait()
    """)
    async with as_it_was(python, code, "go.set(); condition.notify(); thread.join()", way) as session:
        assert await run(session, "thread.is_alive(), len(condition._waiters)") == "(True, 1)"
        assert await run(session, "go.set(); condition.notify(); thread.join(30); thread.is_alive()") is False


async def test_objects_that_answer_for_others_are_let_be(python: str, tmp_path: Path) -> None:
    """What is looked for among all objects is looked for by type: no code of theirs runs."""
    async with Session(python=python) as session:
        await run(
            session,
            dedent(f"""
                import _thread, asyncio, concurrent.futures.process, multiprocessing.pool, random, time, weakref
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


# ---- executors, timers, output -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_the_tasks_of_an_executor_go_on(python: str, way: str) -> None:
    """One that is done, one at which a thread is, one that waits in the queue."""
    code = dedent("""
        import concurrent.futures, threading
        begun, go = threading.Event(), threading.Event()
        executor = concurrent.futures.ThreadPoolExecutor(1)
        done = executor.submit(pow, 2, 3)
        running = executor.submit(lambda: begun.set() or go.wait())
        queued = executor.submit(pow, 2, 4)
        told = []
        queued.add_done_callback(lambda future: told.append(future.result()))
        begun.wait()
    """)
    async with as_it_was(python, code, "go.set(); queued.result(); executor.shutdown()", way) as session:
        assert await run(session, "done.result(), running.running(), queued.done(), told") == "(8, True, False, [])"
        assert await run(session, "go.set(); running.result(30), queued.result(30)") == "(True, 16)"
        await until(session, "told == [16]")
        assert await run(session, "list(executor.map(str, range(3)))") == ["0", "1", "2"]
        await run(session, "executor.shutdown()")


@pytest.mark.parametrize("writes", ["print('x' * 1000)", "print('x', file=sys.stderr)", "logging.error('x')"])
async def test_threads_that_print_at_the_moment_of_the_fork(python: str, writes: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import logging, sys, threading\ndef work():\n    while not stopped: " + writes + "\n"
            "stopped, threads = False, [threading.Thread(target=work, daemon=True) for _ in range(3)]\n"
            "for each in threads: each.start()",
        )
        for number in range(10):
            made = await session.snapshot()
            if number % 3 == 0:
                back = await session.rollback_to(made)
                assert back.exact
            await session.drop_snapshot(made)
        back = await session.rollback_to(await session.snapshot())
        assert await run(session, "[each.is_alive() for each in threads]") == [True] * 3
        await run(session, "stopped = True\nfor each in threads: each.join()")
        result = await session.execute(f"{writes}; print('still here', flush=True)", timeout=30)
        assert "still here" in result.stdout


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_thread_is_writing_arrives_once(python: str, way: str) -> None:
    """It is stuck in the kernel, in the middle of a write: all comes, in order, nothing of it twice."""
    code = dedent("""
        import select, socket, threading
        near, far = socket.socketpair()
        stream = near.makefile("wb")
        whole = b"".join(b"%07d\\n" % number for number in range(100_000))
        def work():
            stream.write(whole); stream.flush(); near.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=work, daemon=True); thread.start()
        def read():
            with far.makefile("rb") as file: return file.read()
    """)
    full = "not select.select([], [near], [], 0.05)[1]"
    async with as_it_was(python, code, "read()", way, full) as session:
        assert await run(session, "read() == whole") is True
        assert await run(session, "thread.join(); thread.is_alive()") is False


async def test_a_thread_that_asks_for_input_asks_again(python: str) -> None:
    """The question was answered in the line that is undone; in the other one nobody has answered it."""
    async with Session(python=python) as session:
        events = session.events()

        async def question() -> str:
            async for message in events:
                if isinstance(message, InputMessage):
                    return message.id
            raise AssertionError

        await run(
            session,
            "import threading; got, go = [], threading.Event()\ndef work(): go.wait(); got.append(input('name? '))\n"
            "thread = threading.Thread(target=work); thread.start()",
        )
        # When no execution runs, so that the question is the session's.
        await run(session, "threading.Timer(0.2, go.set).start()")
        asked = await asyncio.wait_for(question(), 30)
        made = await session.snapshot()
        await session.input_response(asked, "first")
        assert await run(session, "thread.join(); got") == ["first"]
        await session.rollback_to(made)
        # Before anything is executed: what comes while code runs is told to whoever runs it.
        asked = await asyncio.wait_for(question(), 30)
        assert await run(session, "got") == []
        await session.input_response(asked, "second")
        assert await run(session, "thread.join(); got") == ["second"]


# ---- what differs from version to version -------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_loop_in_a_thread_goes_on(python: str, way: str) -> None:
    """Before Python 3.12 a running loop is the one of a pid."""
    code = dedent("""
        import asyncio, threading
        loop, ticks = asyncio.new_event_loop(), []
        async def tick():
            while True:
                ticks.append(asyncio.get_running_loop() is loop)
                await asyncio.sleep(0.001)
        def inside():
            # In a callback that began before, too.
            begun.set(); go.wait()
            answers.append(asyncio.get_running_loop() is loop)
        begun, go, answers = threading.Event(), threading.Event(), []
        def work():
            asyncio.set_event_loop(loop)
            loop.create_task(tick())
            loop.run_forever()
        thread = threading.Thread(target=work, daemon=True); thread.start()
    """)
    block = "loop.call_soon_threadsafe(inside); begun.wait()"
    stop = "go.set(); loop.call_soon_threadsafe(loop.stop); thread.join()"
    async with as_it_was(python, code + block, stop, way) as session:
        assert await run(session, "thread.is_alive(), answers, loop.is_running()") == "(True, [], True)"
        await run(session, "seen = len(ticks); go.set()")
        await until(session, "len(ticks) > seen + 3 and answers == [True] and all(ticks)")
        look = "async def look(): return asyncio.get_running_loop() is loop\n"
        assert await run(session, look + "asyncio.run_coroutine_threadsafe(look(), loop).result(30)") is True
        await run(session, stop)


@pytest.mark.parametrize("way", ["twice", "kill", "redo"])
async def test_subinterpreters_and_their_threads_go_on(python: str, way: str) -> None:
    code = dedent("""
        import os, threading
        try:
            import _interpreters
        except ImportError:
            _interpreters = None
        else:
            r, w = os.pipe(); back, tell = os.pipe()
            one = _interpreters.create()
            _interpreters.exec(one, "value = [1]")
            inside = f"import os; os.write({tell}, b'b'); value.append(os.read({r}, 1)); os.write({tell}, b'e')"
            thread = threading.Thread(target=_interpreters.exec, args=(one, inside), daemon=True); thread.start()
            os.read(back, 1)
    """)
    async with Session(python=python) as session:
        if not await run(session, "try: import _interpreters\nexcept ImportError: there = False\nelse: there = True\nthere"):
            pytest.skip("this version has no subinterpreters of this kind")
    change = "os.write(w, b'x'); os.read(back, 1); thread.join()"
    async with as_it_was(python, code, change, way) as session:
        assert await run(session, "thread.is_alive(), _interpreters.is_running(one)") == "(True, True)"
        assert await run(session, "os.write(w, b'y'); os.read(back, 1)") == "b'e'"
        await run(session, "thread.join()")
        await run(session, "_interpreters.exec(one, f\"import os; os.write({tell}, repr(value).encode())\")")
        assert await run(session, "os.read(back, 100)") == "b\"[1, b'y']\""
        await run(session, "_interpreters.destroy(one)")
