"""Processes: one engine for all, ended with the last; nothing is left however a client ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import Session, SessionPool
from support import client, engines, eventually, processes


async def test_one_engine_for_all_sessions_and_pools() -> None:
    async with Session() as one, Session() as two, SessionPool() as pool:
        assert len(engines()) == 1
        async with pool.session() as three:
            pids = {(await each.execute("import os; os.getpid()")).value for each in (one, two, three)}
            assert len(pids) == 3
    assert engines() == []


async def test_the_last_shutdown_returns_when_the_engine_is_gone() -> None:
    before = processes()
    one, two = Session(), Session()
    await one.start()
    await two.start()
    await one.shutdown()
    assert len(engines()) == 1
    await two.shutdown()
    assert {pid: command for pid, command in processes().items() if pid not in before} == {}


async def test_a_session_after_the_last_starts_another_engine() -> None:
    for _ in range(3):
        async with Session() as session:
            assert (await session.execute("1")).value == 1
        assert engines() == []


async def test_starts_and_shutdowns_that_overlap() -> None:
    async def life(number: int) -> None:
        for _ in range(3):
            async with Session() as session:
                assert (await session.execute(str(number))).value == number

    await asyncio.gather(*(life(number) for number in range(6)))
    assert engines() == []


async def test_an_engine_for_each_data_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    async with Session(data=tmp_path / "a"), Session(data=str(tmp_path / "link")), Session(data=tmp_path / "b"):
        assert len(engines()) == 2
        async with Session():
            assert len(engines()) == 3
    assert engines() == []


def test_event_loops_of_several_threads_share_the_engine() -> None:
    barrier = threading.Barrier(3)
    counts: list[int] = []

    async def life() -> None:
        async with Session() as session:
            assert (await session.execute("1")).value == 1
            await asyncio.get_running_loop().run_in_executor(None, barrier.wait)
            counts.append(len(engines()))
            await asyncio.get_running_loop().run_in_executor(None, barrier.wait)

    threads = [threading.Thread(target=asyncio.run, args=(life(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1, 1, 1]
    assert engines() == []


def test_a_session_belongs_to_its_event_loop() -> None:
    loop = asyncio.new_event_loop()
    session = Session()
    loop.run_until_complete(session.start())

    async def begin() -> pyrepl3.Execution:
        return session.execute("input()")

    execution = loop.run_until_complete(begin())

    async def elsewhere() -> None:
        with pytest.raises(pyrepl3.SessionClosed, match="event loop"):
            await execution
        with pytest.raises(pyrepl3.SessionClosed, match="event loop"):
            session.execute("1")
        with pytest.raises(pyrepl3.SessionClosed, match="event loop"):
            await session.variables()
        with pytest.raises(pyrepl3.SessionClosed, match="event loop"):
            await session.shutdown()

    asyncio.run(elsewhere())
    loop.run_until_complete(session.shutdown())
    loop.close()


async def test_an_engine_that_is_killed_ends_everything_and_another_starts() -> None:
    session = Session()
    await session.start()
    execution = session.execute("while True: pass")
    (engine,) = engines()
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(pyrepl3.SessionLost, match="SIGKILL"):
        await execution
    async with Session() as other:
        assert (await other.execute("1")).value == 1
    await session.shutdown()


# ---- without a shutdown ----------------------------------------------------------------------------------------


async def test_a_session_that_nobody_refers_to_is_ended() -> None:
    async with Session() as keeper:
        before = set(processes())
        session = Session(on_input=lambda message: "x")
        await session.start()
        session.execute("while True: pass")
        del session
        gc.collect()
        while not set(processes()) <= before:
            await keeper.status()


async def test_the_last_session_that_nobody_refers_to_ends_the_engine() -> None:
    session = Session()
    await session.start()
    del session
    gc.collect()
    await asyncio.sleep(0)
    await asyncio.get_running_loop().run_in_executor(None, eventually, lambda: engines() == [])


async def test_a_pool_and_a_loan_that_nobody_refers_to_are_ended() -> None:
    async with Session() as keeper:
        before = set(processes())
        pool = SessionPool()
        await pool.start()
        session = await pool.acquire()
        await session.execute("x = 1")
        del session, pool
        gc.collect()
        while not set(processes()) <= before:
            await keeper.status()


@pytest.mark.filterwarnings("error")
def test_an_event_loop_that_is_closed_without_a_shutdown(capfd: pytest.CaptureFixture[str]) -> None:
    kept: list[Any] = []

    async def careless() -> None:
        session = Session()
        await session.start()
        kept.append(session)
        kept.append(session.execute("while True: pass"))
        kept.append(session.execute("input()").__aiter__())

    for _ in range(2):
        asyncio.run(careless())
    kept.clear()
    gc.collect()
    eventually(lambda: engines() == [])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_shutdown_after_its_event_loop_was_closed() -> None:
    loop = asyncio.new_event_loop()
    session = Session()
    loop.run_until_complete(session.start())
    loop.close()
    asyncio.run(session.shutdown())
    assert session.closed
    eventually(lambda: engines() == [])


def run(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs another client to its end."""
    return subprocess.run(client(code), capture_output=True, text=True, timeout=100, **more)


