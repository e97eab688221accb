"""Flow of messages to those who iterate: what is kept for them, and what the engine is told was consumed.

One `Flow` serves one execution, or what a session says outside executions. The engine sends at most 4 MiB
beyond what was acknowledged; so an iterator that holds its acknowledgements back slows the code that prints.

* Nobody iterates, or somebody awaits the end: messages are acknowledged as they come, and kept for a later
  iterator up to a limit; what is beyond it is dropped, and an `OutputMessage` says how many bytes.
* Somebody iterates: what the slowest iterator consumed is acknowledged, and nothing it needs is dropped.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from .messages import (
    DisplayMessage,
    EvictedMessage,
    InputMessage,
    Message,
    OutputMessage,
    RolledBackMessage,
    WarningMessage,
)

ACK_BATCH = 256 << 10
"""Bytes that are acknowledged at once: a sixteenth of the engine's window, so that it never runs dry for it."""

KEEP = 16 << 20
"""Bytes of an execution's messages kept for iterators to come, as counted on the wire."""

KEEP_EVENTS = 1 << 20
"""Bytes kept of what a session says outside executions."""


_TOLD = (DisplayMessage, WarningMessage, EvictedMessage, RolledBackMessage)
"""What counts with all its size when it is missing."""


class Entry(NamedTuple):
    """A message, its place, and what came up to its end: bytes on the wire, bytes of output."""

    message: Message
    seq: int
    size: int
    wire: int
    weight: int


class Cursor:
    """Where one iterator is: the next place, and the bytes that it has behind it."""

    __slots__ = ("seq", "weight", "wire")

    def __init__(self) -> None:
        self.seq = 0
        self.wire = 0
        self.weight = 0


