"""Short programs through a session and through `python -i`: the same is printed."""

from __future__ import annotations

import re
import subprocess

import pytest

from pyrepl3 import Session

from . import reference
from .programs import PROGRAMS, SINCE


def version(python: str) -> tuple[int, int]:
    said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", said)[:2]
    return int(major), int(minor)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_same_is_printed(python: str, name: str) -> None:
    if version(python) < SINCE[name]:
        pytest.skip("not for this version")
    inputs = PROGRAMS[name]
    expected = await reference.by_python(python, inputs)
    async with Session(python=python) as session:
        found = await reference.by_session(session, inputs)
    for text, one, other in zip(inputs, expected, found):
        assert (text, other.out, other.err) == (text, one.out, one.err)


def test_a_difference_is_seen() -> None:
    """The comparison forgets places and source lines, and nothing else."""
    one = 'Traceback (most recent call last):\n  File "<stdin>", line 1, in <module>\n  File "<stdin>", line 2, in f\nValueError: x\n'
    same = 'Traceback (most recent call last):\n  File "<execution 3>", line 1, in <module>\n    f()\n    ~^^\n  File "<execution 1>", line 2, in f\n    raise ValueError("x")\nValueError: x\n'
    assert reference.comparable(one) == reference.comparable(same)
    for what, instead in (("line 2", "line 3"), ("in f", "in g"), (": x", ": y"), ("Traceback", "traceback")):
        assert reference.comparable(one) != reference.comparable(same.replace(what, instead))
    assert reference.comparable("  indented\n") != reference.comparable("indented\n")
    assert reference.comparable("<stdin>:1: UserWarning: x\n") == reference.comparable('<execution 9>:1: UserWarning: x\n  warnings.warn("x")\n')
