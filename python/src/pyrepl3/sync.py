"""The client without `await`: `Session` and `SessionPool` of the same names, whose methods block.

For scripts, threads, and places where an event loop runs already, such as a notebook. A thread in the
background runs the asynchronous client for all of them.

A KeyboardInterrupt (Ctrl-C) while `execute` or `stream` blocks interrupts the code that runs, waits for its end,
and is raised again; a second one does not wait.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from . import _portal
from . import pool as _pool
from . import session as _session
from ._flow import MessageIterator
from ._checkpoints import CheckpointRef, OnProgress, check_on_progress
from ._portal import Call, Make, Portal, like
from ._prompts import Prompts
from ._sync_transaction import Transaction
from ._transaction import SnapshotRef
from .answers import Completeness, Completions, Inspection, PoolStats, SessionStatus, Variables
from .errors import Pyrepl3Error
from .execution import Execution
from .messages import (
    CheckpointCreatedMessage,
    Message,
    ProgressMessage,
    RestoredMessage,
    ResultMessage,
    RolledBackMessage,
    SnapshotCreatedMessage,
)
from .parts import Checkpoint, Difference, PythonInfo, Snapshot
from .pool import PoolConfig

__all__ = ["PoolConfig", "Session", "SessionPool", "Transaction"]

R = TypeVar("R")

_BATCH = 256
"""Messages that `stream` fetches at once, where as many are there: a fetch costs two changes of threads."""


class Session:
    """A session whose methods block. Also a context manager, which starts it and shuts it down.

    Takes the arguments of `pyrepl3.Session`. May be used from several threads. `on_input` must be a plain
    function; it is called in the thread that is in `execute` or `stream` (in `stream`, while that waits for the
    next message), and for prompts of what runs in the background in a thread of its own. It may block.
    """

    _inner: _session.Session

    @like(_session.Session.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._prompts = Prompts(options.pop("on_input", None))
        self._inner = _session.Session(*args, on_input=self._prompts.handler(), **options)
        self._portal: Portal | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[Any, Session] | None = None

    @classmethod
    def _lent(cls, inner: _session.Session, portal: Portal, prompts: Prompts) -> Session:
        session = cls()
        session._prompts = prompts
        session._inner = inner
        session._portal = portal
        return session

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def id(self) -> str:
        """The session's id; empty before it is started."""
        return self._inner.id

    @property
    def name(self) -> str | None:
        """Its name for people."""
        return self._inner.name

    @property
    def python(self) -> PythonInfo | None:
        """Its interpreter; None before it is started."""
        return self._inner.python

    @property
    def parent(self) -> str | None:
        """Of a branch: the id of the session that it was made from."""
        return self._inner.parent

    @property
    def branched_at(self) -> int | None:
        """Of a branch: the execution count of its parent at that moment."""
        return self._inner.branched_at

    @property
    def closed(self) -> bool:
        """Whether it was shut down, was given back to its pool, or has ended otherwise."""
        return self._inner.closed

    def start(self) -> None:
        """As `pyrepl3.Session.start`."""
        with self._lock:
            if self._portal is None:
                self._portal = _start(self._inner)
                self._finalizer = _watch(self, self._portal, self._inner)

    def shutdown(self) -> None:
        """As `pyrepl3.Session.shutdown`."""
        self._end(self._inner.shutdown)

    def detach(self) -> None:
        """As `pyrepl3.Session.detach`."""
        self._end(self._inner.detach)

    def _end(self, end: Make[None]) -> None:
        with self._lock:
            _end(self._portal, self._inner, end, self._finalizer)
            if self._finalizer is not None:
                self._finalizer = None
                self._portal = None

    def close(self) -> None:
        """What the end of ``with`` does, for `contextlib.closing`."""
        self._end(self._inner.aclose)

    def __enter__(self) -> Session:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- execution -------------------------------------------------------------------------------------

    @like(_session.Session.execute)
    def execute(self, *args: Any, **options: Any) -> ResultMessage:
        """Runs code and returns its `ResultMessage`, or raises `ExecutionError`.

        Takes the arguments of `pyrepl3.Session.execute`.
        """
        return self._execute(self._inner.execute, *args, **options)

    def _execute(self, send: Callable[..., Execution], *args: Any, **options: Any) -> ResultMessage:
        call = Call()
        started: list[Execution] = []

        async def run() -> ResultMessage:
            started.append(send(*args, **options))
            self._prompts.calls[started[0].id] = call
            return await started[0]

        return self._entered().run(run, call, partial(_stop, started))

    @like(_session.Session.execute)
    def stream(self, *args: Any, **options: Any) -> Iterator[Message]:
        """Sends code, at once, and yields every message of it, ending with `ResultMessage` or `ErrorMessage`.

        Takes the arguments of `pyrepl3.Session.execute`. Does not raise for the user's errors. Leaving the loop
        leaves the code running.
        """
        return self._stream(self._inner.execute, *args, **options)

    def _stream(self, send: Callable[..., Execution], *args: Any, **options: Any) -> Iterator[Message]:
        portal = self._entered()
        call = Call()
        started: list[Execution] = []

        async def begin() -> MessageIterator:
            started.append(send(*args, **options))
            self._prompts.calls[started[0].id] = call
            return started[0].__aiter__()

        stop = partial(_stop, started)
        messages = portal.run(begin, stop=stop)

        def stream() -> Iterator[Message]:
            try:
                yield from _messages(portal, messages, call, stop)
            except KeyboardInterrupt:
                portal.run(stop)  # It may have come between two waits.
                raise
            finally:
                self._prompts.forget(started[0].id, call)

        return stream()

    def events(self, after: int | None = None) -> Iterator[Message]:
        """As `pyrepl3.Session.events`; waits for the next message."""
        portal = self._entered()

        async def watch() -> MessageIterator:
            return self._inner.events(after)

        return _messages(portal, portal.run(watch))

    def input_response(self, input_id: str, value: str | None) -> None:
        """As `pyrepl3.Session.input_response`, from another thread than the one in `execute`."""
        self._entered().run(lambda: self._inner.input_response(input_id, value))

    def interrupt(self) -> None:
        """As `pyrepl3.Session.interrupt`, from another thread than the one in `execute`."""
        self._entered().run(self._inner.interrupt)

    def variables(self) -> Variables:
        """As `pyrepl3.Session.variables`."""
        return self._entered().run(self._inner.variables)

    def complete(self, code: str, cursor: int | None = None) -> Completions:
        """As `pyrepl3.Session.complete`."""
        return self._entered().run(lambda: self._inner.complete(code, cursor))

    def inspect(self, name: str) -> Inspection:
        """As `pyrepl3.Session.inspect`."""
        return self._entered().run(lambda: self._inner.inspect(name))

    def is_complete(self, code: str) -> Completeness:
        """As `pyrepl3.Session.is_complete`."""
        return self._entered().run(lambda: self._inner.is_complete(code))

    def status(self) -> SessionStatus:
        """As `pyrepl3.Session.status`."""
        return self._entered().run(self._inner.status)

    # ---- state -----------------------------------------------------------------------------------------

    def transaction(self, timeout: float | None = None) -> Transaction:
        """As `pyrepl3.Session.transaction`: ``with session.transaction() as tx:``."""
        return Transaction(self, timeout)

    def commit(self) -> None:
        """As `pyrepl3.Session.commit`."""
        self._entered().run(self._inner.commit)

    def rollback(self) -> RolledBackMessage:
        """As `pyrepl3.Session.rollback`."""
        return self._entered().run(self._inner.rollback)

    def snapshot(self, name: str | None = None) -> SnapshotCreatedMessage:
        """As `pyrepl3.Session.snapshot`."""
        return self._entered().run(lambda: self._inner.snapshot(name))

    def snapshots(self) -> list[Snapshot]:
        """As `pyrepl3.Session.snapshots`."""
        return self._entered().run(self._inner.snapshots)

    def drop_snapshot(self, snapshot: SnapshotRef) -> None:
        """As `pyrepl3.Session.drop_snapshot`."""
        self._entered().run(lambda: self._inner.drop_snapshot(snapshot))

    def rollback_to(self, snapshot: SnapshotRef) -> RolledBackMessage:
        """As `pyrepl3.Session.rollback_to`."""
        return self._entered().run(lambda: self._inner.rollback_to(snapshot))

    def undo(self) -> RolledBackMessage:
        """As `pyrepl3.Session.undo`."""
        return self._entered().run(self._inner.undo)

    def redo(self) -> RolledBackMessage:
        """As `pyrepl3.Session.redo`."""
        return self._entered().run(self._inner.redo)

    def branch(self, count: int = 1, *, random: str = "same") -> list[Session]:
        """As `pyrepl3.Session.branch`. Each of them asks the same `on_input` as this one."""
        portal = self._entered()
        prompts: list[Prompts] = []

        async def branch() -> list[_session.Session]:
            made = await self._inner.branch(count, random=random)
            for inner in made:
                prompts.append(Prompts(self._prompts.on_input))
                inner.on_input = prompts[-1].handler()
            return made

        # Held while they are made: the last other user may leave meanwhile.
        _portal.share(portal, 1)
        try:
            made = portal.run(branch)
            _portal.share(portal, len(made))
        finally:
            _portal.leave(portal)
        sessions = [Session._lent(inner, portal, own) for inner, own in zip(made, prompts, strict=True)]
        for session in sessions:
            session._finalizer = _watch(session, portal, session._inner)
        return sessions

    # ---- checkpoints -----------------------------------------------------------------------------------

    def checkpoint(
        self, name: str | None = None, *, on_progress: OnProgress | None = None
    ) -> CheckpointCreatedMessage:
        """As `pyrepl3.Session.checkpoint`. `on_progress` is called in this thread, and may block.

        A KeyboardInterrupt gives the checkpoint up.
        """
        check_on_progress(on_progress)
        portal, call = self._entered(), Call()

        broken = False

        def told(message: ProgressMessage) -> None:
            def job() -> None:
                nonlocal broken
                if on_progress is not None and not broken:
                    broken = True  # What it raises gives the checkpoint up; it is not called again then.
                    on_progress(message)
                    broken = False

            call.jobs.put(job)

        report = None if on_progress is None else told
        return portal.run(lambda: self._inner.checkpoint(name, on_progress=report), call)

    def restore(self, checkpoint: CheckpointRef, *, partial: bool = False) -> RestoredMessage:
        """As `pyrepl3.Session.restore`."""
        return self._entered().run(lambda: self._inner.restore(checkpoint, partial=partial))

    def checkpoints(self) -> list[Checkpoint]:
        """As `pyrepl3.Session.checkpoints`."""
        return self._entered().run(self._inner.checkpoints)

    def diff(self, a: CheckpointRef, b: CheckpointRef | None = None) -> list[Difference]:
        """As `pyrepl3.Session.diff`."""
        return self._entered().run(lambda: self._inner.diff(a, b))

    def delete_checkpoint(self, checkpoint: CheckpointRef) -> None:
        """As `pyrepl3.Session.delete_checkpoint`."""
        self._entered().run(lambda: self._inner.delete_checkpoint(checkpoint))

    def _entered(self) -> Portal:
        if self._portal is None:
            self._inner._usable()  # Raises: it was not started, or was shut down.
        assert self._portal is not None
        return self._portal


