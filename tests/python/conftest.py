"""The tests of the Python client.

They run against the real engine: `PYREPL3_BIN`, or the checkout's target/debug, or target/release. Those that
take the fixture `fake` run against fake_engine.py, which misbehaves on demand. Test functions may be coroutines.

`--long` adds those that are marked so, and all versions of Python where the others take two. `--shuffle SEED` changes
the order of the files, and of the tests in each.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import os
import random
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "python" / "src"))
sys.path.insert(0, str(HERE))

import embedded_only  # noqa: E402
import known_state  # noqa: E402

# Before anything else: what is imported next may look at it.
PRIVATE = known_state.take(HERE.parents[1] / "target")

import service  # noqa: E402
import support  # noqa: E402
from leftovers import Leftovers  # noqa: E402

HANG = 120.0
"""Seconds after which a test hangs."""

name, _, value = support.MARK.partition("=")
os.environ[name] = value
if "PYREPL3_BIN" not in os.environ:
    for profile in ("debug", "release"):
        binary = support.ROOT / "target" / profile / "pyrepl3"
        if binary.exists():
            os.environ["PYREPL3_BIN"] = str(binary)
            break


INTERPRETERS = known_state.interpreters()
NO_CALL = SimpleNamespace(params={})

stderr = 2
"""Where a test that hangs is told of; capturing is not on yet when this is set."""

leftovers = Leftovers(PRIVATE)


@pytest.fixture(params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter with nothing but the standard library."""
    path: str = request.param
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    """What can be chosen."""
    parser.addoption("--long", action="store_true", help="also what takes long, on all versions of Python")
    parser.addoption("--service", action="store_true", help="sessions of a service in the embedded engine's place")
    parser.addoption("--shuffle", metavar="SEED", help="another order of files, and of tests in each")


def pytest_configure() -> None:
    """Keeps the standard error that is not captured."""
    global stderr
    stderr = os.dup(2)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says how an order can be had again."""
    seed = config.getoption("--shuffle")
    return None if seed is None else f"shuffled: --shuffle {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what takes long, and shuffles."""
    if config.getoption("--service"):
        aside = {
            item
            for item in items
            if embedded_only.reason(item.path.name, item.name) or "fake" in getattr(item, "fixturenames", ())
        }
        config.hook.pytest_deselected(items=list(aside))
        items[:] = [item for item in items if item not in aside]
    if not config.getoption("--long"):
        left_out = {item for item in items if item.get_closest_marker("long")} | too_many_versions(items)
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    if (seed := config.getoption("--shuffle")) is not None:
        # Within files, so that what a file shares is made once.
        files: dict[Path, list[pytest.Item]] = {}
        for item in items:
            files.setdefault(item.path, []).append(item)
        chance = random.Random(seed)
        order = sorted(files)
        chance.shuffle(order)
        for tests in files.values():
            chance.shuffle(tests)
        items[:] = [item for path in order for item in files[path]]


def pytest_collection_finish() -> None:
    """The tests have a directory of their own. Not before: options may name paths from where they were started."""
    os.chdir(PRIVATE / "cwd")


def too_many_versions(items: list[pytest.Item]) -> set[pytest.Item]:
    """Of each test that takes an interpreter `python`, all versions but two. Which two differs from test to test, so
    that every version is met, and is the same in each run."""
    versions: dict[str, list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and "python" in getattr(item, "callspec", NO_CALL).params:
            version = next(name for name, path in INTERPRETERS.items() if path == item.callspec.params["python"])
            # The version is a part of the name, and comes once in it.
            versions.setdefault(f"{item.path} {item.name.replace(version, '')}", []).append(item)
    left_out: set[pytest.Item] = set()
    for name, tests in versions.items():
        first = zlib.crc32(os.path.basename(name).encode()) % len(tests)
        kept = {first, (first + len(tests) // 2) % len(tests)}
        for place, test in enumerate(tests):
            # What needs packages is skipped on all versions but that of the environment.
            needs = getattr(test.callspec.params.get("case"), "needs", ())
            keep = test.callspec.params["python"] == sys.executable if needs else place in kept
            if not keep:
                left_out.add(test)
    return left_out


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The whole run leaves nothing behind."""
    gc.collect()
    if lines := leftovers.found():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for line in ["the tests have left behind:", *(f"  {line}" for line in lines)]:
            if reporter is not None:
                reporter.write_line(line, red=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs test functions that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def limited() -> None:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), HANG)

    asyncio.run(limited())
    return True


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test no process is left that was not there before: no engine, no worker, no zombie."""
    before = set(support.processes())
    faulthandler.dump_traceback_later(2 * HANG, exit=True, file=stderr)
    yield
    faulthandler.cancel_dump_traceback_later()
    if not set(support.processes()) <= before:
        gc.collect()  # A traceback, say, may still refer to a session.
    support.eventually(
        lambda: set(support.processes()) <= before,
        lambda: {pid: command for pid, command in support.processes().items() if pid not in before},
    )


@pytest.fixture(autouse=True)
def through_a_service(
    nothing_left: None, own_data: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """With `--service`, sessions are those of a service. It ends before it is looked at what is left."""
    if not request.config.getoption("--service"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pyrepl3-service-") as place:
        servers = service.Servers(place)
        service.install(monkeypatch, servers)
        try:
            yield
        finally:
            gc.collect()
            servers.stop()


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a user's data directory of its own; returns where checkpoints go without `data`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return tmp_path / "share" / "pyrepl3"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts the fake engine in the real one's place; call it to choose its handshake."""
    program = tmp_path / "pyrepl3"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {HERE / "fake_engine.py"} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PYREPL3_BIN", str(program))
    return lambda handshake: monkeypatch.setenv("FAKE_HANDSHAKE", handshake)
