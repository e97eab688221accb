"""Sessions of a service: made and attached to by their ids, left and found again, through the death of the server."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import embedded_only
import pyrepl3
from pyrepl3 import InputMessage, OutputMessage, Session, _remote, sync
from pyrepl3._service import Service
from service import Server
from support import HERE


@pytest.fixture
def server(nothing_left: None, own_data: Path) -> Iterator[Server]:
    """A server of the test's own."""
    with tempfile.TemporaryDirectory(prefix="pyrepl3-service-") as place:
        server = Server(str(own_data), place, 0)
        server.start()
        try:
            yield server
        finally:
            server.start()  # One that was killed: its sessions wait.
            server.stop()


def session_of(server: Server, id: str | None = "mine", **options: object) -> Session:
    return Session(server.url, token=server.token, id=id, **options)  # type: ignore[arg-type]


async def numbers(session: Session, last: int) -> list[int]:
    """The numbers of all events up to one."""
    found: list[int] = []
    async for message in session.events(after=0):
        assert message.seq is not None
        found.append(message.seq)
        if message.seq >= last:
            return found
    raise AssertionError("the session has ended")


# ---- made, attached to, left -------------------------------------------------------------------------------


async def test_a_session_is_made_by_its_id_left_and_found_again(server: Server) -> None:
    async with session_of(server, undo=2) as first:
        assert first.id == "mine"
        assert first.python is not None and first.python.version
        await first.execute("x = 41")
    assert first.closed
    with pytest.raises(pyrepl3.SessionClosed, match="left"):
        await first.execute("1")
    async with session_of(server) as again, session_of(server) as beside:
        assert (await again.execute("x + 1")).value == 42
        # Both see the same, and each what it asked for.
        assert (await beside.execute("x")).value == 41
    async with session_of(server) as last:
        await last.shutdown()
    async with session_of(server) as new:
        assert (await new.execute("'x' in dir()")).value is False
        await new.shutdown()


async def test_what_is_given_is_compared_with_what_it_was_made_with(server: Server) -> None:
    async with session_of(server, undo=2, labels={"team": "a"}):
        async with session_of(server, undo=2):
            pass
        with pytest.raises(pyrepl3.Pyrepl3Error, match="undo") as caught:
            await session_of(server, undo=3).start()
        assert caught.value.code == "session_exists"


async def test_without_an_id_it_ends_with_its_client(server: Server) -> None:
    async with session_of(server, None) as session:
        assert (await session.execute("1 + 1")).value == 2
        assert await sessions_of(server) == [session.id]
    assert await sessions_of(server) == []
    dropped = session_of(server, None)
    await dropped.start()
    del dropped
    while await sessions_of(server):
        await asyncio.sleep(0.01)


async def sessions_of(server: Server) -> list[str]:
    service = Service.at(server.url, server.token)
    _, page = await service.request("GET", service.of("sessions"))
    return [session["id"] for session in page["sessions"]]


async def test_a_session_that_nobody_refers_to_is_left(server: Server) -> None:
    session = session_of(server)
    await session.start()
    await session.execute("x = 1")
    del session
    async with session_of(server) as again:
        assert (await again.execute("x")).value == 1


def test_without_await(server: Server) -> None:
    with sync.Session(server.url, token=server.token, id="mine") as session:
        session.execute("x = 1; print('said')")
        with sync.Session(server.url, token=server.token, id="mine") as beside:
            assert beside.execute("x").value == 1
        said = [message for message in _until_result(session) if isinstance(message, OutputMessage)]
        assert [message.data for message in said] == ["said\n"]
        session.detach()
    with sync.Session(server.url, token=server.token, id="mine") as session:
        assert session.execute("x").value == 1


def _until_result(session: sync.Session) -> Iterator[pyrepl3.Message]:
    for message in session.events(after=0):
        yield message
        if message.type == "result":
            return


# ---- what is wrong -----------------------------------------------------------------------------------------


async def test_what_is_wrong_is_said(server: Server) -> None:
    with pytest.raises(pyrepl3.Pyrepl3Error) as caught:
        await Session(server.url, token="another", id="mine").start()
    assert caught.value.code == "unauthorized" and caught.value.how
    with pytest.raises(pyrepl3.ServiceUnreachable, match="nowhere") as unreachable:
        await Session("unix:/nowhere/socket", token="t").start()
    assert unreachable.value.how
    with pytest.raises(pyrepl3.Unsupported):
        await session_of(server, isolation="strict").start()
    with pytest.raises(pyrepl3.CheckpointNotFound):
        await session_of(server, from_checkpoint="none").start()
    with pytest.raises(pyrepl3.PythonNotFound):
        await session_of(server, python="/nowhere/python").start()


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "127.0.0.1:8787"},
        {"url": "ftp://host"},
        {"url": "http://"},
        {"url": "unix:"},
        {"url": "http://user:secret@host"},
        {"url": "http://host:port"},
        {"url": "http://host?token=1"},
        {"url": "http://host", "id": "Mine"},
        {"url": "http://host", "id": ""},
        {"url": "http://host", "token": ""},
        {"url": "http://host", "token": "a b"},
        {"url": "http://host", "data": "/tmp"},
        {"url": "http://host", "lifetime": 0},
        {"id": "mine"},
        {"token": "t"},
        {"labels": {"a": "b"}},
    ],
    ids=str,
)
def test_arguments_that_are_not_allowed(arguments: dict[str, object]) -> None:
    with pytest.raises(pyrepl3.BadValue) as caught:
        Session(**arguments)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


