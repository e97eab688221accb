"""What the process that is undone, or a frozen one that is dropped, has and others wait for; and what reaches a frozen process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pyrepl3 import ExecutionError, Session

from .tools import run, until

HELD = {
    "a UDP port": "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {port}))",
    "a TCP port without a listener": "import socket; s = socket.socket(); s.bind(('127.0.0.1', {port}))",
    "a Unix socket's name": "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(chr(0) + 'pyrepl3 {port}')",
    "a lock in shared memory": "import fcntl; f = open('/dev/shm/pyrepl3-{port}', 'w'); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)",
}


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("undone", ["by undo", "by a failure"])
@pytest.mark.parametrize("what", HELD)
async def test_what_was_undone_can_be_done_again_at_once(python: str, what: str, undone: str, unused_port: int) -> None:
    code = HELD[what].format(port=unused_port) + "; big = bytearray(50 << 20)"
    async with Session(python=python, undo=5) as session:
        for _ in range(3):
            if undone == "by undo":
                await run(session, code)
                await session.undo()
            else:
                with pytest.raises(ExecutionError):
                    await session.execute(code + "\n1/0", transaction_policy="rollback_on_failure")
            assert await run(session, "'big' in globals()") is False
        await run(session, code)
        await run(session, "import os; [os.remove(f.name) for f in [globals().get('f')] if f]")


@pytest.mark.parametrize("what", HELD)
async def test_steps_of_undo_hold_on_to_nothing_that_was_closed(python: str, what: str, unused_port: int) -> None:
    code = HELD[what].format(port=unused_port)
    name = "f" if "f = open" in code else "s"
    async with Session(python=python, undo=9) as session:
        for _ in range(3):
            await run(session, code)
            await run(session, f"{name}.close()")
        # What closed it is undone, and done again: it is there, and is not.
        await session.undo()
        with pytest.raises(ExecutionError):
            await run(session, code.replace(f"{name} = ", "other = ").replace(f"{name}.bind", "other.bind").replace("(f,", "(other,"))
        await session.undo()  # what has failed left a step, too
        await run(session, f"{name}.close()")
        await run(session, code)
        await run(session, "import os; [os.remove(f.name) for f in [globals().get('f')] if f]")


FROZEN = dedent("""
    import os, signal, time
    def frozen():
        # Siblings: all are children of session init.
        init = os.getppid()
        pids = open(f"/proc/{init}/task/{init}/children").read().split()
        return [int(pid) for pid in pids if name_of(pid) == "pyrepl3-frozen"]
    def name_of(pid):
        try:
            return open(f"/proc/{pid}/comm").read().strip()
        except OSError:
            return None  # it has just ended
    def to_all(number):
        for pid in frozen(): os.kill(pid, number)
        return len(frozen())
""")
SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGSTOP, signal.SIGCONT, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_to_a_frozen_process_reaches_nobody(python: str, number: signal.Signals) -> None:
    async with Session(python=python) as session:
        await run(session, FROZEN + "seen = []\nsignal.signal(signal.SIGCONT, lambda number, _: seen.append(number))\n0")
        made = await session.snapshot()
        for _ in range(2):
            await until(session, "len(frozen()) == 1")
            assert await run(session, f"to_all({int(number)})") == 1
            back = await session.rollback_to(made)
            assert back.exact, back.report
            assert await run(session, "time.sleep(0.01); seen") == []


async def test_one_that_is_stopped_as_soon_as_it_is_there_is_there(python: str) -> None:
    """It has its name before its word: user code can stop it between the two, and nobody would know whom to let go on."""
    async with Session(python=python) as session:
        await run(session, FROZEN)
        made = await session.snapshot()
        for _ in range(10):
            await run(session, f"while not frozen(): pass\nto_all({int(signal.SIGSTOP)})")
            await session.rollback_to(made)


async def test_one_that_user_code_has_stopped_ends_when_it_is_dropped(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, FROZEN)
        made = await session.snapshot()
        # Its name comes after its word.
        await until(session, "len(frozen()) == 1")
        assert await run(session, f"to_all({int(signal.SIGSTOP)})") == 1
        await session.drop_snapshot(made)
        await until(session, "frozen() == []")


WAKER = """
import os, signal, sys, time
init, end = int(sys.argv[1]), time.monotonic() + 60
while time.monotonic() < end:
    for pid in open(f"/proc/{init}/task/{init}/children").read().split():
        try: os.kill(int(pid), signal.SIGCONT)
        except OSError: pass
