"""The seventh mode: a case's state is saved, its process is killed, and the state that comes back is compared."""

from __future__ import annotations

import ast
import json
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyrepl3

from .case import Case
from .runs import run
from .shape import asking, difference

PARSES = threading.Lock()
KILL = "(lambda p, s: p.kill(p.getpid(), s))(__import__('posix'), 9)"
"""By way of posix, so that what the setup did to `os` does not matter."""


@dataclass
class Outcome:
    """How a case came back."""

    lost: dict[str, str] = field(default_factory=dict)
    """What was named as lost, with the reason."""
    differs: str = ""
    """Where the structure of what was not named is another one."""
    failed: dict[str, str] = field(default_factory=dict)
    """The parts of the case's check that do not hold, with the error."""
    goes_on: str = ""
    """How the case's mutation failed after the restore, where nothing is lost that it may need."""


async def checkpointed(session: Any, case: Case) -> Outcome:
    """Saves, kills, restores and compares: structure and aliasing by the shape, the meaning by the case's check.

    Objects have other ids after a restore. The variables of the case that hold ids get those of the same objects, so
    that its check is about identity within the restored state.
    """
    await run(session, "setup", case.setup)
    return await saved_and_restored(session, case)


async def saved_and_restored(session: Any, case: Case) -> Outcome:
    """The same for a session in which the case's setup has run."""
    saved = await session.checkpoint()
    named = [lost.name for lost in saved.lost]
    before, positions = await told(session, lambda file: asking(file, named))
    try:
        await session.execute(KILL)
    except pyrepl3.ExecutionError as error:
        assert error.message.session_lost, f"it was not killed: {error.message}"
    restored = await session.restore(saved)
    outcome = Outcome({lost.name: lost.reason for lost in restored.lost})
    assert set(named) <= set(outcome.lost), f"named at the checkpoint, not at the restore: {set(named) - set(outcome.lost)}"
    left = [lost for lost in outcome.lost if lost not in named]
    after, _ = await told(session, lambda file: asking(file, named + left, positions))
    for name in left:
        before.pop(name, None)
    outcome.differs = difference(before, after)
    for _ in range(1 if case.consumes else 2):
        for part, error in await told(session, lambda file: tried(file, case.check)):
            outcome.failed.setdefault(part, error)
    if not outcome.lost and not case.consumes:
        try:
            await run(session, "mutation after the restore", case.mutate)
        except AssertionError as error:
            outcome.goes_on = str(error)
    return outcome


async def told(session: Any, asking: Callable[[str], str]) -> Any:
    """What code in the session writes into a file: values of executions have a limit, and set `_`."""
    with tempfile.NamedTemporaryFile(prefix="told-") as file:
        await run(session, "a look", asking(file.name))
        return json.load(file)


# ---- the check, part by part -----------------------------------------------------------------------------------


def tree(text: str) -> ast.Module:
    """One at a time: CPython 3.11 confuses the depths of two threads that make trees."""
    with PARSES:
        return ast.parse(text)


def parts(check: str) -> list[ast.stmt]:
    """The statements of a check; each side of an `and` that is asserted is one of its own."""
    found: list[ast.stmt] = []
    for statement in tree(check).body:
        if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.BoolOp) and isinstance(statement.test.op, ast.And):
            found.extend(ast.Assert(test=value) for value in statement.test.values)
        else:
            found.append(statement)
    return found


def tried(file: str, check: str) -> str:
    """Code that runs a check part by part, whichever fails; it writes those that failed, and how."""
    lines = ["_failing = []"]
    for part in parts(check):
        text = ast.unparse(part)
        lines.append("try:")
        lines.extend("    " + line for line in text.splitlines())
        lines.append("except BaseException as _error:")
        lines.append(f"    _failing.append(({text!r}, type(_error).__name__ + ': ' + str(_error)))")
    lines.append(f"with __import__('io').open({file!r}, 'w') as _error: __import__('json').dump(_failing, _error)")
    lines.append("del _failing, _error")
    return "\n".join(lines)


def unexplained(case: Case, outcome: Outcome) -> dict[str, str]:
    """What failed of the check, without what was to do with something that was named as lost.

    A part has to do with it when it mentions it, or when the error is that it is not there, or when it mentions what an
    earlier part was to make that failed for that reason.
    """
    names = set(outcome.lost)
    left = {}
    for part in map(ast.unparse, parts(case.check)):
        if part not in outcome.failed:
            continue
        text = part + "\n" + outcome.failed[part]
        if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names):
            names |= {node.id for node in ast.walk(tree(part)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        else:
            left[part] = outcome.failed[part]
    return left


def plain_name(name: str) -> str:
    """The name of what is lost, without what is another one in each run."""
    if re.match(r"fd \d+ \(/(?!dev/)", name):
        return "fd (a file)"
    if name.startswith("lock on /"):
        return "lock on a file"
    return re.sub(r"(?<=^fd )\d+ |(?<=Task-)\d+|(?<=^thread asyncio_)\d+", "", name)


def piece(reason: str) -> str:
    """The beginning of a reason, without what is another one in each run."""
    plain = re.sub(r"\S*[/\d]\S*", "*", reason.removeprefix("it cannot be pickled: "))
    return plain if len(plain) < 50 else plain[:50].rpartition(" ")[0]
