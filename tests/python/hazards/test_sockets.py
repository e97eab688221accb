"""Sockets. Of one whose peer is this process: what is undone sends nothing, and closes nothing that the survivor uses. One that
listens does so again; a pair within the session comes back with what is in it."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
import textwrap
import urllib.request
from collections.abc import Iterator

import pytest

from pyrepl3 import Session

from .tools import first_words, run, until


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


def an_address() -> str:
    """Where no other test listens, and no connection can meet itself."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"


LISTENERS = {
    "TCP": "socket.create_server((HOST, 0))",
    "TCP that is not to block": "socket.create_server((HOST, 0)); server.setblocking(False)",
    "TCP of IPv6": "socket.create_server(('::1', 0), family=socket.AF_INET6)",
    "both": "socket.create_server(('', 0), family=socket.AF_INET6, dualstack_ipv6=True)",
    "Unix": "socket.socket(socket.AF_UNIX); server.bind(FOLDER + '/name'); server.listen()",
    "Unix, abstract": "socket.socket(socket.AF_UNIX); server.bind('\\0' + FOLDER); server.listen()",
    "Unix, of packets": "socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); server.bind(FOLDER + '/name'); server.listen()",
}
INSIDE = {
    "nothing": "x = 1",
    "closed": "server.close()",
    "rebound": "name = server.getsockname(); kind = server.type; family = server.family; server.close()\n"
    "if isinstance(name, str) and os.path.exists(name): os.unlink(name)\n"
    "server = socket.socket(family, kind); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "server.bind(name); server.listen()",
}
CONNECT = """
def talk():
    # Accepted by this very process.
    with socket.socket(server.family, server.type) as client:
        client.connect(server.getsockname() if server.getsockname() else path)
        server.setblocking(True)
        with server.accept()[0] as accepted:
            client.sendall(b"ping")
            return accepted.recv(4)
def about():
    options = [(socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
    return (server.getsockname(), server.fileno(), server.getblocking(), os.get_blocking(server.fileno()),
            os.get_inheritable(server.fileno()), [server.getsockopt(*one) for one in options])
"""


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("kind", LISTENERS)
async def test_a_listening_socket_listens_again(python: str, kind: str, inside: str) -> None:
    async with Session(python=python) as session:
        # The path of a Unix socket has not much room.
        folder = tempfile.mkdtemp()
        try:
            make = LISTENERS[kind].replace("HOST", repr(an_address())).replace("FOLDER", repr(folder))
            await run(session, f"import os, socket; server = {make}" + CONNECT)
            before = await run(session, "repr(about())")
            made = await session.snapshot()
            assert made.warnings == []
            for _ in range(2):
                await run(session, INSIDE[inside])
                back = await session.rollback_to(made)
                assert back.exact, back.report
                assert await run(session, "repr(about())") == before
                assert await run(session, "talk()") == "b'ping'"
        finally:
            shutil.rmtree(folder)


async def test_a_backlog_is_kept(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, f"import socket; server = socket.create_server(({an_address()!r}, 0), backlog=17)")
        # struct tcp_info has it in the place of what it does not need.
        backlog = "int.from_bytes(server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[28:32], 'little')"
        assert await run(session, backlog) == 17
        await session.rollback_to(await session.snapshot())
        assert await run(session, backlog) == 17


async def test_a_port_that_somebody_else_has_meanwhile_is_named(python: str) -> None:
    async with Session(python=python) as session:
        host = an_address()
        port = await run(
            session, f"import socket; server = socket.create_server(({host!r}, 0)); server.getsockname()[1]"
        )
        made = await session.snapshot()
        await run(session, "server.close()")
        with socket.create_server((host, port)):
            back = await session.rollback_to(made)
            assert not back.exact
            assert "the listening socket at descriptor" in back.report
            assert "is closed (Address already in use): listen again" in back.report
        await run(session, f"server = socket.create_server(({host!r}, {port}))")
        with socket.create_connection((host, port)):
            await run(session, "server.accept()[0].close()")


