"""Errors. Every failure is a `Pyrepl3Error` that says what happened, why, and what to do.

The codes are those of the wire protocol (`docs/protocol.md`) and never change their meaning; the client
adds ``binary_not_found``, ``no_event_loop``, ``service_unreachable``, ``connection_lost`` and, for code that failed,
``execution_`` followed by the status of its end. A service adds those of its HTTP API (`docs/api.md`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .execution import Execution
    from .messages import ErrorMessage


class Pyrepl3Error(Exception):
    """A failure, for programs (`code`) and for people (`what` happened, `why`, `how` to go on).

    `why` and `how` may be empty.
    """

    default_code: ClassVar[str] = "internal"
    code: str
    what: str
    why: str
    how: str

    def __init__(self, what: str, why: str = "", how: str = "", *, code: str | None = None) -> None:
        super().__init__(what)
        self.code = code or self.default_code
        self.what = what
        self.why = why
        self.how = how

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.how:
            text += f" ({self.how})"
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self._state())

    def _state(self) -> dict[str, Any]:
        return dict(self.__dict__)


def _unpickle(cls: type[Pyrepl3Error], state: dict[str, Any]) -> Pyrepl3Error:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = (error.what,)
    return error


class ExecutionError(Pyrepl3Error):
    """The executed code did not complete: it raised, was interrupted, timed out, crashed or was cancelled.

    `message` is the `ErrorMessage` that ended it; `execution` is the `Execution` (None once pickled). The text
    says "(rolled back)" where what it had changed was undone.
    """

    message: ErrorMessage
    execution: Execution | None

    def __init__(self, message: ErrorMessage, execution: Execution | None = None) -> None:
        head = f"{message.ename}: {message.evalue}" if message.evalue else message.ename
        if message.rolled_back:
            head += " (rolled back)"
        super().__init__(head, code=f"execution_{message.status}")
        self.message = message
        self.execution = execution

    def __str__(self) -> str:
        traceback = self.message.traceback.strip("\n")
        return f"{self.what}\n\n{traceback}" if traceback else self.what

    def _state(self) -> dict[str, Any]:
        # An execution belongs to a socket and an event loop of this process.
        return {**self.__dict__, "execution": None}


class BadRequest(Pyrepl3Error):
    """A request that cannot be understood, or a value that is not allowed."""

    default_code = "bad_request"


class BadValue(BadRequest, ValueError):
    """An argument has a value that is not allowed."""


class BadType(BadRequest, TypeError):
    """An argument is of the wrong type."""


class BinaryNotFound(Pyrepl3Error):
    """The binary `pyrepl3` is not there, or cannot be run."""

    default_code = "binary_not_found"


class PythonNotFound(Pyrepl3Error):
    """No suitable Python interpreter where the session wants one."""

    default_code = "python_not_found"


class EnvironmentFailed(Pyrepl3Error):
    """The interpreter is there, but could not be started: a preloaded module is missing, say."""

    default_code = "environment_failed"


class SessionClosed(Pyrepl3Error):
    """The session was not started, was shut down, was given back to its pool, or has ended."""

    default_code = "session_closed"


class SessionLost(Pyrepl3Error):
    """The session's state is gone: its process, or the engine, died."""

    default_code = "session_lost"


class UnknownInput(Pyrepl3Error):
    """No such prompt waits for an answer: it was answered already, or its code has ended."""

    default_code = "unknown_input"


class CheckpointNotFound(Pyrepl3Error):
    """No such checkpoint in the data directory, or more than one that is meant."""

    default_code = "checkpoint_not_found"


class CheckpointFailed(Pyrepl3Error):
    """The checkpoint could not be made, or the store cannot be used. The session is as it was."""

    default_code = "checkpoint_failed"


class CheckpointDamaged(Pyrepl3Error):
    """The checkpoint is not on disk as it was written."""

    default_code = "checkpoint_damaged"


class RestoreFailed(Pyrepl3Error):
    """The checkpoint could not be brought back. The session is as it was."""

    default_code = "restore_failed"


class StorageFull(Pyrepl3Error):
    """No room for the checkpoint: the disk is full, or a limit of the store is reached."""

    default_code = "storage_full"


class SnapshotNotFound(Pyrepl3Error):
    """No such snapshot."""

    default_code = "snapshot_not_found"