async def test_without_the_library_it_says_what_to_install(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.client", None)
    with pytest.raises(pyrepl3.Unsupported, match="pip install") as caught:
        await session_of(server).start()
    assert "websockets" in caught.value.why


async def test_events_that_were_never_given(server: Server) -> None:
    async with session_of(server) as session:
        with pytest.raises(pyrepl3.BadValue):
            async for _ in session.events(after=1000):
                pass


async def test_only_a_service_keeps_events_and_can_be_left() -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.Unsupported):
            session.events(after=0)
        with pytest.raises(pyrepl3.Unsupported):
            await session.detach()


# ---- the server dies ---------------------------------------------------------------------------------------

JOB = "import time\nfor line in range(300): print('line', line); time.sleep(0.005)\n'done'"
SAID = "".join(f"line {line}\n" for line in range(300))


async def test_a_job_loses_no_line_when_the_server_is_killed(server: Server) -> None:
    async with session_of(server) as session:
        execution = session.execute(JOB)
        said = ""
        async for message in execution:
            if isinstance(message, OutputMessage):
                said += message.data
                if message.data.endswith(("line 50\n", "line 150\n")):
                    server.kill()
                    server.start()
        assert said == SAID
        assert (await execution).value == "done"
        last = (await execution).seq
        assert last is not None
        assert await numbers(session, last) == list(range(1, last + 1))


async def test_who_comes_back_says_the_last_number_and_misses_nothing(server: Server) -> None:
    async with session_of(server) as session:
        execution = session.execute(JOB)
        async for message in execution:
            if isinstance(message, OutputMessage):
                seen, said = message.seq or 0, message.data
                break
    server.kill()
    server.start()
    async with session_of(server) as again:
        async for message in again.events(after=seen):
            assert message.seq == seen + 1
            seen += 1
            if isinstance(message, OutputMessage):
                said += message.data
            if message.type == "result":
                break
    assert said == SAID


async def test_a_prompt_waits_for_the_next_server(server: Server) -> None:
    async with session_of(server) as session:
        execution = session.execute("name = input('Name? ')\nname.upper()")
        async for message in execution:
            if isinstance(message, InputMessage):
                server.kill()
                answering = asyncio.ensure_future(session.input_response(message.id, "alice"))
                await asyncio.sleep(0)
                server.start()
                await answering
        assert (await execution).value == "ALICE"


async def test_what_is_asked_while_no_server_is_there_is_done_when_one_is(server: Server) -> None:
    async with session_of(server, undo=3) as session:
        await session.execute("x = []")
        server.kill()
        executions = [session.execute(f"x.append({number}); list(x)") for number in range(5)]
        server.start()
        assert [(await execution).value for execution in executions] == [list(range(n + 1)) for n in range(5)]
        await session.undo()
        assert (await session.execute("x")).value == [0, 1, 2, 3]


async def test_branches_and_transactions_outlive_a_server(server: Server) -> None:
    async with session_of(server) as session:
        await session.execute("x = [1]")
        one, two = await session.branch(2)
        await one.execute("x.append(2)")
        server.kill()
        server.start()
        assert (await one.execute("x")).value == [1, 2]
        assert (await two.execute("x")).value == [1]
        async with session.transaction() as transaction:
            await transaction.execute("x.append(3)")
            server.kill()
            server.start()
            assert (await transaction.execute("x")).value == [1, 3]
            await transaction.rollback()
        assert (await session.execute("x")).value == [1]
        for branch in (one, two):
            await branch.shutdown()


async def test_one_server_replaces_another(server: Server) -> None:
    async with session_of(server) as session:
        execution = session.execute(JOB)
        async for message in execution:
            if isinstance(message, OutputMessage):
                break
        with tempfile.TemporaryDirectory(prefix="pyrepl3-service-") as place:
            second = Server(server.data, place, 0)
            second.socket, second.token = server.socket, server.token
            refused = Server(server.data, place, 1)
            with pytest.raises(AssertionError, match="status 3"):
                refused.start()
            second.start("--takeover")
            try:
                result = await execution
                assert (result.stdout, result.value) == (SAID, "done")
                assert server.process is not None
                assert server.process.wait(30) == 0
                await session.shutdown()
            finally:
                second.stop()


async def lose(server: Server, session: Session) -> None:
    """Kills the server and the session's processes; then there is another server."""
    pid = (await session.status()).pid
    assert pid is not None
    server.kill()
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), 9)
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
    server.start()


async def test_a_session_that_is_lost_says_so(server: Server) -> None:
    async with session_of(server) as session:
        execution = session.execute("import time\nprint('begun', flush=True)\ntime.sleep(600)")
        async for message in execution:
            if isinstance(message, OutputMessage):
                break
        await lose(server, session)
        with pytest.raises(pyrepl3.ExecutionError) as caught:
            await execution
        assert (caught.value.message.ename, caught.value.message.session_lost) == ("SessionLost", True)
        with pytest.raises((pyrepl3.SessionLost, pyrepl3.SessionClosed)):
            await session.execute("1")


async def test_the_end_of_a_session_is_not_waited_for_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remote, "SHUTDOWN_SECONDS", 0.2)
    session = session_of(server)
    await session.start()
    server.kill()
    with pytest.raises(pyrepl3.ServiceUnreachable):
        await session.shutdown()
    assert session.closed


async def test_a_lost_session_that_saves_itself_begins_anew(server: Server) -> None:
    async with session_of(server, autosave=True) as session:
        await session.execute("x = [1]; y = x")
        async for message in session.events():
            if message.type == "checkpoint_created":
                break
        await lose(server, session)
        assert (await session.execute("x, x is y")).repr == "([1], True)"
        await session.shutdown()


def test_the_tests_that_are_left_out_are_there() -> None:
    for name in embedded_only.EMBEDDED_ONLY:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (HERE / file).read_text() if test else (HERE / file).exists(), name
