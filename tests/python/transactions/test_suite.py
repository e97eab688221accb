"""Every case in every mode, against the real engine: what was changed and taken back is exactly as it was.

All sessions come from one engine, and a few run at a time, ahead of the tests that report them; so a test's own
time says little, but each case and mode is reported by its own name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import support

import pyrepl3

from .case import MODES, Case, all_cases

LIMIT = 60.0
"""Seconds that one case may take in one mode."""

HANGS = 5
"""After so many that took longer no more are begun: the engine is stuck."""

AT_ONCE = 2 * (os.cpu_count() or 1)
"""How many sessions run at a time."""

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


MODE: dict[str, Callable[[Any, Case], Coroutine[Any, Any, None]]] = {
    mode.__name__: mode for mode in (mutate_then_rollback, mutate_and_raise, savepoint, branches, twice, killed)
}
assert tuple(MODE) == MODES


async def run(target: Any, what: str, code: str) -> None:
    """Runs code in a session or transaction; a failure tells which part of the case it was, and where."""
    try:
        await target.execute(code)
    except pyrepl3.ExecutionError as error:
        message = error.message
        raise AssertionError(f"{what}: {message.status}\n{message.traceback or message.error}") from None


async def check(target: Any, case: Case, what: str) -> None:
    """The state must be as the setup left it; twice, because looking must not change it."""
    await run(target, f"check ({what})", case.check)
    if not case.consumes:
        await run(target, f"second check ({what})", case.check)


# ---- running them ------------------------------------------------------------------------------------------


class Runs:
    """An event loop in a thread of its own, in which the wanted cases and modes run, in the order of the tests."""

    def __init__(self, wanted: list[tuple[Case, str]], directory: str) -> None:
        self.directory = directory
        self.keepers: list[pyrepl3.Session] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.results: dict[tuple[str, str], Future[None]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.hangs = 0
        groups = dict.fromkeys(case.preload() for case, _ in wanted)
        try:
            # These keep the engine and the zygotes alive between the sessions of the tests.
            self.call(self.keep(list(groups))).result(2 * LIMIT)
        except BaseException:
            self.close()
            raise
        for case, mode in wanted:
            self.results[case.name, mode] = self.call(self.one(case, mode))

    def call(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    async def keep(self, groups: list[tuple[str, ...]]) -> None:
        for group in groups:
            session = self.session(group, "keeper")
            await session.start()
            self.keepers.append(session)

    def session(self, preload: tuple[str, ...], name: str) -> pyrepl3.Session:
        return pyrepl3.Session(preload=preload, name=name, env={"TMPDIR": self.directory, "MPLBACKEND": "Agg"})

    async def one(self, case: Case, mode: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        async with self.gate:
            assert self.hangs < HANGS, "not run: too many before it hung"
            session = self.session(case.preload(), f"{case.name}: {mode}")
            try:
                await asyncio.wait_for(session.start(), LIMIT)
                await asyncio.wait_for(MODE[mode](session, case), LIMIT)
            except asyncio.TimeoutError:
                self.hangs += 1
                raise AssertionError(f"it took longer than {LIMIT} seconds") from None
            finally:
                await asyncio.wait_for(session.shutdown(), LIMIT)

    def close(self) -> None:
        for result in self.results.values():
            result.cancel()

        async def end() -> None:
            # What was cancelled shuts its own session down first.
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.gather(*(keeper.shutdown() for keeper in self.keepers), return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            self.call(end()).result(LIMIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    before = set(support.processes())
    wanted: list[tuple[Case, str]] = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_exact:
            parameters: dict[str, Any] = item.callspec.params
            if not parameters["case"].missing():
                wanted.append((parameters["case"], parameters["mode"]))
    made = Runs(wanted, str(tmp_path_factory.mktemp("cases")))
    try:
        yield made
    finally:
        made.close()
    support.eventually(
        lambda: set(support.processes()) <= before,
        lambda: {pid: command for pid, command in support.processes().items() if pid not in before},
    )


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
