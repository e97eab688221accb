"""Requests over HTTP, one on each connection: whatever is not answered whole is a `ConnectionError`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

PATIENCE = 30.0
"""Seconds that a server may say nothing."""


class Answer:
    """An answer whose body is being read."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises `ConnectionError` where its end did not come."""
        try:
            if "chunked" not in self.headers.get("transfer-encoding", ""):
                yield await self._reader.readexactly(int(self.headers.get("content-length", "0")))
                return
            while size := int(await self._line(), 16):
                yield await asyncio.wait_for(self._reader.readexactly(size), PATIENCE)
                await self._line()
        except (EOFError, ValueError, asyncio.TimeoutError) as error:
            raise ConnectionError(f"the answer was cut off: {error!r}") from error

    async def _line(self) -> bytes:
        line = await asyncio.wait_for(self._reader.readline(), PATIENCE)
        if not line.endswith(b"\n"):
            raise EOFError("no line")
        return line

    async def lines(self) -> AsyncIterator[Any]:
        """The body as lines of JSON, each as it comes."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)

    async def json(self) -> Any:
        """The body as one JSON document; None where there is none."""
        body = b"".join([piece async for piece in self.pieces()])
        return json.loads(body) if body else None


class Rest:
    """Where a server is, and the token that it wants."""

    def __init__(self, url: str, token: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._token = token

    @asynccontextmanager
    async def asked(self, method: str, path: str, body: Any = None, **headers: str) -> AsyncIterator[Answer]:
        """Makes a request. Raises `ConnectionError` where it is not answered."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            lines = {"host": f"{self._host}:{self._port}", "authorization": f"Bearer {self._token}"}
            lines["connection"] = "close"
            if body is not None:
                lines["content-type"] = "application/json"
            lines["content-length"] = str(len(data))
            lines |= {name.replace("_", "-"): value for name, value in headers.items()}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            try:
                await writer.drain()
                head_bytes = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            except (EOFError, asyncio.TimeoutError) as error:
                raise ConnectionError(f"there was no answer: {error!r}") from error
            first, *rest = head_bytes.decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in rest if line)
            yield Answer(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, reader)
        finally:
            writer.transport.close()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Makes a request; returns the status and the answer's JSON."""
        async with self.asked(method, path, body, **headers) as answer:
            return answer.status, await answer.json()

    async def events(self, session: str) -> list[Any] | None:
        """All that a session has said; None where it has said nothing and is not there."""
        path = f"/v1/sessions/{session}/events?after=0&follow=false"
        async with self.asked("GET", path, accept="application/x-ndjson") as answer:
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise AssertionError(f"the events of {session} cannot be read: {await answer.json()}")
            return [event async for event in answer.lines() if "seq" in event]
