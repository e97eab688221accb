"""Every kind of object in cases.py: saved in one process, loaded in another, checked there."""

import importlib.util
import sys

import pytest
import tools
from cases import CASES
from known_state import interpreters

VERSIONS = {python: tuple(map(int, version.split("."))) for version, python in interpreters().items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case, python, tmp_path):
    if VERSIONS[python] < case.since:
        pytest.skip("it is of a newer Python")
    if case.needs and (python != sys.executable or any(importlib.util.find_spec(name) is None for name in case.needs)):
        pytest.skip(f"needs {', '.join(case.needs)}")
    body = tools.save(tmp_path, case.setup, python=python)
    named = tools.lost(body)
    assert named.keys() == case.lost.keys(), named
    for name, word in case.lost.items():
        assert word in named[name]
    assert all(group["verified"] for group in body["groups"])
    report = tools.load(tmp_path, case.check, python=python)
    assert tools.lost(report) == named
