"""Sessions without an engine: a child process of a chosen interpreter runs code, captures and restores."""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import subprocess
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[3] / "crates" / "worker" / "py" / "serializer"
DRIVER = Path(__file__).with_name("driver.py")

Items = list[dict[str, Any]]


def steps(python: str, *todo: Any, preload: tuple[str, ...] = (), cwd: Path | None = None) -> list[Any]:
    """Performs steps (see driver.py) in a new process; their values. An error in one fails the test."""
    read, low = os.pipe()
    # Descriptors that the code opens begin at 3, whatever this process has open.
    write = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 100)
    os.close(low)
    request = {"keep": str(PACKAGE), "steps": todo, "out": write, "preload": preload, "forget": ["random"]}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environment["MPLBACKEND"] = "agg"
    child = subprocess.Popen(
        [python, str(DRIVER)], stdin=subprocess.PIPE, pass_fds=[write], cwd=cwd, env=environment, text=True
    )
    os.close(write)
    with open(read, "rb") as answers:
        assert child.stdin is not None
        child.stdin.write(json.dumps(request))
        child.stdin.close()
        data = answers.read()
    child.wait()
    assert data, f"the process ended with {child.returncode}"
    results = marshal.loads(data)
    for result in results:
        assert "error" not in result, result["error"]
    return [result["value"] for result in results]


def capture_of(python: str, *codes: str, **more: Any) -> tuple[Items, dict[str, str]]:
    """What a session that ran these is captured as: items, and reasons by the names of what is lost."""
    items, lost = steps(python, *(["run", code] for code in codes), ["capture"], **more)[-1]
    return items, {each["name"]: each["reason"] for each in lost}


def named(lost: list[dict[str, str]]) -> dict[str, str]:
    return {each["name"]: each["reason"] for each in lost}
