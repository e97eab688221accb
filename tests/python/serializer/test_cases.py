"""Every kind of object in cases.py: saved in one process, loaded in another, checked there."""

import importlib.util

import pytest
import sys

import tools
from cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case, tmp_path):
    if sys.version_info < case.since or any(importlib.util.find_spec(name) is None for name in case.needs):
        pytest.skip("not for this environment")
    body = tools.save(tmp_path, case.setup)
    named = tools.lost(body)
    assert named.keys() == case.lost.keys(), named
    for name, word in case.lost.items():
        assert word in named[name]
    assert all(group["verified"] for group in body["groups"])
    report = tools.load(tmp_path, case.check)
    assert tools.lost(report) == named
