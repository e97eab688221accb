"""Values whose own code ends the process that saves them: they are lost by name, and nothing beside them."""

from __future__ import annotations

from pathlib import Path

import pyrepl3
from pyrepl3 import Session

BOMBS = """
import ctypes, os, signal, atexit
class Exits:
    def __reduce__(self): os._exit(0)
class Crashes:
    def __getstate__(self): ctypes.string_at(0)
class Killed:
    def __reduce_ex__(self, protocol): os.kill(os.getpid(), signal.SIGKILL)
class Late:
    def __init__(self): self.x = 1
    def __setstate__(self, state): os._exit(3)
class Meta(type):
    pid = os.getpid()
    def __setattr__(cls, name, value):
        if os.getpid() != Meta.pid: os._exit(5)
        type.__setattr__(cls, name, value)
"""


async def lost(session: Session, data: Path) -> dict[str, str]:
    saved = await session.checkpoint()
    names = {variable.name for variable in saved.variables}
    assert names.isdisjoint({each.name for each in saved.lost})
    async with Session(data=data) as other:
        await other.restore(saved)
        assert (await other.execute("[good, good is also, text]")).value == [[1, 2], True, "text"]
    return {each.name: each.reason for each in saved.lost}


async def test_each_is_named_and_nothing_else_is_lost(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute(BOMBS + "good = also = [1, 2]; text = 'text'; n = 1")
        await session.execute("exits = [Exits()]; crashes = Crashes(); killed = {'a': Killed()}; late = Late()")
        missing = await lost(session, tmp_path)
        assert sorted(missing) == ["crashes", "exits", "killed", "late"]
        assert all("ended the process" in reason for reason in missing.values())
        # The session itself never noticed.
        assert (await session.execute("[late.x, type(exits[0]).__name__, n]")).value == [1, "Exits", 1]
        await session.execute("del exits, crashes, killed, late")
        assert await lost(session, tmp_path) == {}


async def test_what_shares_with_it_is_kept(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute(BOMBS + "good = also = [1, 2]; text = 'text'; late = [good, Late()]; exits = [also, Exits()]")
        assert sorted(await lost(session, tmp_path)) == ["exits", "late"]


async def test_a_bomb_in_a_class_or_in_the_context(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute(BOMBS + "good = also = [1, 2]; text = 'text'")
        await session.execute("class Odd:\n    bomb = Exits()\nodd = Odd(); atexit.register(print, Exits())")
        missing = await lost(session, tmp_path)
        assert {"Odd", "odd", "atexit functions"} <= set(missing), missing


async def test_one_that_ended_by_chance_loses_nothing(tmp_path: Path) -> None:
    """Whatever ends a process from outside, it is tried again as it was."""
    async with Session(data=tmp_path) as session:
        once = f"""
import os
class Once:
    def __getstate__(self):
        if not os.path.exists({str(tmp_path / "once")!r}):
            open({str(tmp_path / "once")!r}, "w").close()
            os.kill(os.getpid(), 9)
        return vars(self)
once = Once(); once.x = 5; good = also = [1, 2]; text = 'text'"""
        await session.execute(once)
        assert await lost(session, tmp_path) == {}


async def test_too_many_of_them_is_a_failure_that_says_so(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute(BOMBS + "for n in range(30): globals()[f'bomb{n}'] = Exits()\ngood = 1")
        try:
            await session.checkpoint()
        except pyrepl3.CheckpointFailed as failed:
            assert "bomb" in str(failed) and "ended" in str(failed)
        else:
            raise AssertionError("30 values that end the process were saved around")
        assert (await session.execute("good")).value == 1
