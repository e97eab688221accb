"""An explicit transaction: what is executed in it stays as a whole, or is undone as a whole."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Union

from . import _wire
from ._channel import Channel
from ._wire import Json
from .errors import BadRequest, BadType, BadValue, NoTransaction, Pyrepl3Error
from .execution import Execution
from .messages import ExecuteMessage, RolledBackMessage, SnapshotCreatedMessage
from .options import TransactionPolicy, check_seconds
from .parts import Snapshot

if TYPE_CHECKING:
    from .session import Session

_ENDS_LIMIT = 10.0
"""Seconds to wait for the ends of executions that a rollback has stopped."""

SnapshotRef = Union[str, SnapshotCreatedMessage, Snapshot]
"""A snapshot: its id, or what has one."""


def snapshot_id(snapshot: SnapshotRef) -> str:
    """The id of a snapshot. Raises `BadType`."""
    if isinstance(snapshot, (SnapshotCreatedMessage, Snapshot)):
        return snapshot.snapshot_id
    if not isinstance(snapshot, str):
        raise BadType(f"a snapshot is named by its id or its message, not by {type(snapshot).__name__}")
    return snapshot


class Transaction:
    """An explicit transaction, as an async context manager. Made by `Session.transaction`.

    Left normally, it commits; left by an exception, a cancelled task included, it rolls back, and the exception goes
    on. After a `commit` or `rollback` inside the block its end does nothing. If it had ended before the end of its
    block (its time limit passed, say), what was done in it is gone, and the end raises `NoTransaction`.

    Code that fails does not end it: that is decided by whether its `ExecutionError` leaves the block.
    """

    def __init__(self, session: Session, timeout: float | None) -> None:
        check_seconds(timeout, "timeout")
        self._session = session
        self._timeout = timeout
        self._id = ""
        self._over = ""  # How it ended, once it has.
        self._executions: list[Execution] = []  # Those that may still run.

    def __repr__(self) -> str:
        return f"<Transaction {self._id} {self._over or 'open'}>" if self._id else "<Transaction not begun>"

    @property
    def id(self) -> str:
        """The transaction's id; empty before it is entered."""
        return self._id

    # ---- what is done in it --------------------------------------------------------------------------------

    def execute(
        self,
        code: str | ExecuteMessage,
        *,
        timeout: float | None = None,
        inputs: Iterable[str] | None = None,
        salvage: Iterable[str] = (),
        stop_on_error: bool = False,
        idempotency_key: str | None = None,
    ) -> Execution:
        """Sends code, at once, as `Session.execute` does: await or iterate what it returns.

        Raises what that raises, and `NoTransaction` when the transaction has ended; if only the engine knows that
        (its time limit passed), the code does not run, and awaiting the execution raises it.
        """
        if isinstance(code, ExecuteMessage) and code.transaction_policy not in (None, TransactionPolicy.EXPLICIT):
            raise BadValue(
                f"transaction_policy={str(code.transaction_policy)!r} is not allowed in a transaction",
                "what is executed in one is committed or rolled back with it",
                "leave it out",
            )
        self._usable()
        execution = self._session._send(
            code,
            TransactionPolicy.EXPLICIT,
            self._id,
            timeout=timeout,
            inputs=inputs,
            salvage=salvage,
            stop_on_error=stop_on_error,
            idempotency_key=idempotency_key,
        )
        self._executions = [*self._running(), execution]
        return execution

    async def savepoint(self) -> SnapshotCreatedMessage:
        """Marks a point that `rollback_to` can return to. Waits its turn.

        Raises `NoTransaction`, and `Pyrepl3Error` with the code ``too_many``.
        """
        return await self._usable().ask("savepoint", _wire.snapshot_created, transaction_id=self._id)

    async def rollback_to(self, savepoint: SnapshotRef) -> RolledBackMessage:
        """Returns to a savepoint, which stays; later ones are gone. The transaction stays open. Stops what runs.

        Raises `SnapshotNotFound`, `NoTransaction`.
        """
        channel = self._usable()
        return await channel.ask(
            "rollback_to", _wire.rolled_back, snapshot_id=snapshot_id(savepoint), transaction_id=self._id
        )

    async def commit(self) -> None:
        """Keeps what was done in it, when what was executed in it has ended. Raises `NoTransaction`."""
        self._usable()
        # Not left to the engine's queue: who is cancelled while he waits here has committed nothing.
        if running := self._running():
            await asyncio.gather(*running, return_exceptions=True)
        try:
            await self._usable().request("commit", transaction_id=self._id)
        except NoTransaction:
            self._close("it had ended before")
            raise
        self._close("it was committed")

    async def rollback(self) -> RolledBackMessage:
        """Undoes what was done in it. Waits its turn behind what runs. Raises `NoTransaction`."""
        channel = self._usable()
        try:
            message = await channel.ask("rollback", _wire.rolled_back, transaction_id=self._id)
        except NoTransaction:
            self._close("it had ended before")
            raise
        self._close("it was rolled back")
        return message

    # ---- the block -----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Transaction:
        await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(kind is None)

    async def _begin(self) -> None:
        if self._id:
            raise BadRequest(
                "a transaction is begun once",
                f"this one {'is open' if not self._over else 'has ended'}",
                "session.transaction() makes another one",
            )
        channel = self._session._usable()
        fields: Json = {} if self._timeout is None else {"timeout": self._timeout}
        self._id = await channel.ask(
            "begin",
            lambda message: str(message["data"]["transaction_id"]),
            lambda name: channel.post("rollback", transaction_id=name),
            **fields,
        )
        self._session._transaction = weakref.ref(self)

    async def _end(self, well: bool) -> None:
        if self._over:
            return
        if not well:
            await self._abort()
            return
        try:
            await self.commit()
        except NoTransaction as error:
            raise NoTransaction(
                "the transaction was not committed, and what was done in it is gone",
                "it had ended before the end of its block: its time limit passed, or the session returned to an "
                "earlier state",
                "where it needs more time, give it that: session.transaction(timeout=…)",
            ) from error
        except asyncio.CancelledError:
            await self._abort()
            raise

    async def _abort(self) -> None:
        channel = self._session._channel
        waiters = []
        if channel is not None:
            for execution in self._running():
                channel.post("cancel", execution_id=execution.id)
                # An iterator that was left in the block holds its output, and so its end, back no more.
                waiters.append(execution._waiter())
        try:
            await self.rollback()
        except Pyrepl3Error as error:
            # Else somebody has to hear of it: what was done may still be there, or a fresh namespace in its place.
            if not isinstance(error, NoTransaction) and not self._session.closed:
                raise
        else:
            # Their ends come each in the order of its own messages, and may be behind the answer.
            if waiters:
                await asyncio.wait(waiters, timeout=_ENDS_LIMIT)
        finally:
            for waiter in waiters:
                waiter.cancel()

    def _running(self) -> list[Execution]:
        return [execution for execution in self._executions if not execution.done()]

    def _usable(self) -> Channel:
        channel = self._session._usable()
        if not self._id:
            raise NoTransaction(
                "the transaction has not begun", how="enter it: `async with session.transaction() as tx:`"
            )
        if self._over:
            raise NoTransaction(
                f"the transaction {self._id} has ended", self._over, "begin another one with session.transaction()"
            )
        return channel

    def _close(self, how: str) -> None:
        self._over = self._over or how
        self._executions.clear()