"""


async def test_nothing_survives_that_a_worker_starts_which_is_made_to_go_on(python: str) -> None:
    """An older child wakes everything that is stopped, as fast as it can."""
    older = f"""
        import os, subprocess, sys, threading, time
        waker = subprocess.Popen([sys.executable, "-c", {WAKER!r}, str(os.getppid())])
        def starts():
            while True:
                subprocess.Popen(["sleep", "987"], start_new_session=True); time.sleep(0.002)
        def sleepers():
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try: words = open(f"/proc/{{pid}}/cmdline").read().split(chr(0))
                except OSError: continue
                found += [pid] if words[:2] == ["sleep", "987"] else []
            return found
    """
    async with Session(python=python) as session:
        await run(session, dedent(older))
        made = await session.snapshot()
        for _ in range(8):
            await run(session, "threading.Thread(target=starts, daemon=True).start()")
            await until(session, "len(sleepers()) > 5")
            await session.rollback_to(made)
            await until(session, "sleepers() == []")
        await run(session, "waker.kill(); waker.wait()")


@pytest.mark.parametrize("forgotten", ["p.shutdown(wait=False)", "del p"])
async def test_tasks_of_an_executor_that_nobody_has_any_more_end(python: str, forgotten: str) -> None:
    async with Session(python=python) as session:
        code = "import multiprocessing, time\nfrom concurrent.futures import ProcessPoolExecutor\n"
        code += "p = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('fork'))\n"
        await run(session, code + f"task = p.submit(time.sleep, 2); {forgotten}")
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert "ProcessPoolExecutor is gone" in back.report
        assert await run(session, "type(task.exception(20)).__name__") == "BrokenProcessPool"


async def test_workers_that_were_undone_are_no_processes_of_the_users(python: str) -> None:
    """They are ended when nothing else is to be done: the next return may find them still."""
    async with Session(python=python, undo=5) as session:
        made = await session.snapshot("a")
        for number in range(12):
            await run(session, f"x = {number}; big = bytearray(8 << 20)")
            for back in (await session.undo(), await session.redo(), await session.undo(), await session.rollback_to(made)):
                assert "process" not in str(back.report), back.report


async def test_what_is_started_right_after_a_return_goes_on(python: str) -> None:
    """The process that was undone is ended a little later than the return is told."""
    async with Session(python=python) as session:
        await run(session, "import subprocess, time")
        made = await session.snapshot()
        for _ in range(5):
            await session.rollback_to(made)
            await run(session, "child = subprocess.Popen(['sleep', '60'])")
            second = await session.snapshot()
            assert await run(session, "time.sleep(0.05); child.poll() is None") is True
            await run(session, "child.kill(); child.wait()")
            await session.drop_snapshot(second)


INIT = """
import json, os, signal, socket, sys, time, types
package = types.ModuleType("_pyrepl3")
package.__path__ = [sys.argv[1]]
sys.modules["_pyrepl3"] = package
from _pyrepl3 import session, system

system.become_subreaper()
said, say = os.pipe()
told, tell = os.pipe()
old = os.fork()
if old == 0:
    child = os.fork()
    if child == 0:
        os._exit(3)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    os.write(say, str(child).encode())
    os.read(told, 1)
    os.waitpid(child, 0)
    os.write(say, b"taken")
    signal.pause()
child = int(os.read(said, 20))
woken = os.fork()
if woken == 0:
    signal.pause()
ours, theirs = socket.socketpair()
ours.settimeout(30)
init = session.Init(session.Member(theirs.detach(), 2, woken), None)
(member,) = init.members
# The old worker is being ended, and its child has ended: session init will have it, and waits for it.
init.undone.add(old)
init.status(member, {"number": 7, "pid": child, "nohang": False})
assert member.waits == [(7, child)], member.waits
# But a thread of the old one was about to take it.
os.write(tell, b"x")
assert os.read(said, 20) == b"taken"
os.kill(old, signal.SIGKILL)
try:
    while system.born(old) is not None:
        init.reap()
        time.sleep(0.001)
    size = int.from_bytes(ours.recv(4), "big")
    print(ours.recv(size).decode())
finally:
    os.kill(woken, signal.SIGKILL)
    os.waitpid(woken, 0)
"""


def test_a_child_that_the_undone_process_took_at_its_end_is_waited_for_by_nobody() -> None:
    """A thread of the session waited for it for ever, once in some thousand returns."""
    package = Path(__file__).parents[3] / "crates/worker/py"
    said = subprocess.run([sys.executable, "-c", INIT, package], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(said.stdout) == {"t": "status", "number": 7, "status": "unknown"}, said.stderr