async def test_a_listening_socket_is_the_parents(python: str) -> None:
    async with Session(python=python) as session:
        host = an_address()
        port = await run(
            session, f"import socket; server = socket.create_server(({host!r}, 0)); server.getsockname()[1]"
        )
        (branch,) = await session.branch()
        async with branch:
            assert "is closed: listen again" in await first_words(branch, "the listening socket")
            with socket.create_connection((host, port)):
                await run(session, "server.accept()[0].close()")
            # It can have one of its own.
            await run(branch, f"server = socket.create_server(({host!r}, 0)); server.getsockname()[1]")
        with socket.create_connection((host, port)):
            await run(session, "server.accept()[0].close()")


BOUND = {
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.bind((HOST, 0))",
    "UDP of IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::1', 0))",
    "Unix datagrams": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(FOLDER + '/name')",
}


@pytest.mark.parametrize("kind", BOUND)
async def test_a_socket_with_an_address_is_made_anew(python: str, kind: str) -> None:
    """So are threads that wait in it, and what watches it."""
    async with Session(python=python) as session:
        folder = tempfile.mkdtemp()
        try:
            make = BOUND[kind].replace("HOST", repr(an_address())).replace("FOLDER", repr(folder))
            bind = make[make.index("s.bind") :]
            await run(
                session,
                f"import os, select, socket, threading; s = {make}\n"
                "got = []\n"
                "def serve():\n"
                "    while True:\n"
                "        if watch.poll(): got.append(s.recv(100))\n"
                "watch = select.epoll(); watch.register(s, select.EPOLLIN)\n"
                "threading.Thread(target=serve, daemon=True).start()\n"
                "def talk(text):\n"
                "    with socket.socket(s.family, s.type) as client: client.sendto(text, s.getsockname())\n"
                "def about(): return s.getsockname(), s.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST), s.getblocking()",
            )
            before = await run(session, "repr(about())")
            made = await session.snapshot()
            assert made.warnings == []
            for number in range(2):
                await run(session, "s.close()" if number else "talk(b'inside')")
                back = await session.rollback_to(made)
                assert "what waited in it, and groups that it had joined, are gone" in back.report
                assert await run(session, "repr(about())") == before
                assert await run(session, "got == []") is True
                await run(session, "talk(b'hello')")
                await until(session, "got == [b'hello']")
            (branch,) = await session.branch()
            async with branch:
                assert "the session that this one was branched from has it" in await first_words(branch, "the socket at")
                await run(session, "talk(b'again')")
                await until(session, "got[-1] == b'again'")
                assert await run(branch, "got == [b'hello']") is True
                # It is another socket, which can have an address of its own.
                await run(branch, bind.replace("/name", "/branch") + "; talk(b'here')")
                await until(branch, "got[-1] == b'here'")
                assert await run(session, "got[-1]") == "b'again'"
        finally:
            shutil.rmtree(folder)


async def test_a_socket_that_is_bound_and_was_never_connected_is_exact(python: str) -> None:
    async with Session(python=python) as session:
        await run(session, f"import socket; s = socket.socket(); s.bind(({an_address()!r}, 0)); name = s.getsockname()")
        made = await session.snapshot()
        await run(session, "s.close()")
        back = await session.rollback_to(made)
        assert back.exact, back.report
        assert await run(session, "s.getsockname() == name and s.listen() is None") is True
        await run(session, "socket.create_connection(name).close()")


async def test_an_address_that_somebody_else_has_meanwhile_is_named(python: str) -> None:
    async with Session(python=python) as session:
        host = an_address()
        code = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(({host!r}, 0)); s.getsockname()[1]"
        port = await run(session, code)
        made = await session.snapshot()
        await run(session, "s.close()")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.bind((host, port))
            back = await session.rollback_to(made)
            assert "has lost its address (Address already in use): bind it again" in back.report
        await run(session, f"s.bind(({host!r}, {port}))")