@pytest.mark.parametrize("options", [[], ["-X", "dev"]], ids=["plain", "dev"])
def test_an_exit_without_a_shutdown_leaves_nothing_and_says_nothing(options: list[str]) -> None:
    code = (
        "import asyncio, pyrepl3, pyrepl3.sync\n"
        "async def main():\n"
        "    global s, e\n"
        "    s = pyrepl3.Session(); await s.start(); e = s.execute('while True: pass')\n"
        "asyncio.run(main())\n"
        "b = pyrepl3.sync.Session(); b.start()\n"
        "p = pyrepl3.sync.SessionPool(); p.start(); l = p.acquire()\n"
        "print(b.execute('40 + 2').value)\n"
    )
    command = client(code)
    found = subprocess.run([command[0], *options, *command[1:]], capture_output=True, text=True, timeout=100)
    assert (found.returncode, found.stdout) == (0, "42\n")
    assert "Exception ignored" not in found.stderr
    assert "Traceback" not in found.stderr
    if not options:
        assert found.stderr == ""


def test_an_exit_while_threads_block() -> None:
    found = run(
        "import threading, pyrepl3\n"
        "asked = threading.Event()\n"
        "def on_input(message):\n    asked.set()\n    threading.Event().wait()\n"
        "s = pyrepl3.sync.Session(on_input=on_input); s.start()\n"
        "s.execute('import threading; threading.Timer(0.05, input).start()')\n"
        "asked.wait()\n"
        "threading.Thread(target=s.execute, args=('while True: pass',), daemon=True).start()\n"
        "while not s.status().running: pass\n"
        "print('leaving')\n"
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "leaving\n", "")


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_that_is_killed_leaves_nothing(kind: signal.Signals) -> None:
    before = set(processes())
    code = (
        "import asyncio, pyrepl3\n"
        "async def main():\n"
        "    async with pyrepl3.Session() as one, pyrepl3.Session() as two, pyrepl3.SessionPool(min_idle=2) as pool:\n"
        "        await pool.acquire()\n"
        '        one.execute(\'import subprocess; subprocess.run(["sleep", "1000"])\')\n'
        "        async for m in two.execute('print(1)\\nwhile True: pass'):\n"
        "            print('ready', flush=True)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(client(code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(set(processes()) - before) > 5
        process.send_signal(kind)
    eventually(lambda: set(processes()) <= before, lambda: processes())


# ---- fork ------------------------------------------------------------------------------------------------------


def in_child(function: Any) -> str:
    """Runs a function in a forked child; returns what it returned, or raised, as text."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of forks with threads.
        pid = os.fork()
    if pid == 0:
        try:
            text = f"returned {function()}"
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        gc.collect()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        found = file.read()
    os.waitpid(pid, 0)
    return found


async def test_sessions_do_not_follow_a_fork() -> None:
    async with Session() as session, SessionPool() as pool:
        found = in_child(lambda: session.execute("1"))
        assert found.startswith("SessionClosed: this session belongs to another process")
        found = in_child(lambda: asyncio.run(pool.acquire()))
        assert "belongs to another process" in found
        # In the parent nothing has changed.
        assert (await session.execute("1 + 1")).value == 2
        async with pool.session() as lent:
            assert (await lent.execute("3")).value == 3


async def test_a_forked_child_may_drop_our_sessions_and_start_its_own() -> None:
    session = Session()
    await session.start()
    holder = [session]

    def child() -> Any:
        holder.clear()
        gc.collect()

        async def own() -> Any:
            async with Session() as other:
                return (await other.execute("40 + 2")).value

        # In a thread, since this one runs an event loop already.
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(asyncio.run(own())))
        thread.start()
        thread.join()
        return results[0]

    assert in_child(child) == "returned 42"
    assert (await session.execute("1 + 1")).value == 2
    await session.shutdown()


def test_blocking_sessions_do_not_follow_a_fork_either() -> None:
    with pyrepl3.sync.Session() as session:
        assert "belongs to another process" in in_child(lambda: session.execute("1"))

        def own() -> Any:
            with pyrepl3.sync.Session() as other:
                return other.execute("40 + 2").value

        assert in_child(own) == "returned 42"
        assert session.execute("1").value == 1


def test_descriptors_are_not_inherited_by_programs() -> None:
    def inherited() -> int:
        code = "import os; print(len(os.listdir('/proc/self/fd')))"
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, capture_output=True, text=True, close_fds=False).stdout)

    before = inherited()
    with pyrepl3.sync.Session() as session:
        session.execute("1")
        assert inherited() == before


async def test_no_descriptor_is_lost() -> None:
    async def life() -> None:
        async with Session() as session:
            await session.execute("1")

    await life()
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await life()
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_engine_that_died_unseen_is_replaced() -> None:
    loop = asyncio.new_event_loop()
    session = Session()
    loop.run_until_complete(session.start())
    (engine,) = engines()
    os.kill(engine, signal.SIGKILL)
    os.waitid(os.P_PID, engine, os.WEXITED | os.WNOWAIT)

    async def elsewhere() -> None:
        async with Session() as other:  # Its event loop did not see that end.
            assert (await other.execute("1")).value == 1

    asyncio.run(elsewhere())
    loop.run_until_complete(session.shutdown())
    loop.close()