class SessionPool:
    """A pool whose methods block. Also a context manager, which starts it and shuts it down.

    Takes a `PoolConfig`, or its arguments as keywords. May be used from several threads.
    """

    def __init__(self, config: PoolConfig | None = None, **options: Any) -> None:
        self._inner = _pool.SessionPool(config, **options)
        self._portal: Portal | None = None
        self._lock = threading.Lock()
        self._finalizer: weakref.finalize[Any, SessionPool] | None = None

    @property
    def config(self) -> PoolConfig:
        """What it was made with."""
        return self._inner.config

    @property
    def id(self) -> str:
        """The pool's id; empty before it is started."""
        return self._inner.id

    def start(self) -> None:
        """As `pyrepl3.SessionPool.start`."""
        with self._lock:
            if self._portal is None:
                self._portal = _start(self._inner)
                self._finalizer = _watch(self, self._portal, self._inner)

    def acquire(self, timeout: float | None = None) -> Session:
        """As `pyrepl3.SessionPool.acquire`."""
        portal = self._entered()
        prompts = Prompts(self._inner.config.on_input)

        async def acquire() -> _session.Session:
            inner = await self._inner.acquire(timeout)
            inner.on_input = prompts.handler()
            return inner

        return Session._lent(portal.run(acquire), portal, prompts)

    def release(self, session: Session) -> None:
        """As `pyrepl3.SessionPool.release`."""
        self._entered().run(lambda: self._inner.release(session._inner))

    @contextmanager
    def session(self, timeout: float | None = None) -> Iterator[Session]:
        """``with pool.session() as s``: acquires, and gives back. What still runs at the end is stopped."""
        session = self.acquire(timeout)
        try:
            yield session
        finally:
            back = partial(self._inner._give_back, session._inner)
            self._entered().run(back, stop=back)

    def stats(self) -> PoolStats:
        """As `pyrepl3.SessionPool.stats`."""
        return self._entered().run(self._inner.stats)

    def shutdown(self) -> None:
        """As `pyrepl3.SessionPool.shutdown`."""
        with self._lock:
            _end(self._portal, self._inner, self._inner.shutdown, self._finalizer)
            self._finalizer = None
            self._portal = None

    stop = shutdown

    def close(self) -> None:
        """The same as `shutdown`, for `contextlib.closing`."""
        self.shutdown()

    def __enter__(self) -> SessionPool:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()

    def _entered(self) -> Portal:
        if self._portal is None:
            self._inner._usable()  # Raises: it was not started, or was shut down.
        assert self._portal is not None
        return self._portal