class Flow:
    """Messages in order, for any number of iterators, within limits. Belongs to one event loop."""

    __slots__ = (
        "__weakref__",
        "_acked",
        "_cursors",
        "_dropped",
        "_head",
        "_head_limit",
        "_head_size",
        "_kept",
        "_received",
        "_send_ack",
        "_seq",
        "_start",
        "_tail",
        "_tail_limit",
        "_tail_size",
        "_waiting",
        "_weight",
        "end_waiters",
        "failure",
        "finished",
        "loop",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send_ack: Callable[[int], None],
        head_limit: int = KEEP // 2,
        tail_limit: int = KEEP // 2,
    ) -> None:
        self.loop = loop
        self.finished = False
        self.failure: Callable[[], Exception] | None = None
        """Makes the error that iterators raise once they have had what came before it."""
        self.end_waiters: list[asyncio.Future[None]] = []
        """Futures of those who await the end. While there are any, nothing is held back."""
        self._send_ack = send_ack
        self._head_limit = head_limit
        self._tail_limit = tail_limit
        self._head: list[Entry] = []
        self._head_size = 0
        self._kept: list[Entry] = []  # Prompts out of the gap: a dropped one could never be answered.
        self._tail: list[Entry] = []
        self._start = 0  # The tail's first entry that is still kept; those before it wait to be deleted.
        self._tail_size = 0
        self._dropped: Message | None = None  # The last that was: what is said of the gap is taken from it.
        self._seq = 0
        self._received = 0
        self._acked = 0
        self._weight = 0
        self._cursors: list[Cursor] = []
        self._waiting: list[asyncio.Future[None]] = []

    # ---- coming in ---------------------------------------------------------------------------------------

    def add(self, message: Message, size: int) -> None:
        """Takes a message of `size` bytes on the wire."""
        self._received += size
        self._weight += _weight(message, size)
        entry = Entry(message, self._seq, size, self._received, self._weight)
        self._seq += 1
        if not self._tail and self._head_size + size <= self._head_limit:
            self._head.append(entry)
            self._head_size += size
        else:
            self._tail.append(entry)
            self._tail_size += size
            if self._tail_size > self._tail_limit:
                self._trim()
        if self._waiting:
            self._wake()
        if not self.finished:
            self.settle()

    def skip(self, size: int) -> None:
        """Takes note of a message that nobody can ask for any more."""
        self._received += size
        self.settle()

    def finish(self, failure: Callable[[], Exception] | None = None) -> None:
        """Nothing comes after this."""
        self.finished = True
        self.failure = failure
        self._wake()
        waiters, self.end_waiters = self.end_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _trim(self) -> None:
        needed = self._seq if self._free() else min(cursor.seq for cursor in self._cursors)
        tail, start = self._tail, self._start
        while self._tail_size > self._tail_limit and start < len(tail) - 1 and tail[start].seq < needed:
            entry = tail[start]
            start += 1
            self._tail_size -= entry.size
            if isinstance(entry.message, InputMessage):
                self._kept.append(entry)
            else:
                self._dropped = entry.message
        if start > len(tail) // 2 or len(tail) < 256:
            del tail[:start]
            start = 0
        self._start = start

    # ---- going out ---------------------------------------------------------------------------------------

    def attach(self) -> Cursor:
        """A new iterator, at the beginning of what is kept."""
        cursor = Cursor()
        self._cursors.append(cursor)
        return cursor

    def detach(self, cursor: Cursor) -> None:
        """An iterator is done, or was dropped: what it held back flows on."""
        if cursor in self._cursors:
            self._cursors.remove(cursor)
            self.settle()

    def take(self, cursor: Cursor) -> Message | None:
        """The next message for an iterator, or None until more comes."""
        entry = self._next(cursor)
        if entry is None:
            return None
        if isinstance(entry, OutputMessage):
            return entry
        cursor.seq = entry.seq + 1
        cursor.wire = max(cursor.wire, entry.wire)
        cursor.weight = max(cursor.weight, entry.weight)
        if not self.finished:
            self.settle()
        return entry.message

    def _next(self, cursor: Cursor) -> Entry | OutputMessage | None:
        seq = cursor.seq
        if seq < len(self._head):
            return self._head[seq]
        tail, start = self._tail, self._start
        if start == len(tail):
            return None
        first = tail[start]
        if seq < first.seq:
            before = first.weight - _weight(first.message, first.size)
            if before > cursor.weight:
                missing = self._missing(before - cursor.weight)
                cursor.weight = before
                return missing
            place = bisect_left(self._kept, seq, key=lambda entry: entry.seq)
            if place < len(self._kept):
                return self._kept[place]
            return first
        index = start + seq - first.seq
        return tail[index] if index < len(tail) else None

    def _missing(self, count: int) -> OutputMessage:
        last = self._dropped or Message()
        return OutputMessage(
            id=last.id,
            timestamp=last.timestamp,
            session_id=last.session_id,
            execution_id=last.execution_id,
            stream=last.stream if isinstance(last, OutputMessage) else "stdout",
            data="",
            dropped=count,
        )

    async def arrival(self) -> None:
        """Waits until a message comes or the end has come."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    # ---- what the engine is told ---------------------------------------------------------------------------

    def _free(self) -> bool:
        return not self._cursors or any(not waiter.done() for waiter in self.end_waiters)

    @property
    def backlog(self) -> int:
        """Bytes that came and were not acknowledged."""
        return 0 if self.finished else self._received - self._acked

    def settle(self) -> None:
        """Acknowledges what was consumed, if it is worth a message."""
        if self.finished:
            return
        consumed = self._received if self._free() else min(cursor.wire for cursor in self._cursors)
        if consumed - self._acked >= ACK_BATCH:
            due = consumed - self._acked
            self._acked = consumed
            self._send_ack(due)


def _weight(message: Message, size: int) -> int:
    """What is missing without this message, in bytes."""
    if isinstance(message, OutputMessage):
        if message.bytes is not None:
            return len(message.bytes) + message.dropped
        data = message.data
        count = len(data) if data.isascii() else len(data.encode("utf-8", "surrogatepass"))
        return count + message.dropped
    return size if isinstance(message, _TOLD) else 0


class MessageIterator(AsyncIterator[Message]):
    """Messages of a flow from the first that is kept. Dropping it lets what it held back flow on."""

    __slots__ = ("_cursor", "_flow", "_owner")

    def __init__(self, flow: Flow, owner: Any) -> None:
        self._flow = flow
        self._owner = owner  # An execution, and with it its session, lives while somebody iterates it.
        self._cursor: Cursor | None = flow.attach()

    def __aiter__(self) -> MessageIterator:
        return self

    async def __anext__(self) -> Message:
        message = await self._step()
        if message is None:
            raise StopAsyncIteration
        return message

    async def _step(self) -> Message | None:
        while (cursor := self._cursor) is not None:
            message = self._flow.take(cursor)
            if message is not None:
                return message
            if self._flow.finished:
                self._detach()
                if self._flow.failure is not None:
                    raise self._flow.failure()
                return None
            await self._flow.arrival()
        return None

    async def batch(self, limit: int) -> list[Message]:
        """The next messages, at least one and up to `limit` of them without waiting; none at the end."""
        messages: list[Message] = []
        message = await self._step()
        while message is not None:
            messages.append(message)
            if len(messages) == limit or self._cursor is None:
                break
            message = self._flow.take(self._cursor)
        return messages

    async def aclose(self) -> None:
        """Ends the iteration; what runs goes on."""
        self._detach()

    def _detach(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            self._flow.detach(cursor)

    def __del__(self) -> None:
        cursor = getattr(self, "_cursor", None)
        if cursor is None or self._flow.finished:
            return
        with suppress(RuntimeError):  # The loop is closed, and the engine's side with it.
            # Not directly: this may run in any thread, or in the middle of a write to the same socket.
            self._flow.loop.call_soon_threadsafe(self._flow.detach, cursor)
