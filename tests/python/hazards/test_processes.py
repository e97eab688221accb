"""Processes that user code starts, and its view of its children: the frozen process is none of them."""

from __future__ import annotations

import asyncio
import os
import textwrap
from pathlib import Path

import pytest
import support

from pyrepl3 import ExecutionError, Session

from .tools import WAYS, alive, as_it_was, comes_true, run, until

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


HANDLER = """
import os, signal, sys, threading
got = []
signal.signal(signal.SIGCHLD, lambda *_: got.append(1))
def run_one(): return os.spawnlp(os.P_NOWAIT, "true", "true")
def children():
    found = []
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children") as file: found += map(int, file.read().split())
    return found
def pending():
    with open("/proc/self/status") as file:
        words = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd", "ShdPnd"))]
    return any(word >> signal.SIGCHLD - 1 & 1 for word in words)
"""


async def test_the_end_of_a_frozen_process_is_no_signal(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, HANDLER)
        for _ in range(3):
            async with session.transaction() as tx:
                await run(tx, "x = 1")
        assert await run(session, "got") == []
        await run(session, "os.waitpid(run_one(), 0)")
        await until(session, "got == [1]")


async def test_a_frozen_process_is_no_child_and_sends_no_signal(python: str) -> None:
    """Not when it begins, not while it waits, not when it is woken, and not when it ends. Blocked, a signal would stay."""
    nothing = "(children(), pending(), got)"
    async with Session(python=python, undo=3) as session:
        await run(session, HANDLER + "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])")
        for _ in range(2):
            made = await session.snapshot()
            assert await run(session, nothing) == "([], False, [])"
            await session.rollback_to(made)
            assert await run(session, nothing) == "([], False, [])"
            (branch,) = await session.branch()
            async with branch:
                assert await run(branch, nothing) == "([], False, [])"
            await session.drop_snapshot(made)
            assert await run(session, nothing) == "([], False, [])"
            await session.undo()
            await session.redo()
            assert await run(session, nothing) == "([], False, [])"
        await run(session, "os.waitpid(run_one(), 0)")
        assert await run(session, nothing) == "([], True, [])"


async def test_a_childs_end_is_told_once(python: str) -> None:
    """Whatever frozen processes begin and end meanwhile."""
    async with Session(python=python) as session:
        await run(session, HANDLER)
        for number, wait in enumerate(
            ("os.waitpid(run_one(), 0)", "run_one(); os.wait()", "os.waitid(os.P_PID, run_one(), os.WEXITED)"), 1
        ):
            made = await session.snapshot()
            await run(session, wait)
            assert await run(session, "len(got)") == number
            await session.drop_snapshot(made)
            assert await run(session, "len(got)") == number


