"""One WebSocket: the protocol by the library `websockets`, the socket and its turns in the event loop.

There are no tasks here: what arrives is handed over in the loop's own callback, what is sent goes straight to the
transport.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _wire
from ._service import Service
from .errors import Pyrepl3Error, Unsupported

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

OPEN_SECONDS = 30.0
"""How long the handshake may take."""
SILENCE_SECONDS = 60.0
"""A service says something every 15 seconds. Who is silent for so long is not there any more."""


class WebSocket(asyncio.Protocol):
    """A connection that is open, or opens. `on_text` gets each message, `on_end` why there are no more, once."""

    def __init__(self, sock: socket.socket, on_text: Callable[[str], None], on_end: Callable[[str], None]) -> None:
        self._sock = sock
        self._on_text = on_text
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport
        self._protocol: ClientProtocol
        self._service: Service
        self._parts: list[bytes] = []
        self._ended = False
        self._paused = False
        self._heard = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, service: Service, path: str, on_text: Callable[[str], None], on_end: Callable[[str], None]
    ) -> WebSocket:
        """Opens one. Raises `OSError`, what the service refuses it with, and `Unsupported` without the library."""
        try:
            from websockets.client import ClientProtocol
            from websockets.uri import parse_uri
        except ImportError as error:
            raise Unsupported(
                "a session of a service cannot be used",
                f"the package websockets is missing, or too old ({error})",
                "pip install 'pyrepl3[service]', or: pip install 'websockets>=13'",
            ) from error
        loop = asyncio.get_running_loop()
        protocol = ClientProtocol(
            parse_uri(f"{'wss' if service.secure else 'ws'}://{service.name}{path}"), max_size=_wire.MAX_FRAME
        )
        sock = await asyncio.wait_for(service.connect(loop), OPEN_SECONDS)
        self = cls(sock, on_text, on_end)
        self._protocol, self._service = protocol, service
        try:
            await asyncio.wait_for(self._open(), OPEN_SECONDS)
        except BaseException:
            self._ended = True
            self.abort()
            raise
        self._look()
        return self

    async def _open(self) -> None:
        context = self._service.tls()
        name = self._service.host if context is not None else None
        transport, _ = await self._loop.create_connection(
            lambda: self, sock=self._sock, ssl=context, server_hostname=name
        )
        self._transport = transport
        request = self._protocol.connect()
        for header, value in self._service.headers().items():
            request.headers[header] = value
        self._protocol.send_request(request)
        self._flush()
        await self._opened

    # ---- sending -----------------------------------------------------------------------------------------

    def send(self, text: bytes) -> bool:
        """Sends a message. Whether it could: else the connection is gone, which `on_end` is told of."""
        if not self.is_open:
            return False
        self._protocol.send_text(text)
        self._flush()
        return True

    @property
    def is_open(self) -> bool:
        """Whether more can be sent."""
        # By name: the library is imported where one is opened.
        return not self._ended and self._protocol.state.name == "OPEN"

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                with suppress(OSError):
                    self._transport.write_eof()
            else:
                self._transport.close()

    # ---- what arrives ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._heard = self._loop.time()
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if self._ended:
                return
            self._event(event)
        if not self._ended and self._opened.done() and self._protocol.close_expected():
            self._end(self._protocol.close_reason or "it closed its connection")

    def _event(self, event: Any) -> None:
        from websockets.frames import Frame, Opcode

        if not isinstance(event, Frame):
            self._answered(event)
            return
        if event.opcode is Opcode.TEXT and event.fin:
            self._on_text(str(event.data, "utf-8"))
        elif event.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(event.data))
            if event.fin:
                parts, self._parts = self._parts, []
                self._on_text(str(b"".join(parts), "utf-8"))

    def _answered(self, response: Any) -> None:
        """The answer to the handshake."""
        failure = self._protocol.handshake_exc
        if self._opened.done():
            return
        if failure is None:
            self._opened.set_result(None)
            return
        document: Any = None
        with suppress(ValueError):
            document = json.loads(response.body or b"null")
        error: Pyrepl3Error = self._service.problem(response.status_code, document)
        self._opened.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if not self._opened.done():
            self._opened.set_exception(ConnectionError(str(exc) if exc else "the connection was closed"))
        self._end(str(exc) if exc else "its connection broke")

    def eof_received(self) -> bool:
        """Nothing comes any more."""
        self._protocol.receive_eof()
        return False  # The transport closes itself, which `connection_lost` is told of.

    # ---- turns -------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Takes nothing until `resume`, so that who sends is held up."""
        if not self._paused and not self._ended:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Takes what comes."""
        if self._paused and not self._ended:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()

    def _look(self) -> None:
        if self._ended:
            return
        if not self._paused and self._loop.time() - self._heard > SILENCE_SECONDS:
            self._end("it was silent for too long")
            self.abort()
            return
        self._watch = self._loop.call_later(SILENCE_SECONDS / 4, self._look)

    # ---- the end -----------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if not self._ended:
            self._ended = True
            self._transport.close()
            self._on_end(reason)

    def close(self) -> None:
        """Ends it; what was sent arrives. `on_end` is not told."""
        if self._watch is not None:
            self._watch.cancel()
        if self.is_open:
            self._protocol.send_close(1000)
            self._flush()
        self._ended = True
        self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
        if hasattr(self, "_transport"):
            self._transport.abort()
        else:
            self._sock.close()

    def forget(self) -> None:
        """In a forked child: closes the descriptor, and touches nothing that is shared with the parent."""
        self._ended = True
        self._sock.close()
