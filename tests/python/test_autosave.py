"""Sessions that save themselves, and come back from what they saved."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

import pyrepl3
from pyrepl3 import (
    Autosave,
    CheckpointCreatedMessage,
    ExecutionError,
    Message,
    MessageIterator,
    RestoredMessage,
    Session,
    SessionLostMessage,
)
from support import restart

M = TypeVar("M", bound=Message)


async def until(events: MessageIterator, kind: type[M]) -> M:
    """The next event of a class."""
    async for message in events:
        if isinstance(message, kind):
            return message
    raise AssertionError(f"the session has ended without a {kind.__name__}")


async def kill(session: Session) -> None:
    """Kills the process of an idle session."""
    os.kill((await session.status()).pid, signal.SIGKILL)


async def test_true_is_after_every_execution() -> None:
    async with Session(autosave=True) as session:
        events = session.events()
        for number in (1, 2):
            await session.execute(f"x = {number}")
            saved = await until(events, CheckpointCreatedMessage)
            assert saved.execution_count == number
            assert [variable.name for variable in saved.variables] == ["x"]
        assert [each.checkpoint_id for each in await session.checkpoints()][0] == saved.checkpoint_id


async def test_after_so_many_executions() -> None:
    async with Session(autosave={"executions": 3}) as session:
        events = session.events()
        for number in range(6):
            await session.execute(f"x = {number}")
            if number % 3 == 2:
                saved = await until(events, CheckpointCreatedMessage)
                assert saved.execution_count == number + 1
        assert len(await session.checkpoints()) == 2


@pytest.mark.parametrize("autosave", [Autosave(idle=0.05), Autosave(seconds=0.05)], ids=["idle", "seconds"])
async def test_after_some_time_if_something_was_executed(autosave: Autosave) -> None:
    async with Session(autosave=autosave) as session:
        events = session.events()
        await session.execute("x = 1")
        saved = await until(events, CheckpointCreatedMessage)
        await session.execute("x = 2")
        again = await until(events, CheckpointCreatedMessage)
        assert again.parent == saved.checkpoint_id
        assert (saved.execution_count, again.execution_count) == (1, 2)


async def test_the_newest_are_kept_and_those_that_were_asked_for() -> None:
    async with Session(autosave=Autosave(executions=1, keep=2)) as session:
        events = session.events()
        await session.execute("x = 0")
        await until(events, CheckpointCreatedMessage)
        asked = await session.checkpoint("asked")
        for number in range(1, 5):
            await session.execute(f"x = {number}")
            saved = await until(events, CheckpointCreatedMessage)
        while len(await session.checkpoints()) > 3:
            await session.status()
        listed = [each.checkpoint_id for each in await session.checkpoints()]
        assert listed[0] == saved.checkpoint_id
        assert asked.checkpoint_id in listed


async def test_after_a_crash_it_comes_back_and_says_what_is_not_in_it() -> None:
    async with Session(autosave=Autosave(executions=2)) as session:
        events = session.events()
        await session.execute("x = [1]; y = x")
        await session.execute("x.append(2)")
        saved = await until(events, CheckpointCreatedMessage)
        await session.execute("x.append(3)")
        with pytest.raises(ExecutionError) as caught:
            await session.execute("x.append(4); import os; os.abort()")
        assert caught.value.message.status == "crashed"
        restored = await until(events, RestoredMessage)
        assert restored.checkpoint_id == saved.checkpoint_id
        assert restored.undone == [3, 4]
        assert (await session.execute("x, x is y")).repr == "([1, 2], True)"


async def test_after_it_died_while_idle_the_next_execution_hears_of_it_once() -> None:
    async with Session(autosave=Autosave(executions=2)) as session:
        events = session.events()
        await session.execute("x = 1")
        await session.execute("x = 2")
        await until(events, CheckpointCreatedMessage)
        await session.execute("x = 3")
        await kill(session)
        restored = await until(events, RestoredMessage)
        assert restored.undone == [3]
        with pytest.raises(pyrepl3.SessionLost, match="earlier one is back"):
            await session.execute("x = 'unwitting'")
        assert (await session.execute("x")).value == 2


async def test_where_all_of_it_is_back_nothing_is_refused() -> None:
    async with Session(autosave=True) as session:
        events = session.events()
        await session.execute("x = 1")
        await until(events, CheckpointCreatedMessage)
        # The copy that it was made of is let go after that is told.
        while (await session.status()).snapshots:
            pass
        await kill(session)
        restored = await until(events, RestoredMessage)
        assert (restored.undone, restored.lost) == ([], [])
        assert (await session.execute("x")).value == 1


async def test_killed_while_it_is_being_saved_it_still_says_so_to_the_client(tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    async with Session(autosave=True) as session:
        events = session.events()
        slow = f"""
import os, time
class Slow:
    def __getstate__(self):
        open({str(begun)!r}, "w").close()
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
        return {{}}
