"""Each library's objects: rolled back, in a branch, and from a checkpoint after the process was killed. What does not come back is
named, and pinned: exact, or lost with its reason, and never silent.

`python -m libraries.table` prints the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import support
from transactions.case import Case
from transactions.checkpointed import Outcome, piece, plain_name, saved_and_restored, unexplained
from transactions.runs import Runs, run, runs_of

from .matrix import Library, all_libraries
from .pinned import APART, LOST, ROLLBACK, STRUCTURE
from .table import table

LIBRARIES = all_libraries()


@dataclass
class Life:
    """What came of a library's objects."""

    rollback: str = ""
    branch: str = ""
    checkpoint: Outcome | None = None


async def life(session: Any, case: Case) -> Life:
    """All that can happen to a session, one after the other."""
    found = Life()
    await run(session, "setup", case.setup)
    if not case.consumes:
        await run(session, "check after the setup", case.check)
    snapshot = await session.snapshot("before")
    await run(session, "mutation", case.mutate)
    await session.rollback_to(snapshot)
    found.rollback = await failure(session, case)
    if case.consumes:
        await session.rollback_to(snapshot)
    (branch,) = await session.branch()
    async with branch:
        await run(session, "mutation beside a branch", case.mutate)
        found.branch = await failure(branch, case)
    await session.rollback_to(snapshot)
    await session.drop_snapshot(snapshot)
    found.checkpoint = await saved_and_restored(session, case)
    return found


async def failure(session: Any, case: Case) -> str:
    """How the case's check fails; nothing where it holds."""
    try:
        await run(session, "check", case.check)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    yield from runs_of(request, tmp_path_factory, test_it_comes_back_or_is_named, lambda _: life)


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """In place of the other tests' fixture: here the engine stays until the last test, and is looked for then."""


@pytest.mark.parametrize("case", LIBRARIES, ids=lambda case: case.name)
def test_it_comes_back_or_is_named(case: Library, runs: Runs) -> None:
    if case.missing():
        pytest.skip(f"not installed: {', '.join(case.missing())}")
    found: Life = runs.results[case.name, life.__name__].result()
    assert bool(found.rollback or found.branch) == (case.name in ROLLBACK), found.rollback or found.branch or "it is exact after all"
    outcome = found.checkpoint
    assert outcome is not None
    lost = {plain_name(name): piece(reason) for name, reason in outcome.lost.items()}
    assert lost == LOST.get(case.name, {}), f"what is lost is not what is pinned: {outcome.lost}"
    assert set(unexplained(case, outcome)) == set(APART.get(case.name, {})), f"the check: {outcome.failed}"
    assert bool(outcome.differs) == (case.name in STRUCTURE), outcome.differs or "its structure is the same after all"
    assert not outcome.goes_on or case.name in APART, outcome.goes_on


def test_only_libraries_are_pinned() -> None:
    names = {case.name for case in LIBRARIES}
    assert {*LOST, *APART, *STRUCTURE, *ROLLBACK} <= names


def test_the_page_says_what_is_pinned() -> None:
    page = support.ROOT / "docs" / "design" / "libraries.md"
    assert table() in page.read_text(), "print it anew: python -m libraries.table"
