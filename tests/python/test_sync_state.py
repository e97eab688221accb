"""Transactions, snapshots, undo and branches of `pyrepl3.sync`, against fake_engine.py: what test_state.py has for
the asynchronous client, as far as it is another one."""

from __future__ import annotations

import _thread
import gc
import threading
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import InputMessage, NoTransaction, ResultMessage, _portal
from pyrepl3.sync import Session, SessionPool, Transaction
from support import engines, eventually

pytestmark = pytest.mark.usefixtures("fake")


def sent(session: Session, kind: str) -> list[dict[str, Any]]:
    """All requests of a type that the engine has got."""
    found: list[dict[str, Any]] = session.execute(f"sent {kind}").value
    return found


def test_a_transaction_commits_at_its_end() -> None:
    with Session(undo=1, default_policy="commit_on_success") as session:
        with session.transaction(timeout=5) as tx:
            assert isinstance(tx, Transaction)
            assert repr(tx) == f"<Transaction {tx.id} open>"
            assert tx.execute("value 1").value == 1
            assert [each.type for each in tx.stream("value 2")] == ["result"]
            savepoint = tx.savepoint()
            assert tx.rollback_to(savepoint).snapshot_id == savepoint.snapshot_id
        assert [each["transaction_id"] for each in sent(session, "commit")] == [tx.id]
        assert {each.get("transaction_policy") for each in sent(session, "execute")} == {"explicit", None}
        with pytest.raises(NoTransaction, match="has ended"):
            tx.execute("value 3")


def test_an_exception_rolls_back_and_goes_on() -> None:
    with Session() as session:
        with pytest.raises(ZeroDivisionError), session.transaction():
            raise ZeroDivisionError
        with pytest.raises(pyrepl3.ExecutionError), session.transaction() as tx:
            tx.execute("fail")
        assert len(sent(session, "rollback")) == 2
        assert sent(session, "commit") == []


def test_ends_inside_the_block() -> None:
    with Session() as session:
        with session.transaction() as tx:
            tx.commit()
        with session.transaction() as tx:
            assert tx.rollback().reason == "rollback"
        with session.transaction():
            session.commit()
        with session.transaction():
            session.rollback()
        assert (len(sent(session, "commit")), len(sent(session, "rollback"))) == (2, 2)
        with pytest.raises(NoTransaction, match="is gone"), session.transaction() as tx:
            tx.execute("expire")
        with session.transaction() as tx:
            tx.commit()
            session.shutdown()
    with Session() as session, pytest.raises(KeyError), session.transaction():
        session.shutdown()
        raise KeyError


def test_ctrl_c_in_the_block_rolls_back() -> None:
    with Session() as session:

        def interrupt() -> None:
            while "wait" not in [each["code"] for each in sent(session, "execute")]:
                pass
            _thread.interrupt_main()
            while not sent(session, "cancel"):
                pass
            session.execute("go")

        thread = threading.Thread(target=interrupt)
        with pytest.raises(KeyboardInterrupt), session.transaction() as tx:
            thread.start()
            tx.execute("wait")
        thread.join()
        assert len(sent(session, "rollback")) == 1
        assert sent(session, "commit") == []


def test_snapshots_and_undo() -> None:
    with Session() as session:
        made = session.snapshot("first")
        other = session.snapshot()
        assert [each.name for each in session.snapshots()] == ["first", None]
        session.drop_snapshot(other.snapshot_id)
        with pytest.raises(pyrepl3.SnapshotNotFound):
            session.rollback_to(other)
        assert session.rollback_to(made).report == "all of it"
        session.execute("value 1")
        assert (session.undo().reason, session.redo().reason) == ("undo", "redo")
        with pytest.raises(pyrepl3.NothingToUndo):
            session.redo()
        for end in (session.commit, session.rollback):
            with pytest.raises(NoTransaction):
                end()


def test_warnings_and_events() -> None:
    with Session() as session:
        assert session.execute("warn a thread").warnings == ["a thread"]
        session.execute("tell")
        events = session.events()
        assert [next(events).type.value for _ in range(2)] == ["warning", "evicted"]


def test_branches_are_sessions() -> None:
    asked: list[str] = []

    def on_input(message: InputMessage) -> str:
        asked.append(threading.current_thread().name)
        return "yes"

    with Session(on_input=on_input, name="mine") as session:
        assert (session.parent, session.branched_at) == (None, None)
        branches = session.branch(2, random="split")
        for branch in branches:
            assert isinstance(branch, Session)
            assert (branch.parent, branch.branched_at, branch.name) == (session.id, 7, "mine")
            assert branch.execute("ask").value == "yes"
            assert [each.value for each in branch.stream("ask") if isinstance(each, ResultMessage)] == ["yes"]
        assert set(asked) == {threading.current_thread().name}
        with branches[0] as first:
            first.start()
            (third,) = first.branch()
        assert (first.closed, third.closed) == (True, False)
    assert len(engines()) == 1
    assert third.execute("value 3").value == 3
    third.shutdown()
    branches[1].shutdown()
    assert engines() == []
    assert _portal._portal is None
    for closed in (session, third):
        with pytest.raises(pyrepl3.SessionClosed):
            closed.branch()


def test_a_branch_that_is_refused_holds_nothing() -> None:
    with Session() as session, pytest.raises(ValueError, match="split"):
        session.branch(random="other")
    assert _portal._portal is None


def test_branches_that_nobody_refers_to_are_ended() -> None:
    with Session() as session:
        session.branch(2)
        gc.collect()
        eventually(lambda: len(sent(session, "shutdown")) == 2)
    eventually(lambda: _portal._portal is None)


def test_a_branch_of_a_session_on_loan_is_the_callers_own() -> None:
    with SessionPool() as pool:
        with pool.session() as session:
            (branch,) = session.branch()
        assert branch.execute("value 1").value == 1
    assert branch.execute("value 2").value == 2
    branch.shutdown()
    assert _portal._portal is None
