"""Every case as: saved, its process killed, restored, compared. What does not come back is named, and pinned.

`python -m transactions.pinned` prints what is pinned as a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import pyrepl3

from .case import Case, all_cases
from .checkpointed import Outcome, checkpointed, piece, plain_name, unexplained
from .pinned import APART, LOST, STRUCTURE
from .runs import Runs, runs_of

CASES = all_cases()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    yield from runs_of(request, tmp_path_factory, test_it_comes_back_or_is_named, lambda _: checkpointed)


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """In place of the other tests' fixture: here the engine stays until the last test, and is looked for then."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_comes_back_or_is_named(case: Case, runs: Runs) -> None:
    if case.missing():
        pytest.skip(f"not installed: {', '.join(case.missing())}")
    result = runs.results[case.name, checkpointed.__name__]
    if case.refused:
        with pytest.raises(pyrepl3.SnapshotRefused, match=case.refused):
            result.result()
        return
    outcome: Outcome = result.result()
    lost = {plain_name(name): piece(reason) for name, reason in outcome.lost.items()}
    assert lost == LOST.get(case.name, {}), "what is lost is not what is pinned"
    assert set(unexplained(case, outcome)) == set(APART.get(case.name, {})), f"the check: {outcome.failed}"
    assert bool(outcome.differs) == (case.name in STRUCTURE), outcome.differs or "its structure is the same after all"
    assert not outcome.goes_on or case.name in APART, outcome.goes_on


def test_only_cases_are_pinned() -> None:
    names = {case.name for case in CASES}
    assert set(LOST) <= names and set(APART) <= names and set(STRUCTURE) <= names
    by_name = {case.name: case for case in CASES}
    for name, parts in APART.items():
        assert parts and all(parts.values()), name
        assert not by_name[name].refused
