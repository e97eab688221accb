"""The interpreters that every hazard of the standard library is tested on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

OLDEST, NEWEST = 10, 13


def _interpreters() -> dict[str, str]:
    """Each supported version of CPython that this machine has; at least the one that runs the tests."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in range(OLDEST, NEWEST + 1):
        version = f"3.{minor}"
        installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
        # What pyenv puts on the path is a script that may know of no such version.
        on_path = shutil.which(f"python{version}")
        if installed:
            found.setdefault(version, str(installed[-1]))
        elif on_path is not None and ".pyenv/shims" not in on_path:
            found.setdefault(version, on_path)
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


INTERPRETERS = _interpreters()


@pytest.fixture(params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter with nothing but the standard library."""
    path: str = request.param
    return path
