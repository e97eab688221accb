"""Requests and their answers, and whom messages are for: the part of a connection that does not care what carries it.

    Session ── Channel ──┐
    Session ── Channel ──┼── Connection (one per event loop) ══ an engine of this process (`_engine.py`)
    SessionPool ─────────┘
    Session ── Channel ───── RemoteConnection (one per session) ══ a service (`_remote.py`)
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from . import _wire
from ._wire import Json
from .errors import BadValue, ProtocolError, Pyrepl3Error, SessionClosed, from_failure

log = logging.getLogger("pyrepl3")

PROTOCOL_VERSION = 1

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

    @property
    def running(self) -> list[str]:
        """The executions that have not ended, oldest first."""

    def miss(self, count: int) -> None:
        """So many bytes of what was said cannot be had any more."""

    def backlog(self) -> int:
        """Bytes that came for iterators and were not consumed by the slowest one, of whichever has most of them."""


class Exchange:
    """Requests, answers and routes of one connection, on one event loop. Use it from that loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.routes: dict[str, Route] = {}
        """By session id."""
        self.failure: ErrorMaker | None = None
        """Set once the connection is of no use any more."""
        self.forgotten = False
        """Whether this is a forked child, and the connection the parent's."""
        self._pending: dict[str, tuple[asyncio.Future[Json], Callable[[Json], None] | None]] = {}
        self._watching: dict[str, Callable[[Json], None]] = {}
        self._ids = itertools.count(1)

    # ---- what carries it ---------------------------------------------------------------------------------

    def send(self, message: Json) -> None:
        """Sends a message now. Raises why the connection is gone, or `BadValue` when it is too large."""
        raise NotImplementedError

    def share(self) -> None:
        """One more user, while there is one. Never waits: for the moment a message is dispatched."""
        raise NotImplementedError

    async def release(self) -> None:
        """A user goes. Returns, if it was the last, when all is gone that was there for the users."""
        raise NotImplementedError

    def abandon(self) -> None:
        """A user goes without waiting. May be called from a destructor: any thread, at any point."""
        raise NotImplementedError

    @asynccontextmanager
    async def given_back_on_failure(self) -> AsyncIterator[None]:
        """What a user begins with: if it fails the user goes, without waiting where it was cancelled."""
        try:
            yield
        except Pyrepl3Error:
            await self.release()
            raise
        except BaseException:
            self.abandon()
            raise

    def collected(self, goodbye: Callable[[], None], leased: bool) -> None:
        """A session or pool that was not shut down is referred to by nobody any more.

        A destructor: runs in any thread, at any point. `goodbye` is called in the event loop, if that still runs;
        `leased`: what is gone was counted as a user of the connection.
        """
        if self.forgotten:
            return

        def leave() -> None:
            goodbye()
            if leased:
                self.abandon()

        try:
            self.loop.call_soon_threadsafe(leave)
        except RuntimeError:  # The event loop is closed: nobody waits there.
            if leased:
                self.abandon()

    # ---- requests ----------------------------------------------------------------------------------------

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

    # ---- what arrives ------------------------------------------------------------------------------------

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
        raise NotImplementedError

    # ---- the end -----------------------------------------------------------------------------------------

    def _tell_all(self, failure: ErrorMaker) -> None:
        """Everybody who waits hears why nothing comes any more."""
        pending, self._pending = self._pending, {}
        self._watching.clear()
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(failure())
        routes, self.routes = self.routes, {}
        for route in routes.values():
            route.lose(failure)


def too_large(size: int) -> BadValue:
    """The error for a message that no frame can hold."""
    return BadValue(
        f"a message of {size:,} bytes cannot be sent",
        f"the limit of the protocol is {_wire.MAX_FRAME:,} bytes",
        "write large data to a file and let the session read it",
    )


def other_version(version: int, server: str) -> ProtocolError:
    """The error for a peer that speaks another version of the protocol."""
    return ProtocolError(
        f"the engine speaks version {version} of the protocol, this package version {PROTOCOL_VERSION}",
        f"the binary is of version {server or 'unknown'}",
        "use a Python package and a binary of the same version",
    )


def broken(reason: str) -> ProtocolError:
    """The error for a peer whose messages cannot be understood."""
    return ProtocolError(
        "the engine sent something that could not be understood",
        reason,
        "use a Python package and a binary of the same version",
    )


def forked() -> SessionClosed:
    """The error for a connection of the process that this one was forked from."""
    return SessionClosed(
        "this session belongs to another process",
        "the process was forked after the session had started, and sessions do not follow a fork",
        "start a new session in the child process",
    )
