"""A session's checkpoints: its state on disk, in the data directory, where other sessions find it too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Union

from . import _answers, _wire
from ._channel import Channel
from ._wire import Json
from .errors import BadType
from .messages import CheckpointCreatedMessage, ProgressMessage, RestoredMessage
from .options import check_text
from .parts import Checkpoint, Difference

CheckpointRef = Union[str, CheckpointCreatedMessage, RestoredMessage, Checkpoint]
"""A checkpoint: its id, the beginning of its id, its name (the newest one's, if several have it), or what has an id."""

OnProgress = Callable[[ProgressMessage], object]
"""Is told how far a checkpoint is."""


def checkpoint_id(checkpoint: CheckpointRef, where: str = "a checkpoint") -> str:
    """What names a checkpoint on the wire. Raises `BadType`."""
    if isinstance(checkpoint, (CheckpointCreatedMessage, RestoredMessage, Checkpoint)):
        return checkpoint.checkpoint_id
    if not isinstance(checkpoint, str):
        raise BadType(f"{where} is named by its id, its name or its message, not by {type(checkpoint).__name__}")
    return checkpoint


def check_on_progress(on_progress: object) -> None:
    """Refuses what cannot be called as a plain function. None passes."""
    if on_progress is None:
        return
    if not callable(on_progress) or inspect.iscoroutinefunction(on_progress):
        kind = "a coroutine function" if callable(on_progress) else type(on_progress).__name__
        raise BadType(f"on_progress must be a plain function, not {kind}")


class CheckpointOperations:
    """What a `Session` can do with checkpoints. All raise `SessionClosed` and `SessionLost` as `execute` does."""

    def _usable(self) -> Channel:
        raise NotImplementedError

    async def checkpoint(
        self, name: str | None = None, *, on_progress: OnProgress | None = None
    ) -> CheckpointCreatedMessage:
        """Saves the state to the data directory. Returns when it is on disk; the session goes on meanwhile.

        Waits its turn. Where code runs that its policy may undo, the state before it is saved, at once. What could not
        be kept is in the message's `lost`, with the reason. A `name` is for people: several checkpoints may have the
        same, which means the newest then.

        `on_progress` is called with a `ProgressMessage` now and then; it is a plain function and must not block. If
        it raises, or the task that awaits is cancelled, the checkpoint is given up, and nothing of it is kept.

        Raises `CheckpointFailed`, `StorageFull`, `SnapshotRefused`, `BadValue`, and `Pyrepl3Error` with the code
        ``too_many``.
        """
        check_text(name, "name")
        check_on_progress(on_progress)
        channel = self._usable()

        def give_up(request: str) -> None:
            channel.post("cancel_checkpoint", request=request)

        def delete(message: CheckpointCreatedMessage) -> None:
            channel.post("delete_checkpoint", checkpoint_id=message.checkpoint_id)  # It was finished all the same.

        def watch(message: Json) -> None:
            assert on_progress is not None
            on_progress(_wire.progress(message))

        fields: Json = {} if name is None else {"name": name}
        return await channel.ask(
            "checkpoint",
            _wire.checkpoint_created,
            delete,
            give_up=give_up,
            watch=watch if on_progress is not None else None,
            **fields,
        )

    async def restore(self, checkpoint: CheckpointRef, *, partial: bool = False) -> RestoredMessage:
        """Brings a checkpoint back, of this session or of another one. Stops what runs, and cancels what is queued.

        It succeeds whole, or leaves the session as it was. What did not come back is in the message's `lost`. With
        `partial` it goes on without what needs packages that are missing, or bytes that are damaged; else that is
        `RestoreFailed`, before anything was changed, or `CheckpointDamaged`.

        Raises `CheckpointNotFound`, `CheckpointDamaged`, `RestoreFailed`, `SnapshotRefused`.
        """
        if not isinstance(partial, bool):
            raise BadType(f"partial must be True or False, not {type(partial).__name__}")
        asked = checkpoint_id(checkpoint)
        return await self._usable().ask("restore", _wire.restored, checkpoint_id=asked, partial=partial)

    async def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints in the data directory, newest first, of whichever session. At once, also while code runs.

        Those that are damaged are among them, and say so.
        """
        return await self._usable().ask("checkpoints", _answers.checkpoints)

    async def diff(self, a: CheckpointRef, b: CheckpointRef | None = None) -> list[Difference]:
        """What differs between two checkpoints, name by name; `a` is the older one.

        Without `b`, between `a` and the session as it is, which waits its turn then. Raises `CheckpointNotFound`,
        `CheckpointDamaged`, and without `b` what `checkpoint` raises.
        """
        fields: Json = {"a": checkpoint_id(a, "a")}
        if b is not None:
            fields["b"] = checkpoint_id(b, "b")
        return await self._usable().ask("diff", _answers.differences, **fields)

    async def delete_checkpoint(self, checkpoint: CheckpointRef) -> None:
        """Deletes a checkpoint, of whichever session. Others that share data with it keep that.

        Raises `CheckpointNotFound`, `CheckpointDamaged`.
        """
        asked = checkpoint_id(checkpoint)
        await self._usable().request("delete_checkpoint", checkpoint_id=asked)
