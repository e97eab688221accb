"""From the `data` of a `reply` to the answers that users get. As in `_wire`: what is unknown is ignored, what is
missing has its default, and what is wrong raises."""

from __future__ import annotations

from typing import Any

from ._wire import Json, python_info
from .answers import (
    Completeness,
    Completion,
    Completions,
    Inspection,
    PendingInput,
    PoolStats,
    Quantiles,
    SessionStatus,
    VariableInfo,
    Variables,
)
from .parts import Checkpoint, Difference, Snapshot


def variables(m: Json) -> Variables:
    """The answer to `variables`."""
    found = Variables(_variable(each) for each in m["data"])
    found.as_of = m.get("as_of")
    return found


def _variable(each: Json) -> VariableInfo:
    shape = each.get("shape")
    return VariableInfo(
        name=each["name"],
        type=each.get("type") or "",
        repr=each.get("repr") or "",
        size=each.get("size"),
        shape=None if shape is None else tuple(shape),
        module=each.get("module"),
    )


def completions(m: Json) -> Completions:
    """The answer to `complete`."""
    data = m["data"]
    matches = [Completion(text=each["text"], type=each.get("type") or "") for each in data.get("matches") or ()]
    return Completions(matches=matches, start=data["start"], end=data["end"], as_of=m.get("as_of"))


def inspection(m: Json) -> Inspection:
    """The answer to `inspect`."""
    data = m["data"]
    return Inspection(
        found=data["found"],
        name=data["name"],
        type=data.get("type") or "",
        repr=data.get("repr") or "",
        signature=data.get("signature"),
        doc=data.get("doc"),
        file=data.get("file"),
        line=data.get("line"),
        source=data.get("source"),
        why=data.get("why"),
        as_of=m.get("as_of"),
    )


def completeness(m: Json) -> Completeness:
    """The answer to `is_complete`."""
    data = m["data"]
    return Completeness(status=data["status"], indent=data.get("indent", 0))


def status(m: Json) -> SessionStatus:
    """The answer to `status`."""
    data = m["data"]
    return SessionStatus(
        session_id=data.get("session_id") or "",
        name=data.get("name"),
        state=data["state"],
        running=data.get("running"),
        queued=data.get("queued") or [],
        transaction=data.get("transaction"),
        snapshots=data.get("snapshots", 0),
        inputs=[
            PendingInput(
                id=each["id"],
                prompt=each.get("prompt") or "",
                password=each.get("password", False),
                execution_id=each.get("execution_id"),
            )
            for each in data.get("inputs") or ()
        ],
        execution_count=data.get("execution_count", 0),
        incarnation=data.get("incarnation", 0),
        pid=data.get("pid"),
        python=python_info(data),
    )


_COUNTS = (
    "idle",
    "leased",
    "starting",
    "waiting",
    "hits",
    "misses",
    "waits",
    "timeouts",
    "started",
    "replaced",
    "died",
    "expired",
)


def pool_stats(m: Json) -> PoolStats:
    """The answer to `pool_stats`."""
    data = m["data"]
    counts: dict[str, Any] = {name: data.get(name, 0) for name in _COUNTS}
    return PoolStats(
        **counts, wait_seconds=_quantiles(data.get("wait_seconds")), start_seconds=_quantiles(data.get("start_seconds"))
    )


def _quantiles(data: Json | None) -> Quantiles:
    data = data or {}
    return Quantiles(p50=data.get("p50", 0.0), p99=data.get("p99", 0.0), max=data.get("max", 0.0))


def snapshots(m: Json) -> list[Snapshot]:
    """The answer to `snapshots`."""
    return [
        Snapshot(
            snapshot_id=each["snapshot_id"],
            name=each.get("name"),
            kind=each["kind"],
            created_at=each["created_at"],
            age=each["age"],
            execution_count=each["execution_count"],
            memory=each.get("memory"),
        )
        for each in m["data"]
    ]


def checkpoints(m: Json) -> list[Checkpoint]:
    """The answer to `checkpoints`."""
    return [
        Checkpoint(
            checkpoint_id=each["checkpoint_id"],
            name=each.get("name"),
            session_id=each.get("session_id") or "",
            parent=each.get("parent"),
            created_at=each.get("created_at", 0.0),
            size_bytes=each.get("size_bytes", 0),
            stored_bytes=each.get("stored_bytes", 0),
            python=each.get("python") or "",
            variables=each.get("variables", 0),
            lost=each.get("lost", 0),
            damaged=each.get("damaged"),
        )
        for each in m["data"]
    ]


def differences(m: Json) -> list[Difference]:
    """The answer to `diff`."""
    return [
        Difference(
            name=each["name"],
            change=each["change"],
            type=each.get("type") or "",
            size_before=each.get("size_before"),
            size_after=each.get("size_after"),
        )
        for each in m["data"]
    ]
