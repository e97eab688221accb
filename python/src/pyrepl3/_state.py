"""The operations on state that a later version brings: they exist, so that each can say so by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .errors import later


class StateOperations:
    """Transactions, snapshots, branches and checkpoints of a session. All raise `Unsupported` for now."""

    def transaction(self) -> NoReturn:
        """An explicit transaction, as an async context manager."""
        raise later("Session.transaction()")

    async def commit(self) -> NoReturn:
        """Commits the open explicit transaction."""
        raise later("Session.commit()")

    async def rollback(self) -> NoReturn:
        """Rolls the open explicit transaction back."""
        raise later("Session.rollback()")

    async def snapshot(self, name: str | None = None) -> NoReturn:
        """Takes a snapshot."""
        raise later("Session.snapshot()")

    async def snapshots(self) -> NoReturn:
        """The snapshots that there are."""
        raise later("Session.snapshots()")

    async def drop_snapshot(self, snapshot_id: str) -> NoReturn:
        """Gives a snapshot up."""
        raise later("Session.drop_snapshot()")

    async def rollback_to(self, snapshot_id: str) -> NoReturn:
        """Returns to a snapshot."""
        raise later("Session.rollback_to()")

    async def undo(self) -> NoReturn:
        """Undoes the last execution."""
        raise later("Session.undo()")

    async def redo(self) -> NoReturn:
        """Takes an `undo` back."""
        raise later("Session.redo()")

    async def branch(self, count: int = 1, *, random: str = "same") -> NoReturn:
        """Makes sessions with this one's past."""
        raise later("Session.branch()")

    async def checkpoint(self, name: str | None = None, *, on_progress: Callable[..., Any] | None = None) -> NoReturn:
        """Saves the state."""
        raise later("Session.checkpoint()")

    async def restore(self, checkpoint_id: str) -> NoReturn:
        """Restores a checkpoint."""
        raise later("Session.restore()")

    async def checkpoints(self) -> NoReturn:
        """The checkpoints that there are."""
        raise later("Session.checkpoints()")

    async def diff(self, a: str, b: str | None = None) -> NoReturn:
        """Compares two states."""
        raise later("Session.diff()")
