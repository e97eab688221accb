"""Modules of the session's own: what they hold is state of the session, wherever it lies."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pyrepl3 import ExecutionError, Session

CONFIG = """
    import functools, threading
    OPTIONS = {"depth": 1}
    LEVEL = 3
    LOCK = threading.Lock()

    class Shape:
        registry = {}
        made = 0
        def __init__(self):
            Shape.made += 1
            type(self).registry[Shape.made] = self

    def counted(function):
        calls = []
        @functools.wraps(function)
        def inner(*arguments):
            calls.append(arguments)
            return len(calls)
        inner.calls = calls
        return inner

    @counted
    def ask(*arguments): pass

    def remember(value, known=[]):
        known.append(value)
        return list(known)

    def make():
        total = 0
        def add(number):
            nonlocal total
            total += number
            return total
        return add

    add = make()
    gone = 1

    class Once:
        def __reduce__(self):
            return "ONCE"
    ONCE = Once()
"""


def write(directory: Path, name: str, source: str) -> None:
    path = directory / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))


async def value_of(session: Session, expression: str) -> Any:
    return (await session.execute(expression)).value


async def run(session: Session, source: str) -> None:
    await session.execute(dedent(source))


async def test_what_a_module_of_the_session_holds_comes_back(tmp_path: Path) -> None:
    write(tmp_path, "config", CONFIG)
    async with Session() as session:
        await run(
            session,
            f"""
            import os; os.chdir({str(tmp_path)!r}); import sys; sys.path.insert(0, "")
            import config
            from config import OPTIONS
            config.OPTIONS["depth"] = 9
            config.LEVEL = 4
            config.NEW = ["new"]
            del config.gone
            shape = config.Shape()
            config.ask("a"); config.remember(1); config.add(5)
            config.ONCE.touched = True
            """,
        )
        checkpoint = await session.checkpoint("modules")
        assert checkpoint.lost == []
    # The source is in the checkpoint, and the state is not that of a first import.
    (tmp_path / "config.py").unlink()
    async with Session() as session:
        restored = await session.restore(checkpoint)
        assert restored.lost == []
        await _is_as_it_was(session)
        again = await session.checkpoint("again")
        assert again.lost == []
        # What the session does to it since then is undone by the next restore.
        await run(session, "config.OPTIONS.clear(); config.EXTRA = 1; config.Shape.registry = {}; config.LEVEL = 0")
        assert (await session.restore(again)).lost == []
        assert await value_of(session, "hasattr(config, 'EXTRA')") is False
        await _is_as_it_was(session)


async def _is_as_it_was(session: Session) -> None:
    expected = {
        "config.OPTIONS": {"depth": 9},
        "OPTIONS is config.OPTIONS": True,
        "config.LEVEL": 4,
        "config.NEW": ["new"],
        "hasattr(config, 'gone')": False,
        "config.Shape.made": 1,
        "config.Shape.registry[1] is shape": True,
        "config.ask.calls == [('a',)]": True,
        "config.ONCE.touched": True,
        "config.LOCK.acquire(False) and config.LOCK.release() is None": True,
    }
    for expression, value in expected.items():
        assert await value_of(session, expression) == value, expression
    # On a state that is thrown away.
    with pytest.raises(ExecutionError, match="all is there"):
        await session.execute(
            "assert config.ask() == 2 and config.remember(2) == [1, 2] and config.add(1) == 6; raise StopIteration('all is there')",
            transaction_policy="rollback_on_failure",
        )


async def test_what_a_module_holds_and_cannot_be_saved_is_named(tmp_path: Path) -> None:
    write(tmp_path, "running", "work = (each for each in range(3))\nmaybe = {'at': 1, 'work': work}\n")
    async with Session() as session:
        await run(session, f"import sys; sys.path.append({str(tmp_path)!r}); import running; next(running.work)")
        checkpoint = await session.checkpoint()
        assert {"running.work", "running.maybe['work']"} <= {lost.name for lost in checkpoint.lost}


async def test_a_module_that_the_checkpoint_does_not_have_is_imported_afresh(tmp_path: Path) -> None:
    write(tmp_path, "late", "seen = []\n")
    async with Session() as session:
        await run(session, f"import sys; sys.path.append({str(tmp_path)!r})")
        before = await session.checkpoint()
        await run(session, "import late; late.seen.append(1)")
        await session.restore(before)
        assert await value_of(session, "'late' in sys.modules") is False
        await run(session, "import late")
        assert await value_of(session, "late.seen") == []


async def test_a_package_of_the_session_and_what_is_imported_by_it(tmp_path: Path) -> None:
    write(tmp_path / "kit", "__init__", "from . import inner\n")
    write(tmp_path / "kit", "inner", "seen = []\ndef see(value): seen.append(value)\n")
    async with Session() as session:
        await run(session, f"import sys; sys.path.append({str(tmp_path)!r}); import kit; kit.inner.see(1)")
        checkpoint = await session.checkpoint()
        assert checkpoint.lost == []
    (tmp_path / "kit" / "inner.py").unlink()
    (tmp_path / "kit" / "__init__.py").unlink()
    async with Session() as session:
        assert (await session.restore(checkpoint)).lost == []
        assert await value_of(session, "kit.inner.seen") == [1]


@pytest.mark.parametrize("where", ["below the working directory", "elsewhere"])
async def test_a_module_that_is_written_after_a_change_of_directory(tmp_path: Path, where: str) -> None:
    write(tmp_path, "helper", "def half(n): return n // 2\n")
    async with Session() as session:
        await run(session, f"import os, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, os.getcwd()); import helper; h = helper.half")
        if where == "elsewhere":
            await run(session, "os.chdir('/')")
        checkpoint = await session.checkpoint()
    (tmp_path / "helper.py").unlink()
    async with Session() as session:
        assert (await session.restore(checkpoint)).lost == []
        assert await value_of(session, "[h(9), helper.half(8)]") == [4, 4]


async def test_installed_modules_are_not_the_session_s_own() -> None:
    async with Session() as session:
        await run(session, "import json, pytest, pip" if "pip" in sys.modules else "import json, pytest")
        body = await session.checkpoint()
        assert body.lost == []
