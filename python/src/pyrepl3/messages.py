"""The messages: frozen dataclasses, one for each `type` of the protocol that users meet.

Times are Unix seconds, durations seconds, sizes bytes. `type` compares equal to its name in lower case.
Messages without `execution_id` come from what user code left running between executions.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Literal

from .options import TransactionPolicy
from .parts import (
    Branch,
    Changes,
    Frame,
    Lost,
    PackageDifference,
    ProcessExit,
    PythonInfo,
    SnapshotKind,
    Variable,
)


class MessageType(str, Enum):
    """The `type` of a message."""

    EXECUTE = "execute"
    OUTPUT = "output"
    INPUT = "input"
    INPUT_RESPONSE = "input_response"
    DISPLAY = "display"
    RESULT = "result"
    ERROR = "error"
    READY = "ready"
    SESSION_LOST = "session_lost"
    INTERRUPT = "interrupt"
    SHUTDOWN = "shutdown"
    CHECKPOINT = "checkpoint"
    CHECKPOINT_CREATED = "checkpoint_created"
    RESTORE = "restore"
    RESTORED = "restored"
    SNAPSHOT = "snapshot"
    SNAPSHOT_CREATED = "snapshot_created"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    ROLLED_BACK = "rolled_back"
    BRANCH = "branch"
    BRANCHED = "branched"
    PROGRESS = "progress"
    EVICTED = "evicted"
    WARNING = "warning"
    ACCEPTED = "accepted"
    ANSWERED = "answered"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Message:
    """What all messages have. `seq` is the message's number in its session's log, where the engine tells it."""

    type: ClassVar[MessageType]

    id: str = ""
    timestamp: float = 0.0
    session_id: str | None = None
    execution_id: str | None = None
    seq: int | None = None


# ---- from the client -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExecuteMessage:
    """Code to execute, for `Session.execute`. A given `id` becomes the execution's id.

    Arguments of `execute()` win over what stands here. `timeout` is in seconds.
    """

    type: ClassVar[MessageType] = MessageType.EXECUTE

    code: str
    id: str | None = None
    timestamp: float | None = None
    transaction_policy: TransactionPolicy | str | None = None
    timeout: float | None = None
    seq: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class InputResponseMessage(Message):
    """An answer to a prompt; None is end-of-file."""

    type: ClassVar[MessageType] = MessageType.INPUT_RESPONSE

    input_id: str
    value: str | None


@dataclass(frozen=True, kw_only=True)
class InterruptMessage(Message):
    """Stops what runs."""

    type: ClassVar[MessageType] = MessageType.INTERRUPT


@dataclass(frozen=True, kw_only=True)
class ShutdownMessage(Message):
    """Ends a session."""

    type: ClassVar[MessageType] = MessageType.SHUTDOWN


# ---- of an execution -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OutputMessage(Message):
    """Output, as text with U+FFFD where bytes were not UTF-8; then `bytes` is exact, else None.

    `dropped` counts the bytes that were left out before this text, because nobody took them in time.
    """

    type: ClassVar[MessageType] = MessageType.OUTPUT

    stream: Literal["stdout", "stderr"]
    data: str
    bytes: builtins.bytes | None = None
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class InputMessage(Message):
    """User code waits for input. Answer with ``session.input_response(message.id, value)``.

    `password`: do not show the answer. `answered`: the execution's `inputs` answered it, nothing is wanted.
    """

    type: ClassVar[MessageType] = MessageType.INPUT

    prompt: str
    password: bool = False
    answered: bool = False


@dataclass(frozen=True, kw_only=True)
class DisplayMessage(Message):
    """Something to show: a MIME bundle. `update`: it replaces what has the same `display_id`."""

    type: ClassVar[MessageType] = MessageType.DISPLAY

    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    display_id: str | None = None
    update: bool = False


@dataclass(frozen=True, kw_only=True)
class ResultMessage(Message):
    """An execution completed.

    `value` is exact for None, bool, int, finite float, str, and lists and string-keyed dicts of those, at
    most 1 MiB; for anything else it is None, and `repr`, `value_type` and the MIME bundle `data` describe it.
    `has_value` tells that None from the value None. `shown`: a `sys.displayhook` of the session's own has printed it.
    `duration` is in seconds, `memory_delta` in bytes. `stdout`, `stderr` and `displays` are what the execution
    printed and showed, within the limits of `Execution`; `warnings` what it was warned of.
    """

    type: ClassVar[MessageType] = MessageType.RESULT

    value: Any = None
    repr: str | None = None
    value_type: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    shown: bool = False
    duration: float = 0.0
    memory_delta: int = 0
    changes: Changes = field(default_factory=Changes)
    execution_count: int = 0
    replayed: bool = False
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    displays: list[DisplayMessage] = field(default_factory=list, repr=False)
    warnings: list[str] = field(default_factory=list, repr=False)

    @property
    def has_value(self) -> bool:
        """Whether `value` is exactly what the code came to.

        False where that is an object that `value` cannot carry: then `value_type` names its type. Code that does not
        end with an expression comes to None, as a function without a `return` does.
        """
        # Of None the engine tells no type: nothing is shown of it.
        return self.value is not None or self.value_type in (None, "NoneType")


@dataclass(frozen=True, kw_only=True)
class ErrorMessage(Message):
    """An execution ended otherwise: `status` says how.

    `error` is the exception's `str`, `traceback` what Python prints; `shown`: a `sys.excepthook` of the session's own has printed it. `rolled_back`: what it had changed was undone,
    and `report` says what was restored and what was not; `undone` has the numbers of the executions that this undid,
    its own and, after a crash, others before it. `salvaged` are the names that were carried over into the state before.
    `stopped_by` is the step that stopped it. `session_lost`: the namespace went with the process, and the
    session goes on with a fresh one; `exit` tells how the process ended. `exit_code` is that of a `SystemExit`.
    """

    type: ClassVar[MessageType] = MessageType.ERROR

    status: Literal["failed", "interrupted", "timed_out", "crashed", "cancelled"]
    ename: str
    evalue: str
    error: str = ""
    traceback: str = ""
    frames: list[Frame] = field(default_factory=list)
    shown: bool = False
    rolled_back: bool = False
    report: str | None = None
    undone: list[int] = field(default_factory=list)
    salvaged: list[str] = field(default_factory=list)
    stopped_by: Literal["interrupt", "kill"] | None = None
    session_lost: bool = False
    exit: ProcessExit | None = None
    exit_code: int | None = None
    duration: float = 0.0
    changes: Changes = field(default_factory=Changes)
    execution_count: int = 0
    replayed: bool = False
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    displays: list[DisplayMessage] = field(default_factory=list, repr=False)
    warnings: list[str] = field(default_factory=list, repr=False)


# ---- of a session ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReadyMessage(Message):
    """The engine, or a session, is ready."""

    type: ClassVar[MessageType] = MessageType.READY

    protocol_version: int
    server_version: str = ""
    capabilities: list[str] = field(default_factory=list)
    python: PythonInfo | None = None
    earliest: int | None = None
    """The number of the session's earliest event that is kept; of the next one where none is."""
    last: int | None = None
    """The number of its last event."""


