"""Saved under one version of Python, loaded under each other."""

from pathlib import Path

import pytest
import tools
from versions import CHECK, SETUP

PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.1[0-3].*/bin/python"))


@pytest.mark.parametrize("there", PYTHONS, ids=lambda path: "to " + path.parts[-3])
@pytest.mark.parametrize("here", PYTHONS, ids=lambda path: "from " + path.parts[-3])
def test_versions(here, there, tmp_path):
    body = tools.save(tmp_path, SETUP, python=str(here))
    assert not body["lost"]
    report = tools.load(tmp_path, CHECK, python=str(there))
    assert not report["lost"]
