"""Processes that user code starts, and its view of its children: the frozen process is none of them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
import support

from pyrepl3 import ExecutionError, Session

from .tools import alive, comes_true, run, until

MEMBER = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "1000"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
os.wait()
print(child.pid, os.getpid(), flush=True)
time.sleep(1000)
"""
ZOMBIE = """
def has_zombie():
    with open("/proc/thread-self/children") as children:
        return any(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z" for pid in children.read().split())
"""
ZOMBIES = """
def zombies():
    with open("/proc/thread-self/children") as children:
        pids = [int(pid) for pid in children.read().split()]
    return [pid for pid in pids if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"]
"""
FAMILY = f"""
import subprocess, sys
family = subprocess.Popen([sys.executable, "-Ic", {MEMBER!r}], stdout=subprocess.PIPE)
members = [int(word) for _ in range(2) for word in family.stdout.readline().split()]
"""
"""A child; its child; and one that hides: in a session of its own, and its parent gone."""


async def test_what_was_started_inside_ends_with_the_rollback(python: str) -> None:
    async with Session(python=python) as session:
        async with session.transaction() as tx:
            await run(tx, FAMILY)
            members = await run(tx, "members")
            assert len(members) == 3
            assert all(alive(pid) for pid in members)
            back = await tx.rollback()
        await comes_true(lambda: not any(alive(pid) for pid in members))
        for pid in members:
            assert f"(process {pid})" in back.report.partition("Ended with it:")[2]
        assert await run(session, "'family' in globals()") is False


async def test_what_was_started_inside_stays_with_a_commit(python: str) -> None:
    async with Session(python=python) as session:
        async with session.transaction() as tx:
            await run(tx, FAMILY)
        members = await run(session, "members")
        assert all(alive(pid) for pid in members)
    assert not any(alive(pid) for pid in members)


@pytest.mark.parametrize("how", ["wait()", "poll()", "communicate()", "wait(timeout=10)"])
async def test_a_process_from_before_tells_how_it_ended(python: str, how: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import subprocess\n"
            "short = subprocess.Popen(['sh', '-c', 'kill -TERM $$'])\n"
            "long = subprocess.Popen(['sleep', '1000'])",
        )
        pid = await run(session, "long.pid")
        made = await session.snapshot()
        back = await session.rollback_to(made)
        assert alive(pid)
        assert "Ended with it" not in back.report
        assert await run(session, "long.poll() is None") is True
        assert await run(session, "short.wait()") == -15
        await run(session, "long.kill()")
        if how == "poll()":
            await until(session, "long.poll() is not None")
        await run(session, f"long.{how}")
        assert await run(session, "long.returncode") == -9


async def test_an_environment_that_imports_subprocess_by_itself(python: str, tmp_path: Path) -> None:
    """It is there before anything can be put in place of `os.waitpid`."""
    (tmp_path / "usercustomize.py").write_text("import subprocess")
    (tmp_path / "sitecustomize.py").write_text("import subprocess")
    async with Session(python=python, env={"PYTHONPATH": str(tmp_path)}) as session:
        assert await run(session, "import sys; 'subprocess' in sys.modules") in (True, False)
        await run(session, "import subprocess; child = subprocess.Popen(['sleep', '1000'])")
        await session.rollback_to(await session.snapshot())
        assert await run(session, "child.poll() is None") is True
        assert await run(session, "child.kill(); child.wait()") == -9


async def test_a_pipe_that_is_closed_inside_is_closed(python: str) -> None:
    """A process from before waits for its end-of-file: the frozen process must not keep it open."""
    async with Session(python=python) as session:
        await run(
            session,
            "import subprocess; from subprocess import PIPE\n"
            "cat = subprocess.Popen(['cat'], stdin=PIPE, stdout=PIPE)\n"
            "yes = subprocess.Popen(['yes'], stdout=PIPE)\n"
            "yes.stdout.readline()",
        )
        async with session.transaction() as tx:
            assert await run(tx, "cat.stdin.close(); cat.stdout.read(), cat.wait()") == "(b'', 0)"
            assert await run(tx, "yes.stdout.close(); yes.wait()") == -13


