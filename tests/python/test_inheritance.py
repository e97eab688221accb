"""The product works whatever its client has inherited: from nohup, a shell's `&`, cron, a container.

Each test runs the same day of a session in a process that was started in such a state. What is a process's own business
(an ignored SIGHUP, the umask) the session inherits, as any program does.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import SOURCE

A_DAY = """
import asyncio, os, sys, pyrepl3
from pyrepl3 import ExecutionError, OutputMessage, Session

async def ends(execution):
    try: await execution
    except ExecutionError as error: return error.message
    raise AssertionError("it did not fail")

async def main():
    async with Session(data=DATA, limits={"interrupt_grace": 20}) as session:
        run = session.execute
        assert (await run("print('gr\\u00fc\\u00df'); 1 + 1")).stdout == "gr\\u00fc\\u00df\\n"
        assert (await run("input('? ')", inputs=["\\u00fc"])).value == "\\u00fc"
        # Stopped by its signal, not killed.
        endless = run("print('on', flush=True)\\nwhile True: pass")
        async for message in endless:
            if isinstance(message, OutputMessage): await session.interrupt()
        assert (endless.message.status, endless.message.stopped_by) == ("interrupted", "interrupt"), endless.message
        late = await ends(run("import time\\nwhile True: time.sleep(1000)", timeout=0.1))
        assert (late.status, late.stopped_by) == ("timed_out", "interrupt"), late
        assert (await run("import subprocess, sys; subprocess.run(['sh', '-c', 'exit 3']).returncode")).value == 3
        made = await session.snapshot()
        await run("x = 5")
        await session.rollback_to(made)
        assert (await run("'x' in dir()")).value is False
        assert (await ends(run("import os; os._exit(3)", transaction_policy="rollback_on_failure"))).rolled_back
        await run("x = [1, {'a': 2}]")
        (branch,) = await session.branch()
        async with branch: assert (await branch.execute("x")).value == [1, {"a": 2}]
        saved = await session.checkpoint("evening")
        await run("x.clear()")
        await session.restore(saved)
        assert (await run("x")).value == [1, {"a": 2}]
        MORE
    open(DONE, "w").write("well")

