"""The interpreters that what a session holds beside its variables is tested on."""

from __future__ import annotations

import pytest
from known_state import interpreters

INTERPRETERS = interpreters()


@pytest.fixture(params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter with nothing but the standard library, for all but the version that runs the tests."""
    path: str = request.param
    return path