async def test_a_pipe_to_a_process_from_before_is_named(python: str) -> None:
    async with Session(python=python) as session:
        await run(
            session,
            "import subprocess; from subprocess import PIPE\ncat = subprocess.Popen(['cat'], stdin=PIPE, stdout=PIPE)",
        )
        made = await session.snapshot()
        assert any("pipe" in text for text in made.warnings)
        back = await session.rollback_to(made)
        assert back.report.count("was a pipe to another process: it is closed") == 2
        # With both of its writers gone it ends.
        assert await run(session, "cat.stdout.read(), cat.wait()") == "(b'', 0)"


NO_CHILDREN = {
    "wait": "os.wait()",
    "waitpid": "os.waitpid(-1, 0)",
    "waitpid, without waiting": "os.waitpid(-1, os.WNOHANG)",
    "waitpid, of the group": "os.waitpid(0, 0)",
    "wait3": "os.wait3(0)",
    "wait4": "os.wait4(-1, 0)",
    "waitid": "os.waitid(os.P_ALL, 0, os.WEXITED)",
}


@pytest.mark.parametrize("how", NO_CHILDREN)
async def test_there_is_nothing_to_wait_for(python: str, how: str) -> None:
    code = f"import os\ntry: {NO_CHILDREN[how]}\nexcept ChildProcessError: outcome = 'no children'\noutcome"
    async with Session(python=python, undo=3) as session:
        for _ in range(2):
            assert await run(session, code) == "no children"
            made = await session.snapshot()
            assert await run(session, code) == "no children"
            await session.rollback_to(made)
        await session.drop_snapshot(made)
        assert await run(session, code) == "no children"


async def test_the_frozen_process_is_not_the_child_that_is_waited_for(python: str) -> None:
    async with Session(python=python) as session:
        async with session.transaction() as tx:
            for wait in ("os.wait()[0]", "os.waitpid(-1, 0)[0]", "os.wait3(0)[0]", "os.wait4(-1, 0)[0]"):
                assert await run(tx, f"import os; pid = os.spawnlp(os.P_NOWAIT, 'true', 'true'); pid == {wait}") is True
            code = "pid = os.spawnlp(os.P_NOWAIT, 'true', 'true'); pid == os.waitid(os.P_ALL, 0, os.WEXITED).si_pid"
            assert await run(tx, code) is True


