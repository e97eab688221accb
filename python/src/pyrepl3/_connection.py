"""One connection to the engine: a socket of an event loop, and frames.

There are no tasks here: what arrives is dispatched in the loop's own callback, what is sent goes straight to
the socket. That is what keeps an execution's overhead small.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from . import _wire
from ._exchange import PROTOCOL_VERSION, ErrorMaker, Exchange, broken, forked, log, other_version, too_large
from ._wire import Json
from .errors import ProtocolError, Pyrepl3Error, SessionClosed
from .messages import ReadyMessage

if TYPE_CHECKING:
    from ._engine import Engine

HANDSHAKE_SECONDS = 30.0
_READ = 256 << 10


class Connection(Exchange):
    """Frames to and from the engine on one event loop. Use it from that loop only."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        super().__init__(loop)
        self.engine = engine
        self.users = 0
        """Sessions and pools that hold the connection open; counted by `_engine`."""
        self.ready: ReadyMessage | None = None
        """The engine's handshake."""
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._buffer = memoryview(bytearray(_READ))
        self._partial = bytearray()
        self._outgoing = bytearray()
        self._handshake: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, self._readable)

    def share(self) -> None:
        """One more user, while there is one."""
        self.engine.share(self)

    async def release(self) -> None:
        """A user goes. Returns, if it was the engine's last, when the engine's process is gone and reaped."""
        await self.engine.release(self)

    def abandon(self) -> None:
        """A user goes without waiting."""
        self.engine.abandon(self)

    # ---- frames ----------------------------------------------------------------------------------------

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

    def send(self, message: Json) -> None:
        """Sends a message now. Raises why the connection is gone, or `BadValue` when it is too large."""
        if self.failure is not None:
            raise self.failure()
        frame = _wire.encode(message)
        if len(frame) - 4 > _wire.MAX_FRAME:
            raise too_large(len(frame) - 4)
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
            self.lose(lambda: broken(reason))

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

    def _greeted(self, message: Json) -> None:
        self.ready = _wire.ready(message)
        version = self.ready.protocol_version
        if version != PROTOCOL_VERSION:
            server = self.ready.server_version
            self.lose(lambda: other_version(version, server))
        elif not self._handshake.done():
            self._handshake.set_result(None)

    # ---- the end -----------------------------------------------------------------------------------------

    def lose(self, failure: ErrorMaker) -> None:
        """The connection broke: everybody who waits hears why."""
        if self.failure is not None:
            return
        self.close(failure)
        self.engine.disconnected(self)
        if not self._handshake.done():
            self._handshake.set_result(None)
        self._tell_all(failure)

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
        self.failure = forked
        self._sock.close()


def _closed() -> Pyrepl3Error:
    return SessionClosed("the connection to the engine was closed")


def _no_handshake() -> Pyrepl3Error:
    return ProtocolError(
        f"the engine did not answer within {HANDSHAKE_SECONDS:.0f} seconds",
        "perhaps the binary is another program of the same name",
        "see what PYREPL3_BIN, or pyrepl3 on PATH, is",
    )