SERVERS = {
    "a thread for all": "http.server.HTTPServer",
    "a thread for each": "http.server.ThreadingHTTPServer",
}
SOCKETS = """sum("socket:[" in os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))"""


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_server_in_a_thread_answers_again(python: str, kind: str) -> None:
    async with Session(python=python, undo=5) as session:
        code = f"""
            import http.server, os, threading, urllib.request
            visits = []
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    visits.append(self.path)
                    self.send_response(200); self.end_headers(); self.wfile.write(str(len(visits)).encode())
                def log_message(self, *_): pass
            server = {SERVERS[kind]}(({an_address()!r}, 0), Handler)
            thread = threading.Thread(target=server.serve_forever, daemon=True); thread.start()
            "http://%s:%d/" % server.server_address
        """
        url = await run(session, textwrap.dedent(code))

        def visit() -> bytes:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bytes(answer.read())

        before = await run(session, SOCKETS)
        assert await asyncio.to_thread(visit) == b"1"
        # The visitor has seen the end of the answer before the server has closed its side.
        await until(session, f"{SOCKETS} == {before}")
        made = await session.snapshot()
        assert made.warnings == []
        for _ in range(2):
            assert await asyncio.to_thread(visit) == b"2"
            back = await session.rollback_to(made)
            assert back.exact, back.report
            # From within, too.
            assert await run(session, f"urllib.request.urlopen({url!r}, timeout=30).read()") == "b'2'"
            assert await asyncio.to_thread(visit) == b"3"
            await session.rollback_to(made)
        await run(session, "server.shutdown(); server.server_close(); thread.join()")
        await session.undo()
        assert await asyncio.to_thread(visit) == b"2"
        await run(session, "server.shutdown(); server.server_close(); thread.join()")


# ---- pairs -------------------------------------------------------------------------------------------------


PAIRS = {
    "what is in it": ("far.sendall(b'one'); far.sendall(b'two')", "near.recv(100)", "b'onetwo'"),
    "both ways": ("far.sendall(b'one'); near.sendall(b'two')", "near.recv(100), far.recv(100)", "(b'one', b'two')"),
    "much": (
        "far.setblocking(False); sent = 0\ntry:\n    while True: sent += far.send(bytes(1000))\n"
        "except BlockingIOError: pass\nnear.setblocking(False)\ndef drain():\n    found = 0\n    try:\n"
        "        while True: found += len(near.recv(4096))\n    except BlockingIOError: return found",
        "drain() == sent",
        "True",
    ),
    "one direction shut": ("far.sendall(b'x'); far.shutdown(socket.SHUT_WR)", "near.recv(9), near.recv(9)", "(b'x', b'')"),
    "the other direction shut": (
        "near.shutdown(socket.SHUT_RD)",
        "near.recv(9), type(sends()).__name__",
        "(b'', 'BrokenPipeError')",
    ),
    "sizes": (
        "near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000); far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)",
        "[one.getsockopt(socket.SOL_SOCKET, which) for one in (near, far) for which in (socket.SO_SNDBUF, socket.SO_RCVBUF)]"
        " == sizes",
        "True",
    ),
    "a limit": ("near.settimeout(0.5)", "near.gettimeout(), near.getblocking(), far.getblocking()", "(0.5, True, True)"),
    "duplicates": ("also = far.dup(); also.send(b'x'); far.close()", "near.recv(9), also.send(b'y'), near.recv(9)", "(b'x', 1, b'y')"),
}


@pytest.mark.parametrize("what", PAIRS)
async def test_a_pair_within_the_session(python: str, what: str) -> None:
    make, look, expected = PAIRS[what]
    code = "import socket; near, far = socket.socketpair()\n"
    code += "def sends():\n    try: return far.send(b'x')\n    except OSError as error: return error\n" + make + "\n"
    code += "sizes = [one.getsockopt(socket.SOL_SOCKET, which) for one in (near, far) for which in (socket.SO_SNDBUF, socket.SO_RCVBUF)"
    code += " if one.fileno() >= 0]"
    async with Session(python=python) as session:
        await run(session, code)
        made = await session.snapshot()
        assert made.warnings == []
        for _ in range(2):
            assert await run(session, f"repr(({look}))") == expected
            back = await session.rollback_to(made)
            assert back.exact, back.report
        (branch,) = await session.branch()
        async with branch:
            assert await run(branch, f"repr(({look}))") == expected
        assert await run(session, f"repr(({look}))") == expected


async def test_branches_share_a_connection_and_say_so(python: str, server: socket.socket) -> None:
    async with Session(python=python) as session:
        with await connect(session, server):
            (branch,) = await session.branch()
            async with branch:
                text = await first_words(branch, "the socket at descriptor")
                assert "is shared with the session that this one was branched from" in text
