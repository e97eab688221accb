"""Saving in one process and loading in another."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

HARNESS = Path(__file__).with_name("harness.py")
LIMIT = 120.0
"""Seconds after which a child hangs."""


class Failed(AssertionError):
    pass


def child(mode, path, job, python=sys.executable):
    (path / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [python, "-X", "faulthandler", str(HARNESS), mode, str(path)], capture_output=True, text=True, timeout=LIMIT, cwd=path
    )
    if done.returncode:
        raise Failed(f"{mode} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{_report(path)}")
    return json.loads((path / "result.json").read_text())


def _report(path):
    file = path / "report.json"
    return file.read_text() if file.exists() else "it was not loaded"


def save(directory, setup, python=sys.executable, **options):
    """Runs the texts in a process and saves its namespace: the body."""
    setup = [setup] if isinstance(setup, str) else setup
    child("save", directory, {"setup": [dedent(text) for text in setup], **options}, python)
    return json.loads((directory / "body.json").read_text())


def load(path, check="", python=sys.executable, **options):
    """Loads in another process and runs the check in its namespace: the report."""
    return child("load", path, {"check": dedent(check), **options}, python)["report"]


def lost(report):
    return {entry["name"]: entry["reason"] for entry in report["lost"]}
