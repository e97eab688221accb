"""One connection to the engine: a socket of an event loop, frames, requests and their answers.

    Session ── Channel ──┐
    Session ── Channel ──┼── Connection (one per event loop) ══ Engine (one process, `_engine.py`)
    SessionPool ─────────┘

There are no tasks here: what arrives is dispatched in the loop's own callback, what is sent goes straight to
the socket. That is what keeps an execution's overhead small.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from . import _wire
from ._wire import Json
from .errors import BadValue, ProtocolError, Pyrepl3Error, SessionClosed, from_failure
from .messages import ReadyMessage

if TYPE_CHECKING:
    from ._engine import Engine

log = logging.getLogger("pyrepl3")

PROTOCOL_VERSION = 1
HANDSHAKE_SECONDS = 30.0
_READ = 256 << 10

_ANSWERS = frozenset(("reply", "failure", "ready"))
# Without `reply_to`, events.
_ANSWERS_OF_STATE = frozenset(("snapshot_created", "rolled_back", "branched", "checkpoint_created", "restored"))

ErrorMaker = Callable[[], Pyrepl3Error]
"""Makes an error anew for each one who waits: a raised exception belongs to one traceback."""


class Route(Protocol):
    """Where the messages of a session go."""

    def deliver(self, message: Json, size: int) -> None:
        """A message of `size` bytes on the wire that belongs to the session."""

    def refuse(self, failure: Json) -> bool:
        """A failure that answers no request of the connection: of an execution perhaps."""

    def lose(self, failure: ErrorMaker) -> None:
        """The connection is gone."""


class Connection:
    """Frames to and from the engine on one event loop. Use it from that loop only."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.engine = engine
        self.loop = loop
        self.users = 0
        """Sessions and pools that hold the connection open; counted by `_engine`."""
        self.routes: dict[str, Route] = {}
        """By session id."""
        self.failure: ErrorMaker | None = None
        """Set once the connection is of no use any more."""
        self.ready: ReadyMessage | None = None
        """The engine's handshake."""
        self.forgotten = False
        """Whether this is a forked child, and the connection the parent's."""
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._buffer = memoryview(bytearray(_READ))
        self._partial = bytearray()
        self._outgoing = bytearray()
        self._pending: dict[str, tuple[asyncio.Future[Json], Callable[[Json], None] | None]] = {}
        self._watching: dict[str, Callable[[Json], None]] = {}
        self._ids = itertools.count(1)
        self._handshake: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, self._readable)

    # ---- requests ----------------------------------------------------------------------------------------

    async def handshake(self) -> None:
        """Waits for the engine's `ready`, and checks it.

        Raises `ProtocolError` for another version of the protocol, or when nothing comes in time.
        """
        if not self._handshake.done():
            await asyncio.wait([self._handshake], timeout=HANDSHAKE_SECONDS)
            if not self._handshake.done():
                self.lose(_no_handshake)
        if self.failure is not None:
            raise self.failure()

    def request(
        self,
        message: Json,
        on_reply: Callable[[Json], None] | None = None,
        on_progress: Callable[[Json], None] | None = None,
    ) -> asyncio.Future[Json]:
        """Sends a request; the future has what answers it, or raises what the `failure` says.

        `on_reply` sees an answer that is no `failure` first, at the moment it is dispatched, also when the future was
        cancelled in the meantime: so nothing that was granted is forgotten. `on_progress` sees each `progress` before
        it, as long as the future is not done.
        """
        name = f"req_{next(self._ids)}"
        message["id"] = name
        message["timestamp"] = time.time()
        future: asyncio.Future[Json] = self.loop.create_future()
        self.send(message)
        self._pending[name] = (future, on_reply)
        if on_progress is not None:
            self._watching[name] = on_progress
        return future

    def post(self, message: Json) -> None:
        """Sends a request whose answer does not matter. Does nothing once the connection is gone."""
        if self.failure is None:
            message["id"] = f"req_{next(self._ids)}"
            message["timestamp"] = time.time()
            self.send(message)

    def send(self, message: Json) -> None:
        """Sends a message now. Raises why the connection is gone, or `BadValue` when it is too large."""
        if self.failure is not None:
            raise self.failure()
        frame = _wire.encode(message)
        if len(frame) - 4 > _wire.MAX_FRAME:
            raise BadValue(
                f"a message of {len(frame) - 4:,} bytes cannot be sent",
                f"the limit of the protocol is {_wire.MAX_FRAME:,} bytes",
                "write large data to a file and let the session read it",
            )
        if self._outgoing:
            self._outgoing += frame
            return
        sent = self._write(frame)
        if sent < len(frame):
            self._outgoing += memoryview(frame)[sent:]
            self.loop.add_writer(self._fd, self._writable)

    def _write(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # The peer is gone. What it said last is still to be read; end-of-file follows and ends us.
            return len(data)

    def _writable(self) -> None:
        with memoryview(self._outgoing) as view:
            sent = self._write(view[: 1 << 20])
        del self._outgoing[:sent]
        if not self._outgoing:
            self.loop.remove_writer(self._fd)

    # ---- what arrives ------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self.failure is not None:  # Closed in another thread.
            self.loop.remove_reader(self._fd)
            return
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(self.engine.obituary(str(error)))
            return
        if count == 0:
            self.lose(self.engine.obituary())
            return
        try:
            if self._partial:
                self._partial += self._buffer[:count]
                with memoryview(self._partial) as view:
                    used = self._frames(view)
                del self._partial[:used]
            else:
                used = self._frames(self._buffer[:count])
                if used < count:
                    self._partial += self._buffer[used:count]
        except Exception as error:  # Whatever it is: a frame is lost, so nothing after it can be relied on.
            log.debug("a frame of the engine could not be understood", exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            self.lose(lambda: _broken(reason))

    def _frames(self, data: memoryview) -> int:
        """Dispatches the whole frames in `data`; returns the bytes that they take."""
        start, end = 0, len(data)
        while end - start >= 4:
            size = int.from_bytes(data[start : start + 4], "big")
            if size > _wire.MAX_FRAME:
                raise ValueError(f"a frame announces {size} bytes")
            after = start + 4 + size
            if after > end:
                break
            text = str(data[start + 4 : after], "utf-8")
            self._dispatch(_wire.decode(text), size + 4)
            start = after
            if self.failure is not None:
                return end
        return start

    def _dispatch(self, message: Json, size: int) -> None:
        kind = message["type"]
        if kind in _ANSWERS or (kind in _ANSWERS_OF_STATE and message.get("reply_to") is not None):
            self._answered(kind, message)
            return
        if kind == "progress":
            self._progressed(message)
            return
        route = self.routes.get(message.get("session_id") or "")
        if route is not None:
            route.deliver(message, size)
        else:
            log.debug("a message of no known session was passed over: %s", kind)

    def _answered(self, kind: str, message: Json) -> None:
        reply_to = message.get("reply_to")
        if reply_to is None:
            if kind == "ready":
                self._greeted(message)
            elif kind == "failure":
                log.warning("the engine says: %s", from_failure(message))
            return
        pending = self._pending.pop(reply_to, None)
        self._watching.pop(reply_to, None)
        if pending is None:
            if kind == "failure":
                self._refused(message)
            return
        future, on_reply = pending
        if kind == "failure":
            if not future.done():
                future.set_exception(from_failure(message))
            return
        if on_reply is not None:
            try:
                on_reply(message)
            except Exception:
                self._pending[reply_to] = pending  # It cannot be read: who waits hears why the connection is lost.
                raise
        if not future.done():
            future.set_result(message)

    def _progressed(self, message: Json) -> None:
        request = message.get("reply_to") or ""
        watch, pending = self._watching.get(request), self._pending.get(request)
        if watch is not None and pending is not None and not pending[0].done():
            watch(message)

    def _refused(self, failure: Json) -> None:
        route = self.routes.get(failure.get("session_id") or "")
        routes = [route] if route is not None else list(self.routes.values())
        # Else it answers a request that was only posted.
        any(route.refuse(failure) for route in routes)

    def _greeted(self, message: Json) -> None:
        self.ready = _wire.ready(message)
        version = self.ready.protocol_version
        if version != PROTOCOL_VERSION:
            server = self.ready.server_version
            self.lose(lambda: _other_version(version, server))
        elif not self._handshake.done():
            self._handshake.set_result(None)

    # ---- the end -----------------------------------------------------------------------------------------

    def lose(self, failure: ErrorMaker) -> None:
        """The connection broke: everybody who waits hears why."""
        if self.failure is not None:
            return
        self.close(failure)
        self.engine.disconnected(self)
        pending, self._pending = self._pending, {}
        self._watching.clear()
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(failure())
        if not self._handshake.done():
            self._handshake.set_result(None)
        routes, self.routes = self.routes, {}
        for route in routes.values():
            route.lose(failure)

    def close(self, failure: ErrorMaker | None = None) -> None:
        """Closes the socket, from any thread; the engine ends what this connection started."""
        if self.failure is not None:
            return
        self.failure = failure or _closed
        if asyncio._get_running_loop() is not self.loop:
            with suppress(RuntimeError):  # The loop is closed: it does not watch the descriptor any more.
                self.loop.call_soon_threadsafe(self._shut)
                return
        self._shut()

    def _shut(self) -> None:
        if not self.loop.is_closed():
            self.loop.remove_reader(self._fd)
            self.loop.remove_writer(self._fd)
        self._outgoing.clear()
        self._sock.close()

    def mute(self) -> None:
        """The interpreter exits: who still waits, in a daemon thread, is left in peace."""
        self.failure = self.failure or _closed

    def forget(self) -> None:
        """In a forked child: closes the descriptor and touches nothing that is shared with the parent.

        Not the loop either: its epoll set is the parent's too.
        """
        self.forgotten = True
        self.failure = _forked
        self._sock.close()


def _closed() -> Pyrepl3Error:
    return SessionClosed("the connection to the engine was closed")


def _forked() -> Pyrepl3Error:
    return SessionClosed(
        "this session belongs to another process",
        "the process was forked after the session had started, and sessions do not follow a fork",
        "start a new session in the child process",
    )


def _broken(reason: str) -> Pyrepl3Error:
    return ProtocolError(
        "the engine sent something that could not be understood",
        reason,
        "use a Python package and a binary of the same version",
    )


def _other_version(version: int, server: str) -> Pyrepl3Error:
    return ProtocolError(
        f"the engine speaks version {version} of the protocol, this package version {PROTOCOL_VERSION}",
        f"the binary is of version {server or 'unknown'}",
        "use a Python package and a binary of the same version",
    )


def _no_handshake() -> Pyrepl3Error:
    return ProtocolError(
        f"the engine did not answer within {HANDSHAKE_SECONDS:.0f} seconds",
        "perhaps the binary is another program of the same name",
        "see what PYREPL3_BIN, or pyrepl3 on PATH, is",
    )