@dataclass(frozen=True, kw_only=True)
class SessionLostMessage(Message):
    """The session's process died while nothing ran. `recovered`: it goes on with a fresh namespace."""

    type: ClassVar[MessageType] = MessageType.SESSION_LOST

    reason: str
    exit: ProcessExit | None = None
    recovered: bool = False


@dataclass(frozen=True, kw_only=True)
class AcceptedMessage(Message):
    """An execution was taken, of whichever client. Only a service tells it: `Session.events(after=…)`."""

    type: ClassVar[MessageType] = MessageType.ACCEPTED

    code: str = ""
    transaction_policy: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class AnsweredMessage(Message):
    """A prompt was answered, by whichever client; the answer is told nowhere. Only a service tells it."""

    type: ClassVar[MessageType] = MessageType.ANSWERED

    input_id: str


@dataclass(frozen=True, kw_only=True)
class WarningMessage(Message):
    """Something to know beforehand: what a rollback of the execution could not restore, say."""

    type: ClassVar[MessageType] = MessageType.WARNING

    text: str


# ---- of state ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SnapshotMessage(Message):
    """Takes a snapshot."""

    type: ClassVar[MessageType] = MessageType.SNAPSHOT

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class SnapshotCreatedMessage(Message):
    """A snapshot or savepoint was taken. `warnings`: what a return to it could not restore. `duration` in seconds."""

    type: ClassVar[MessageType] = MessageType.SNAPSHOT_CREATED

    snapshot_id: str
    name: str | None = None
    kind: SnapshotKind = "named"
    warnings: list[str] = field(default_factory=list)
    duration: float = 0.0
    execution_count: int = 0


