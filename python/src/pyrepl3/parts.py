"""What messages are made of: frozen dataclasses. Times are Unix seconds, durations seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SnapshotKind = Literal["named", "savepoint", "transaction", "undo", "redo", "checkpoint", "execution"]

Tier = Literal["import", "pickle", "cloudpickle", "source", "data"]
"""How a name is kept in a checkpoint: as an import, pickled (by the standard library, or by cloudpickle where the
environment has it), as the source of its definition, or, as a container that holds what cannot be saved, with
placeholders in its place (``data``)."""


@dataclass(frozen=True)
class Changes:
    """Names of the namespace that an execution changed."""

    added: list[str] = field(default_factory=list)
    rebound: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Frame:
    """One frame of a traceback. `lineno` counts from 1; `line` is the source line, empty if unknown."""

    filename: str
    lineno: int
    name: str
    line: str = ""


@dataclass(frozen=True)
class ProcessExit:
    """How a process ended: by itself with `code`, or killed by `signal`."""

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False


@dataclass(frozen=True)
class PythonInfo:
    """The interpreter of a session: version as ``3.12.1``, `sys.executable`, `sys.prefix`, implementation."""

    version: str
    executable: str
    prefix: str
    implementation: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A past of a session that it can return to, kept as a frozen process.

    `kind`: "named" (made by `snapshot`), "savepoint", "transaction" (where the open one began), "undo", "redo", and
    "execution" (before the one that runs). `created_at` is in Unix seconds, `age` in seconds, `memory` the bytes that
    it alone holds, or None where the system does not say.
    """

    snapshot_id: str
    name: str | None = None
    kind: SnapshotKind
    created_at: float
    age: float
    execution_count: int
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One session of a `BranchedMessage`: `parent` is the id of the session that it was made from, `branched_at` how
    many executions that had had."""

    session_id: str
    parent: str
    branched_at: int
    python: PythonInfo | None = None


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A name in a checkpoint: how it was kept, its size in bytes, and its type as ``module.name``."""

    name: str
    tier: Tier
    size: int = 0
    type: str = ""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What a checkpoint did not keep, or what did not come back from it, and why in words.

    `name` is a variable's, or a plain name of state that is none: ``umask``, ``json.dumps``, ``fd 7``.
    """

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PackageDifference:
    """A package that a checkpoint was made with: `saved` is its version then, `found` the one that is there now, or
    None where it is missing."""

    name: str
    saved: str | None = None
    found: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint in the data directory, of whichever session.

    `created_at` is in Unix seconds. `size_bytes` is the whole of its state, `stored_bytes` what was newly written for
    it. `python` is the version of the interpreter. `variables` and `lost` say how many. `parent` is the checkpoint that
    its session was saved to, or came from, before. `damaged` says what is wrong with it, if something is: then
    little else is known of it.
    """

    checkpoint_id: str
    name: str | None = None
    session_id: str = ""
    parent: str | None = None
    created_at: float = 0.0
    size_bytes: int = 0
    stored_bytes: int = 0
    python: str = ""
    variables: int = 0
    lost: int = 0
    damaged: str | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a name differs between two states. `type` is the newer one's, where it is in both; the sizes are None where
    it is not there."""

    name: str
    change: Literal["added", "removed", "changed"]
    type: str = ""
    size_before: int | None = None
    size_after: int | None = None
