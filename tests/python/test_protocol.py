"""The client against an engine that misbehaves: fake_engine.py does what the code of an execution names."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import OutputMessage, Session, SessionPool, _connection, _wire
from support import engines, messages_of

pytestmark = pytest.mark.usefixtures("fake")

MIB = 1 << 20


# ---- the handshake -----------------------------------------------------------------------------------------


async def test_another_version_of_the_protocol_is_refused(fake: Callable[[str], None]) -> None:
    fake("version")
    with pytest.raises(pyrepl3.ProtocolError, match="version 2") as caught:
        await Session().start()
    assert "0.fake" in str(caught.value)
    assert engines() == []


async def test_an_engine_that_dies_at_once(fake: Callable[[str], None]) -> None:
    fake("exit")
    with pytest.raises(pyrepl3.SessionLost, match="exited with status 7"):
        await Session().start()
    assert engines() == []


async def test_an_engine_that_speaks_something_else(fake: Callable[[str], None]) -> None:
    fake("garbage")
    with pytest.raises(pyrepl3.ProtocolError, match="could not be understood"):
        await Session().start()
    assert engines() == []


async def test_an_engine_that_says_nothing(fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    fake("silent")
    monkeypatch.setattr(_connection, "HANDSHAKE_SECONDS", 0.01)
    with pytest.raises(pyrepl3.ProtocolError, match="did not answer"):
        await Session().start()
    assert engines() == []


async def test_a_start_that_failed_can_be_repeated(fake: Callable[[str], None]) -> None:
    fake("version")
    session = Session()
    for _ in range(2):
        with pytest.raises(pyrepl3.ProtocolError):
            await session.start()
    fake("ready")
    async with session:
        assert (await session.execute("value 1")).value == 1


# ---- numbers of messages ---------------------------------------------------------------------------------------


async def test_messages_have_their_numbers_in_the_sessions_log() -> None:
    async with Session() as one, Session() as other:
        for session in (one, other):
            first = await messages_of(session.execute("warn take care"))
            assert [(message.type, message.seq) for message in first] == [("warning", 1), ("output", 2), ("result", 3)]
            assert (await session.execute("tell")).seq == 6
            events = session.events()
            assert [(await anext(events)).seq for _ in range(2)] == [4, 5]
            with pytest.raises(pyrepl3.ExecutionError) as caught:
                await session.execute("fail")
            assert caught.value.message.seq == 7
            # What answers a request is none of the log's.
            assert (await session.snapshot()).seq is None
        await one.execute("save")
        again = one.events()
        numbers = [(await anext(again)).seq for _ in range(4)]
        assert numbers == [4, 5, 8, 9]
        assert (await one.execute("outputs a")).seq == 12


async def test_an_engine_that_tells_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_NUMBERS", "none")
    async with Session() as session:
        assert [message.seq for message in await messages_of(session.execute("outputs a b"))] == [None, None, None]


# ---- the end of the engine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"), [("die 9", "status 9"), ("killed", signal.SIGKILL.name), ("drop", "closed its connection")]
)
async def test_the_engine_dies_in_the_middle(code: str, reason: str) -> None:
    session, other = Session(), Session()
    await session.start()
    await other.start()
    waiting = other.execute("wait")
    iterated = messages_of(other.execute("wait"))
    question = asyncio.ensure_future(asyncio.gather(iterated, return_exceptions=True))
    with pytest.raises(pyrepl3.SessionLost, match=reason) as caught:
        await session.execute(code)
    assert caught.value.code == "session_lost"
    with pytest.raises(pyrepl3.SessionLost):
        await waiting
    assert isinstance((await question)[0], pyrepl3.SessionLost)
    for each in (session, other):
        assert each.closed
        with pytest.raises(pyrepl3.SessionLost):
            each.execute("value 1")
        with pytest.raises(pyrepl3.SessionLost):
            await each.variables()
        await each.shutdown()
    # The next one starts a new engine.
    async with Session() as third:
        assert (await third.execute("value 3")).value == 3


async def test_what_came_before_the_death_is_kept() -> None:
    async with Session() as session:
        execution = session.execute("die 3")
        with pytest.raises(pyrepl3.SessionLost):
            await execution
        assert execution.stdout == "last words"
        iterator = execution.__aiter__()
        assert isinstance(await anext(iterator), OutputMessage)
        with pytest.raises(pyrepl3.SessionLost):
            await anext(iterator)


async def test_a_broken_frame_ends_the_connection() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.ProtocolError):
            await session.execute("garbage")
        with pytest.raises(pyrepl3.ProtocolError):
            session.execute("value 1")


async def test_a_session_that_is_lost_for_good() -> None:
    async with Session() as session:
        events = session.events()
        with pytest.raises(pyrepl3.SessionLost, match="it was time"):
            await session.execute("end")
        found = [event async for event in events]
        assert [type(event) for event in found] == [pyrepl3.SessionLostMessage]
        assert session.closed


# ---- requests that are given up ------------------------------------------------------------------------------


async def seen(session: Session) -> list[str]:
    found: list[str] = (await session.execute("seen")).value
    return found


async def test_a_start_that_was_cancelled_leaves_no_session() -> None:
    async with Session() as control:
        await control.execute("hold start")
        task = asyncio.create_task(Session().start())
        while "start" not in (await seen(control))[2:]:
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await control.execute("go")
        assert (await seen(control))[-2:] == ["shutdown", "execute"]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_acquire_that_was_cancelled_gives_the_session_back(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Session() as control, SessionPool() as pool:
        await control.execute("hold pool_acquire")
        task = asyncio.create_task(pool.acquire())
        while "pool_acquire" not in await seen(control):
            pass
        if moment == "before":
            task.cancel()
            await asyncio.wait([task])
            await control.execute("go")
        else:
            # Cancelled when `ready` has come, and before the task runs on.
            parse = _wire.ready

            def ready(message: dict[str, Any]) -> pyrepl3.ReadyMessage:
                asyncio.get_running_loop().call_soon(task.cancel)
                return parse(message)

            monkeypatch.setattr(_wire, "ready", ready)
            await control.execute("go")
            monkeypatch.setattr(_wire, "ready", parse)
            await asyncio.wait([task])
        assert task.cancelled()
        assert (await seen(control))[-2:] == ["pool_release", "execute"]
        # Nothing is on loan: the next one is.
        session = await pool.acquire()
        assert (await session.execute("value 5")).value == 5
        await pool.release(session)


async def test_a_pool_start_that_was_cancelled_leaves_no_pool() -> None:
    async with Session() as control:
        await control.execute("hold pool_start")
        task = asyncio.create_task(SessionPool().start())
        while "pool_start" not in await seen(control):
            pass
        task.cancel()
        await asyncio.wait([task])
        await control.execute("go")
        assert (await seen(control))[-2:] == ["pool_shutdown", "execute"]


async def test_a_shutdown_goes_on_when_the_one_who_asked_is_cancelled() -> None:
    async with Session() as control:
        await control.execute("hold shutdown")
        session = Session()
        await session.start()
        task = asyncio.create_task(session.shutdown())
        while "shutdown" not in await seen(control):
            pass
        task.cancel()
        await asyncio.wait([task])
        await control.execute("go")
        await session.shutdown()
        assert (await seen(control)).count("shutdown") == 1


async def test_cancelling_one_who_awaits_sends_cancel() -> None:
    async with Session() as session:
        execution = session.execute("wait")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(execution, 0.001)
        assert "cancel" in await seen(session)


async def test_an_execution_that_has_ended_cannot_be_cancelled_and_nothing_happens() -> None:
    async with Session() as session:
        execution = session.execute("value 1")
        await execution
        await execution.cancel()
        running = session.execute("wait")
        await running.cancel()  # The engine says that it does not know it: it has ended meanwhile.
        await session.execute("go")
        await running


async def test_ids_that_still_run_are_refused_here() -> None:
    async with Session() as session:
        first = session.execute(pyrepl3.ExecuteMessage("wait", id="mine"))
        second = session.execute(pyrepl3.ExecuteMessage("value 2", id="mine"))
        with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
            await second
        assert caught.value.code == "duplicate_id"
        await session.execute("go")
        assert (await first).value is None


# ---- flow control ----------------------------------------------------------------------------------------------


async def test_nobody_iterates_and_everything_flows() -> None:
    async with Session() as session:
        execution = session.execute(f"output 40 {MIB}")
        result = await execution
        assert result.value["sent"] > 40 * MIB
        assert result.value["sent"] - result.value["acked"] < 5 * MIB  # The window, and a message beyond it.
        found = await messages_of(execution)
        assert isinstance(found[-1], pyrepl3.ResultMessage)
        texts = [m for m in found if isinstance(m, OutputMessage)]
        dropped = sum(m.dropped for m in texts)
        assert dropped + sum(len(m.data) for m in texts) == 40 * MIB
        assert dropped >= 23 * MIB
        assert "characters are left out" in execution.stdout


async def test_small_output_is_not_acknowledged_at_all() -> None:
    async with Session() as session:
        result = await session.execute("output 100 1000")
        assert result.value["acked"] == 0
        assert "ack" not in await seen(session)


async def test_an_iterator_slows_the_engine_down_and_misses_nothing() -> None:
    async with Session() as session, Session() as other:
        count = 0
        async for message in session.execute(f"output 40 {MIB}"):
            if isinstance(message, OutputMessage):
                assert message.dropped == 0
                assert message.data.split(".")[0] == str(count)
                count += 1
                if count == 3:  # Its window is full now, and others are not held up.
                    assert (await other.execute("value 1")).value == 1
            else:
                assert isinstance(message, pyrepl3.ResultMessage)
                assert message.value["stalls"] > 0
        assert count == 40


async def test_leaving_the_loop_lets_the_rest_flow() -> None:
    async with Session() as session:
        execution = session.execute(f"output 40 {MIB}")
        async for _ in execution:
            break
        assert (await execution).value["sent"] > 40 * MIB


async def test_an_iterator_that_is_left_lets_a_following_execution_come() -> None:
    async with Session() as session:
        async for _ in session.execute(f"output 40 {MIB}"):
            break
        # The fake engine reads on only when the first has got its acknowledgements.
        assert (await session.execute("value 2")).value == 2


async def test_awaiting_flows_in_spite_of_an_iterator_that_stands_still() -> None:
    async with Session() as session:
        execution = session.execute(f"output 40 {MIB}")
        iterator = execution.__aiter__()
        await anext(iterator)
        result = await execution
        assert result.value["sent"] > 40 * MIB
        rest = [message async for message in iterator]
        assert rest[-1] is result
        assert sum(m.dropped for m in rest if isinstance(m, OutputMessage)) > 20 * MIB


async def test_output_of_an_execution_that_nobody_refers_to_flows() -> None:
    async with Session() as session:
        session.execute(f"output 40 {MIB}")
        gc.collect()
        assert (await session.execute("value 2")).value == 2


# ---- what is unknown, and prompts --------------------------------------------------------------------------------


async def test_a_prompt_is_answered_by_on_input_also_when_the_execution_is_not_referred_to() -> None:
    async with Session(on_input=lambda message: "yes") as session:
        assert (await session.execute("ask")).value == "yes"
        session.execute("ask")
        assert (await session.execute("value 2")).value == 2


async def test_on_input_that_raises_is_end_of_file_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def on_input(message: pyrepl3.InputMessage) -> str:
        raise ZeroDivisionError("my own bug")

    async with Session(on_input=on_input) as session:
        with caplog.at_level(logging.ERROR, "pyrepl3"):
            assert (await session.execute("ask")).value is None
    assert "my own bug" in caplog.text


@pytest.mark.parametrize("answer", [5, b"bytes", ["x"]])
async def test_on_input_must_return_text(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with Session(on_input=lambda message: answer) as session:
        assert (await session.execute("ask")).value is None
    assert "must return a string or None" in caplog.text


async def test_a_message_that_cannot_be_sent_is_refused_before_it_is() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.BadValue, match="cannot be sent"):
            session.execute("x" * (65 * MIB))
        assert (await session.execute("value 2")).value == 2


async def test_a_large_message_is_sent_in_parts() -> None:
    async with Session() as session:
        code = "value " + '"' + "x" * (20 * MIB) + '"'
        assert len((await session.execute(code)).value) == 20 * MIB


async def test_what_a_session_is_started_with() -> None:
    async with Session(
        python="/a/python", preload=["json"], isolation="none", limits={"memory": 5}, name="n", cwd="/", env={"A": None}
    ) as session:
        status = await session.status()
        assert status.session_id == session.id
    assert session._environment.on_wire() == {
        "python": "/a/python",
        "preload": ["json"],
        "isolation": "none",
        "limits": {"memory": 5},
        "cwd": "/",
        "env": {"A": None},
    }
