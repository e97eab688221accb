"""A pool of warm sessions: processes that stand ready, with imports and warm-up code behind them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from . import _answers, _engine
from ._channel import Channel, OnInput
from ._connection import Connection
from ._wire import Json
from .answers import PoolStats
from .errors import BadRequest, BadType, BadValue, PoolClosed, Pyrepl3Error, SessionClosed
from .options import (
    Environment,
    Limits,
    TransactionPolicy,
    check_count,
    check_on_input,
    check_policy,
    check_seconds,
    check_text,
    path_text,
)
from .session import Session, input_of


@dataclass(frozen=True, init=False)
class PoolConfig:
    """What a pool is started with.

    * `min_idle` (alias `min_idle_sessions`): idle sessions kept ready. `max_sessions`: at most, on loan or not.
    * `warmup_code`: runs once; every session starts as a copy of the process that ran it.
    * `max_idle_seconds`: idle sessions beyond `min_idle` end after that. None: they stay.
    * `max_uses`: loans after which a session is replaced, with `reset="keep"`. None: no end.
    * `acquire_timeout`: seconds that `acquire` waits when the pool is full.
    * `reset`: what becomes of a session that is given back. "pristine": the next one is as after warm-up;
      "keep": the process and its variables stay, for one's own reuse only.
    * `python`, `preload`, `isolation`, `limits`, `data`, `cwd`, `env`, `on_input`, `default_policy`, `undo`,
      `transaction_timeout`: as of a `Session`. What a session was given back with, an open transaction, snapshots and
      steps of undo, is gone when it is acquired again.
    """

    min_idle: int
    max_sessions: int
    warmup_code: str | None
    preload: tuple[str, ...]
    python: str | os.PathLike[str] | None
    isolation: str | None
    data: str | os.PathLike[str] | None
    max_idle_seconds: float | None
    max_uses: int | None
    acquire_timeout: float
    reset: str
    limits: Limits | Mapping[str, Any] | None
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str | None] | None
    on_input: OnInput | None
    default_policy: TransactionPolicy | str | None
    undo: int
    transaction_timeout: float | None

    def __init__(
        self,
        min_idle: int | None = None,
        max_sessions: int = 10,
        warmup_code: str | None = None,
        preload: Iterable[str] = (),
        python: str | os.PathLike[str] | None = None,
        isolation: str | None = None,
        data: str | os.PathLike[str] | None = None,
        max_idle_seconds: float | None = None,
        max_uses: int | None = None,
        acquire_timeout: float = 5.0,
        reset: str = "pristine",
        *,
        limits: Limits | Mapping[str, Any] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        on_input: OnInput | None = None,
        default_policy: TransactionPolicy | str | None = None,
        undo: int = 0,
        transaction_timeout: float | None = None,
        min_idle_sessions: int | None = None,
    ) -> None:
        if min_idle is not None and min_idle_sessions is not None:
            raise BadType("min_idle and min_idle_sessions are the same: give one of them")
        if min_idle is None:
            min_idle = 1 if min_idle_sessions is None else min_idle_sessions
        check_count(min_idle, "min_idle", 0)
        check_count(max_sessions, "max_sessions", 1)
        check_count(max_uses, "max_uses", 1)
        check_seconds(max_idle_seconds, "max_idle_seconds", zero=True)
        check_seconds(acquire_timeout, "acquire_timeout", zero=True)
        check_text(warmup_code, "warmup_code")
        check_on_input(on_input)
        default_policy = check_policy(default_policy, "default_policy")
        check_count(undo, "undo", 0)
        check_seconds(transaction_timeout, "transaction_timeout")
        if min_idle > max_sessions:
            raise BadValue(f"min_idle={min_idle} is above max_sessions={max_sessions}")
        if reset not in ("pristine", "keep"):
            raise BadValue(f"reset={reset!r} is not allowed", how='"pristine" or "keep"')
        fields = dict(locals())
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, fields[name])
        environment = self._environment()
        object.__setattr__(self, "preload", tuple(environment.preload))
        path_text(data, "data")

    @property
    def min_idle_sessions(self) -> int:
        """The same as `min_idle`."""
        return self.min_idle

    def _environment(self) -> Environment:
        return Environment.check(
            python=self.python,
            preload=self.preload,
            isolation=self.isolation,
            limits=self.limits,
            cwd=self.cwd,
            env=self.env,
        )

    def on_wire(self) -> Json:
        """The options of `pool_start`."""
        options: Json = {
            "min_idle": self.min_idle,
            "max_sessions": self.max_sessions,
            "acquire_timeout": self.acquire_timeout,
            "reset": self.reset,
            "session": self._environment().on_wire(),
        }
        session: Json = {
            "default_policy": self.default_policy,
            "undo": self.undo or None,
            "transaction_timeout": self.transaction_timeout,
        }
        options["session"].update({name: value for name, value in session.items() if value is not None})
        for name in ("warmup_code", "max_idle_seconds", "max_uses"):
            if (value := getattr(self, name)) is not None:
                options[name] = value
        return options


class SessionPool:
    """A pool. Also an async context manager, which starts it and shuts it down.

    Takes a `PoolConfig`, or its arguments as keywords. Belongs to the event loop that it was started in.
    """

    def __init__(self, config: PoolConfig | None = None, **options: Any) -> None:
        if config is not None and options:
            raise BadType("give a PoolConfig or keywords, not both")
        if config is not None and not isinstance(config, PoolConfig):
            raise BadType(f"config must be a PoolConfig, not {type(config).__name__}")
        self.config = config if config is not None else PoolConfig(**options)
        self._connection: Connection | None = None
        self._id = ""
        self._starting = False
        self._ending: asyncio.Task[None] | None = None
        self._ended = False
        self._loans: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()
        self._finalizer: weakref.finalize[Any, SessionPool] | None = None

    @property
    def id(self) -> str:
        """The pool's id; empty before it is started."""
        return self._id

    async def start(self) -> None:
        """Starts it. Returns when its warm-up code ran and its first sessions stand.

        Raises what `Session.start` raises, and `EnvironmentFailed` when the warm-up code fails.
        """
        if self._ended:
            raise _pool_shut_down()
        if self._connection is not None:
            return
        if self._starting:
            raise BadRequest("start() was called while another start() of the pool is under way")
        self._starting = True
        try:
            path = path_text(self.config.data, "data")
            connection = await _engine.attach(path)
            async with connection.given_back_on_failure():
                await self._open(connection)
            self._connection = connection
            end = {"type": "pool_shutdown", "pool_id": self._id}
            self._finalizer = weakref.finalize(self, connection.collected, partial(connection.post, end), True)
            self._finalizer.atexit = False
        finally:
            self._starting = False
        if self._ended:
            await self._end(connection)
            raise _pool_shut_down()

    async def _open(self, connection: Connection) -> None:
        def started(message: Json) -> None:
            pool_id = message["data"]["pool_id"]
            if reply.cancelled():
                connection.post({"type": "pool_shutdown", "pool_id": pool_id})
            else:
                self._id = pool_id

        reply = connection.request({"type": "pool_start", "options": self.config.on_wire()}, started)
        try:
            await reply
        except asyncio.CancelledError:
            if self._id:  # It came, and we were cancelled before we could run on.
                connection.post({"type": "pool_shutdown", "pool_id": self._id})
            raise

    async def acquire(self, timeout: float | None = None) -> Session:
        """Takes a session on loan; give it back with `release`. `timeout` in seconds, else `acquire_timeout`.

        Raises `PoolTimeout` when none becomes free in time, and `PoolClosed`.
        """
        check_seconds(timeout, "timeout", zero=True)
        connection = self._usable()
        session = Session(on_input=self.config.on_input)
        channel = Channel(connection, input_of(session))
        request: Json = {"type": "pool_acquire", "pool_id": self._id}
        if timeout is not None:
            request["timeout"] = timeout
        await channel.open(request, undo={"type": "pool_release", "pool_id": self._id})
        session._adopt(channel, self)
        self._loans[channel.id] = session
        return session

    async def release(self, session: Session) -> None:
        """Gives a session back; the `Session` object is of no use afterwards.

        Raises `Pyrepl3Error` with the code ``busy`` while it runs code, and ``not_acquired`` when it is not on
        loan from this pool, or was given back before.
        """
        connection = self._usable()
        channel = session._channel
        if channel is None or self._loans.get(channel.id) is not session:
            raise Pyrepl3Error(
                "the session is not on loan from this pool",
                "it was given back already" if session._pool is self else "it was not acquired from it",
                "release each loan once",
                code="not_acquired",
            )
        request: Json = {"type": "pool_release", "pool_id": self._id, "session_id": channel.id}
        await connection.request(request, lambda _: self._returned(session, channel))

    def _returned(self, session: Session, channel: Channel) -> None:
        # While the reply is dispatched; a kept session may be on loan again by now, under the same id.
        if self._loans.get(channel.id) is session:
            del self._loans[channel.id]
        if session._finalizer is not None:
            session._finalizer.detach()
        channel.close(_given_back)

    def session(self, timeout: float | None = None) -> AbstractAsyncContextManager[Session]:
        """``async with pool.session() as s``: acquires, and gives back. What still runs at the end is stopped."""
        return self._session(timeout)

    @asynccontextmanager
    async def _session(self, timeout: float | None) -> AsyncIterator[Session]:
        session = await self.acquire(timeout)
        try:
            yield session
        finally:
            back = asyncio.get_running_loop().create_task(self._give_back(session))
            # It is given back also when we are cancelled here.
            await asyncio.shield(back)

    async def _give_back(self, session: Session) -> None:
        channel = session._channel
        while channel is not None and not self._ended and self._loans.get(channel.id) is session:
            try:
                return await self.release(session)
            except Pyrepl3Error as error:
                if error.code in ("session_closed", "session_lost", "unknown_pool", "not_acquired"):
                    return
                if error.code != "busy":
                    raise
            # A block that was left by an exception, or a time limit, may leave code behind.
            for name in channel.running:
                channel.post("cancel", execution_id=name)
            with suppress(Pyrepl3Error):
                await session.interrupt()

    async def stats(self) -> PoolStats:
        """How the pool is, and what it has done."""
        connection = self._usable()
        found: list[PoolStats] = []
        request: Json = {"type": "pool_stats", "pool_id": self._id}
        # Read while it is dispatched: what cannot be read is a broken protocol.
        await connection.request(request, lambda message: found.append(_answers.pool_stats(message)))
        return found[0]

    async def shutdown(self) -> None:
        """Ends it and its sessions, those on loan too. Returns when their processes are gone. May be repeated."""
        connection = self._connection
        if connection is None or connection.loop.is_closed():
            self._ended = True
            if self._finalizer is not None:
                self._finalizer()
            return
        if self._ending is None:
            if connection.loop is not asyncio._get_running_loop():
                self._usable()  # Raises.
            self._ended = True
            self._ending = connection.loop.create_task(self._end(connection))
        await asyncio.shield(self._ending)

    stop = shutdown

    async def aclose(self) -> None:
        """The same as `shutdown`, for `contextlib.aclosing`."""
        await self.shutdown()

    async def _end(self, connection: Connection) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        try:
            if connection.failure is None:
                await connection.request({"type": "pool_shutdown", "pool_id": self._id})
        except Pyrepl3Error as error:
            if error.code not in ("unknown_pool", "session_lost"):
                raise
        finally:
            for session in self._loans.values():
                if session._channel is not None:
                    session._channel.close(_pool_gone)
            self._loans.clear()
            await connection.release()

    async def __aenter__(self) -> SessionPool:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    def _usable(self) -> Connection:
        if self._ended:
            raise _pool_shut_down()
        connection = self._connection
        if connection is None:
            raise PoolClosed("the pool was not started", how="start it first: `await pool.start()`")
        if connection.failure is not None:
            raise connection.failure()
        if asyncio._get_running_loop() is not connection.loop:
            raise PoolClosed(
                "the pool is used outside the event loop that it was started in",
                "its connection to the engine belongs to that loop",
                "start a pool in each event loop, or use pyrepl3.sync",
            )
        return connection


def _given_back() -> Pyrepl3Error:
    return SessionClosed("the session was given back to its pool", how="acquire another one")


def _pool_gone() -> Pyrepl3Error:
    return SessionClosed("the session's pool was shut down", how="start a new pool")


def _pool_shut_down() -> Pyrepl3Error:
    return PoolClosed("the pool was shut down", how="start a new one")
