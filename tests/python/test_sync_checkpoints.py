"""Checkpoints of `pyrepl3.sync`: what test_checkpoints.py has for the other client, as far as it is different here."""

from __future__ import annotations

import _thread
import threading

import pytest

from pyrepl3 import CheckpointNotFound, ExecutionError, ProgressMessage, RestoredMessage
from pyrepl3.sync import Session

SLOW = """
class Slow:
    def __init__(self, n): self.n = n
    def __getstate__(self):
        import time; time.sleep(0.05); return {'n': self.n}
for n in range(20): globals()[f's{n}'] = Slow(n)
"""


def test_saving_and_coming_back() -> None:
    with Session() as session:
        session.execute("x = [1]; y = x")
        first = session.checkpoint("first")
        session.execute("x.append(2)")
        assert [(each.name, each.change) for each in session.diff(first)] == [("x", "changed"), ("y", "changed")]
        second = session.checkpoint()
        assert [each.checkpoint_id for each in session.checkpoints()] == [second.checkpoint_id, first.checkpoint_id]
        assert session.diff(second, "first") != []
        assert session.restore("first").checkpoint_id == first.checkpoint_id
        assert session.execute("x, x is y").repr == "([1], True)"
        session.delete_checkpoint(second)
        with pytest.raises(CheckpointNotFound):
            session.restore(second)
    with Session(from_checkpoint=first) as session:
        assert isinstance(next(session.events()), RestoredMessage)
        assert session.execute("x").value == [1]


def test_progress_is_told_in_the_calling_thread() -> None:
    told: list[tuple[threading.Thread, ProgressMessage]] = []
    with Session() as session:
        session.execute(SLOW)
        session.checkpoint(on_progress=lambda message: told.append((threading.current_thread(), message)))
    assert {thread for thread, _ in told} == {threading.current_thread()}
    assert len({message.name for _, message in told}) > 3


def test_what_on_progress_raises_gives_it_up() -> None:
    calls = []

    def on_progress(message: ProgressMessage) -> None:
        calls.append(message)
        raise ZeroDivisionError

    with Session() as session:
        session.execute(SLOW)
        with pytest.raises(ZeroDivisionError):
            session.checkpoint("one", on_progress=on_progress)
        assert len(calls) == 1
        session.checkpoint("two")
        assert [each.name for each in session.checkpoints()] == ["two"]


def test_ctrl_c_gives_it_up() -> None:
    with Session() as session:
        session.execute(SLOW)
        with pytest.raises(KeyboardInterrupt):
            session.checkpoint("one", on_progress=lambda _: _thread.interrupt_main())
        session.checkpoint("two")
        assert [each.name for each in session.checkpoints()] == ["two"]
        assert session.execute("s3.n").value == 3


def test_salvage() -> None:
    with Session(default_policy="rollback_on_failure") as session:
        with pytest.raises(ExecutionError) as caught:
            session.execute("x = 1; y = 2; raise ValueError", salvage=["x"])
        assert caught.value.message.salvaged == ["x"]
        assert session.execute("x, 'y' in dir()").repr == "(1, False)"
