"""`close` and `aclose`: the names that the standard library's helpers call; and how the constructors are called."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import Session, SessionPool, sync
from support import engines


async def test_aclosing_a_session() -> None:
    async with contextlib.aclosing(Session()) as session:
        await session.start()
        await session.execute("x = 1")
    assert session.closed
    assert engines() == []
    await session.aclose()
    with pytest.raises(pyrepl3.SessionClosed):
        session.execute("x")


async def test_aclosing_a_pool_and_what_iterates() -> None:
    async with contextlib.aclosing(SessionPool(min_idle=1)) as pool:
        await pool.start()
        async with pool.session() as session, contextlib.aclosing(session.execute("1").__aiter__()) as messages:
            assert [message.type async for message in messages] == ["result"]
            with pytest.raises(pyrepl3.BadRequest, match="on loan"):
                await session.aclose()
    assert engines() == []
    with pytest.raises(pyrepl3.PoolClosed):
        await pool.acquire()


def test_closing_without_await() -> None:
    with contextlib.closing(sync.Session()) as session:
        session.start()
        with contextlib.closing(session.stream("1")) as messages:  # type: ignore[type-var]
            assert [message.type for message in messages] == ["result"]
    assert session.closed
    session.close()
    with contextlib.closing(sync.SessionPool(min_idle=1)) as pool:
        pool.start()
        with pool.session() as session:
            assert session.execute("2").value == 2
    assert engines() == []


async def test_what_was_shut_down_in_a_subclass_is_closed_so_too() -> None:
    class Mine(Session):
        async def shutdown(self) -> None:
            told.append(self)
            await super().shutdown()

    told: list[Session] = []
    session = Mine()
    await session.aclose()
    assert told == [session]


@pytest.mark.parametrize("cls", [Session, sync.Session])
def test_all_but_the_url_is_given_by_name(cls: Any) -> None:
    url, *others = inspect.signature(cls).parameters.values()
    assert (url.name, url.kind, url.default) == ("url", inspect.Parameter.POSITIONAL_OR_KEYWORD, None)
    assert {"token", "python", "data", "name", "autosave", "undo"} <= {other.name for other in others}
    assert all(other.kind is inspect.Parameter.KEYWORD_ONLY for other in others)
    assert cls(url=None, token=None, name="n").name == cls(None, name="n").name == "n"
    with pytest.raises(TypeError):
        cls(None, "token")


def test_the_blocking_methods_tell_their_parameters() -> None:
    theirs, own = inspect.signature(Session.execute), inspect.signature(sync.Session.execute)
    assert list(own.parameters) == list(theirs.parameters)
    assert own.return_annotation == "ResultMessage"
