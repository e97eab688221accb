"""Transactions, snapshots, undo and branches as the client speaks of them, against fake_engine.py.

What they do to the state of Python is in test_transactions.py.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import (
    EvictedMessage,
    ExecuteMessage,
    NoTransaction,
    OutputMessage,
    RolledBackMessage,
    Session,
    SessionPool,
    Snapshot,
    SnapshotCreatedMessage,
    SnapshotNotFound,
    TransactionPolicy,
    WarningMessage,
    _wire,
)
from support import engines, messages_of

pytestmark = pytest.mark.usefixtures("fake")


async def sent(session: Session, kind: str) -> list[dict[str, Any]]:
    """All requests of a type that the engine has got, without what each one has."""
    found: list[dict[str, Any]] = (await session.execute(f"sent {kind}")).value
    return [{name: value for name, value in each.items() if name not in ("id", "timestamp", "type")} for each in found]


# ---- policies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [*TransactionPolicy, *(each.value for each in TransactionPolicy)], ids=repr)
async def test_a_policy_is_sent_as_its_text(policy: TransactionPolicy | str) -> None:
    async with Session() as session:
        await session.execute("value 1", transaction_policy=policy)
        await session.execute(ExecuteMessage("value 2", transaction_policy=policy))
        await session.execute(ExecuteMessage("value 3", transaction_policy=policy), transaction_policy="commit_always")
        found = [each.get("transaction_policy") for each in await sent(session, "execute")]
        assert found == [str(policy), str(policy), "commit_always", None]


async def test_what_a_session_is_started_with() -> None:
    options = {"default_policy": "rollback_on_failure", "undo": 20, "transaction_timeout": 1.5, "name": "mine"}
    async with Session(limits={"snapshots": 7}, **options) as session, Session():  # type: ignore[arg-type]
        first, second = [each["options"] for each in await sent(session, "start")]
        assert {name: first.get(name) for name in options} == options
        assert first["limits"] == {"snapshots": 7}
        assert not set(options) & set(second)


async def test_an_error_says_that_it_was_rolled_back() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.ExecutionError) as caught:
            await session.execute("fail")
        assert str(caught.value) == "ValueError: no (rolled back)\n\nValueError: no"
        assert caught.value.message.rolled_back
        assert caught.value.message.report == "all of it"


# ---- explicit transactions -------------------------------------------------------------------------------------


async def test_a_transaction_commits_at_its_end() -> None:
    async with Session() as session:
        transaction = session.transaction(timeout=2.5)
        assert (transaction.id, repr(transaction)) == ("", "<Transaction not begun>")
        async with transaction as tx:
            assert tx is transaction
            assert tx.id.startswith("txn_")
            result = await tx.execute("value 1", timeout=5, inputs=["a"], stop_on_error=True, idempotency_key="k")
            assert result.value == 1
            await tx.execute(ExecuteMessage("value 2", id="mine", transaction_policy="explicit"))
            assert repr(tx) == f"<Transaction {tx.id} open>"
        assert repr(tx) == f"<Transaction {tx.id} it was committed>"
        where = {"session_id": session.id}
        assert await sent(session, "begin") == [{**where, "timeout": 2.5}]
        assert await sent(session, "commit") == [{**where, "transaction_id": tx.id}]
        assert await sent(session, "rollback") == []
        first, second, *_ = await sent(session, "execute")
        here = {**where, "transaction_id": tx.id, "transaction_policy": "explicit"}
        assert first == {
            **here,
            "code": "value 1",
            "timeout": 5,
            "inputs": ["a"],
            "stop_on_error": True,
            "idempotency_key": "k",
        }
        assert second == {**here, "code": "value 2"}


async def test_an_exception_rolls_back_and_goes_on() -> None:
    async with Session() as session:
        with pytest.raises(ZeroDivisionError):
            async with session.transaction() as tx:
                raise ZeroDivisionError
        assert await sent(session, "begin") == [{"session_id": session.id}]
        assert await sent(session, "rollback") == [{"session_id": session.id, "transaction_id": tx.id}]
        assert await sent(session, "commit") == []


async def test_code_that_fails_rolls_back_only_if_its_error_leaves_the_block() -> None:
    async with Session() as session:
        async with session.transaction() as tx:
            with pytest.raises(pyrepl3.ExecutionError):
                await tx.execute("fail")
        assert len(await sent(session, "commit")) == 1
        with pytest.raises(pyrepl3.ExecutionError):
            async with session.transaction() as tx:
                await tx.execute("fail")
        assert len(await sent(session, "commit")) == 1
        assert len(await sent(session, "rollback")) == 1


@pytest.mark.parametrize("owner", ["transaction", "session"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_after_an_end_inside_the_block_its_end_does_nothing(owner: str, end: str) -> None:
    async with Session() as session:
        async with session.transaction() as tx:
            ended = await getattr(tx if owner == "transaction" else session, end)()
            assert isinstance(ended, RolledBackMessage) == (end == "rollback")
            for call in (lambda: tx.execute("value 1"), tx.savepoint, tx.commit, tx.rollback):
                with pytest.raises(NoTransaction, match=f"{tx.id} has ended: it was .* session.transaction"):
                    await call()
            with pytest.raises(NoTransaction):
                await tx.rollback_to("snp_1")
        for kind in ("commit", "rollback"):
            assert len(await sent(session, kind)) == (kind == end)
        # The next one is another one.
        async with session.transaction() as other:
            assert other.id != tx.id
            assert (await other.execute("value 1")).value == 1


async def test_an_exception_after_an_end_inside_the_block_goes_on() -> None:
    async with Session() as session:
        with pytest.raises(KeyError):
            async with session.transaction() as tx:
                await tx.commit()
                raise KeyError
        assert await sent(session, "rollback") == []


async def test_a_time_limit_that_passed_is_never_silent() -> None:
    async with Session() as session:
        with pytest.raises(NoTransaction, match="was not committed, and what was done in it is gone") as caught:
            async with session.transaction() as tx:
                await tx.execute("expire")
        assert isinstance(caught.value.__cause__, NoTransaction)
        assert "the engine says so" in str(caught.value.__cause__)
        with pytest.raises(NoTransaction, match="the engine says so"):
            async with session.transaction() as tx:
                await tx.execute("expire")
                await tx.execute("value 1")
        # Who has heard of it inside does not hear of it again.
        async with session.transaction() as tx:
            await tx.execute("expire")
            with pytest.raises(NoTransaction):
                await tx.commit()
        # Nothing is left to be rolled back: the exception is what is of interest.
        with pytest.raises(KeyError):
            async with session.transaction() as tx:
                await tx.execute("expire")
                raise KeyError


async def test_only_one_is_open() -> None:
    async with Session() as session, session.transaction():
        with pytest.raises(pyrepl3.TransactionOpen):
            async with session.transaction():
                pytest.fail("it was entered")
        with pytest.raises(pyrepl3.TransactionOpen):
            await session.transaction().__aenter__()


async def test_a_transaction_is_begun_once_and_used_inside_only() -> None:
    async with Session() as session:
        transaction = session.transaction()
        with pytest.raises(NoTransaction, match="not begun"):
            transaction.execute("value 1")
        async with transaction:
            with pytest.raises(pyrepl3.BadRequest, match="is open"):
                await transaction.__aenter__()
        with pytest.raises(pyrepl3.BadRequest, match="has ended"):
            await transaction.__aenter__()
    with pytest.raises(pyrepl3.SessionClosed):
        await session.transaction().__aenter__()


async def test_another_policy_is_not_for_a_transaction() -> None:
    async with Session() as session, session.transaction() as tx:
        with pytest.raises(pyrepl3.BadValue, match="commit_always"):
            tx.execute(ExecuteMessage("value 1", transaction_policy="commit_always"))
        with pytest.raises(TypeError):
            tx.execute("value 1", transaction_policy="explicit")  # type: ignore[call-arg]


async def test_without_a_block() -> None:
    async with Session() as session:
        for end in (session.commit, session.rollback):
            with pytest.raises(NoTransaction):
                await end()
            await session.execute("value 1", transaction_policy="explicit")
            await end()
        assert await sent(session, "commit") == [{"session_id": session.id}] * 2


# ---- cancelled ---------------------------------------------------------------------------------------------------


async def test_cancelling_the_task_rolls_back() -> None:
    async with Session() as session:
        inside = asyncio.Event()

        async def work() -> None:
            async with session.transaction() as tx:
                inside.set()
                await tx.execute("wait")

        task = asyncio.create_task(work())
        await inside.wait()
        while "wait" not in [each["code"] for each in await sent(session, "execute")]:
            pass
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await sent(session, "cancel") != []
        assert len(await sent(session, "rollback")) == 1
        assert await sent(session, "commit") == []
        await session.execute("go")


async def test_what_still_runs_is_stopped_by_an_exception_and_waited_for_by_a_commit() -> None:
    async with Session() as session:
        with pytest.raises(KeyError):
            async with session.transaction() as tx:
                left = tx.execute("wait")
                raise KeyError
        assert [each["execution_id"] for each in await sent(session, "cancel")] == [left.id]
        await session.execute("go")
        await left

        async def work() -> None:
            async with session.transaction() as tx:
                tx.execute("wait")

        task = asyncio.create_task(work())
        while len([each for each in await sent(session, "execute") if each["code"] == "wait"]) < 2:
            pass
        assert await sent(session, "commit") == []
        await session.execute("go")
        await task
        assert len(await sent(session, "commit")) == 1


async def test_cancelled_while_it_waits_to_commit_it_rolls_back() -> None:
    async with Session() as session:

        async def work() -> None:
            async with session.transaction() as tx:
                tx.execute("wait")

        task = asyncio.create_task(work())
        while "wait" not in [each["code"] for each in await sent(session, "execute")]:
            pass
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await sent(session, "commit") == []
        assert len(await sent(session, "rollback")) == 1
        await session.execute("go")


@pytest.mark.parametrize(
    ("kind", "undone"), [("begin", "rollback"), ("snapshot", "drop_snapshot"), ("branch", "shutdown")]
)
async def test_what_was_asked_for_and_given_up_is_undone_when_it_comes(kind: str, undone: str) -> None:
    async with Session() as session:
        calls: dict[str, Any] = {"begin": lambda: session.transaction().__aenter__(), "snapshot": session.snapshot}
        await session.execute(f"hold {kind}")
        task = asyncio.ensure_future(calls.get(kind, session.branch)())
        while not await sent(session, kind):
            pass
        task.cancel()
        await asyncio.wait([task])
        await session.execute("go")
        while not await sent(session, undone):  # Branches end as any session that nobody refers to.
            pass
        assert await session.snapshots() == []
        async with session.transaction():
            pass


async def test_cancelled_at_the_moment_that_it_was_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Session() as session:
        parse = _wire.branched

        def branched(message: dict[str, Any]) -> pyrepl3.BranchedMessage:
            asyncio.get_running_loop().call_soon(task.cancel)
            return parse(message)

        monkeypatch.setattr(_wire, "branched", branched)
        task = asyncio.create_task(session.branch(3))
        await asyncio.wait([task])
        assert task.cancelled()
        while len(await sent(session, "shutdown")) < 3:
            pass


async def test_the_session_ends_inside_the_block() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.SessionClosed):
            async with session.transaction():
                await session.shutdown()
    async with Session() as session:
        with pytest.raises(KeyError):
            async with session.transaction():
                await session.shutdown()
                raise KeyError
    async with Session() as session:
        with pytest.raises(pyrepl3.SessionLost):
            async with session.transaction() as tx:
                await tx.execute("die 3")


# ---- savepoints and snapshots ------------------------------------------------------------------------------------


async def test_savepoints() -> None:
    async with Session() as session, session.transaction() as tx:
        savepoint = await tx.savepoint()
        assert isinstance(savepoint, SnapshotCreatedMessage)
        assert savepoint.kind == "savepoint"
        for each in (savepoint, savepoint.snapshot_id, (await session.snapshots())[0]):
            back = await tx.rollback_to(each)
            assert back.snapshot_id == savepoint.snapshot_id
        where = {"session_id": session.id, "transaction_id": tx.id}
        assert await sent(session, "savepoint") == [where]
        assert await sent(session, "rollback_to") == [{**where, "snapshot_id": savepoint.snapshot_id}] * 3
        with pytest.raises(SnapshotNotFound):
            await tx.rollback_to("snp_none")


async def test_snapshots() -> None:
    async with Session() as session:
        assert await session.snapshots() == []
        await session.execute("value 1")
        made = await session.snapshot("first")
        assert made.snapshot_id
        assert (made.name, made.kind, made.warnings, made.duration, made.execution_count) == (
            "first",
            "named",
            ["a thread"],
            0.25,
            1,
        )
        assert (made.type, made.session_id, made.execution_id) == ("snapshot_created", session.id, None)
        second, third = await session.snapshot(), await session.snapshot()
        listed = await session.snapshots()
        assert [each.snapshot_id for each in listed] == [each.snapshot_id for each in (made, second, third)]
        assert listed[0] == Snapshot(
            snapshot_id=made.snapshot_id, name="first", kind="named", created_at=1.5, age=2.5, execution_count=1
        )
        await session.drop_snapshot(third)
        back = await session.rollback_to(made.snapshot_id)
        assert isinstance(back, RolledBackMessage)
        assert (back.snapshot_id, back.report, back.exact, back.reason, back.duration, back.execution_count) == (
            made.snapshot_id,
            "all of it",
            False,
            "rollback_to",
            0.5,
            3,
        )
        assert [each.name for each in await session.snapshots()] == ["first"]
        for gone in (second, third, "snp_none"):
            with pytest.raises(SnapshotNotFound):
                await session.rollback_to(gone)
            with pytest.raises(SnapshotNotFound):
                await session.drop_snapshot(gone)


async def test_a_process_that_cannot_be_frozen() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.SnapshotRefused) as caught:
            await session.snapshot("cuda")
        assert caught.value.code == "snapshot_refused"


async def test_wrong_arguments() -> None:
    async with Session() as session:
        for call in (
            lambda: session.rollback_to(5),  # type: ignore[arg-type]
            lambda: session.drop_snapshot(None),  # type: ignore[arg-type]
            lambda: session.snapshot(5),  # type: ignore[arg-type]
            lambda: session.branch("2"),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError):
                await call()
        with pytest.raises(ValueError, match="at least 1"):
            await session.branch(0)
        with pytest.raises(ValueError, match="split"):
            await session.branch(random="other")
        with pytest.raises(ValueError, match="timeout"):
            session.transaction(timeout=0)


async def test_undo_and_redo() -> None:
    async with Session(undo=2) as session:
        with pytest.raises(pyrepl3.NothingToUndo) as caught:
            await session.undo()
        assert caught.value.code == "nothing_to_undo"
        await session.execute("value 1")
        assert (await session.undo()).reason == "undo"
        assert (await session.redo()).reason == "redo"
        with pytest.raises(pyrepl3.NothingToUndo) as caught:
            await session.redo()
        assert caught.value.code == "nothing_to_redo"


# ---- what comes by itself ----------------------------------------------------------------------------------------


async def test_a_warning_within_an_execution() -> None:
    async with Session() as session:
        execution = session.execute("warn a thread runs")
        result = await execution
        assert execution.warnings == result.warnings == ["a thread runs"]
        found = await messages_of(execution)
        assert [type(each) for each in found] == [WarningMessage, OutputMessage, pyrepl3.ResultMessage]
        assert isinstance(found[0], WarningMessage)
        assert (found[0].text, found[0].execution_id) == ("a thread runs", execution.id)
        session.execute("warn nobody is there")
        gc.collect()
        assert (await session.execute("value 1")).warnings == []


async def test_events_of_a_session() -> None:
    async with Session() as session:
        events = session.events()
        await session.execute("tell")
        await session.execute("expire")
        warning, evicted, back = [await anext(events) for _ in range(3)]
        assert isinstance(warning, WarningMessage)
        assert (warning.text, warning.execution_id) == ("take care", None)
        assert isinstance(evicted, EvictedMessage)
        assert (evicted.snapshot_id, evicted.name, evicted.kind) == ("snp_old", "old", "named")
        assert evicted.reason == "no room"
        assert isinstance(back, RolledBackMessage)
        assert (back.report, back.reason, back.exact) == ("late", "time limit", True)


# ---- branches ----------------------------------------------------------------------------------------------------


async def test_branches_are_sessions() -> None:
    def on_input(message: pyrepl3.InputMessage) -> str:
        return "yes"

    async with Session(on_input=on_input, name="mine", cwd="/", undo=3) as session:
        assert (session.parent, session.branched_at) == (None, None)
        first, second = await session.branch(2, random="split")
        assert await sent(session, "branch") == [{"session_id": session.id, "count": 2, "random": "split"}]
        for branch in (first, second):
            assert isinstance(branch, Session)
            assert (branch.parent, branch.branched_at, branch.name) == (session.id, 7, "mine")
            assert branch.on_input is on_input
            assert branch.python is not None
            assert branch.python.implementation == "fake"
            assert branch._environment is session._environment
            await branch.start()  # It is.
            warning = await anext(branch.events())
            assert isinstance(warning, WarningMessage)
            assert warning.text == "just made"
        assert len({session.id, first.id, second.id}) == 3
        found = await asyncio.gather(*(each.execute("ask") for each in (session, first, second)))
        assert [each.value for each in found] == ["yes"] * 3
        (third,) = await first.branch()
        assert third.parent == first.id
        await first.shutdown()
        assert (first.closed, third.closed) == (True, False)
        assert (await third.execute("value 3")).value == 3
        await third.shutdown()
        await second.shutdown()
        assert (await session.execute("value 1")).value == 1


async def test_the_engine_lives_as_long_as_a_branch() -> None:
    async with Session() as session:
        branches = await session.branch(2)
    assert len(engines()) == 1
    async with branches[0] as branch:
        assert (await branch.execute("value 1")).value == 1
    assert len(engines()) == 1
    await branches[1].shutdown()
    assert engines() == []


async def test_branches_that_nobody_refers_to_are_ended() -> None:
    async with Session() as session:
        branches = await session.branch(2)
        names = {each.id for each in branches}
        del branches
        gc.collect()
        while {each["session_id"] for each in await sent(session, "shutdown")} != names:
            pass


async def test_a_branch_of_a_session_on_loan_is_the_callers_own() -> None:
    async with SessionPool() as pool:
        async with pool.session() as session:
            (branch,) = await session.branch()
        assert not branch.closed
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await pool.release(branch)
        assert caught.value.code == "not_acquired"
        assert (await branch.execute("value 1")).value == 1
    assert (await branch.execute("value 2")).value == 2
    await branch.shutdown()
    assert engines() == []


async def test_the_engine_dies_and_branches_hear_of_it() -> None:
    async with Session() as session:
        (branch,) = await session.branch()
        with pytest.raises(pyrepl3.SessionLost):
            await branch.execute("die 3")
        assert session.closed
        await branch.shutdown()
