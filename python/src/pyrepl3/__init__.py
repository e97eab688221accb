"""Runs Python code in sessions that last.

    async with pyrepl3.Session() as session:
        await session.execute("x = 42")
        assert (await session.execute("x * 2")).value == 84

`pyrepl3.sync` has the same without `await`. The guide is `docs/python.md` in the source tree.
"""

from __future__ import annotations

from . import sync
from ._flow import MessageIterator
from ._transaction import Transaction
from .errors import (
    BadRequest,
    BadType,
    BadValue,
    BinaryNotFound,
    CheckpointNotFound,
    EnvironmentFailed,
    ExecutionError,
    NothingToUndo,
    NoTransaction,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    Pyrepl3Error,
    PythonNotFound,
    SessionClosed,
    SessionLost,
    SnapshotNotFound,
    SnapshotRefused,
    TransactionOpen,
    UnknownInput,
    Unsupported,
)
from .execution import Execution
from .messages import (
    Branch,
    BranchedMessage,
    BranchMessage,
    Changes,
    CheckpointCreatedMessage,
    CheckpointMessage,
    CommitMessage,
    DisplayMessage,
    ErrorMessage,
    EvictedMessage,
    ExecuteMessage,
    Frame,
    InputMessage,
    InputResponseMessage,
    InterruptMessage,
    Message,
    MessageType,
    OutputMessage,
    ProcessExit,
    ProgressMessage,
    PythonInfo,
    ReadyMessage,
    RestoredMessage,
    RestoreMessage,
    ResultMessage,
    RollbackMessage,
    RolledBackMessage,
    SessionLostMessage,
    ShutdownMessage,
    Snapshot,
    SnapshotCreatedMessage,
    SnapshotMessage,
    WarningMessage,
)
from .options import Limits, TransactionPolicy
from .pool import PoolConfig, SessionPool
from .session import Session

__version__ = "0.1.0"

__all__ = [
    # what one works with
    "Session",
    "Execution",
    "MessageIterator",
    "Transaction",
    "SessionPool",
    "PoolConfig",
    "Limits",
    "TransactionPolicy",
    "sync",
    # messages
    "Message",
    "MessageType",
    "ExecuteMessage",
    "OutputMessage",
    "InputMessage",
    "InputResponseMessage",
    "DisplayMessage",
    "ResultMessage",
    "ErrorMessage",
    "ReadyMessage",
    "SessionLostMessage",
    "InterruptMessage",
    "ShutdownMessage",
    "CheckpointMessage",
    "CheckpointCreatedMessage",
    "RestoreMessage",
    "RestoredMessage",
    "SnapshotMessage",
    "SnapshotCreatedMessage",
    "CommitMessage",
    "RollbackMessage",
    "RolledBackMessage",
    "BranchMessage",
    "BranchedMessage",
    "ProgressMessage",
    "EvictedMessage",
    "WarningMessage",
    "Branch",
    "Snapshot",
    "Changes",
    "Frame",
    "ProcessExit",
    "PythonInfo",
    # errors
    "Pyrepl3Error",
    "BadRequest",
    "BadType",
    "BadValue",
    "BinaryNotFound",
    "CheckpointNotFound",
    "EnvironmentFailed",
    "ExecutionError",
    "NoTransaction",
    "NothingToUndo",
    "PoolClosed",
    "PoolTimeout",
    "ProtocolError",
    "PythonNotFound",
    "SessionClosed",
    "SessionLost",
    "SnapshotNotFound",
    "SnapshotRefused",
    "TransactionOpen",
    "UnknownInput",
    "Unsupported",
]
