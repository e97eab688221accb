"""From the wire's JSON objects to messages, and back to exact values.

Fields that are not known are ignored; what is missing has its default. A field of the wrong type raises
`KeyError`, `TypeError`, `ValueError` or `AttributeError`, which the connection takes for a broken protocol.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from .messages import (
    AcceptedMessage,
    AnsweredMessage,
    BranchedMessage,
    CheckpointCreatedMessage,
    DisplayMessage,
    ErrorMessage,
    EvictedMessage,
    InputMessage,
    Message,
    OutputMessage,
    ProgressMessage,
    ReadyMessage,
    RestoredMessage,
    ResultMessage,
    RolledBackMessage,
    SessionLostMessage,
    SnapshotCreatedMessage,
    WarningMessage,
)
from .parts import (
    Branch,
    Changes,
    Frame,
    Lost,
    PackageDifference,
    ProcessExit,
    PythonInfo,
    Variable,
)

Json = dict[str, Any]

MAX_FRAME = 64 << 20
"""The largest frame, in bytes of JSON."""


def encode(message: Json) -> bytes:
    """A frame. Lone surrogates pass, since everything beyond ASCII is escaped."""
    body = _encode(message).encode("ascii")
    return len(body).to_bytes(4, "big") + body


def decode(text: str) -> Json:
    """A message's object; integers of any length, and values as they were.

    Raises `ValueError` if it is no JSON object.
    """
    try:
        message = _decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer beyond `sys.set_int_max_str_digits`, which the user may set lower than the wire's 4,000.
        message = json.loads(text, parse_int=_long_int)
    if type(message) is not dict or type(message.get("type")) is not str:
        raise ValueError("a frame does not hold a message")
    if "value" in message and '"$' in text:
        message["value"] = decode_value(message["value"])
    return message


# Made once: `json.dumps` with arguments makes an encoder each time.
_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _long_int(digits: str) -> int:
    # The limit is on one conversion and never below 640 digits.
    number = 0
    for start in range(0, len(body := digits.lstrip("-")), 600):
        part = body[start : start + 600]
        number = number * 10 ** len(part) + int(part)
    return -number if digits.startswith("-") else number


def decode_value(value: Any) -> Any:
    """Undoes the two escapes of values: ``{"$int": "0x…"}`` and ``{"$esc": {…}}``."""
    kind = type(value)
    if kind is list:
        return [decode_value(item) for item in value]
    if kind is not dict:
        return value
    if len(value) == 1:
        (name, inner), *_ = value.items()
        if name == "$int":
            return int(inner, 16)
        if name == "$esc":
            value = inner
    return {name: decode_value(item) for name, item in value.items()}


def output(m: Json) -> OutputMessage:
    """The message of an `output`."""
    exact = m.get("bytes")
    return OutputMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        stream=m["stream"],
        data=m["data"],
        bytes=None if exact is None else b64decode(exact),
        dropped=m.get("dropped", 0),
    )


def prompt(m: Json) -> InputMessage:
    """The message of an `input`."""
    return InputMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        prompt=m["prompt"],
        password=m.get("password", False),
        answered=m.get("answered", False),
    )


def display(m: Json) -> DisplayMessage:
    """The message of a `display`."""
    return DisplayMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        data=m["data"],
        metadata=m.get("metadata") or {},
        display_id=m.get("display_id"),
        update=m.get("update", False),
    )


def result(
    m: Json, stdout: str, stderr: str, displays: list[DisplayMessage], warnings: list[str] | None = None
) -> ResultMessage:
    """The message of a `result`, with what the execution printed and showed, and was warned of."""
    return ResultMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        value=m.get("value"),
        repr=m.get("repr"),
        value_type=m.get("value_type"),
        data=m.get("data") or {},
        shown=m.get("shown", False),
        duration=m["duration"],
        memory_delta=m.get("memory_delta", 0),
        changes=_changes(m),
        execution_count=m["execution_count"],
        replayed=m.get("replayed", False),
        stdout=stdout,
        stderr=stderr,
        displays=displays,
        warnings=warnings or [],
    )


def error(
    m: Json, stdout: str, stderr: str, displays: list[DisplayMessage], warnings: list[str] | None = None
) -> ErrorMessage:
    """The message of an `error`, with what the execution printed and showed, and was warned of."""
    return ErrorMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        status=m["status"],
        ename=m["ename"],
        evalue=m["evalue"],
        error=m.get("error", ""),
        traceback=m.get("traceback", ""),
        frames=[Frame(f["filename"], f["lineno"], f["name"], f.get("line", "")) for f in m.get("frames") or ()],
        shown=m.get("shown", False),
        rolled_back=m.get("rolled_back", False),
        undone=m.get("undone") or [],
        salvaged=m.get("salvaged") or [],
        report=m.get("report"),
        stopped_by=m.get("stopped_by"),
        session_lost=m.get("session_lost", False),
        exit=_exit(m),
        exit_code=m.get("exit_code"),
        duration=m.get("duration", 0.0),
        changes=_changes(m),
        execution_count=m.get("execution_count", 0),
        replayed=m.get("replayed", False),
        stdout=stdout,
        stderr=stderr,
        displays=displays,
        warnings=warnings or [],
    )


def ready(m: Json) -> ReadyMessage:
    """The message of a `ready`."""
    return ReadyMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        protocol_version=m["protocol_version"],
        server_version=m.get("server_version", ""),
        capabilities=m.get("capabilities") or [],
        python=python_info(m),
    )


def session_lost(m: Json) -> SessionLostMessage:
    """The message of a `session_lost`."""
    return SessionLostMessage(
        id=m["id"],
        timestamp=m["timestamp"],
        session_id=m.get("session_id"),
        execution_id=m.get("execution_id"),
        seq=m.get("seq"),
        reason=m["reason"],
        exit=_exit(m),
        recovered=m.get("recovered", False),
    )


def warning(m: Json) -> WarningMessage:
    """The message of a `warning`."""
    return WarningMessage(**_head(m), text=m["text"])


def snapshot_created(m: Json) -> SnapshotCreatedMessage:
    """The message of a `snapshot_created`."""
    return SnapshotCreatedMessage(
        **_head(m),
        snapshot_id=m["snapshot_id"],
        name=m.get("name"),
        kind=m.get("kind", "named"),
        warnings=m.get("warnings") or [],
        duration=m.get("duration", 0.0),
        execution_count=m.get("execution_count", 0),
    )


def rolled_back(m: Json) -> RolledBackMessage:
    """The message of a `rolled_back`."""
    return RolledBackMessage(
        **_head(m),
        snapshot_id=m.get("snapshot_id"),
        report=m.get("report") or "",
        exact=m.get("exact", False),
        reason=m.get("reason") or "",
        duration=m.get("duration", 0.0),
        execution_count=m.get("execution_count", 0),
        undone=m.get("undone") or [],
        redone=m.get("redone") or [],
        discarded=m.get("discarded") or [],
    )


def branched(m: Json) -> BranchedMessage:
    """The message of a `branched`."""
    branches = [
        Branch(
            session_id=each["session_id"], parent=each["parent"], branched_at=each["branched_at"], python=python_info(each)
        )
        for each in m["branches"]
    ]
    return BranchedMessage(**_head(m), branches=branches)


def evicted(m: Json) -> EvictedMessage:
    """The message of an `evicted`."""
    return EvictedMessage(
        **_head(m),
        snapshot_id=m["snapshot_id"],
        name=m.get("name"),
        kind=m.get("kind", "named"),
        reason=m.get("reason") or "",
    )


def checkpoint_created(m: Json) -> CheckpointCreatedMessage:
    """The message of a `checkpoint_created`."""
    return CheckpointCreatedMessage(
        **_head(m),
        checkpoint_id=m["checkpoint_id"],
        name=m.get("name"),
        parent=m.get("parent"),
        variables=_variables(m),
        lost=_lost(m),
        size_bytes=m.get("size_bytes", 0),
        stored_bytes=m.get("stored_bytes", 0),
        pause=m.get("pause", 0.0),
        duration=m.get("duration", 0.0),
        execution_count=m.get("execution_count", 0),
    )


def restored(m: Json) -> RestoredMessage:
    """The message of a `restored`."""
    return RestoredMessage(
        **_head(m),
        checkpoint_id=m["checkpoint_id"],
        name=m.get("name"),
        variables=_variables(m),
        lost=_lost(m),
        packages=[
            PackageDifference(name=each["name"], saved=each.get("saved"), found=each.get("found"))
            for each in m.get("packages") or ()
        ],
        reason=m.get("reason") or "",
        undone=m.get("undone") or [],
        duration=m.get("duration", 0.0),
        execution_count=m.get("execution_count", 0),
    )


def accepted(m: Json) -> AcceptedMessage:
    """The message of an `accepted`."""
    return AcceptedMessage(
        **_head(m),
        code=m.get("code") or "",
        transaction_policy=m.get("transaction_policy"),
        idempotency_key=m.get("idempotency_key"),
    )


def answered(m: Json) -> AnsweredMessage:
    """The message of an `answered`."""
    return AnsweredMessage(**_head(m), input_id=m["input_id"])


def progress(m: Json) -> ProgressMessage:
    """The message of a `progress`."""
    return ProgressMessage(
        **_head(m),
        bytes=m.get("bytes", 0),
        done=m.get("done", 0),
        total=m.get("total", 0),
        name=m.get("name") or "",
    )


STATE_EVENTS: dict[str, Callable[[Json], Message]] = {
    "checkpoint_created": checkpoint_created,
    "evicted": evicted,
    "restored": restored,
    "rolled_back": rolled_back,
    "warning": warning,
}
"""What is told of a session's state without having been asked for."""