async def test_signals_to_the_group_do_not_reach_the_frozen_process(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import os, signal; got = []; x = 1")
        await run(session, "signal.signal(signal.SIGTERM, lambda *_: got.append(1))")
        made = await session.snapshot()
        for call in ("os.killpg(0, signal.SIGTERM)", "os.kill(0, signal.SIGTERM)", "os.killpg(os.getpgrp(), 15)"):
            await run(session, call)
        await run(session, "x = 2")
        assert await run(session, "got") == [1, 1, 1]
        assert (await session.rollback_to(made)).exact
        assert await run(session, "got, x") == "([], 1)"
        # The worker itself dies of it where nothing handles it, and its state comes back.
        code = "x = 3; os.killpg(0, signal.SIGKILL)"
        execution = session.execute(code, transaction_policy="rollback_on_failure")
        with pytest.raises(ExecutionError) as caught:
            await execution
        assert (caught.value.message.status, caught.value.message.rolled_back) == ("crashed", True)
        assert await run(session, "x") == 1


async def test_the_end_of_a_frozen_process_is_no_signal(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import os, signal; got = []; signal.signal(signal.SIGCHLD, lambda *_: got.append(1))")
        for _ in range(3):
            async with session.transaction() as tx:
                await run(tx, "x = 1")
        assert await run(session, "got") == []
        await run(session, "os.waitpid(os.spawnlp(os.P_NOWAIT, 'true', 'true'), 0)")
        await until(session, "got == [1]")


async def test_one_signal_for_a_frozen_process_and_one_of_the_users(python: str) -> None:
    """It comes when the user's child was waited for already, and before that is counted."""
    async with Session(python=python) as session:
        await run(session, "import os, signal, sys; got = []; signal.signal(signal.SIGCHLD, lambda *_: got.append(1))")
        await run(session, "change = lambda how: signal.pthread_sigmask(how, [signal.SIGCHLD]); change(signal.SIG_BLOCK)")
        async with session.transaction() as tx:
            await run(tx, "x = 1")
        await run(session, ZOMBIE)
        await until(session, "has_zombie()")
        code = """
            children = sys.modules["_pyrepl3.children"]
            waited = children._waitpid
            def wait(*arguments):
                found = waited(*arguments)
                change(signal.SIG_UNBLOCK)
                return found
            children._waitpid = wait
            try: os.waitpid(os.spawnlp(os.P_NOWAIT, "true", "true"), 0)
            finally: children._waitpid = waited"""
        await run(session, textwrap.dedent(code))
        assert await run(session, "got") == [1]


HANDLER = """
import os, signal, sys
got = []
signal.signal(signal.SIGCHLD, lambda *_: got.append(1))
def change(how): signal.pthread_sigmask(how, [signal.SIGCHLD])
def run_one(): return os.spawnlp(os.P_NOWAIT, "true", "true")
"""


async def ends_unseen(session: Session, snapshot: Any) -> None:
    """The frozen process of a snapshot ends, and its signal is pending."""
    await run(session, "change(signal.SIG_BLOCK)")
    await session.drop_snapshot(snapshot)
    await until(session, "any(each not in mine for each in zombies())")


async def test_a_signal_that_was_told_while_its_child_was_waited_for_is_not_told_again(python: str) -> None:
    """It comes within the wait, before that can be counted; the next one of a frozen process is none of the user's."""
    async with Session(python=python) as session:
        made = await session.snapshot()
        await run(session, HANDLER + ZOMBIES + "mine = []")
        for wait in ("os.waitpid(run_one(), 0)", "run_one(); os.wait()", "os.waitid(os.P_PID, run_one(), os.WEXITED)"):
            await run(session, f"got.clear(); {wait}")
            assert await run(session, "got") == [1]
            await ends_unseen(session, made)
            await run(session, "change(signal.SIG_UNBLOCK)")
            assert await run(session, "got") == [1]
            made = await session.snapshot()


async def test_a_zombie_of_the_users_is_told_once(python: str) -> None:
    async with Session(python=python) as session:
        made = await session.snapshot()
        await run(session, HANDLER + ZOMBIES + "mine = [run_one()]")
        await until(session, "got == [1] and zombies() == mine")
        await ends_unseen(session, made)
        await run(session, "change(signal.SIG_UNBLOCK)")
        assert await run(session, "got") == [1]
        # Another one is news, also where its signal and a frozen process's are one; waiting for them is none.
        made = await session.snapshot()
        await ends_unseen(session, made)
        await run(session, "mine.append(run_one())")
        await until(session, "set(mine) <= set(zombies())")
        await run(session, "change(signal.SIG_UNBLOCK)")
        assert await run(session, "got") == [1, 1]
        assert await run(session, "[os.waitpid(pid, 0)[1] for pid in mine]") == [0, 0]
        assert await run(session, "got") == [1, 1]


async def test_a_signal_that_comes_while_another_is_looked_into(python: str) -> None:
    """A second frozen process ends while the first one is reaped: its signal comes when it has been reaped, too."""
    async with Session(python=python) as session:
        made = await session.snapshot()
        await run(session, HANDLER + ZOMBIES + "mine = []")
        await ends_unseen(session, made)
        code = """
            children = sys.modules["_pyrepl3.children"]
            waited = children._waitpid
            def wait(*arguments):
                found = waited(*arguments)
                if found[0]:
                    seen.append(found[0])
                    signal.raise_signal(signal.SIGCHLD)
                return found
            seen = []
            children._waitpid = wait
            try: change(signal.SIG_UNBLOCK)
            finally: children._waitpid = waited"""
        await run(session, textwrap.dedent(code))
        assert await run(session, "len(seen), got") == "(1, [])"
        # What is nobody's end is the user's.
        await run(session, "signal.raise_signal(signal.SIGCHLD)")
        assert await run(session, "got") == [1]


@pytest.mark.parametrize("where", ["quiet", "_is_about_to_begin", "heard", "reap", "zombies", "_let_signals_come"])
async def test_a_signal_that_comes_before_another_is_looked_into(python: str, where: str) -> None:
    """At a call of the handler's, which looks at both then."""
    async with Session(python=python) as session:
        made = await session.snapshot()
        await run(session, HANDLER + ZOMBIES + "mine = []")
        await ends_unseen(session, made)
        code = f"""
            def profile(frame, event, argument):
                if event == "call" and frame.f_code.co_name == {where!r} and not came:
                    came.append(1)
                    signal.raise_signal(signal.SIGCHLD)
            came = []
            sys.setprofile(profile)
            change(signal.SIG_UNBLOCK)
            sys.setprofile(None)"""
        await run(session, textwrap.dedent(code))
        assert await run(session, "came, got") == "([1], [])"


async def test_a_thread_that_waits_and_a_frozen_process_that_ends(python: str) -> None:
    async with Session(python=python) as session:
        made = await session.snapshot()
        await run(session, HANDLER + ZOMBIES + "import threading\nread, write = os.pipe(); mine = []")
        await run(session, "pid = os.fork()\nif pid == 0:\n    os.close(write); os.read(read, 1); os._exit(0)")
        await run(session, "thread = threading.Thread(target=os.waitpid, args=(pid, 0)); thread.start()")
        # Not with the signal blocked: another thread would get it.
        alone = "open('/proc/thread-self/children').read().split() == [str(pid)]"
        for _ in range(2):
            await session.drop_snapshot(made)
            await until(session, alone)
            assert await run(session, "got") == []
            made = await session.snapshot()
        await run(session, "os.close(write); thread.join()")
        await until(session, "got == [1]")
        await session.drop_snapshot(made)
        await until(session, alone.replace("[str(pid)]", "[]"))
        assert await run(session, "got") == [1]


async def test_fork_hooks_of_user_code_run_for_its_own_forks_only(python: str) -> None:
    async with Session(python=python, undo=2) as session:
        await run(
            session,
            "import os; ran = []\n"
            "hooks = {name: (lambda name=name: ran.append(name)) for name in"
            " ('before', 'after_in_child', 'after_in_parent')}\n"
            "os.register_at_fork(**hooks)",
        )
        made = await session.snapshot()
        (branch,) = await session.branch()
        async with branch:
            assert await run(branch, "ran") == []
        await session.rollback_to(made)
        assert await run(session, "ran") == []
        code = "read, write = os.pipe()\npid = os.fork()\nif pid == 0:\n"
        code += "    os.write(write, ' '.join(ran).encode()); os._exit(0)\n"
        code += "os.waitpid(pid, 0); (os.read(read, 100), ran)"
        assert await run(session, code) == "(b'before after_in_child', ['before', 'after_in_parent'])"


async def test_user_forks_around_snapshots(python: str, tmp_path: Path) -> None:
    """A child of before goes on; one of inside ends; neither takes the session's place."""
    async with Session(python=python) as session:
        code = "import os, time\npid = os.fork()\nif pid == 0:\n    time.sleep(1000)\n    os._exit(0)\npid"
        before = await run(session, code)
        async with session.transaction() as tx:
            inside = await run(tx, code)
            back = await tx.rollback()
        assert f"(process {inside})" in back.report
        await comes_true(lambda: not alive(inside))
        assert alive(before)
        assert await run(session, f"os.kill(pid, 9); os.waitpid(pid, 0) == ({before}, 9)") is True


async def test_what_a_process_from_before_starts_inside_ends_too(python: str) -> None:
    """Whoever asked it to: nothing that was born inside goes on."""
    async with Session(python=python) as session:
        code = "for line in sys.stdin: print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"
        await run(
            session,
            "import subprocess, sys\nserver = subprocess.Popen("
            f"[sys.executable, '-Ic', \"import subprocess, sys\\n{code}\"], stdin=-1, stdout=-1)",
        )
        ask = "server.stdin.write(b'x\\n'); server.stdin.flush(); int(server.stdout.readline())"
        before = await run(session, ask)
        async with session.transaction() as tx:
            inside = await run(tx, ask)
            server = await run(tx, "server.pid")
            back = await tx.rollback()
        await comes_true(lambda: not alive(inside))
        assert f"(process {inside})" in back.report.partition("Ended with it:")[2]
        assert f"(process {before})" not in back.report
        assert alive(before)
        assert str(server) not in back.report.partition("Ended with it:")[2]


async def test_no_process_is_left(python: str) -> None:
    there = set(support.processes())
    async with Session(python=python, undo=5) as session:
        for number in range(4):
            await run(session, f"import os; x = {number}; os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '1000')")
        await session.snapshot()
        await session.undo()
        await session.redo()
    await comes_true(lambda: set(support.processes()) <= there)
    assert os.getpid() not in there
