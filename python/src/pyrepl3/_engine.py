"""The engine process: one per data directory and client process, ended with the last who uses it.

The engine's standard input is a socket, the *handoff*: each event loop's connection is a socket pair of its
own, one end of which is handed over there. The engine ends at the handoff's end-of-file, so it cannot outlive
this process, however this process ends.

Everything that is shared between threads stands under one lock, and nothing waits while holding it.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ._binary import find_binary
from ._connection import Connection
from ._exchange import ErrorMaker
from .errors import BinaryNotFound, SessionLost, no_event_loop

log = logging.getLogger("pyrepl3")

END_SECONDS = 30.0
"""How long the engine may take to end its processes before it is killed."""
_EXIT_SECONDS = 5.0  # The same, when the interpreter exits.

_lock = threading.Lock()
_engines: dict[str | None, Engine] = {}  # Those that take connections, by data directory.
_alive: set[Engine] = set()  # All whose process was not seen to end yet.
_abandoned: deque[Connection] = deque()  # One entry for each user who left without a word.


@contextmanager
def _locked() -> Iterator[None]:
    try:
        with _lock:
            yield
    finally:
        _sweep()


class Engine:
    """A running engine process and its connections."""

    def __init__(self, key: str | None) -> None:
        """Starts the process. Raises `BinaryNotFound`."""
        binary = find_binary()
        command = [binary, "engine", "--handoff"]
        if key is not None:
            command += ["--data", key]
        self.key = key
        self.connections: dict[asyncio.AbstractEventLoop, Connection] = {}
        self._handoff, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A session of its own: Ctrl-C in a terminal is for this process, which decides what it stops.
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            self._handoff.close()
            raise BinaryNotFound(
                f"the binary {binary} could not be started",
                str(error),
                "build or install pyrepl3 for this machine, or set PYREPL3_BIN to a binary that runs here",
            ) from error
        finally:
            theirs.close()
        _alive.add(self)

    def connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """A new connection for an event loop. Raises `SessionLost` if the process is gone already."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            socket.send_fds(self._handoff, [b"c"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise self.obituary(str(error))() from error
        finally:
            theirs.close()
        return Connection(self, loop, ours)

    def share(self, connection: Connection) -> None:
        """One more user of a connection that has one. Never waits: for the moment a message is dispatched."""
        with _locked():
            connection.users += 1

    async def release(self, connection: Connection) -> None:
        """A user goes. Returns, if it was the engine's last, when the engine's process is gone and reaped."""
        with _locked():
            is_last = _leave(connection)
        if is_last is not None:
            await _gone(self)

    def abandon(self, connection: Connection) -> None:
        """A user goes without waiting. May be called from a destructor: any thread, at any point."""
        _abandoned.append(connection)
        _sweep()

    def disconnected(self, connection: Connection) -> None:
        """A connection broke: most likely the process died. It takes no more users."""
        with _locked():
            if _engines.get(self.key) is self:
                del _engines[self.key]

    def obituary(self, reason: str = "") -> ErrorMaker:
        """The error for those whose sessions went with the engine."""
        # Its sockets close a moment before its exit status can be had.
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0.05)
        code = self.process.returncode
        if code is None:
            why = reason or "it closed its connection"
        elif code < 0:
            why = f"its process was killed by {_signal_name(-code)}"
        else:
            why = f"its process exited with status {code}"
        return lambda: SessionLost(
            "the engine died, and with it its sessions",
            why,
            "what it wrote to standard error may say more; start a new session",
        )

    def close(self) -> None:
        """Tells the process to end."""
        self._handoff.close()

    def forget(self) -> None:
        """In a forked child: the process is the parent's."""
        self._handoff.close()
        for connection in self.connections.values():
            connection.forget()
        self.connections.clear()
        # Else the destructor of Popen warns of a child that is not ours.
        self.process.returncode = 0


# ---- coming and going --------------------------------------------------------------------------------------