BLOCKED = {
    "waitpid": "os.waitpid(child.pid, 0)[1] >> 8",
    "wait": "child.wait()",
    "wait with a limit": "child.wait(1000)",
    "communicate": "child.communicate() and child.returncode",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", BLOCKED)
async def test_a_thread_that_waits_for_a_child(python: str, how: str, way: str) -> None:
    """After a rollback it is not the child of this process any more: the thread learns how it ended all the same. A branch's
    thread is told that the child is another session's."""
    code = f"""
        import os, signal, subprocess, threading
        got, begun = [], threading.Event()
        child = subprocess.Popen(["sh", "-c", "trap 'exit 7' TERM; kill -STOP $$; exit 8"])
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        def work():
            global tid
            tid = threading.get_native_id(); begun.set()
            try: got.append({BLOCKED[how]})
            except ChildProcessError: got.append("another's")
        thread = threading.Thread(target=work, daemon=True); thread.start(); begun.wait()
        def sleeps():
            with open(f"/proc/self/task/{{tid}}/stat") as file: return file.read().rpartition(")")[2].split()[0] == "S"
    """
    # What is changed inside is not the child: its end could not be taken back.
    says = "belongs to the session that this one was branched from"
    async with as_it_was(python, textwrap.dedent(code), "got.append(1)", way, "sleeps()", says) as session:
        assert await run(session, "got, thread.is_alive()") == "([], True)"
        await run(session, "os.kill(child.pid, signal.SIGTERM); os.kill(child.pid, signal.SIGCONT); thread.join(30)")
        expected = "another's" if way == "branch" and how == "waitpid" else 0 if way == "branch" else 7
        assert await run(session, "got") == [expected]


async def test_a_thread_that_runs_one_process_after_another(python: str) -> None:
    """At each moment of it: before one is started, while it runs, when it has ended and was not waited for."""
    async with Session(python=python) as session:
        code = """
            import subprocess, threading
            done, stopped, failed = 0, False, []
            def work():
                global done
                while not stopped:
                    try:
                        found = subprocess.run(["sh", "-c", "echo x"], stdout=subprocess.DEVNULL).returncode
                    except BaseException as error:
                        found = error
                    if found: failed.append(found)
                    done += 1
            thread = threading.Thread(target=work, daemon=True); thread.start()
        """
        await run(session, textwrap.dedent(code))
        for _ in range(20):
            made = await session.snapshot()
            await session.rollback_to(made)
            await session.drop_snapshot(made)
            seen = await run(session, "done")
            await until(session, f"done > {seen} + 1")
            assert await run(session, "failed, thread.is_alive()") == "([], True)"
        await run(session, "stopped = True; thread.join()")


@pytest.mark.parametrize("how", ["child.wait()", "os.waitpid(child.pid, 0)[1] >> 8"])
async def test_a_child_that_an_undone_line_has_waited_for(python: str, how: str) -> None:
    """It can be waited for once; the line before has not done so yet."""
    async with Session(python=python) as session:
        await run(session, "import os, subprocess; child = subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=-1)")
        for _ in range(2):
            made = await session.snapshot()
            await run(session, "child.stdin.close()")
            assert await run(session, how) == 7
            await session.rollback_to(made)
        assert await run(session, how) == 7


@pytest.mark.parametrize(
    "how",
    [
        "os.wait()[1] >> 8",
        "os.wait3(options=0)[1] >> 8",
        "os.wait4(child.pid, 0)[1] >> 8",
        "os.waitid(os.P_PID, child.pid, os.WEXITED).si_status",
        "os.waitpid(-1, 0)[1] >> 8",
    ],
)
async def test_a_child_that_an_undone_line_has_waited_for_otherwise(python: str, how: str) -> None:
    async with Session(python=python) as session:
        await run(session, "import os, subprocess; child = subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=-1)")
        made = await session.snapshot()
        assert await run(session, f"child.stdin.close(); {how}") == 7
        await session.rollback_to(made)
        assert await run(session, "child.wait()") == 7


@pytest.mark.parametrize("how", ["child.wait()", "os.waitpid(child.pid, 0)[1] >> 8"])
async def test_a_thread_waits_for_a_child_while_the_first_snapshot_is_taken(python: str, how: str) -> None:
    """The line that is undone has waited for it; the thread of the line before still waits."""
    async with Session(python=python) as session:
        await run(
            session,
            "import os, subprocess, threading, time; found = []\n"
            "child = subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=-1)\n"
            f"thread = threading.Thread(target=lambda: found.append({how})); thread.start(); time.sleep(0.1)",
        )
        made = await session.snapshot()
        assert await run(session, "child.stdin.close(); thread.join(); found") == [7]
        await session.rollback_to(made)
        assert await run(session, "thread.join(); found") == [7]


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


async def test_a_branch_that_is_being_made_is_no_other_sessions(python: str) -> None:
    """Until it has joined the family its number is nobody's; a sibling that returns meanwhile must not end it."""
    async with Session(python=python) as session:
        await run(session, "x = 5")
        made = await session.snapshot()
        (one,) = await session.branch()

        async def return_often() -> None:
            for _ in range(10):
                await session.rollback_to(made)

        for _ in range(3):
            branches, _ = await asyncio.gather(one.branch(6), return_often())
            for each in branches:
                assert await run(each, "x") == 5
                await each.shutdown()
        await one.shutdown()
