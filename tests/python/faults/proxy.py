"""A network between client and server that cuts connections, delays them, and repeats requests."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

LARGEST = 1 << 20
"""Bytes of a request that may be repeated."""


class Proxy:
    """Listens at one address for all servers that come, one after the other. Without `chance` it is a good network."""

    def __init__(self, chance: random.Random | None, upstream: Callable[[], tuple[str, int] | None]) -> None:
        self._chance = chance
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.repeats = 0

    async def start(self) -> str:
        """Listens; returns the address for clients."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    def heal(self) -> None:
        """From now on it is a good network."""
        self._chance = None

    async def close(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._connection(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            _abort(writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = self._upstream()
        if there is None:
            return
        up_reader, up_writer = await asyncio.open_connection(*there)
        try:
            if self._chance is not None and self._chance.random() < 0.2:
                request = await _request(reader)
                if b"upgrade:" not in request.lower():
                    await self._repeat(request, there)
                up_writer.write(request)
            ways = (reader, up_writer), (up_reader, writer)
            both = [asyncio.create_task(self._pump(*way)) for way in ways]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                # What the server has said is passed on; a client that has gone wants nothing more.
                if both[0].done() and not both[1].done():
                    await asyncio.wait(both[1:], timeout=0.2)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            _abort(up_writer)

    async def _repeat(self, request: bytes, there: tuple[str, int]) -> None:
        """Sends a request on a connection of its own; nobody hears the answer."""
        assert self._chance is not None
        self.repeats += 1
        reader, writer = await asyncio.open_connection(*there)
        try:
            writer.write(request)
            await writer.drain()
            # Sometimes it is answered before the client's own is sent.
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(reader.read(LARGEST), self._chance.choice([0.0, 0.01, 0.2]))
        finally:
            _abort(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes bytes on, one way; after a while it may end in the middle of them."""
        chance = self._chance
        left = None
        if chance is not None and chance.random() < 0.3:
            left = chance.choice([0, 1, 10, 100, 1000, 10_000, 100_000])
            left = chance.randint(left // 2, left)
        with contextlib.suppress(OSError):
            while piece := await reader.read(64 << 10):
                if chance is not None and chance.random() < 0.1:
                    await asyncio.sleep(chance.random() * 0.05)
                if left is not None and len(piece) >= left:
                    self.cuts += 1
                    writer.write(piece[:left])
                    await asyncio.wait_for(writer.drain(), 1)
                    return
                left = None if left is None else left - len(piece)
                writer.write(piece)
                await writer.drain()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A request, with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(min(length, LARGEST))


def _abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once."""
    writer.transport.close()
