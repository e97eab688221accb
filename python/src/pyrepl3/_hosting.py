"""Where a session lives: in an engine of this process, or in a service."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Protocol

from . import _engine
from ._channel import Channel
from ._exchange import Exchange, log
from ._remote import RemoteConnection
from ._service import Service, in_thread
from ._wire import Json
from .errors import BadValue, Pyrepl3Error, no_event_loop

FORGOTTEN_SECONDS = 3600.0
"""How long a session that no client has given an id, and to which none is connected any more, is kept."""

MakeChannel = Callable[[Exchange], Channel]


class Hosting(Protocol):
    """Where a session lives."""

    stays: bool
    """Whether it lives on when its client leaves it."""

    async def open(self, options: Json, make: MakeChannel) -> Channel:
        """Starts a session, or attaches to it. If we are cancelled, one that was started ends."""

    def branch(self, parent: Channel, session_id: str) -> tuple[Hosting, Exchange]:
        """The place, and the connection, of a session that was branched off one that is here."""


class Embedded:
    """The engine of this process and a data directory."""

    stays = False

    def __init__(self, data: str | None) -> None:
        self._data = data

    async def open(self, options: Json, make: MakeChannel) -> Channel:
        """Starts a session, and the engine if it is the first."""
        connection = await _engine.attach(self._data)
        async with connection.given_back_on_failure():
            channel = make(connection)
            await channel.open({"type": "start", "options": options}, undo={"type": "shutdown"})
        return channel

    def branch(self, parent: Channel, session_id: str) -> tuple[Hosting, Exchange]:
        """The same engine, and the same connection."""
        parent.connection.share()
        return self, parent.connection


class Served:
    """A service, and the id of a session that the client has chosen, if it has."""

    def __init__(self, service: Service, session_id: str | None, patience: float, stays: bool) -> None:
        self.service = service
        self.stays = stays
        self._id = session_id
        self._patience = patience

    async def open(self, options: Json, make: MakeChannel) -> Channel:
        """Makes the session, or attaches to it."""
        if asyncio._get_running_loop() is None:
            raise no_event_loop()
        if self._id is None:
            # It ends with its client. Where that could not say so, it ends a while after.
            options = {"idle_timeout": FORGOTTEN_SECONDS, **options}
            request = "POST", self.service.of("sessions"), options
        else:
            request = "PUT", self.service.of("sessions", self._id), options
        making = in_thread(lambda: self.service.blocking_request(*request))
        try:
            status, view = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(lambda done: _undo(self.service, done))
            raise
        session_id, begins_after = str(view["id"]), int(view.get("begins_after") or 0)
        # What a new session has said until now is for who made it.
        after = begins_after if status == 201 else None
        try:
            return await self._connected(session_id, after, make)
        except BaseException:
            if status == 201:
                _end(self.service, session_id)
            raise

    async def _connected(self, session_id: str, after: int | None, make: MakeChannel) -> Channel:
        connection = RemoteConnection(self.service, session_id, after, self._patience)
        channel = make(connection)
        channel.enter(session_id, None)
        try:
            await connection.connect()
        except BaseException:
            connection.close()
            raise
        channel.python = connection.ready.python if connection.ready is not None else None
        return channel

    def branch(self, parent: Channel, session_id: str) -> tuple[Hosting, Exchange]:
        """The same service, and a connection of its own."""
        connection = RemoteConnection(self.service, session_id, 0, self._patience)
        connection.connect_soon()
        return Served(self.service, session_id, self._patience, self.stays), connection


def check_id(value: str | None) -> str | None:
    """An id that a client chooses. Raises `BadValue`."""
    if value is not None and not re.fullmatch(r"[a-z0-9_-]{1,100}", value):
        raise BadValue(f"id={value!r} is not allowed", "it has 1 to 100 of the characters a-z, 0-9, _ and -")
    return value


def _undo(service: Service, made: asyncio.Future[Any]) -> None:
    if not made.cancelled() and made.exception() is None:
        status, view = made.result()
        if status == 201:
            _end(service, str(view["id"]))


def _end(service: Service, session_id: str) -> None:
    """Ends a session that nobody has heard of."""

    def end() -> None:
        try:
            service.blocking_request("DELETE", service.of("sessions", session_id))
        except Pyrepl3Error as error:
            log.warning("a session that nobody uses could not be ended: %s", error)

    in_thread(end)
