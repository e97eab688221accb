"""The connection of one session to a service: a WebSocket that comes back by itself, with nothing lost or said twice.

The number of the last event that came is what it comes back with. What was not answered when it broke:

* An `execute` is its id: the log says whether it was accepted. One that was not is sent again, in its place.
* Questions are asked again, and so is what names what it is for: an answer to a prompt, a `cancel`.
* All else (an `undo`, a `commit`) may have been done or not. It fails with `ConnectionLost`.

What is asked while there is no connection waits for it.
"""

from __future__ import annotations

import asyncio
import os
import random
import weakref
from dataclasses import dataclass
from typing import Any

from . import _wire
from ._exchange import (
    PROTOCOL_VERSION,
    ErrorMaker,
    Exchange,
    broken,
    forked,
    log,
    other_version,
    too_large,
)
from ._service import Service, unreachable
from ._websocket import WebSocket
from ._wire import Json
from .errors import ConnectionLost, Gone, Pyrepl3Error, ServiceUnreachable, SessionClosed
from .messages import ReadyMessage

WINDOW = 4 << 20
"""Bytes that may wait for an iterator before no more is taken from the service, so that the code that prints waits."""
RECONNECT_SECONDS = 300.0
"""How long a service that has gone is waited for: as long as its sessions wait for another one."""
SHUTDOWN_SECONDS = 10.0
"""The same, where the session is to end: whoever leaves does not wait for long."""
_TURN = 64 << 10
GREETING_SECONDS = 30.0
"""How long its first message may take."""
_PAUSES = (0.02, 2.0)  # Between two tries: the first, and the longest.

_AGAIN = frozenset(
    ("input_response", "cancel", "cancel_checkpoint", "variables", "complete", "inspect", "is_complete", "status")
    + ("snapshots", "checkpoints", "diff", "shutdown")
)
"""What may be asked once more where nobody knows whether it was done."""

_alive: weakref.WeakSet[RemoteConnection] = weakref.WeakSet()


@dataclass
class _Asked:
    """A request that is not answered yet."""

    message: Json
    text: bytes
    sends: int = 0
    answered: bool = False
    """Of an answer to a prompt: the log says that the prompt was answered."""


