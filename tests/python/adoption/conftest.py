"""Zygotes, and supervisors that can die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adoption.supervisor import Zygote
from hazards.conftest import INTERPRETERS


@pytest.fixture(params=list(INTERPRETERS.values()), ids=list(INTERPRETERS))
def zygote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Zygote]:
    """A zygote of each supported version. Ends with what was started from it."""
    one = Zygote(request.param, tmp_path)
    yield one
    one.close()