async def attach(data: str | None) -> Connection:
    """A connection of the running event loop to the engine of a data directory; starts what is not there.

    Give it back with its `release`. Raises `BinaryNotFound`, `ProtocolError`, `SessionLost`, `NoEventLoop`.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        raise no_event_loop()
    key = None if data is None else os.path.realpath(data)
    with _locked():
        _drop_closed_loops()
        engine = _engines.get(key)
        try:
            connection = _connection_of(engine or _new_engine(key), loop)
        except SessionLost:
            if engine is None:  # A new one, that died at once.
                raise
            connection = _connection_of(_new_engine(key), loop)
        connection.users += 1
    async with connection.given_back_on_failure():
        await connection.handshake()
    return connection


def _new_engine(key: str | None) -> Engine:
    engine = _engines[key] = Engine(key)
    return engine


def _connection_of(engine: Engine, loop: asyncio.AbstractEventLoop) -> Connection:
    connection = engine.connections.get(loop)
    if connection is None:
        try:
            connection = engine.connect(loop)
        except SessionLost:
            # It is dead. Its other connections, if any, find out by themselves.
            del _engines[engine.key]
            if not engine.connections:
                engine.close()
                _reap_soon(engine)
            raise
        engine.connections[loop] = connection
    return connection


def _sweep() -> None:
    # A destructor may run while this very thread holds the lock; whoever holds it sweeps when it is done.
    while _abandoned and _lock.acquire(blocking=False):
        try:
            while _abandoned:
                engine = _leave(_abandoned.popleft())
                if engine is not None:
                    _reap_soon(engine)
        finally:
            _lock.release()


def _leave(connection: Connection) -> Engine | None:
    """One user less, under the lock. Returns the engine if nobody is left; it has been told to end then."""
    engine = connection.engine
    connection.users -= 1
    if connection.users > 0 or engine.connections.get(connection.loop) is not connection:
        return None
    connection.close()
    del engine.connections[connection.loop]
    if engine.connections:
        return None
    if _engines.get(engine.key) is engine:
        del _engines[engine.key]
    engine.close()
    return engine


def _drop_closed_loops() -> None:
    """Under the lock: ends what event loops left behind that were closed without a shutdown."""
    for engine in list(_engines.values()):
        for loop, connection in list(engine.connections.items()):
            if loop.is_closed():
                connection.users = 1
                if _leave(connection) is not None:
                    _reap_soon(engine)


# ---- the end of the process --------------------------------------------------------------------------------


async def _gone(engine: Engine) -> None:
    """Waits until the process has ended, and reaps it. Kills it when it takes more than `END_SECONDS`."""
    process = engine.process
    try:
        await _ended(process, END_SECONDS)
        if process.poll() is None:
            log.error("the engine (process %d) did not end within %.0f s: killed", process.pid, END_SECONDS)
            process.kill()
            await _ended(process, END_SECONDS)
    finally:
        if process.poll() is None:
            _reap_soon(engine)  # We were cancelled.
        else:
            _alive.discard(engine)


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> None:
    if process.poll() is not None:
        return
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        # No such call on this system: a thread waits.
        with suppress(subprocess.TimeoutExpired):
            await loop.run_in_executor(None, process.wait, seconds)
        return
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, ended)
    try:
        await asyncio.wait([ended], timeout=seconds)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _reap_soon(engine: Engine) -> None:
    """Reaps the process in a thread, for those who cannot wait."""
    # Not `threading.Thread`: its start takes locks, and a destructor may run while this thread holds them.
    with suppress(RuntimeError):  # The interpreter shuts down, which has its own way: `_at_exit`.
        _thread.start_new_thread(_reap, (engine,))


def _reap(engine: Engine) -> None:
    _wait_or_kill(engine.process, END_SECONDS)
    _alive.discard(engine)


def _wait_or_kill(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _at_exit() -> None:
    """The interpreter exits, perhaps without a shutdown: ends the engines and waits for them, not for ever."""
    engines = list(_alive)
    for engine in engines:
        for connection in list(engine.connections.values()):
            connection.mute()
        engine.close()
    deadline = time.monotonic() + _EXIT_SECONDS
    for engine in engines:
        _wait_or_kill(engine.process, max(0.0, deadline - time.monotonic()))


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # Another thread of the parent may have held it.
    for engine in list(_alive):
        engine.forget()
    _engines.clear()
    _alive.clear()
    _abandoned.clear()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