class SnapshotRefused(Pyrepl3Error):
    """The session cannot be frozen or copied as it is: it uses what no copy could (a GPU, say)."""

    default_code = "snapshot_refused"


class NoTransaction(Pyrepl3Error):
    """No explicit transaction is open, or not the one that was meant."""

    default_code = "no_transaction"


class TransactionOpen(Pyrepl3Error):
    """An explicit transaction is open already."""

    default_code = "transaction_open"


class NothingToUndo(Pyrepl3Error):
    """There is nothing that `undo` (code ``nothing_to_undo``) or `redo` (``nothing_to_redo``) could return to."""

    default_code = "nothing_to_undo"


class PoolTimeout(Pyrepl3Error, TimeoutError):
    """No session of the pool became free within the time limit."""

    default_code = "pool_timeout"


class PoolClosed(Pyrepl3Error):
    """The pool was not started, or was shut down."""

    default_code = "unknown_pool"


class ProtocolError(Pyrepl3Error):
    """A peer broke the protocol, or speaks another version of it."""

    default_code = "protocol_error"


class ServiceUnreachable(Pyrepl3Error):
    """The service cannot be reached, or its connection broke and could not be had again in time."""

    default_code = "service_unreachable"


class ConnectionLost(Pyrepl3Error):
    """The connection to the service broke before a request was answered: whether it was done is not known."""

    default_code = "connection_lost"


class Gone(Pyrepl3Error):
    """Events that were asked for are not kept any more.

    `earliest` is the number of the first one that is, `lost_bytes` how much is gone.
    """

    default_code = "gone"
    earliest: int = 1
    lost_bytes: int = 0


class NoEventLoop(Pyrepl3Error, RuntimeError):
    """The asynchronous client was used where no event loop of asyncio runs: under trio, say."""

    default_code = "no_event_loop"


class Unsupported(Pyrepl3Error):
    """A later version brings this."""

    default_code = "unsupported"


_BY_CODE: dict[str, type[Pyrepl3Error]] = {
    cls.default_code: cls
    for cls in (
        PythonNotFound,
        EnvironmentFailed,
        SessionClosed,
        SessionLost,
        UnknownInput,
        CheckpointNotFound,
        CheckpointFailed,
        CheckpointDamaged,
        RestoreFailed,
        StorageFull,
        SnapshotNotFound,
        SnapshotRefused,
        NoTransaction,
        TransactionOpen,
        NothingToUndo,
        PoolTimeout,
        PoolClosed,
        ProtocolError,
        Unsupported,
        Gone,
    )
}
_BY_CODE["bad_request"] = _BY_CODE["invalid_body"] = BadValue
_BY_CODE["session_not_found"] = SessionClosed
_BY_CODE["nothing_to_redo"] = NothingToUndo


def from_failure(failure: dict[str, Any]) -> Pyrepl3Error:
    """The error that a `failure` message tells of. Codes without a class of their own keep their `code`."""
    code = str(failure.get("code") or "internal")
    cls = _BY_CODE.get(code, Pyrepl3Error)
    return cls(
        str(failure.get("what") or "the engine refused a request"),
        str(failure.get("why") or ""),
        str(failure.get("how") or ""),
        code=code,
    )


def from_problem(document: dict[str, Any]) -> Pyrepl3Error:
    """The error that a problem document of a service tells of."""
    names = {"code": "code", "what": "title", "why": "detail", "how": "how"}
    error = from_failure({name: document.get(field) for name, field in names.items()})
    if isinstance(error, Gone):
        earliest, lost = document.get("earliest"), document.get("lost_bytes")
        error.earliest = earliest if isinstance(earliest, int) else 1
        error.lost_bytes = lost if isinstance(lost, int) else 0
    return error


def no_event_loop() -> NoEventLoop:
    """The error where no event loop of asyncio runs; names what runs in its place, where that tells."""
    other = ""
    if sniffio := sys.modules.get("sniffio"):  # Other libraries tell it that they run.
        try:
            other = str(sniffio.current_async_library())
        except Exception:  # Nothing runs that it knows of.
            other = ""
    return NoEventLoop(
        "pyrepl3.Session and SessionPool need a running event loop of asyncio",
        f"the event loop that runs here is {other}'s" if other else "none runs in this thread",
        "call it inside asyncio.run(…), or use pyrepl3.sync, which needs none"
        + (f"; under {other}, from a thread of its own" if other else ""),
    )
