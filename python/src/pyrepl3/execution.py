"""An execution: await it for its result, iterate it for its messages, or both at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from . import _wire
from ._exchange import ErrorMaker
from ._flow import Flow, MessageIterator
from ._text import BoundedDisplays, BoundedText
from ._wire import Json
from .errors import ExecutionError, Pyrepl3Error
from .messages import DisplayMessage, ErrorMessage, Message, ResultMessage

if TYPE_CHECKING:
    from ._channel import Channel
    from .session import Session


class Execution(Coroutine[Any, Any, ResultMessage]):
    """Code that was sent to a session. Made by `Session.execute`.

    * ``await execution`` gives the `ResultMessage`, or raises `ExecutionError`. It may be awaited any number
      of times, by any number of tasks, through `asyncio.create_task`, `gather` and `wait_for` too. Cancelling
      a task that awaits it interrupts it.
    * ``async for message in execution`` gives every message, and last a `ResultMessage` or `ErrorMessage`; it
      does not raise for the user's errors. Leaving the loop leaves the execution running.

    Nobody has to do either: the code runs all the same. Of what nobody has iterated yet, 16 MiB are kept; beyond
    that the middle is dropped, and an `OutputMessage` says how many bytes in its `dropped`.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_displays",
        "_failure",
        "_flow",
        "_input_failed",
        "_message",
        "_session",
        "_stderr",
        "_stdout",
        "_warnings",
        "code",
        "id",
    )

    id: str
    code: str

    def __init__(self, session: Session, channel: Channel, name: str, code: str) -> None:
        self.id = name
        self.code = code
        self._session = session  # The session lives while its execution is referred to.
        self._channel = channel
        self._flow = Flow(channel.connection.loop, lambda count: channel.acknowledge(name, count))
        self._stdout = BoundedText()
        self._stderr = BoundedText()
        self._displays = BoundedDisplays()
        self._warnings: list[str] = []
        self._message: ResultMessage | ErrorMessage | None = None
        self._failure: ErrorMaker | None = None
        self._input_failed: Exception | None = None

    def __repr__(self) -> str:
        state = "running" if not self.done() else self._message.type.value if self._message else "refused"
        return f"<Execution {self.id} {state}>"

    # ---- what has come so far ------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        """What it printed so far: at most 8 Mi characters, the middle left out, which a line in it says."""
        return self._stdout.text()

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far, within the same limit."""
        return self._stderr.text()

    @property
    def displays(self) -> list[DisplayMessage]:
        """What it showed so far: at most 16 MiB; a display in the middle says how many were left out."""
        return self._displays.list()

    @property
    def warnings(self) -> list[str]:
        """What it was warned of so far: what a rollback of it could not restore, say."""
        return list(self._warnings)

    @property
    def message(self) -> ResultMessage | ErrorMessage | None:
        """The message that ended it, or None: it still runs, or was refused."""
        return self._message

    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._flow.finished

    # ---- awaiting ------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, ResultMessage]:
        while not self._flow.finished:
            waiter = self._waiter()
            try:
                yield from waiter
            except asyncio.CancelledError:
                self._stop()
                raise
            finally:
                waiter.cancel()  # Of no effect unless we were left early: then we wait no more.
        return self._outcome()

    def send(self, value: Any) -> Any:
        """A step of a task that drives it. Keeps no state, so that several tasks may."""
        if self._flow.finished:
            raise StopIteration(self._outcome())
        return next(self._waiter().__await__())

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """How a task that drives it is cancelled."""
        error = val if isinstance(val, BaseException) else typ() if isinstance(typ, type) else typ
        if isinstance(error, asyncio.CancelledError):
            self._stop()
        raise error if tb is None else error.with_traceback(tb)

    def close(self) -> None:
        """Nothing to close: the code runs on."""

    def _waiter(self) -> asyncio.Future[None]:
        flow = self._flow
        if asyncio._get_running_loop() is not flow.loop:
            self._channel.check()  # Raises.
        waiter: asyncio.Future[None] = flow.loop.create_future()
        flow.end_waiters = [other for other in flow.end_waiters if not other.done()]
        flow.end_waiters.append(waiter)
        flow.settle()  # Who iterates slowly holds nothing back any more.
        return waiter

    def _stop(self) -> None:
        if not self._flow.finished:
            self._channel.post("cancel", execution_id=self.id)

    def _outcome(self) -> ResultMessage:
        message = self._message
        if isinstance(message, ResultMessage):
            return message
        self._raise(message)

    def _raise(self, message: ErrorMessage | None) -> NoReturn:
        if message is not None:
            error = ExecutionError(message, self)
            if self._input_failed is not None:
                error.__cause__ = self._input_failed  # Its end-of-file is most likely why.
            raise error
        if self._failure is not None:
            raise self._failure()
        raise Pyrepl3Error("the execution ended without a message")

    # ---- iterating -----------------------------------------------------------------------------------------

    def __aiter__(self) -> MessageIterator:
        return MessageIterator(self._flow, self)

    # ---- control -------------------------------------------------------------------------------------------

    async def cancel(self) -> None:
        """Cancels it: not started, it never runs; running, it is interrupted. Ended, nothing happens.

        Returns when the engine has taken it up; await the execution for its end.
        """
        if self.done():
            return
        try:
            await self._channel.request("cancel", execution_id=self.id)
        except Pyrepl3Error as error:
            if error.code != "unknown_execution":
                raise

    # ---- from the channel ----------------------------------------------------------------------------------

    def _deliver(self, kind: str, message: Json, size: int) -> Message | None:
        received: Message
        if kind == "output":
            received = output = _wire.output(message)
            text = self._stdout if output.stream == "stdout" else self._stderr
            if output.dropped:
                text.append(f"\n[… {output.dropped:,} bytes are missing here …]\n")
            text.append(output.data)
        elif kind == "result":
            received = self._message = _wire.result(
                message, self.stdout, self.stderr, self.displays, self.warnings
            )
        elif kind == "error":
            received = self._message = _wire.error(message, self.stdout, self.stderr, self.displays, self.warnings)
        elif kind == "input":
            received = _wire.prompt(message)
        elif kind == "display":
            received = display = _wire.display(message)
            self._displays.append(display, size)
        elif kind == "warning":
            received = warning = _wire.warning(message)
            self._warnings.append(warning.text)
        else:
            self._flow.skip(size)
            return None
        if self._message is not None:
            self._flow.finish()
        self._flow.add(received, size)
        return received

    def _fail(self, failure: ErrorMaker) -> None:
        """It was refused, or its session went."""
        self._failure = failure
        self._flow.finish(failure)
