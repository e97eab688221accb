"""No case is vacuous: in the plain interpreter its check passes after its setup, and fails after its mutation.

Each run has a process of its own, forked from one that has imported what the group of cases needs. Run as a module
with a group's number, this file is that process.
"""

from __future__ import annotations

import ast
import asyncio
import contextvars
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .case import Case, all_cases

if TYPE_CHECKING:
    import pytest

HERE = Path(__file__).resolve().parent
LIMIT = 30.0
"""Seconds that one run may take."""

CASES = {case.name: case for case in all_cases()}
GROUPS = sorted({case.preload() for case in CASES.values() if not case.missing()}, key=len)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", list(CASES))


def test_the_check_tells_the_states_apart(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After the setup the check passes; after setup and mutation it fails."""
    case = CASES[name]
    if case.missing():
        import pytest

        pytest.skip(f"not installed: {', '.join(case.missing())}")
    found = results(GROUPS.index(case.preload()), str(tmp_path_factory.getbasetemp()))[name]
    assert found["same"] == "passed", f"{name}: it must pass as it is: {found['same']}"
    assert found["changed"].startswith("check"), f"{name}: its check must fail after its mutation: {found['changed']}"


def test_there_are_enough() -> None:
    assert len(CASES) >= 130
    assert all("assert" in case.check for case in CASES.values())


@functools.cache
def results(group: int, directory: str) -> dict[str, dict[str, str]]:
    """How the runs of a group's cases went: passed, or the step that failed and why."""
    done = subprocess.run(
        [sys.executable, "-m", f"{HERE.name}.{Path(__file__).stem}", str(group)],
        cwd=HERE.parent,
        env={**os.environ, "TMPDIR": directory},
        stdout=subprocess.PIPE,
        timeout=240,
        check=True,
    )
    answer: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return answer


# ---- in the process that forks -----------------------------------------------------------------------------


def serve(group: int) -> None:
    """Runs a group's cases, as many at a time as there are processors, and prints how they went."""
    for module in GROUPS[group]:
        __import__(module)
    todo = [
        (case, part)
        for case in CASES.values()
        if not case.missing() and case.preload() == GROUPS[group]
        for part in ("same", "changed")
    ]
    todo.reverse()
    running: dict[int, tuple[int, Case, str, float]] = {}
    found: dict[str, dict[str, str]] = {}
    while todo or running:
        while todo and len(running) < (os.cpu_count() or 1):
            case, part = todo.pop()
            end, pid = start(case, part)
            running[end] = (pid, case, part, time.monotonic() + LIMIT)
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for end, (pid, case, part, limit) in list(running.items()):
            late = time.monotonic() > limit
            if end not in ready and not late:
                continue
            if late:
                os.kill(pid, signal.SIGKILL)
            with open(end, "rb") as pipe:
                answer = pipe.read().decode()
            _, status = os.waitpid(pid, 0)
            found.setdefault(case.name, {})[part] = answer or ("too slow" if late else f"died: {status}")
            del running[end]
    print(json.dumps(found), flush=True)


def start(case: Case, part: str) -> tuple[int, int]:
    """Forks a process for one run: the pipe that its answer comes from, and its pid."""
    end, answer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(answer)
        return end, pid
    try:
        # What a case prints must not be taken for the answer.
        os.dup2(2, 1)
        text = run(case, part)
        os.write(answer, text.encode())
    finally:
        os._exit(0)


def run(case: Case, part: str) -> str:
    """One run, in a `__main__` of its own: passed, or the step that failed and the traceback."""
    main = types.ModuleType("__main__")
    main.__builtins__ = __import__("builtins")  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    step = ""
    try:
        loop, context = asyncio.new_event_loop(), contextvars.copy_context()
        asyncio.set_event_loop(loop)
        steps = [("setup", case.setup)]
        if part == "changed":
            steps += [("mutation", case.mutate), ("check", case.check)]
        else:
            steps += [("check", case.check)] * (1 if case.consumes else 2)
        for step, code in steps:
            execute(code, f"<{case.name}: {step}>", main.__dict__, loop, context)
    except BaseException:
        return f"{step}: {traceback.format_exc()[-3000:]}"
    return "passed"


def execute(
    code: str, file: str, namespace: dict[str, Any], loop: asyncio.AbstractEventLoop, context: contextvars.Context
) -> None:
    """Runs code as a session does: at its top level it may await, and context variables keep what it set."""
    compiled = compile(code, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    coroutine = context.run(eval, compiled, namespace)
    if coroutine is None:
        return
    noted: list[tuple[contextvars.ContextVar[Any], Any]] = []

    async def hold() -> None:
        try:
            await coroutine
        finally:
            noted.extend(contextvars.copy_context().items())

    # A task runs in a copy of the context.
    context.run(loop.run_until_complete, hold())
    for variable, value in noted:
        context.run(variable.set, value)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
