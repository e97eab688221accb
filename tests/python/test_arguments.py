"""Arguments are checked at once, with errors that name them. Nothing here needs an engine."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import Autosave, Limits, PoolConfig, Session, SessionPool, sync

TYPE_ERRORS: list[dict[str, Any]] = [
    {"python": 3},
    {"python": b"/usr/bin/python3"},
    {"preload": "numpy"},
    {"preload": [1]},
    {"isolation": 1},
    {"limits": 5},
    {"limits": {"memory": "1GB"}},
    {"limits": {"memory": True}},
    {"limits": {"interrupt_grace": "1"}},
    {"data": 1},
    {"name": 1},
    {"on_input": "Alice"},
    {"default_policy": 5},
    {"undo": "5"},
    {"undo": True},
    {"limits": {"snapshots": 1.5}},
    {"transaction_timeout": "1"},
    {"cwd": 1},
    {"env": {"A": 1}},
    {"from_checkpoint": 1},
    {"autosave": 5},
    {"autosave": {"executions": "1"}},
    {"autosave": {"seconds": "1"}},
    {"autosave": {"executions": 1, "recover": "yes"}},
]
VALUE_ERRORS: list[dict[str, Any]] = [
    {"limits": {"memroy": 1}},
    {"limits": {"memory": -1}},
    {"limits": {"interrupt_grace": math.nan}},
    {"default_policy": "sometimes"},
    {"undo": -1},
    {"transaction_timeout": 0},
    {"autosave": {}},
    {"autosave": {"keep": 3}},
    {"autosave": Autosave()},
    {"autosave": Autosave(executions=0)},
    {"autosave": {"seconds": -1}},
    {"autosave": {"seconds": math.inf}},
    {"autosave": {"idle": 0}},
    {"autosave": {"executions": 1, "keep": 0}},
    {"autosave": {"exectuions": 1}},
]


@pytest.mark.parametrize("make", [Session, sync.Session])
@pytest.mark.parametrize("arguments", TYPE_ERRORS, ids=str)
def test_wrong_types_are_type_errors(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as caught:
        make(**arguments)
    assert isinstance(caught.value, pyrepl3.BadType)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("arguments", VALUE_ERRORS, ids=str)
def test_wrong_values_are_value_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        Session(**arguments)
    assert isinstance(caught.value, pyrepl3.BadValue)
    assert caught.value.code == "bad_request"


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("checkpoint", (5,), {}),
    ("checkpoint", (), {"on_progress": "print"}),
    ("restore", (5,), {}),
    ("restore", ("a",), {"partial": "yes"}),
    ("diff", (None,), {}),
    ("diff", ("a", 5), {}),
    ("delete_checkpoint", (None,), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CALLS, ids=str)
async def test_arguments_about_checkpoints_are_checked(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(pyrepl3.BadType):
        await getattr(Session(), name)(*arguments, **options)


async def test_progress_is_told_to_a_plain_function() -> None:
    async def on_progress(message: pyrepl3.ProgressMessage) -> None:
        raise AssertionError

    with pytest.raises(pyrepl3.BadType, match="coroutine function"):
        await Session().checkpoint(on_progress=on_progress)
    with pytest.raises(pyrepl3.BadType, match="coroutine function"):
        sync.Session().checkpoint(on_progress=on_progress)


def test_good_arguments_pass_without_any_io() -> None:
    Session(
        python=Path("/nowhere/python"),
        preload=("json", "csv"),
        isolation="none",
        limits=Limits(memory=1 << 30),
        data=Path("/nowhere"),
        name="mine",
        on_input=lambda message: None,
        default_policy=pyrepl3.TransactionPolicy.ROLLBACK_ON_FAILURE,
        undo=5,
        transaction_timeout=1.5,
        cwd="/nowhere",
        env={"A": "1", "B": None},
        from_checkpoint="ckp_1",
        autosave=Autosave(seconds=60, keep=2),
    )
    for autosave in (True, False, None, {"executions": 5, "idle": None, "recover": False}):
        Session(autosave=autosave)
    Session(limits={"memory": 1 << 30, "interrupt_grace": 0.5, "queue": None})


async def test_a_session_must_be_started_first() -> None:
    session = Session()
    assert session.id == ""
    assert session.python is None
    assert not session.closed
    assert "not started" in repr(session)
    with pytest.raises(pyrepl3.SessionClosed, match="start it first"):
        session.execute("1")
    for call in (session.interrupt, session.variables, session.status):
        with pytest.raises(pyrepl3.SessionClosed, match="start it first"):
            await call()
    with pytest.raises(pyrepl3.SessionClosed, match="start it first"):
        session.events()
    await session.shutdown()
    await session.shutdown()
    assert session.closed
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        await session.start()
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        session.execute("1")


def test_a_blocking_session_must_be_started_first() -> None:
    session = sync.Session()
    with pytest.raises(pyrepl3.SessionClosed, match="start it first"):
        session.execute("1")
    session.shutdown()
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        session.execute("1")
    with pytest.raises(pyrepl3.SessionClosed, match="shut down"):
        session.start()


async def test_a_pool_must_be_started_first() -> None:
    pool = SessionPool()
    with pytest.raises(pyrepl3.PoolClosed, match="start it first"):
        await pool.acquire()
    await pool.stop()
    with pytest.raises(pyrepl3.PoolClosed, match="shut down"):
        await pool.acquire()
    with pytest.raises(pyrepl3.PoolClosed, match="shut down"):
        await pool.start()


def test_a_pools_configuration() -> None:
    config = PoolConfig()
    assert (config.min_idle, config.max_sessions, config.acquire_timeout, config.reset) == (1, 10, 5.0, "pristine")
    assert (config.warmup_code, config.max_idle_seconds, config.max_uses, config.python) == (None, None, None, None)
    aliased = PoolConfig(min_idle_sessions=3, max_sessions=5, preload=["json"])
    assert (aliased.min_idle, aliased.min_idle_sessions, aliased.preload) == (3, 3, ("json",))
    assert aliased == PoolConfig(3, 5, preload=("json",))
    assert SessionPool(aliased).config is aliased
    assert SessionPool(min_idle=2).config == PoolConfig(min_idle=2)
    with pytest.raises(AttributeError):
        config.min_idle = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"min_idle": 1, "min_idle_sessions": 1}, TypeError),
        ({"min_idle": "1"}, TypeError),
        ({"min_idle": -1}, ValueError),
        ({"max_sessions": 0}, ValueError),
        ({"min_idle": 5, "max_sessions": 4}, ValueError),
        ({"max_uses": 0}, ValueError),
        ({"acquire_timeout": math.inf}, ValueError),
        ({"acquire_timeout": "5"}, TypeError),
        ({"reset": "dirty"}, ValueError),
        ({"preload": "numpy"}, TypeError),
        ({"warmup_code": b"1"}, TypeError),
        ({"limits": {"x": 1}}, ValueError),
        ({"data": 5}, TypeError),
        ({"on_input": 5}, TypeError),
    ],
    ids=str,
)
def test_a_pools_arguments_are_checked(arguments: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        SessionPool(**arguments)
    assert isinstance(caught.value, pyrepl3.Pyrepl3Error)


def test_a_pool_takes_a_configuration_or_keywords() -> None:
    with pytest.raises(TypeError, match="not both"):
        SessionPool(PoolConfig(), min_idle=2)
    with pytest.raises(TypeError, match="PoolConfig"):
        SessionPool({"min_idle": 2})  # type: ignore[arg-type]


def test_an_execution_needs_an_event_loop_that_runs(fake: Any) -> None:
    fake("ready")
    loop = asyncio.new_event_loop()
    session = Session()
    loop.run_until_complete(session.start())
    with pytest.raises(pyrepl3.SessionClosed, match="event loop"):
        session.execute("value 1")
    loop.run_until_complete(session.shutdown())
    loop.close()