s = Slow()"""
        await session.execute(slow)
        while not begun.exists():
            await asyncio.sleep(0.01)
        await session.execute("x = 1")  # While the first state is written.
        await session.execute("x = 2")
        await kill(session)
        back = await until(events, pyrepl3.RolledBackMessage)
        gate.touch()
        # The next states wait for their turn: how many of them are frozen already is a matter of time.
        assert back.undone == list(range(back.execution_count + 1, 4))
        with pytest.raises(pyrepl3.SessionLost, match="earlier one is back"):
            await session.execute("x = 'unwitting'")
        result = await session.execute("globals().get('x')")
        assert result.value == {1: None, 2: 1, 3: 2}[back.execution_count]
        while (await until(events, CheckpointCreatedMessage)).execution_count < result.execution_count:
            pass  # It goes on to save itself.


async def test_without_recovery_it_is_lost() -> None:
    async with Session(name="one", autosave=Autosave(executions=1, recover=False)) as session:
        events = session.events()
        await session.execute("x = 1")
        # By its number: the newest one may be of the session without it by then.
        saved = (await until(events, CheckpointCreatedMessage)).checkpoint_id
        await kill(session)
        assert (await until(events, SessionLostMessage)).recovered
        with pytest.raises(pyrepl3.SessionLost):
            await session.execute("x")
        assert (await session.execute("'x' in dir()")).value is False
        await session.restore(saved)
        assert (await session.execute("x")).value == 1
    async with Session(name="one", autosave=Autosave(executions=1, recover=False)) as session:
        assert (await session.execute("'x' in dir()")).value is False


async def test_a_session_of_the_same_name_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Session(data=tmp_path, name="other", autosave=True) as other:
        await other.execute("x = 'other'")
        await until(other.events(), CheckpointCreatedMessage)
    async with restart(tmp_path, name="mine", autosave=True) as session:
        await session.execute("x = [1]; y = x")
        saved = await until(session.events(), CheckpointCreatedMessage)
    async with Session(data=tmp_path, name="mine", autosave=True) as session:
        restored = await until(session.events(), RestoredMessage)
        assert restored.checkpoint_id == saved.checkpoint_id
        assert "name" in restored.reason
        assert (await session.execute("x, x is y")).repr == "([1], True)"
    others: list[dict[str, Any]] = [{"name": "mine"}, {"name": "new", "autosave": True}, {"autosave": True}]
    for options in others:
        async with Session(data=tmp_path, **options) as session:
            assert (await session.execute("'x' in dir()")).value is False


async def test_what_is_undone_is_not_saved() -> None:
    async with Session(autosave=True, default_policy="rollback_on_failure") as session:
        events = session.events()
        await session.execute("x = 1")
        await until(events, CheckpointCreatedMessage)
        with pytest.raises(ExecutionError):
            await session.execute("x = 2; raise ValueError")
        await session.execute("y = 1")
        saved = await until(events, CheckpointCreatedMessage)
        assert saved.execution_count == 3
        await session.execute("x = 5")
        await session.restore(saved)
        assert (await session.execute("x")).value == 1


@pytest.mark.parametrize("wanted", [{}, {"keep": 2}, {"executions": 0}, {"seconds": -1}, {"idle": 0}], ids=str)
async def test_the_engine_refuses_what_would_never_save(wanted: dict[str, Any]) -> None:
    session = Session()
    session._options["autosave"] = wanted  # Past the client's own check.
    with pytest.raises(pyrepl3.BadValue, match="autosave"):
        await session.start()


async def test_what_could_not_come_back_is_not_replaced_by_what_came_after_it(tmp_path: Path) -> None:
    """A hostile review: the recovery died of a passing trouble, and the empty session's saves pushed out the only good one."""
    trouble = tmp_path / "trouble"
    code = f"""
import os
class P:
    def __init__(self): self.v = 1
    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.path.exists({str(trouble)!r}): os.abort()
p = P(); y = 1
"""
    async with Session(data=tmp_path / "data", name="p", autosave=Autosave(executions=1, keep=1)) as session:
        events = session.events()
        await session.execute(code)
        good = await until(events, CheckpointCreatedMessage)
        trouble.touch()
        with pytest.raises(ExecutionError):
            await session.execute("os.abort()")
        with suppress(pyrepl3.SessionLost):
            # Nothing is there any more, which is said once.
            await session.execute("'what is there?'")
        for number in range(3):
            await session.execute(f"q = {number}")
            last = await until(events, CheckpointCreatedMessage)
        assert last.parent != good.checkpoint_id
        assert {each.checkpoint_id for each in await session.checkpoints()} == {last.checkpoint_id, good.checkpoint_id}
        trouble.unlink()
        await session.restore(good.checkpoint_id)
        assert (await session.execute("[y, p.v]")).value == [1, 1]
