"""Sockets whose peer is this process: what is undone sends nothing, and closes nothing that the survivor uses."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from pyrepl3 import Session

from .tools import first_words, run


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket of this process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


async def connect(session: Session, server: socket.socket) -> socket.socket:
    port = server.getsockname()[1]
    await run(session, f"import socket; s = socket.create_connection(('127.0.0.1', {port})); out = s.makefile('wb')")
    peer, _ = server.accept()
    peer.settimeout(30)
    return peer


def silent(peer: socket.socket) -> bool:
    """Whether nothing has come: no byte, no end."""
    peer.setblocking(False)
    try:
        peer.recv(1)
    except BlockingIOError:
        return True
    finally:
        peer.settimeout(30)
    return False


async def test_an_undone_line_neither_sends_nor_closes(python: str, server: socket.socket) -> None:
    async with Session(python=python) as session:
        with await connect(session, server) as peer:
            async with session.transaction() as tx:
                await run(tx, "out.write(b'buffered, never sent')")
                await tx.rollback()
            assert silent(peer)
            async with session.transaction() as tx:
                await run(tx, "s.close(); out.close(); del s, out")
                back = await tx.rollback()
            assert silent(peer)
            assert "the socket at descriptor" in back.report
            assert "what was sent and received is not undone" in back.report
            peer.sendall(b"ping")
            assert await run(session, "s.recv(4)") == "b'ping'"
            await run(session, "out.write(b'pong'); out.flush()")
            assert peer.recv(100) == b"pong"


@pytest.mark.parametrize("end", ["shutdown", "crash", "leave", "del"])
async def test_the_end_of_a_branch_is_none_of_the_connection(python: str, server: socket.socket, end: str) -> None:
    """What was in a buffer at the branch is sent once, by the parent."""
    async with Session(python=python) as session:
        with await connect(session, server) as peer:
            await run(session, "out.write(b'once')")
            (branch,) = await session.branch()
            async with branch:
                if end == "crash":
                    with pytest.raises(Exception, match="WorkerDied"):
                        await run(branch, "import os; os._exit(1)")
                elif end == "leave":
                    await run(branch, "x = 1")
                elif end == "del":
                    await run(branch, "raw = s.detach()")
            assert silent(peer)
            await run(session, "out.write(b' only'); out.flush()")
            assert peer.recv(100) == b"once only"
            await run(session, "out.close(); s.close()")
            assert peer.recv(100) == b""


async def test_a_listening_socket_that_is_closed_inside_is_closed(python: str) -> None:
    async with Session(python=python) as session:
        port = await run(
            session, "import socket; server = socket.create_server(('127.0.0.1', 0)); server.getsockname()[1]"
        )
        async with session.transaction() as tx:
            await run(tx, "server.close()")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            # It can be bound again, by anybody.
            with socket.create_server(("127.0.0.1", port)):
                pass


async def test_a_listening_socket_is_lost_and_named(python: str) -> None:
    async with Session(python=python) as session:
        # Where no other test listens, and no connection can meet itself.
        host = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
        port = await run(
            session, f"import socket; server = socket.create_server(({host!r}, 0)); server.getsockname()[1]"
        )
        made = await session.snapshot()
        assert any("listening socket" in text and "a rollback" in text for text in made.warnings)
        back = await session.rollback_to(made)
        assert "the listening socket" in back.report
        assert "is closed: listen again" in back.report
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
        await run(session, f"server = socket.create_server(({host!r}, {port}))")
        with socket.create_connection((host, port)):
            await run(session, "server.accept()[0].close()")


async def test_branches_share_a_connection_and_say_so(python: str, server: socket.socket) -> None:
    async with Session(python=python) as session:
        with await connect(session, server):
            (branch,) = await session.branch()
            async with branch:
                text = await first_words(branch, "the socket at descriptor")
                assert "is shared with the session that this one was branched from" in text
