"""All that a session of a service says, from a number on: a reader with a connection of its own."""

from __future__ import annotations

from typing import Any

from . import _wire
from ._exchange import ErrorMaker, log
from ._flow import KEEP, Flow, MessageIterator
from ._remote import RemoteConnection
from ._wire import Json
from .errors import SessionClosed


class _Reader:
    """The route of the connection."""

    def __init__(self, connection: RemoteConnection) -> None:
        self.connection = connection
        self.flow = Flow(connection.loop, self._acknowledge, head_limit=0, tail_limit=KEEP)

    def deliver(self, message: Json, size: int) -> None:
        """A message for the iterator."""
        make = _wire.EVENTS.get(message["type"])
        if make is None:
            log.debug("a message of unknown type was passed over: %s", message["type"])
            self.flow.skip(size)
        else:
            self.flow.add(make(message), size)

    def refuse(self, failure: Json) -> bool:
        """Nothing is asked here."""
        return False

    def lose(self, failure: ErrorMaker) -> None:
        """Nothing comes any more: because the session has ended, or for another reason, which is told."""
        ended = isinstance(failure(), SessionClosed)
        self.flow.finish(None if ended else failure)

    @property
    def running(self) -> list[str]:
        """Nothing is waited for here."""
        return []

    def miss(self, count: int) -> None:
        """So many bytes of what was said cannot be had any more."""
        gap: Json = {"id": "", "timestamp": 0.0, "session_id": self.connection.session_id, "stream": "stdout"}
        self.flow.add(_wire.output({**gap, "data": "", "dropped": count}), 0)

    def backlog(self) -> int:
        """Bytes that the iterator has not consumed."""
        return self.flow.backlog

    def _acknowledge(self, count: int) -> None:
        if self.connection.failure is None:
            self.connection.send({"type": "ack"})


class _EventIterator(MessageIterator):
    """Ends its connection with itself."""

    __slots__ = ("_reader",)

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        super().__init__(reader.flow, reader)

    def _detach(self) -> None:
        super()._detach()
        self._reader.connection.close()

    def __del__(self) -> None:
        reader: Any = getattr(self, "_reader", None)
        if reader is not None:
            reader.connection.abandon()
        super().__del__()


def events_after(connection: RemoteConnection, after: int) -> MessageIterator:
    """What the session of a connection has said behind an event, and says."""
    reading = connection.another(after)
    reader = _Reader(reading)
    reading.routes[reading.session_id] = reader
    iterator = _EventIterator(reader)
    reading.connect_soon(strictly=True)
    return iterator
