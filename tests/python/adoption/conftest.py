"""Zygotes, and supervisors that can die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adoption.supervisor import Zygote
from known_state import interpreters


@pytest.fixture(params=list(interpreters().values()), ids=list(interpreters()))
def zygote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Zygote]:
    """A zygote of each supported version. Ends with what was started from it."""
    one = Zygote(request.param, tmp_path)
    yield one
    one.close()