class RemoteConnection(Exchange):
    """One session's messages, both ways. Its user is the session."""

    def __init__(self, service: Service, session_id: str, after: int | None, patience: float) -> None:
        super().__init__(asyncio.get_running_loop())
        self.service = service
        self.session_id = session_id
        self.last = after
        """The number of the last event that came; None: from now on."""
        self.ready: ReadyMessage | None = None
        """The service's handshake, of the newest connection."""
        self._patience = patience
        self._socket: WebSocket | None = None
        self._greeting: asyncio.Future[None] | None = None
        self._connecting = False
        self._strictly = False
        self._caught_up_at: int | None = None  # Where what was missed ends; None: it is not known yet.
        self._taken = 0  # Bytes since it was last looked at who is behind.
        self._asked: dict[str, _Asked] = {}  # By id, in the order of the calls.
        self._reconnecting: asyncio.Task[None] | None = None
        self._over = False  # The service has said that nothing comes after this.
        _alive.add(self)

    # ---- users -------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """The session goes."""
        self.close()

    def abandon(self) -> None:
        """The session goes, in whichever thread."""
        if self.loop.is_closed():
            return
        try:
            self.loop.call_soon_threadsafe(self.close)
        except RuntimeError:  # It was closed meanwhile.
            return

    # ---- connecting --------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connects for the first time. Raises `ServiceUnreachable`, and what the service refuses it with."""
        try:
            await self._connect()
        except (OSError, asyncio.TimeoutError) as error:
            raise unreachable(self.service, error) from error

    def connect_soon(self, *, strictly: bool = False) -> None:
        """Connects; what is asked meanwhile waits. `strictly`: events that are not kept any more are an error."""
        if self._reconnecting is None:
            self._strictly = strictly
            self._reconnecting = self.loop.create_task(self._reconnect("it is not connected yet"))

    def another(self, after: int) -> RemoteConnection:
        """A second connection of the same session, with its events behind a number. It is not connected yet."""
        return RemoteConnection(self.service, self.session_id, after, self._patience)

    async def _connect(self) -> None:
        path = self.service.of("sessions", self.session_id, "channel")
        if self.last is not None:
            path += f"?after={self.last}"
        greeting = self._greeting = self.loop.create_future()
        self._caught_up_at = self._socket = None
        self._connecting = True
        try:
            opened = await WebSocket.open(self.service, path, self._text, self._ended)
            try:
                # Not given up with us: it is set once more where it fails.
                await asyncio.wait_for(asyncio.shield(greeting), GREETING_SECONDS)
                if not opened.is_open:
                    raise ConnectionError("its connection broke")
            except BaseException:
                opened.close()
                raise
            self._socket = opened
            self._strictly = False
        finally:
            self._connecting = False
        self._catch_up()

    async def _reconnect(self, why: str) -> None:
        began = self.loop.time()
        pause, longest = _PAUSES
        failure: Exception = ConnectionError(why)
        while self.failure is None:
            try:
                await self._connect()
                return
            except Gone as gone:
                if self._strictly:
                    self.lose(_again(gone))
                    return
                await self._skip(gone)
                continue
            except (OSError, asyncio.TimeoutError) as error:
                failure = error
            except Pyrepl3Error as error:
                if error.code == "session_not_found":
                    await self._hear_the_end()
                if error.code not in ("starting", "draining", "session_starting", "overloaded", "protocol_error"):
                    self.lose(_again(error))
                    return
                failure = error
            if self.loop.time() > began + self._patience:
                last = failure
                self.lose(lambda: _away(self.service, last))
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, longest)

    async def _hear_the_end(self) -> None:
        """The session is not there any more: what it said until its end may be, its executions' ends among it."""
        try:
            lines = await self.service.last_words(self.session_id, self.last or 0)
        except Pyrepl3Error as error:
            log.debug("the last words of a session cannot be had", exc_info=error)
            return
        for line in lines:
            if self.failure is None:
                self._text(str(line, "utf-8"))

    async def _skip(self, gone: Gone) -> None:
        """What came while the connection was away is not kept any more: that is told, and ends are asked for."""
        self.last = gone.earliest - 1
        for route in list(self.routes.values()):
            route.miss(gone.lost_bytes)
            for name in route.running:
                path = self.service.of("sessions", self.session_id, "executions", name)
                try:
                    _, execution = await self.service.request("GET", path)
                except Pyrepl3Error as error:
                    if error.code == "unknown_execution" and self._asked.get(name) is None:
                        failure = {"reply_to": name, "code": "gone", "what": "the end of the execution is not known"}
                        route.refuse({**failure, "why": "the service keeps it no more, nor what it said"})
                    continue
                if (end := execution.get("end")) is not None:
                    route.deliver(end, 0)

    def _ended(self, reason: str) -> None:
        """The WebSocket is gone."""
        self._socket = None
        self._caught_up_at = None
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_exception(ConnectionError(reason))
            self._greeting.exception()
        if self._connecting:
            return  # Who connects hears of it.
        if self.failure is not None or self._over:
            return
        log.info("the connection to a service broke (%s): it is made again", reason)
        self._reconnecting = self.loop.create_task(self._reconnect(reason))

    # ---- sending -----------------------------------------------------------------------------------------

    def send(self, message: Json) -> None:
        """Sends a message, now or when there is a connection."""
        if self.failure is not None:
            raise self.failure()
        if message["type"] == "ack":
            self._take_turn()  # The service is not told: what is not taken from the socket holds it up.
            return
        text = _wire.encode(message)[4:]
        if len(text) > _wire.MAX_FRAME:
            raise too_large(len(text))
        if message["type"] == "shutdown":
            self._patience = min(self._patience, SHUTDOWN_SECONDS)
        asked = self._asked[message["id"]] = _Asked(message, text)
        if self._socket is not None:
            self._socket.resume()  # Its answer is behind what is held up.
            if self._is_caught_up():
                self._write(asked)

    def _write(self, asked: _Asked) -> None:
        if self._socket is not None and self._socket.send(asked.text):
            asked.sends += 1

    def _is_caught_up(self) -> bool:
        return self._caught_up_at is not None and (self.last or 0) >= self._caught_up_at

    def _catch_up(self) -> None:
        """What was missed has come: sends what waits, in the order in which it was asked."""
        if self._socket is None or not self._is_caught_up():
            return
        for name, asked in list(self._asked.items()):
            kind = asked.message["type"]
            if asked.sends == 0 or kind == "execute" or kind in _AGAIN:
                self._write(asked)
            else:
                del self._asked[name]
                self._unknown(name, kind)

    def _unknown(self, name: str, kind: str) -> None:
        pending = self._pending.pop(name, None)
        self._watching.pop(name, None)
        if pending is not None and not pending[0].done():
            pending[0].set_exception(_unanswered(kind))

    def _take_turn(self) -> None:
        """Takes nothing while iterators are behind and nobody waits for an answer."""
        if self._socket is None:
            return
        if not self._pending and any(route.backlog() > WINDOW for route in self.routes.values()):
            self._socket.pause()
        else:
            self._socket.resume()

    # ---- what arrives ------------------------------------------------------------------------------------

    def _text(self, text: str) -> None:
        try:
            message = _wire.decode(text)
            is_behind = not self._is_caught_up()
            seq = message.get("seq")
            if seq is not None:
                if self.last is not None and seq <= self.last:
                    return
                self.last = seq
                # Events of a session name it only where that is not plain.
                message.setdefault("session_id", self.session_id)
                self._note(message)
            self._receive(message, len(text))
        except Exception as error:
            log.debug("a message of a service could not be understood", exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            self.lose(lambda: broken(reason))
            return
        if is_behind and self._is_caught_up():
            self._catch_up()
        self._taken += len(text)
        if self._taken > _TURN:
            self._taken = 0
            self._take_turn()

    def _receive(self, message: Json, size: int) -> None:
        kind = message["type"]
        if kind == "end_of_stream":
            self._end_of_stream(message)
            return
        reply_to = message.get("reply_to")
        if reply_to is not None and kind != "progress":
            asked = self._asked.pop(reply_to, None)
            if asked is not None and kind == "failure" and self._was_done(asked, message):
                if asked.message["type"] == "execute":
                    return
                message = {"type": "reply", "reply_to": reply_to}
        self._dispatch(message, size)

    def _was_done(self, asked: _Asked, failure: Json) -> bool:
        """Whether a request is refused because it was done when it was sent the first time."""
        code = failure.get("code")
        return asked.sends > 1 and (code == "duplicate_id" or (code == "unknown_input" and asked.answered))

    def _note(self, event: Json) -> None:
        kind = event["type"]
        if kind in ("accepted", "result", "error"):
            self._asked.pop(event.get("execution_id") or "", None)
        elif kind == "answered":
            for asked in self._asked.values():
                if asked.sends and asked.message.get("input_id") == event.get("input_id"):
                    asked.answered = True

    def _greeted(self, message: Json) -> None:
        self.ready = _wire.ready(message)
        version, server = self.ready.protocol_version, self.ready.server_version
        if version != PROTOCOL_VERSION:
            self.lose(lambda: other_version(version, server))
            return
        last = int(message.get("last") or 0)
        if self.last is None:
            self.last = last
        self._caught_up_at = last
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(None)

    def _end_of_stream(self, message: Json) -> None:
        if message.get("reason") == "session_ended":
            self._over = True
            self.lose(_session_ended)

    # ---- the end -----------------------------------------------------------------------------------------

    def lose(self, failure: ErrorMaker) -> None:
        """Nothing comes any more: everybody who waits hears why."""
        if self.failure is not None:
            return
        greeting = self._greeting
        if greeting is not None and not greeting.done():
            greeting.set_exception(failure())
            greeting.exception()
        self.close(failure)
        self._tell_all(failure)

    def close(self, failure: ErrorMaker | None = None) -> None:
        """Closes the connection. The session stays."""
        if self.failure is None:
            self.failure = failure or _closed
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
        task, self._reconnecting = self._reconnecting, None
        if task is not None and task is not _current_task():
            task.cancel()
        self._asked.clear()

    def forget(self) -> None:
        """In a forked child."""
        self.forgotten = True
        self.failure = forked
        if self._socket is not None:
            self._socket.forget()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # No loop runs.
        return None


def _closed() -> Pyrepl3Error:
    return SessionClosed("the connection to the service was closed")


def _session_ended() -> Pyrepl3Error:
    return SessionClosed("the session has ended", "it was ended, or its time is over", "start another one")


def _again(error: Pyrepl3Error) -> ErrorMaker:
    def make() -> Pyrepl3Error:
        again = type(error)(error.what, error.why, error.how, code=error.code)
        again.__dict__.update(error.__dict__)
        again.__cause__ = error
        return again

    return make


def _away(service: Service, error: Exception) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"the connection to the service at {service.url} broke, and could not be made again",
        str(error) or type(error).__name__,
        "where it is back, a new Session of the same id finds the session as it is, and events(after=…) what it said",
    )


def _unanswered(kind: str) -> ConnectionLost:
    return ConnectionLost(
        f"the connection to the service broke before `{kind}` was answered",
        "whether it was done is not known",
        "look at the session (`status`, `snapshots`, `events`), and ask again where it was not",
    )


def _after_fork_in_child() -> None:
    for connection in list(_alive):
        connection.forget()
    _alive.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