def _messages(
    portal: Portal,
    messages: MessageIterator,
    call: Call | None = None,
    stop: Make[None] | None = None,
) -> Iterator[Message]:
    async def fetch() -> list[Message]:
        return await messages.batch(_BATCH)

    while batch := portal.run(fetch, call, stop):
        yield from batch


def _start(inner: _session.Session | _pool.SessionPool) -> Portal:
    portal = _portal.enter()
    try:
        portal.run(inner.start)
    except BaseException:
        _portal.leave(portal)
        raise
    return portal


def _end(
    portal: Portal | None,
    inner: _session.Session | _pool.SessionPool,
    end: Make[None],
    finalizer: weakref.finalize[Any, Any] | None,
) -> None:
    if portal is None:
        inner._ended = True
        return
    try:
        portal.run(end, stop=end)
    finally:
        if finalizer is not None:
            finalizer.detach()
            _portal.leave(portal)


def _watch(outer: R, portal: Portal, inner: _session.Session | _pool.SessionPool) -> weakref.finalize[Any, R]:
    finalizer = weakref.finalize(outer, _collected, portal, inner)
    finalizer.atexit = False
    return finalizer


def _collected(portal: Portal, inner: _session.Session | _pool.SessionPool) -> None:
    """Nobody refers to it any more, and it was not shut down. Runs in any thread, at any point."""

    async def end() -> None:
        with suppress(Pyrepl3Error):
            await inner.aclose()
        _portal.leave(portal)

    def begin() -> None:
        task = portal.loop.create_task(end())
        _endings.add(task)
        task.add_done_callback(_endings.discard)

    if portal.process == os.getpid():  # Else the loop is that of the process that we were forked from.
        with suppress(RuntimeError):
            portal.loop.call_soon_threadsafe(begin)


_endings: set[asyncio.Task[None]] = set()


async def _stop(started: list[Execution]) -> None:
    """Interrupts an execution, if there is one, and waits for its end, whatever it is."""
    for execution in started:
        with suppress(Pyrepl3Error):
            await execution.cancel()
            await execution
