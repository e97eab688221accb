"""The interpreters that every hazard of the standard library is tested on."""

from __future__ import annotations

import pytest
from known_state import interpreters

INTERPRETERS = interpreters()


@pytest.fixture(params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter with nothing but the standard library."""
    path: str = request.param
    return path