asyncio.run(main())
"""


def day(
    tmp_path: Path,
    before: str = "",
    more: str = "",
    env: dict[str, str | None] | None = None,
    python: str = sys.executable,
) -> None:
    """Runs `before` in a process, then the day in its place; `more` at the end of the day."""
    done = tmp_path / "done"
    code = A_DAY.replace("MORE", more or "pass").replace("DONE", repr(str(done)))
    code = code.replace("DATA", repr(str(tmp_path / "data")))
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{code}"
    first = f"import os, resource, signal, sys\n{before}\nos.execv(sys.executable, [sys.executable, '-c', {code!r}])"
    environment = {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}
    found = subprocess.run(
        [python, "-E", "-c", first], capture_output=True, env=environment, cwd=tmp_path, timeout=100, check=False
    )
    assert done.exists(), f"{found.returncode}\n{found.stdout.decode()}\n{found.stderr.decode()}"
    assert found.returncode == 0, found.stderr.decode()


IGNORED = {
    "nohup": ["SIGHUP"],
    "a shell's &": ["SIGINT", "SIGQUIT"],
    "terminals": ["SIGTTIN", "SIGTTOU", "SIGTSTP"],
    "children": ["SIGCHLD"],
    "SIGTERM": ["SIGTERM"],
    "users": ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGWINCH"],
}


@pytest.mark.parametrize("who", IGNORED)
def test_ignored_signals(who: str, tmp_path: Path) -> None:
    day(tmp_path, f"for name in {IGNORED[who]}: signal.signal(getattr(signal, name), signal.SIG_IGN)")


def test_under_nohup_the_session_ignores_sighup_as_any_program_does(tmp_path: Path) -> None:
    code = "import signal, os; os.kill(os.getpid(), signal.SIGHUP); signal.getsignal(signal.SIGHUP) == signal.SIG_IGN"
    day(
        tmp_path,
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
        f"assert (await run({code!r})).value is True",
    )


def test_all_signals_blocked(tmp_path: Path) -> None:
    day(tmp_path, "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())")


def test_a_narrow_umask(tmp_path: Path) -> None:
    day(tmp_path, "os.umask(0o077)", "assert (await run('import os; os.umask(0o77)')).value == 0o77")


@pytest.mark.parametrize("which", ["0", "1", "2", "0, 1, 2"])
def test_closed_standard_streams(which: str, tmp_path: Path) -> None:
    day(tmp_path, f"for number in ({which},): os.close(number)")


def test_a_standard_input_without_end(tmp_path: Path) -> None:
    day(
        tmp_path,
        "os.dup2(os.open('/dev/zero', os.O_RDONLY), 0)",
        "assert (await ends(run('input()', inputs=[]))).ename == 'EOFError'",
    )


LIMITS = {
    "few open files": "NOFILE, (256, HARD)",
    "no core files": "CORE, (0, HARD)",
    "a small stack": "STACK, (1 << 20, HARD)",
}


@pytest.mark.parametrize("what", LIMITS)
def test_limits(what: str, tmp_path: Path) -> None:
    name, _, value = LIMITS[what].partition(", ")
    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
    day(tmp_path, f"resource.setrlimit(resource.RLIMIT_{name}, {value.replace('HARD', str(hard))})")


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None},
    "a home that cannot be written": {"HOME": "/proc", "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None},
    "almost nothing": dict.fromkeys([name for name in os.environ if not name.startswith("PYREPL3_")]),
    "C": {"LC_ALL": "C"},
    "POSIX without UTF-8": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no such locale": {"LC_ALL": "xx_YY.KOI8-R", "LANG": "nonsense"},
    "far away": {"TZ": "Asia/Kathmandu"},
    "no such place": {"TZ": ":/no/such/zone"},
    "optimized": {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"},
    "strict": {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1", "PYTHONFAULTHANDLER": "1"},
    "odd": {
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "latin-1",
        "PYTHONSTARTUP": "/no/such/file",
        "PYTHONINSPECT": None,
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPYCACHEPREFIX": "/no/such/place",
        "PYTHONBREAKPOINT": "0",
    },
    "a place for temporary files that is not there": {"TMPDIR": "/no/such/place", "TMP": "/no/such/place"},
    "a narrow terminal": {"COLUMNS": "1", "LINES": "1", "TERM": "dumb"},
}


@pytest.mark.parametrize("what", ENVIRONMENTS)
def test_environments(what: str, tmp_path: Path) -> None:
    day(tmp_path, env=ENVIRONMENTS[what])


def test_a_home_that_cannot_be_written_is_said_where_it_is_needed(tmp_path: Path) -> None:
    more = """
        async with Session() as other:
            await other.execute("y = 1")
            try: await other.checkpoint()
            except pyrepl3.CheckpointFailed as error: assert "/proc" in str(error), error
            else: raise AssertionError("it was saved, nobody knows where")
            assert (await other.execute("y")).value == 1
    """
    day(tmp_path, more=more.strip(), env={"HOME": "/proc", "XDG_DATA_HOME": None})


def test_a_deep_directory(tmp_path: Path) -> None:
    deep = "d" * 200
    day(tmp_path, f"for _ in range(12): os.mkdir({deep!r}); os.chdir({deep!r})")


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    day(tmp_path, "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')")


def test_an_ordinary_user(tmp_path: Path) -> None:
    """The rest of the suite is run by whoever runs it."""
    if os.getuid() != 0:
        pytest.skip("we are one already")
    nobody = 65534
    needed = f"import sys, os; assert sys.version_info >= (3, 10); open({str(SOURCE / 'pyrepl3' / 'py.typed')!r})"
    needed += f"; assert os.access({os.environ['PYREPL3_BIN']!r}, os.X_OK)"
    before = f"import os; os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})"
    for python in (sys.executable, "/usr/bin/python3"):
        attempt = f"{before}; os.execv({python!r}, [{python!r}, '-c', {needed!r}])"
        if subprocess.run([sys.executable, "-c", attempt], capture_output=True, cwd="/").returncode == 0:
            break
    else:
        pytest.skip("another user can run no interpreter here, or not the binary")
    # pytest's directories are for their owner alone.
    place = Path(os.environ["TMPDIR"], "nobody")
    place.mkdir()
    for path in (place.parent.parent, place.parent):
        path.chmod(0o755)
    os.chown(place, nobody, nobody)
    try:
        more = f"assert (await run('import os; os.getuid()')).value == {nobody}"
        day(place, before, more, env={"HOME": "/nonexistent", "TMPDIR": str(place)}, python=python)
    finally:
        shutil.rmtree(place)
