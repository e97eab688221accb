"""A session's operations on its state: transactions, snapshots, undo, branches."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from . import _answers, _wire
from ._channel import Channel
from ._transaction import SnapshotRef, Transaction, snapshot_id
from ._wire import Json
from .errors import BadValue
from .messages import RolledBackMessage, SnapshotCreatedMessage
from .options import check_count, check_text
from .parts import Snapshot

if TYPE_CHECKING:
    from .session import Session


class StateOperations:
    """What a `Session` can do with its state. All raise `SessionClosed` and `SessionLost` as `execute` does."""

    _transaction: weakref.ref[Transaction] | None = None  # The last one that was entered.

    def _usable(self) -> Channel:
        raise NotImplementedError

    def _branches(self, message: Json) -> list[Session]:
        raise NotImplementedError

    # ---- transactions --------------------------------------------------------------------------------------

    def transaction(self, timeout: float | None = None) -> Transaction:
        """An explicit transaction: ``async with session.transaction() as tx:``, see `Transaction`.

        It rolls back by itself `timeout` seconds after the last thing that was done in it (the session's
        `transaction_timeout` by default). Entering it raises `TransactionOpen` if one is open.
        """
        return Transaction(self, timeout)  # type: ignore[arg-type]

    async def commit(self) -> None:
        """Commits the open explicit transaction. Waits its turn. Raises `NoTransaction`."""
        await self._usable().request("commit")
        self._transaction_over("it was committed")

    async def rollback(self) -> RolledBackMessage:
        """Rolls the open explicit transaction back. Waits its turn. Raises `NoTransaction`."""
        message = await self._usable().ask("rollback", _wire.rolled_back)
        self._transaction_over("it was rolled back")
        return message

    def _transaction_over(self, how: str) -> None:
        transaction = self._transaction() if self._transaction is not None else None
        if transaction is not None:
            transaction._close(how)

    # ---- snapshots -----------------------------------------------------------------------------------------

    async def snapshot(self, name: str | None = None) -> SnapshotCreatedMessage:
        """Freezes the state as it is now, to return to with `rollback_to`. Waits its turn.

        The message's `warnings` say what a return could not restore. Raises `SnapshotRefused`, and `Pyrepl3Error`
        with the code ``too_many``.
        """
        check_text(name, "name")
        channel = self._usable()

        def drop(message: SnapshotCreatedMessage) -> None:
            channel.post("drop_snapshot", snapshot_id=message.snapshot_id)  # Nobody knows its id.

        fields: Json = {} if name is None else {"name": name}
        return await channel.ask("snapshot", _wire.snapshot_created, drop, **fields)

    async def snapshots(self) -> list[Snapshot]:
        """The states that the session can return to, and keeps frozen. At once, also while code runs."""
        return await self._usable().ask("snapshots", _answers.snapshots)

    async def drop_snapshot(self, snapshot: SnapshotRef) -> None:
        """Gives a snapshot up. At once. Raises `SnapshotNotFound`, and `BadValue` for one that was not asked for by
        `snapshot`: the session keeps that by itself, and drops it when it is not needed any more."""
        await self._usable().request("drop_snapshot", snapshot_id=snapshot_id(snapshot))

    async def rollback_to(self, snapshot: SnapshotRef) -> RolledBackMessage:
        """Returns to a snapshot, which stays; later ones are gone. Stops what runs. Raises `SnapshotNotFound`.

        A transaction that began after the snapshot ends by it.
        """
        return await self._usable().ask("rollback_to", _wire.rolled_back, snapshot_id=snapshot_id(snapshot))

    async def undo(self) -> RolledBackMessage:
        """Returns to the state before the last execution. Waits its turn. Raises `NothingToUndo`.

        As far back as the session's `undo` says; without that, nowhere.
        """
        return await self._usable().ask("undo", _wire.rolled_back)

    async def redo(self) -> RolledBackMessage:
        """Takes the last `undo` back, if nothing was executed since. Raises `NothingToUndo` (``nothing_to_redo``)."""
        return await self._usable().ask("redo", _wire.rolled_back)

    # ---- branches ------------------------------------------------------------------------------------------

    async def branch(self, count: int = 1, *, random: str = "same") -> list[Session]:
        """Makes `count` sessions that go on from this one's state. Waits its turn.

        They are started and the caller's own, also where this one is a pool's: each is shut down by itself. Their
        `parent` is this session's id, `branched_at` its execution count. `random`: with "same" their random numbers
        go on alike, with "split" each one's differently.

        Raises `SnapshotRefused`, `BadValue` for more than the engine makes at once, and `Pyrepl3Error` with the code
        ``too_many``.
        """
        check_count(count, "count", 1)
        if random not in ("same", "split"):
            raise BadValue(f"random={random!r} is not allowed", how='"same" or "split"')
        return await self._usable().ask("branch", self._branches, _give_up, count=count, random=random)


def _give_up(sessions: list[Session]) -> None:
    """Ends branches whose caller was cancelled."""
    for session in sessions:
        if session._finalizer is not None:
            session._finalizer()
