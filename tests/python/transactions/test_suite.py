"""Every case in every mode, against the real engine: what was changed and taken back is exactly as it was.

All sessions come from one engine, and a few run at a time, ahead of the tests that report them; so a test's own
time says little, but each case and mode is reported by its own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import pyrepl3

from .case import MODES, Case, all_cases
from .runs import LIMIT, Mode, Runs, run, runs_of

CASES = all_cases()

# ---- the modes ---------------------------------------------------------------------------------------------


async def mutate_then_rollback(session: Any, case: Case) -> None:
    """Back to a snapshot."""
    await run(session, "setup", case.setup)
    snapshot = await session.snapshot("before")
    await run(session, "mutation", case.mutate)
    report = await session.rollback_to(snapshot.snapshot_id)
    await check(session, case, f"rolled back: {report}")


async def mutate_and_raise(session: Any, case: Case) -> None:
    """A failure takes back what the execution did."""
    await run(session, "setup", case.setup)
    code = case.mutate + "\nraise RuntimeError('undo')"
    with pytest.raises(pyrepl3.ExecutionError) as caught:
        await session.execute(code, transaction_policy="rollback_on_failure", timeout=LIMIT)
    message = caught.value.message
    assert (message.ename, message.evalue) == ("RuntimeError", "undo"), f"the mutation failed: {message.traceback}"
    assert message.rolled_back, f"not rolled back: {message.report}"
    await check(session, case, f"rolled back: {message.report}")


async def savepoint(session: Any, case: Case) -> None:
    """Back to a savepoint within a transaction, which then commits."""
    await run(session, "setup", case.setup)
    async with session.transaction() as transaction:
        await run(transaction, "first part", "case_before_savepoint = 1")
        saved = await transaction.savepoint()
        await run(transaction, "mutation", case.mutate)
        report = await transaction.rollback_to(saved)
        await check(transaction, case, f"rolled back: {report}")
        await transaction.commit()
    await run(session, "after the commit", "assert case_before_savepoint == 1")


async def branches(session: Any, case: Case) -> None:
    """What two branches do, neither the third nor the parent sees."""
    await run(session, "setup", case.setup)
    three = await session.branch(3)
    try:
        await asyncio.gather(
            *(run(branch, f"branch {i}", case.divergence(i)) for i, branch in enumerate(three[:2], start=1))
        )
        await check(three[2], case, "the branch that did nothing")
        await check(session, case, "the parent")
    finally:
        await asyncio.gather(*(branch.shutdown() for branch in three))


async def twice(session: Any, case: Case) -> None:
    """Back to the same snapshot again, and the session goes on."""
    await run(session, "setup", case.setup)
    snapshot = await session.snapshot("before")
    for _ in range(2):
        await run(session, "mutation", case.mutate)
        report = await session.rollback_to(snapshot.snapshot_id)
    await check(session, case, f"rolled back twice: {report}")
    if case.consumes:
        await session.rollback_to(snapshot.snapshot_id)
    await run(session, "mutation after it all", case.mutate)


async def killed(session: Any, case: Case) -> None:
    """The process is killed within a transaction: the state before it comes back."""
    await run(session, "setup", case.setup)
    # By way of posix, so that what the mutation did to `os` does not matter.
    code = case.mutate + "\n(lambda p, s: p.kill(p.getpid(), s))(__import__('posix'), 9)"
    with pytest.raises(pyrepl3.ExecutionError) as caught:
        await session.execute(code, transaction_policy="commit_on_success", timeout=LIMIT)
    message = caught.value.message
    assert message.status == "crashed", f"the mutation failed: {message.traceback}"
    assert message.rolled_back, f"not rolled back: {message.report}"
    await check(session, case, f"rolled back: {message.report}")


MODE: dict[str, Mode] = {
    mode.__name__: mode for mode in (mutate_then_rollback, mutate_and_raise, savepoint, branches, twice, killed)
}
assert tuple(MODE) == MODES


async def check(target: Any, case: Case, what: str) -> None:
    """The state must be as the setup left it; twice, because looking must not change it."""
    await run(target, f"check ({what})", case.check)
    if not case.consumes:
        await run(target, f"second check ({what})", case.check)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    yield from runs_of(request, tmp_path_factory, test_exact, lambda parameters: MODE[parameters["mode"]])


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """In place of the other tests' fixture: here the engine stays until the last test, and is looked for then."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exact(case: Case, mode: str, runs: Runs) -> None:
    if case.missing():
        pytest.skip(f"not installed: {', '.join(case.missing())}")
    if case.refused:
        with pytest.raises(pyrepl3.SnapshotRefused, match=case.refused):
            runs.results[case.name, mode].result()
        return
    reason = case.exact_except.get(mode)
    result = runs.results[case.name, mode]
    if reason is None:
        result.result()
        return
    try:
        result.result()
    except AssertionError:
        pytest.xfail(reason)
    pytest.fail(f"it is exact after all: it is said that {reason}")