@dataclass(frozen=True, kw_only=True)
class CommitMessage(Message):
    """Commits the open transaction, if it is the one that is named."""

    type: ClassVar[MessageType] = MessageType.COMMIT

    transaction_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RollbackMessage(Message):
    """Rolls the open transaction back, if it is the one that is named."""

    type: ClassVar[MessageType] = MessageType.ROLLBACK

    transaction_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RolledBackMessage(Message):
    """An earlier state is back.

    `report` says what was restored and what was not; `exact`: everything was. `reason` is what asked for it.
    `snapshot_id`: the snapshot that was returned to, if it was one. `duration` is in seconds, `execution_count` that
    of the state that is back; `undone` and `redone` are the numbers of the executions whose effects are gone by it, or
    there again, `discarded` the names of later snapshots that are gone by it. As an event of the session, it came by itself: a transaction's time limit passed, say.
    """

    type: ClassVar[MessageType] = MessageType.ROLLED_BACK

    snapshot_id: str | None = None
    report: str = ""
    exact: bool = False
    reason: str = ""
    duration: float = 0.0
    execution_count: int = 0
    undone: list[int] = field(default_factory=list)
    redone: list[int] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class BranchMessage(Message):
    """Branches the session into `count` more."""

    type: ClassVar[MessageType] = MessageType.BRANCH

    count: int = 1
    random: Literal["same", "split"] = "same"


@dataclass(frozen=True, kw_only=True)
class BranchedMessage(Message):
    """Branches were made. `Session.branch` returns them as sessions."""

    type: ClassVar[MessageType] = MessageType.BRANCHED

    branches: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CheckpointMessage(Message):
    """Saves the session's state."""

    type: ClassVar[MessageType] = MessageType.CHECKPOINT

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointCreatedMessage(Message):
    """The session's state is on disk.

    `variables` is what it holds, and how each was kept; `lost` what it does not hold, and why. `size_bytes` is the
    whole, `stored_bytes` what was newly written. The session paused for `pause` seconds; all of it took `duration`.
    `execution_count` is the number of the last execution whose effects are in it. `parent` is the checkpoint that the
    session was saved to, or came from, before. As an event of the session, it saved itself (`autosave`).
    """

    type: ClassVar[MessageType] = MessageType.CHECKPOINT_CREATED

    checkpoint_id: str
    name: str | None = None
    parent: str | None = None
    variables: list[Variable] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    size_bytes: int = 0
    stored_bytes: int = 0
    pause: float = 0.0
    duration: float = 0.0
    execution_count: int = 0


@dataclass(frozen=True, kw_only=True)
class RestoreMessage(Message):
    """Restores a checkpoint. `partial`: also without what needs packages that are missing or bytes that are damaged."""

    type: ClassVar[MessageType] = MessageType.RESTORE

    checkpoint_id: str
    partial: bool = False


@dataclass(frozen=True, kw_only=True)
class RestoredMessage(Message):
    """The session's state is that of a checkpoint.

    `variables` is what came back; `lost` what did not, with what the checkpoint did not hold. `packages` are missing or
    there in another version. `undone` are the numbers of the executions whose effects are gone by it. `reason` says
    why it happened; as an event of the session, it came by itself: the session was started from it, or recovered.
    """

    type: ClassVar[MessageType] = MessageType.RESTORED

    checkpoint_id: str
    name: str | None = None
    variables: list[Variable] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    packages: list[PackageDifference] = field(default_factory=list)
    reason: str = ""
    undone: list[int] = field(default_factory=list)
    duration: float = 0.0
    execution_count: int = 0


@dataclass(frozen=True, kw_only=True)
class ProgressMessage(Message):
    """How far a checkpoint is: `bytes` so far, `done` of `total` groups of names, and the `name` that comes next."""

    type: ClassVar[MessageType] = MessageType.PROGRESS

    bytes: int = 0
    done: int = 0
    total: int = 0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class EvictedMessage(Message):
    """A snapshot was given up, and cannot be returned to any more: `reason` says why (want of room, say)."""

    type: ClassVar[MessageType] = MessageType.EVICTED

    snapshot_id: str
    name: str | None = None
    kind: SnapshotKind = "named"
    reason: str = ""
