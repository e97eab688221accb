"""Each kind of state: captured in one process, restored into another; undone where a session changed it."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import pytest

from . import cases_interpreter, cases_libraries, cases_modules, cases_process  # noqa: F401
from .harness import named, steps
from .table import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kind(case: Case, python: str) -> None:
    if case.needs:
        if python != sys.executable or not all(map(find_spec, case.needs)):
            pytest.skip("needs " + ", ".join(case.needs))
    begin, change = ["run", case.shared], ["run", case.change]
    # What is saved once more after a restore is the same: nothing is lost by the way.
    (items, lost), _restored, (again, _lost) = steps(python, begin, change, ["capture"], ["restore_last"], ["capture"])[2:]
    missing = named(lost)
    for name, part in case.lost.items():
        # Which number a descriptor has is the system's business: a library may have taken the first.
        name = re.sub(r"^fd \d+ ", "", name)
        found = [each for each in missing if re.sub(r"^fd \d+ ", "", each).startswith(name)]
        assert found and part in missing.pop(found[0]), (name, lost)
    assert missing == {}

    assert {item["kind"] for item in again} == {item["kind"] for item in items}

    results = steps(python, begin, ["restore", items], ["run", case.check])
    assert results[1] == []

    if case.undone:
        results = steps(python, begin, change, ["restore", []], ["run", case.undone])
        assert tuple(sorted(named(results[2]))) == tuple(sorted(case.lost_undone))
