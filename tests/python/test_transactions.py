"""Transactions, snapshots, undo and branches with the real engine: what becomes of the state of Python.

How the client speaks of them is in test_state.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import (
    ErrorMessage,
    ExecutionError,
    NoTransaction,
    NothingToUndo,
    OutputMessage,
    RolledBackMessage,
    Session,
    SessionPool,
    SnapshotNotFound,
    sync,
)
from support import engines

STUCK = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nwhile True: pass"
"""SIGINT alone does not stop it."""


async def value(session: Session, code: str) -> Any:
    return (await session.execute(code)).value


async def failure(execution: pyrepl3.Execution) -> ErrorMessage:
    with pytest.raises(ExecutionError) as caught:
        await execution
    return caught.value.message


# ---- policies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "undone"), [("commit_always", False), ("commit_on_success", True), ("rollback_on_failure", True)]
)
@pytest.mark.parametrize("given", ["execute", "session"])
async def test_what_fails_is_undone_as_the_policy_says(policy: str, undone: bool, given: str) -> None:
    default, own = (policy, None) if given == "session" else (None, policy)
    async with Session(default_policy=default) as session:
        await session.execute("x = 10; l = [1]; alias = l", transaction_policy=own)
        ended = await failure(
            session.execute("x = 20; y = 30; l.append(2); raise ValueError('no')", transaction_policy=own)
        )
        assert (ended.ename, ended.rolled_back) == ("ValueError", undone)
        assert bool(ended.report) == undone
        found = (await session.execute("x, l, alias is l, 'y' in dir()")).repr
        assert found == ("(10, [1], True, False)" if undone else "(20, [1, 2], True, True)")


async def test_a_time_limit_is_a_failure() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        ended = await failure(
            session.execute("x = 2\nwhile True: pass", timeout=0.1, transaction_policy="rollback_on_failure")
        )
        assert (ended.status, ended.rolled_back) == ("timed_out", True)
        assert await value(session, "x") == 1


@pytest.mark.parametrize(("policy", "undone"), [("commit_on_success", True), ("rollback_on_failure", False)])
async def test_an_interrupt_is_no_failure_and_no_success(policy: str, undone: bool) -> None:
    async with Session() as session:
        await session.execute("x = 1")
        execution = session.execute("x = 2\nprint('on')\nwhile True: pass", transaction_policy=policy)
        async for message in execution:
            if isinstance(message, OutputMessage):
                await session.interrupt()
        ended = await failure(execution)
        assert (ended.status, ended.rolled_back) == ("interrupted", undone)
        assert await value(session, "x") == (1 if undone else 2)


async def test_code_that_has_to_be_killed_loses_nothing() -> None:
    async with Session(limits={"interrupt_grace": 0.1}) as session:
        await session.execute("x = 1")
        ended = await failure(
            session.execute("x = 2\n" + STUCK, timeout=0.1, transaction_policy="rollback_on_failure")
        )
        assert (ended.stopped_by, ended.rolled_back, ended.session_lost) == ("kill", True, False)
        assert await value(session, "x") == 1


async def test_a_process_that_dies_loses_nothing() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        ended = await failure(session.execute("import os; os._exit(3)", transaction_policy="commit_on_success"))
        assert (ended.status, ended.rolled_back, ended.session_lost) == ("crashed", True, False)
        assert await value(session, "x") == 1


# ---- explicit transactions -------------------------------------------------------------------------------------


async def test_a_transaction_that_is_left_normally_stays() -> None:
    async with Session() as session:
        async with session.transaction() as tx:
            await tx.execute("x = 1")
            await tx.execute("x += 1")
            assert [each.kind for each in await session.snapshots()] == ["transaction"]
        assert await value(session, "x") == 2
        assert await session.snapshots() == []
        with pytest.raises(NoTransaction):
            await session.commit()


async def test_an_exception_in_the_block_undoes_it_all() -> None:
    async with Session() as session:
        await session.execute("l = [1]")
        with pytest.raises(KeyError):
            async with session.transaction() as tx:
                await tx.execute("l.append(2)")
                await tx.execute("y = 1")
                raise KeyError
        assert (await session.execute("l, 'y' in dir()")).repr == "([1], False)"


async def test_what_fails_in_a_transaction_stays_until_it_ends() -> None:
    async with Session() as session:
        async with session.transaction() as tx:
            ended = await failure(tx.execute("x = 1; raise ValueError"))
            assert not ended.rolled_back
            assert (await tx.execute("x")).value == 1
        assert await value(session, "x") == 1
        with pytest.raises(ExecutionError):
            async with session.transaction() as tx:
                await tx.execute("x = 2; raise ValueError")
        assert await value(session, "x") == 1


async def test_savepoints() -> None:
    async with Session() as session:
        async with session.transaction() as tx:
            await tx.execute("x = 1")
            first = await tx.savepoint()
            await tx.execute("x = 2")
            second = await tx.savepoint()
            await tx.execute("x = 3")
            for _ in range(2):  # It stays.
                assert (await tx.rollback_to(first)).snapshot_id == first.snapshot_id
                assert (await tx.execute("x")).value == 1
            with pytest.raises(SnapshotNotFound):
                await tx.rollback_to(second)
        assert await value(session, "x") == 1


async def test_a_transaction_without_a_block() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        await session.execute("x = 2", transaction_policy="explicit")
        await session.execute("x = 3", transaction_policy="explicit")
        message = await session.rollback()
        assert isinstance(message, RolledBackMessage)
        assert await value(session, "x") == 1
        await session.execute("x = 4", transaction_policy="explicit")
        await session.commit()
        assert await value(session, "x") == 4
        with pytest.raises(NoTransaction):
            await session.rollback()


async def test_only_one_is_open() -> None:
    async with Session() as session, session.transaction():
        with pytest.raises(pyrepl3.TransactionOpen):
            async with session.transaction():
                pytest.fail("it was entered")


async def test_cancelling_the_task_rolls_back() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        running = asyncio.Event()

        async def work() -> None:
            async with session.transaction() as tx:
                await tx.execute("x = 2")
                execution = tx.execute("print('on')\nwhile True: pass")
                async for message in execution:
                    if isinstance(message, OutputMessage):
                        running.set()
                await execution

        task = asyncio.create_task(work())
        begun = asyncio.create_task(running.wait())
        await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await value(session, "x") == 1


@pytest.mark.parametrize("well", [True, False])
async def test_an_iterator_that_was_left_holds_no_end_up(well: bool) -> None:
    async with Session() as session:
        await session.execute("x = 1")
        tx = session.transaction()
        await tx.__aenter__()
        # More than the engine sends ahead of an iterator.
        execution = tx.execute("x = 2\nfor i in range(20): print('x' * 1_048_575)")
        messages = execution.__aiter__()
        await anext(messages)
        if well:
            await tx.__aexit__(None, None, None)
        else:
            await tx.__aexit__(KeyError, KeyError(), None)
        assert execution.done()
        assert await value(session, "x") == (2 if well else 1)
        assert isinstance(await anext(messages), OutputMessage)


@pytest.mark.parametrize("given", ["transaction", "session"])
async def test_a_transaction_that_is_abandoned_rolls_back_by_itself(given: str) -> None:
    options: dict[str, Any] = {"transaction_timeout": 0.2} if given == "session" else {}
    async with Session(**options) as session:
        await session.execute("x = 1")
        events = session.events()
        with pytest.raises(NoTransaction, match="was not committed"):
            async with session.transaction(0.2 if given == "transaction" else None) as tx:
                await tx.execute("x = 2")
                async for event in events:
                    if isinstance(event, RolledBackMessage):
                        break
                with pytest.raises(NoTransaction):
                    await tx.execute("x = 3")
        assert await value(session, "x") == 1


# ---- snapshots and undo ------------------------------------------------------------------------------------------


async def test_a_snapshot_brings_the_whole_state_back() -> None:
    async with Session() as session:
        await session.execute("import math, random\ndata = {'a': [1, 2]}\nalias = data['a']\ng = (i for i in range(9))")
        made = await session.snapshot("before")
        assert (made.name, made.kind) == ("before", "named")
        (listed,) = await session.snapshots()
        assert (listed.snapshot_id, listed.name, listed.kind) == (made.snapshot_id, "before", "named")
        assert listed.age >= 0
        later = None
        for _ in range(2):  # It stays.
            await session.execute("alias.append(3); math.pi = 3; next(g); next(g)\ndel data")
            later = await session.snapshot()
            back = await session.rollback_to(made.snapshot_id)
            assert (back.snapshot_id, back.exact) == (made.snapshot_id, True)
            found = await session.execute("data, alias is data['a'], math.pi > 3.1, next(g)")
            assert found.repr == "({'a': [1, 2]}, True, True, 0)"
        assert later is not None
        with pytest.raises(SnapshotNotFound):
            await session.rollback_to(later)
        async with session.transaction() as tx:
            savepoint = await tx.savepoint()
            with pytest.raises(pyrepl3.BadValue, match="cannot be dropped"):
                await session.drop_snapshot(savepoint)
        await session.drop_snapshot(made)
        assert await session.snapshots() == []
        with pytest.raises(SnapshotNotFound):
            await session.rollback_to(made)


async def test_to_return_stops_what_runs() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.snapshot()
        running, queued = session.execute("x = 2\nprint('on')\nwhile True: pass"), session.execute("x = 3")
        async for message in running:
            if isinstance(message, OutputMessage):
                await session.rollback_to(made)
        assert (await failure(running)).status == "interrupted"
        assert (await failure(queued)).status == "cancelled"
        assert await value(session, "x") == 1


async def test_to_return_to_before_a_transaction_ends_it() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.snapshot()
        with pytest.raises(NoTransaction, match="was not committed"):
            async with session.transaction() as tx:
                await tx.execute("x = 2")
                await session.rollback_to(made)
        assert await value(session, "x") == 1


async def test_undo_and_redo() -> None:
    async with Session(undo=2) as session:
        for number in range(4):
            await session.execute(f"x = {number}")
        await session.undo()
        await session.undo()
        with pytest.raises(NothingToUndo):
            await session.undo()
        await session.redo()
        assert await value(session, "x") == 2
        with pytest.raises(NothingToUndo) as caught:
            await session.redo()
        assert caught.value.code == "nothing_to_redo"


async def test_without_undo_there_is_none() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        with pytest.raises(NothingToUndo):
            await session.undo()
        assert await session.snapshots() == []


# ---- branches ----------------------------------------------------------------------------------------------------


async def test_branches_share_the_past_and_not_the_future() -> None:
    async with Session() as session:
        await session.execute("l = [1]")
        first, second = await session.branch(2)
        assert {first.parent, second.parent} == {session.id}
        assert (first.branched_at, second.branched_at) == (1, 1)
        assert first.python == session.python
        await asyncio.gather(*(each.execute(f"l.append({n})") for n, each in enumerate((session, first, second))))
        assert [await value(each, "l") for each in (session, first, second)] == [[1, 0], [1, 1], [1, 2]]
        await first.shutdown()
        assert await value(second, "l") == [1, 2]
    # Its parent is gone, and the engine is there as long as it is.
    assert await value(second, "l") == [1, 2]
    async with second:
        pass
    assert engines() == []


@pytest.mark.parametrize(("random", "alike"), [("same", True), ("split", False)])
async def test_random_numbers_of_branches(random: str, alike: bool) -> None:
    async with Session() as session:
        await session.execute("import random; random.seed(1)")
        branches = await session.branch(3, random=random)
        numbers = {await value(each, "random.random()") for each in branches}
        assert len(numbers) == (1 if alike else 3)
        for each in branches:
            await each.shutdown()


async def test_a_branch_asks_prints_and_branches_as_any_session() -> None:
    async with Session(on_input=lambda message: "yes") as session:
        (branch,) = await session.branch()
        async with branch:
            result = await branch.execute("print('hello'); input()")
            assert (result.stdout, result.value) == ("hello\n", "yes")
            (grandchild,) = await branch.branch()
            async with grandchild:
                assert grandchild.parent == branch.id
                assert await value(grandchild, "1 + 1") == 2


async def test_a_branch_of_a_session_on_loan_is_the_callers_own() -> None:
    async with SessionPool(warmup_code="l = [1]") as pool:
        async with pool.session() as session:
            (branch,) = await session.branch()
        assert await value(branch, "l") == [1]
        assert (await pool.stats()).leased == 0
    assert await value(branch, "l") == [1]
    await branch.shutdown()


def test_without_await() -> None:
    with sync.Session(undo=1) as session:
        with session.transaction() as tx:
            tx.execute("x = 1")
        with pytest.raises(KeyError), session.transaction() as tx:
            tx.execute("x = 2")
            raise KeyError
        made = session.snapshot()
        (branch,) = session.branch()
        session.execute("x = 3")
        session.undo()
        assert session.execute("x").value == 1
        session.rollback_to(made)
        with branch:
            assert branch.execute("x").value == 1


async def test_what_a_return_stops_says_so() -> None:
    """And not that the session has ended."""
    async with Session() as session:
        base = await session.snapshot("base")
        codes: set[str] = set()
        end = time.monotonic() + 2

        async def returns() -> None:
            while time.monotonic() < end:
                await session.rollback_to(base)

        async def asks(question: Callable[[], Awaitable[object]]) -> None:
            while time.monotonic() < end:
                try:
                    await question()
                except pyrepl3.Pyrepl3Error as error:
                    codes.add("execution" if isinstance(error, ExecutionError) else str(error.code))
                except asyncio.CancelledError:
                    codes.add("cancelled")

        await asyncio.gather(
            returns(),
            asks(session.variables),
            asks(session.snapshot),
            asks(lambda: session.execute("sum(range(1000))")),
        )
        assert codes <= {"interrupted", "execution", "cancelled"}, codes
        assert (await session.execute("1")).value == 1


async def test_what_cannot_be_frozen_can_be_undone() -> None:
    """Only not redone."""
    async with Session(undo=5) as session:
        await session.execute("import resource; x = 1; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))")
        await session.execute("x = 2; files = []\ntry:\n  while True: files.append(open('/dev/null'))\nexcept OSError: pass")
        events = session.events()
        with pytest.raises(pyrepl3.Pyrepl3Error):
            await session.snapshot()
        await session.undo()
        assert (await session.execute("x, 'files' in globals()")).repr == "(1, False)"
        async for message in events:
            if isinstance(message, pyrepl3.WarningMessage) and "cannot be redone" in message.text:
                break
        with pytest.raises(pyrepl3.Pyrepl3Error, match="redo"):
            await session.redo()
