"""A session's side of a connection: routes its messages, answers its prompts, outlives its `Session` object.

The connection holds the channel; the channel knows the `Session` and the `Execution`s weakly only. So a
session that nobody refers to any more is collected, and ended, although code still runs in it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, Union

from . import _wire
from ._exchange import ErrorMaker, Exchange, log
from ._flow import KEEP_EVENTS, Flow
from ._wire import Json
from .errors import BadType, Pyrepl3Error, SessionClosed, SessionLost, from_failure
from .messages import InputMessage, Message
from .parts import PythonInfo

if TYPE_CHECKING:
    from .execution import Execution

OnInput = Callable[[InputMessage], Union["str | None", Awaitable["str | None"]]]
"""Answers a prompt; None is end-of-file."""


T = TypeVar("T")


class Channel:
    """One session of a connection."""

    def __init__(self, connection: Exchange, on_input: Callable[[], OnInput | None]) -> None:
        self.connection = connection
        self.id = ""
        self.python: PythonInfo | None = None
        self.closed: ErrorMaker | None = None
        """Set once the session is of no use any more: why."""
        self.events = Flow(connection.loop, self._ack_events, head_limit=0, tail_limit=KEEP_EVENTS)
        self._on_input = on_input
        self._running: dict[str, tuple[weakref.ref[Execution], Flow]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def open(self, request: Json, undo: Json) -> None:
        """Sends `start` or `pool_acquire`, and waits for the session that answers it.

        If we are cancelled, the session is undone with the request `undo`, now or when it comes. Raises what
        the engine refuses it with.
        """

        def ready(message: Json) -> None:
            # While it is dispatched, so that nothing is missed that follows it.
            self.id = message["session_id"]
            self.python = _wire.ready(message).python
            if reply.cancelled():
                self.connection.post({**undo, "session_id": self.id})
            else:
                self.connection.routes[self.id] = self

        reply = self.connection.request(request, ready)
        try:
            await reply
        except asyncio.CancelledError:
            if self.id:  # It came, and we were cancelled before we could run on.
                self.connection.post({**undo, "session_id": self.id})
                self.close(_cancelled)
            raise

    def close(self, failure: ErrorMaker) -> None:
        """The session ends here; who still waits for something hears why."""
        if self.closed is None:
            self.closed = failure
            if self.connection.routes.get(self.id) is self:
                del self.connection.routes[self.id]
            for reference, flow in list(self._running.values()):
                execution = reference()
                if execution is not None:
                    execution._fail(failure)
                else:
                    flow.finish(failure)
            self._running.clear()
            self.events.finish()
            for task in self._answering:
                task.cancel()

    def goodbye(self) -> None:
        """Nobody refers to the session any more: ends it."""
        self.post("shutdown")
        self.close(_cancelled)

    def leave(self) -> None:
        """Nobody refers to the session any more, which goes on without us."""
        self.close(_cancelled)

    def goodbye_to_pool(self, pool_id: str) -> None:
        """Nobody refers to the session on loan any more: stops what it runs, and gives it back."""

        def stopped(reply: asyncio.Future[Json]) -> None:
            if not reply.cancelled():
                reply.exception()  # Of no interest: what has ended needs no stopping.
            self.post("pool_release", pool_id=pool_id)
            self.close(_cancelled)

        if self.connection.failure is None:
            for name in self._running:
                self.post("cancel", execution_id=name)
            interrupt: Json = {"type": "interrupt", "session_id": self.id}
            self.connection.request(interrupt).add_done_callback(stopped)

    # ---- sending -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises why the session cannot be used, if it cannot, or is used from another event loop."""
        if self.closed is not None:
            raise self.closed()
        if self.connection.failure is not None:
            raise self.connection.failure()
        if asyncio._get_running_loop() is not self.connection.loop:
            raise SessionClosed(
                "the session is used outside the event loop that it was started in",
                "its connection to the engine belongs to that loop",
                "start a session in each event loop, or use pyrepl3.sync",
            )

    async def request(self, kind: str, **fields: Any) -> Any:
        """Asks something of the session; returns the reply's `data`."""
        self.check()
        message: Json = {"type": kind, "session_id": self.id, **fields}
        return (await self.connection.request(message)).get("data")

    async def ask(
        self,
        kind: str,
        parse: Callable[[Json], T],
        undo: Callable[[T], None] | None = None,
        *,
        give_up: Callable[[str], None] | None = None,
        watch: Callable[[Json], None] | None = None,
        **fields: Any,
    ) -> T:
        """Asks something of the session; returns what `parse` makes of the answer, at the moment it is dispatched.

        If we are cancelled, `give_up` is told the id of the request if there is no answer yet, and what was granted is
        undone with `undo`, now or when it comes. `watch` sees each `progress`; what it raises is as if we were
        cancelled, and raised here.
        """
        self.check()
        granted: list[T] = []
        request: Json = {"type": kind, "session_id": self.id, **fields}

        def answered(message: Json) -> None:
            value = parse(message)
            if not reply.done():
                granted.append(value)
            elif undo is not None:
                undo(value)

        def progressed(message: Json) -> None:
            assert watch is not None
            try:
                watch(message)
            except Exception as error:
                failure = RuntimeError("StopIteration was raised") if isinstance(error, StopIteration) else error
                reply.set_exception(failure)
                if give_up is not None:
                    give_up(request["id"])

        reply = self.connection.request(request, answered, progressed if watch is not None else None)
        try:
            await reply
        except asyncio.CancelledError:
            if not granted:
                if give_up is not None:
                    give_up(request["id"])
            elif undo is not None:  # It came, and we were cancelled before we could run on.
                undo(granted[0])
            raise
        return granted[0]

    def enter(self, session_id: str, python: PythonInfo | None) -> None:
        """Takes the messages of a session that is there, from now on."""
        self.id = session_id
        self.python = python
        self.connection.routes[session_id] = self

    def post(self, kind: str, **fields: Any) -> None:
        """Tells the session something, whatever the answer."""
        self.connection.post({"type": kind, "session_id": self.id, **fields})

    def launch(self, execution: Execution, message: Json) -> None:
        """Sends an `execute`. An id that still runs is refused here, since answers could not be told apart."""
        if execution.id in self._running:
            execution._fail(lambda: _duplicate(execution.id))
            return
        message["session_id"] = self.id
        self.connection.send(message)
        self._running[execution.id] = (weakref.ref(execution), execution._flow)

    def acknowledge(self, execution_id: str, count: int) -> None:
        """Tells the engine that `count` bytes of an execution's messages were consumed."""
        if self.connection.failure is None:
            self.connection.send({"type": "ack", "session_id": self.id, "execution_id": execution_id, "bytes": count})

    def _ack_events(self, count: int) -> None:
        if self.connection.failure is None:
            self.connection.send({"type": "ack", "session_id": self.id, "bytes": count})

    @property
    def running(self) -> list[str]:
        """The executions that have not ended, oldest first."""
        return list(self._running)

    # ---- what arrives ------------------------------------------------------------------------------------

    def deliver(self, message: Json, size: int) -> None:
        """Hands a message to its execution, or to those who watch the session."""
        execution_id = message.get("execution_id")
        if execution_id is None:
            self._event(message, size)
            return
        running = self._running.get(execution_id)
        if running is None:
            log.debug("a message of an execution that has ended was passed over: %s", message["type"])
            return
        reference, flow = running
        kind = message["type"]
        ended = kind in ("result", "error")
        if ended:
            del self._running[execution_id]
        execution = reference()
        if execution is not None:
            received = execution._deliver(kind, message, size)
        else:
            # Nobody can see its messages any more, but it prints and asks on.
            received = _wire.prompt(message) if kind == "input" else None
            if ended:
                flow.finish()
            else:
                flow.skip(size)
        if kind == "input" and isinstance(received, InputMessage):
            self._prompted(received)

    def refuse(self, failure: Json) -> bool:
        """A failure that may be an execution's."""
        running = self._running.pop(failure["reply_to"], None)
        if running is None:
            return False
        execution = running[0]()
        if execution is not None:
            execution._fail(lambda: from_failure(failure))
        return True

    def lose(self, failure: ErrorMaker) -> None:
        """The connection is gone."""
        self.close(failure)

    def miss(self, count: int) -> None:
        """So many bytes of what was said cannot be had any more: every iterator is told."""
        gap: Json = {"id": "", "timestamp": time.time(), "session_id": self.id, "stream": "stdout", "data": ""}
        gap["dropped"] = count
        for name, (reference, flow) in list(self._running.items()):
            execution = reference()
            if execution is not None:
                execution._deliver("output", {**gap, "execution_id": name}, 0)
            else:
                flow.skip(0)
        self.events.add(_wire.output(gap), 0)

    def backlog(self) -> int:
        """Bytes that came for iterators and were not consumed by the slowest one, of whichever has most of them."""
        return max(self.events.backlog, *(flow.backlog for _, flow in self._running.values()), 0)

    def _event(self, message: Json, size: int) -> None:
        kind = message["type"]
        received: Message
        if kind == "output":
            received = _wire.output(message)
        elif kind == "display":
            received = _wire.display(message)
        elif kind == "input":
            received = _wire.prompt(message)
            self._prompted(received)
        elif kind == "session_lost":
            received = lost = _wire.session_lost(message)
            if not lost.recovered:
                self.events.add(lost, size)
                self.close(lambda: SessionLost("the session has ended", lost.reason, "start a new one"))
                return
        elif kind in _wire.STATE_EVENTS:
            received = _wire.STATE_EVENTS[kind](message)
        else:
            log.debug("a message of unknown type was passed over: %s", kind)
            self.events.skip(size)
            return
        self.events.add(received, size)

    # ---- prompts -----------------------------------------------------------------------------------------

    def _prompted(self, message: InputMessage) -> None:
        if message.answered:
            return
        on_input = self._on_input()
        if on_input is not None:
            task = self.connection.loop.create_task(self._answer(on_input, message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, on_input: OnInput, message: InputMessage) -> None:
        value: str | None = None
        try:
            answer = on_input(message)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is not None and not isinstance(answer, str):
                raise BadType(f"on_input must return a string or None, not {type(answer).__name__}")
            value = answer
        except Exception as error:
            log.exception("on_input failed; its prompt %r gets end-of-file", message.prompt)
            self._blame(message, error)
        finally:
            # Also when the task is cancelled: code that waits for an answer would wait for ever.
            if self.closed is None:
                self.post("input_response", input_id=message.id, value=value)

    def _blame(self, message: InputMessage, error: Exception) -> None:
        running = self._running.get(message.execution_id or "")
        execution = running[0]() if running else None
        if execution is not None:
            execution._input_failed = error


def _cancelled() -> Pyrepl3Error:
    return SessionClosed("the session was given up")


def _duplicate(name: str) -> Pyrepl3Error:
    return Pyrepl3Error(
        f"the execution id {name!r} was used before",
        "an execution of that id still runs",
        "leave the id out, or use each one once",
        code="duplicate_id",
    )