EVENTS: dict[str, Callable[[Json], Message]] = {
    **STATE_EVENTS,
    "accepted": accepted,
    "answered": answered,
    "display": display,
    "error": lambda m: error(m, "", "", []),
    "input": prompt,
    "output": output,
    "result": lambda m: result(m, "", "", []),
    "session_lost": session_lost,
}
"""All that stands in a session's log."""


def _variables(m: Json) -> list[Variable]:
    return [
        Variable(name=each["name"], tier=each["tier"], size=each.get("size", 0), type=each.get("type") or "")
        for each in m.get("variables") or ()
    ]


def _lost(m: Json) -> list[Lost]:
    return [Lost(name=each["name"], reason=each["reason"]) for each in m.get("lost") or ()]


def _head(m: Json) -> Json:
    return {
        "id": m["id"],
        "timestamp": m["timestamp"],
        "session_id": m.get("session_id"),
        "execution_id": m.get("execution_id"),
        "seq": m.get("seq"),
    }


def _changes(m: Json) -> Changes:
    names = m.get("changes") or {}
    return Changes(names.get("added") or [], names.get("rebound") or [], names.get("removed") or [])


def _exit(m: Json) -> ProcessExit | None:
    end = m.get("exit")
    if end is None:
        return None
    return ProcessExit(end.get("code"), end.get("signal"), end.get("out_of_memory", False))


def python_info(m: Json) -> PythonInfo | None:
    """The interpreter that is told of under `python`."""
    info = m.get("python")
    if info is None:
        return None
    return PythonInfo(info["version"], info["executable"], info["prefix"], info["implementation"])
