"""What questions to a session or a pool are answered with: frozen dataclasses.

Times are in seconds, sizes in bytes, places in code points. What an engine does not tell has its default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .parts import PythonInfo


@dataclass(frozen=True, kw_only=True)
class VariableInfo:
    """A variable of a session's namespace, for `Session.variables`.

    `type` is `module.name`, builtins without the module. `repr` is cut to 200 characters. `size` is in bytes and that
    of the object itself, not of what it refers to; None where it does not say. `shape` is that of an array or a
    table, and the length of a container. `module` is the name of an imported module, where it is one.
    """

    name: str
    type: str = ""
    repr: str = ""
    size: int | None = None
    shape: tuple[int, ...] | None = None
    module: str | None = None


class Variables(list[VariableInfo]):
    """The variables of a session, for `Session.variables`: a list, in the order in which they were made.

    `as_of` is set where the answer was given while code runs: the number of the last execution whose effects are in the
    state that it shows, 0 for none. That is the state before the code that runs.
    """

    as_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One completion: what would stand there, and what it is ("module", "class", "function", "keyword", "instance")."""

    text: str
    type: str = ""


@dataclass(frozen=True, kw_only=True)
class Completions:
    """Completions, for `Session.complete`: each of `matches` replaces `code[start:end]`. `as_of` is that of `Variables`."""

    matches: list[Completion] = field(default_factory=list)
    start: int
    end: int
    as_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a name is, for `Session.inspect`.

    If it was not `found`, `why` says why, and the rest is empty. `type` is `module.name`, builtins without the module.
    `signature`, `doc`, `file`, `line` (from 1) and `source` are None where the object has none. `as_of` is that of
    `Variables`.
    """

    found: bool
    name: str
    type: str = ""
    repr: str = ""
    signature: str | None = None
    doc: str | None = None
    file: str | None = None
    line: int | None = None
    source: str | None = None
    why: str | None = None
    as_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether code is complete, for `Session.is_complete`; `indent` is how many spaces the next line begins with."""

    status: Literal["complete", "incomplete", "invalid"]
    indent: int = 0


@dataclass(frozen=True, kw_only=True)
class PendingInput:
    """A prompt that waits. `id` is what `Session.input_response` takes; `password`: do not show the answer.

    `execution_id` is that of the execution that asks, or None: it comes from what runs in the background.
    """

    id: str
    prompt: str = ""
    password: bool = False
    execution_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionStatus:
    """How a session is, for `Session.status`.

    `running` is the id of the execution that runs, `queued` those that wait, in their order; `transaction` the id of
    the open explicit one. `snapshots` counts the frozen processes that the session keeps. `inputs` are the prompts
    that wait. `execution_count` counts executions so far; `incarnation` the processes that it has had: one more after
    each return to an earlier state, and after each loss of it. `pid` is that of the present one.
    """

    session_id: str = ""
    name: str | None = None
    state: Literal["starting", "idle", "running", "stopping", "closed"]
    running: str | None = None
    queued: list[str] = field(default_factory=list)
    transaction: str | None = None
    snapshots: int = 0
    inputs: list[PendingInput] = field(default_factory=list)
    execution_count: int = 0
    incarnation: int = 0
    pid: int | None = None
    python: PythonInfo | None = None


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """How times are distributed, in seconds: half and 99 % of them are shorter; the longest."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PoolStats:
    """How a pool is, and what it has done, for `SessionPool.stats`.

    Sessions at this moment: `idle` stand ready, `leased` are on loan, `starting` are being made; `waiting` counts the
    callers that wait. Since its start: `hits` were acquired at once, `misses` after a wait; `waits` counts
    acquisitions that had to wait, `timeouts` those in vain. Sessions: `started`; `replaced`, because they were given
    back or used too often; `died` by themselves; `expired`, because they stood idle too long. `wait_seconds` is from
    the call to the loan, `start_seconds` from the fork to readiness.
    """

    idle: int = 0
    leased: int = 0
    starting: int = 0
    waiting: int = 0
    hits: int = 0
    misses: int = 0
    waits: int = 0
    timeouts: int = 0
    started: int = 0
    replaced: int = 0
    died: int = 0
    expired: int = 0
    wait_seconds: Quantiles = field(default_factory=Quantiles)
    start_seconds: Quantiles = field(default_factory=Quantiles)
