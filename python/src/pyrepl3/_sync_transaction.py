"""An explicit transaction without `await`: `pyrepl3.sync.Transaction`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _transaction
from ._portal import like
from ._transaction import SnapshotRef
from .messages import Message, ResultMessage, RolledBackMessage, SnapshotCreatedMessage

if TYPE_CHECKING:
    from .sync import Session


class Transaction:
    """An explicit transaction of a blocking session, as a context manager. Made by `Session.transaction`.

    Its end, and what its methods raise, are those of `pyrepl3.Transaction`; Ctrl-C in the block rolls back.
    """

    def __init__(self, session: Session, timeout: float | None) -> None:
        self._session = session
        self._inner = _transaction.Transaction(session._inner, timeout)

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def id(self) -> str:
        """The transaction's id; empty before it is entered."""
        return self._inner.id

    @like(_transaction.Transaction.execute)
    def execute(self, *args: Any, **options: Any) -> ResultMessage:
        """Runs code in it and returns its `ResultMessage`, as `Session.execute` does."""
        return self._session._execute(self._inner.execute, *args, **options)

    @like(_transaction.Transaction.execute)
    def stream(self, *args: Any, **options: Any) -> Iterator[Message]:
        """Sends code in it and yields every message of it, as `Session.stream` does."""
        return self._session._stream(self._inner.execute, *args, **options)

    def savepoint(self) -> SnapshotCreatedMessage:
        """As `pyrepl3.Transaction.savepoint`."""
        return self._session._entered().run(self._inner.savepoint)

    def rollback_to(self, savepoint: SnapshotRef) -> RolledBackMessage:
        """As `pyrepl3.Transaction.rollback_to`."""
        return self._session._entered().run(lambda: self._inner.rollback_to(savepoint))

    def commit(self) -> None:
        """As `pyrepl3.Transaction.commit`."""
        self._session._entered().run(self._inner.commit)

    def rollback(self) -> RolledBackMessage:
        """As `pyrepl3.Transaction.rollback`."""
        return self._session._entered().run(self._inner.rollback)

    def __enter__(self) -> Transaction:
        portal = self._session._entered()
        try:
            portal.run(self._inner._begin)
        except KeyboardInterrupt:
            if self._inner.id:  # It came just when it was begun.
                portal.run(lambda: self._inner._end(False))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._inner._over and (kind is None or not self._session.closed):
            self._session._entered().run(lambda: self._inner._end(kind is None))
