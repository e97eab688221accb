"""What sessions and executions are told: policies, limits, and the checks of the arguments."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from .errors import BadType, BadValue


class TransactionPolicy(str, Enum):
    """What becomes of the session's state when an execution ends. Plain strings are accepted everywhere."""

    COMMIT_ALWAYS = "commit_always"
    """What it did stays, however it ended. The default."""
    COMMIT_ON_SUCCESS = "commit_on_success"
    """What it did stays if it completed; else it is undone, also when it was interrupted."""
    ROLLBACK_ON_FAILURE = "rollback_on_failure"
    """What it did is undone if it failed, a time limit included; interrupted, it stays as far as it got."""
    EXPLICIT = "explicit"
    """It belongs to the open explicit transaction, also when it failed; it begins one if none is open."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Limits:
    """Limits of one session. What is None is not limited, or has the engine's default."""

    memory: int | None = None
    """Bytes of memory that each process of the session may allocate; beyond it, `MemoryError`."""
    open_files: int | None = None
    """Open files of each process."""
    file_size: int | None = None
    """Largest file that may be written, in bytes."""
    interrupt_grace: float | None = None
    """Seconds that an execution has to stop after SIGINT before its process is killed; 5 by default."""
    queue: int | None = None
    """Requests that may wait in the session; 1,000 by default."""
    snapshots: int | None = None
    """Frozen processes that the session may keep, for snapshots, savepoints, transactions and undo; 64 by default."""


@dataclass(frozen=True)
class Autosave:
    """When a session saves itself: after so many executions, after some time, or when idle. At least one of them."""

    executions: int | None = None
    """After so many executions. What ends while a checkpoint is being written is in the next one."""
    seconds: float | None = None
    """When so many seconds have passed since the last one, and something was executed."""
    idle: float | None = None
    """When nothing has run for so many seconds, and something was executed."""
    keep: int | None = None
    """Checkpoints that are kept of those that were made by themselves; 3 by default. Others are never deleted."""
    recover: bool | None = None
    """Whether the newest comes back by itself, after the worker died with the session's state, and when a session of
    the same `name` is started again; it does by default."""


def autosave_on_wire(autosave: Autosave | Mapping[str, Any] | bool | None) -> dict[str, Any] | None:
    """When to save, as the protocol has it. True is after every execution. Raises `BadType` and `BadValue`."""
    if autosave is None or autosave is False:
        return None
    if autosave is True:
        autosave = Autosave(executions=1)
    if isinstance(autosave, Autosave):
        given: dict[str, Any] = asdict(autosave)
    elif isinstance(autosave, Mapping):
        given = dict(autosave)
    else:
        raise BadType(f"autosave must be True, an Autosave or a dict, not {type(autosave).__name__}")
    known = [field.name for field in fields(Autosave)]
    for name, value in given.items():
        if name not in known:
            raise BadValue(f"{name!r} says nothing about autosave", how=f"what can be said is {', '.join(known)}")
        where = f"autosave {name}"
        if name in ("executions", "keep"):
            check_count(value, where, 1)
        elif name in ("seconds", "idle"):
            check_seconds(value, where)
        elif value is not None and not isinstance(value, bool):
            raise BadType(f"{where} must be True or False, not {type(value).__name__}")
    if all(given.get(name) is None for name in ("executions", "seconds", "idle")):
        raise BadValue(
            "autosave does not say when to save",
            how="give executions, seconds or idle, or autosave=True for after every execution",
        )
    return {name: value for name, value in given.items() if value is not None}


def check_policy(policy: str | None, where: str) -> str | None:
    """A policy as the protocol has it, or None. Refuses what is none (`BadType`, `BadValue`)."""
    if policy is None:
        return None
    if not isinstance(policy, str):
        raise BadType(f"{where} must be a TransactionPolicy or a string, not {type(policy).__name__}")
    try:
        return TransactionPolicy(policy).value
    except ValueError:
        names = ", ".join(each.value for each in TransactionPolicy)
        raise BadValue(f"{where}={policy!r} is no transaction policy", how=f"one of {names}") from None


def check_seconds(value: float | None, where: str, *, zero: bool = False) -> None:
    """Refuses what is no finite number of seconds above 0 (or from 0 on). None passes."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadType(f"{where} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = "from 0 on" if zero else "above 0"
        raise BadValue(f"{where}={value!r} is not allowed", f"it must be a finite number of seconds {bound}")


def check_text(value: str | None, where: str) -> None:
    """Refuses what is neither a string nor None."""
    if value is not None and not isinstance(value, str):
        raise BadType(f"{where} must be a string, not {type(value).__name__}")


def check_count(value: int | None, where: str, least: int) -> None:
    """Refuses what is no whole number from `least` on. None passes."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadType(f"{where} must be a whole number, not {type(value).__name__}")
    if value < least:
        raise BadValue(f"{where}={value!r} is not allowed", f"it must be at least {least}")


def check_on_input(on_input: object) -> None:
    """Refuses what cannot be called. None passes."""
    if on_input is not None and not callable(on_input):
        raise BadType(f"on_input must be callable, not {type(on_input).__name__}")


def texts(values: Iterable[str] | None, where: str) -> list[str] | None:
    """A list of strings from an iterable of them; a bare string is most likely a mistake and refused."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise BadType(f"{where} must be a list of strings, not {type(values).__name__}")
    found = list(values)
    for value in found:
        if not isinstance(value, str):
            raise BadType(f"{where} must hold strings only, not {type(value).__name__}")
    return found


def limits_on_wire(limits: Limits | Mapping[str, Any] | None) -> dict[str, Any]:
    """Limits as the protocol has them. Unknown names are refused here, with the known ones named."""
    if limits is None:
        return {}
    if isinstance(limits, Limits):
        given: dict[str, Any] = asdict(limits)
    elif isinstance(limits, Mapping):
        given = dict(limits)
    else:
        raise BadType(f"limits must be a Limits or a dict, not {type(limits).__name__}")
    known = [field.name for field in fields(Limits)]
    for name, value in given.items():
        if name not in known:
            raise BadValue(f"{name!r} is no limit", how=f"the limits are {', '.join(known)}")
        if name == "interrupt_grace":
            check_seconds(value, name, zero=True)
        else:
            check_count(value, name, 0)
    return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Environment:
    """What a session's process is started with, checked. The same for single and for pooled sessions."""

    python: str | None
    preload: list[str]
    isolation: str | None
    limits: dict[str, Any]
    cwd: str | None
    env: dict[str, str | None]

    @classmethod
    def check(
        cls,
        *,
        python: str | os.PathLike[str] | None,
        preload: Iterable[str],
        isolation: str | None,
        limits: Limits | Mapping[str, Any] | None,
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str | None] | None,
    ) -> Environment:
        """Takes the arguments of a constructor; raises `BadType` and `BadValue`."""
        check_text(isolation, "isolation")
        for name, value in (env or {}).items():
            if not isinstance(name, str) or not (value is None or isinstance(value, str)):
                raise BadType("env must map names to strings, or to None to remove a variable")
        return cls(
            python=path_text(python, "python"),
            preload=texts(preload, "preload") or [],
            isolation=isolation,
            limits=limits_on_wire(limits),
            cwd=path_text(cwd, "cwd"),
            env=dict(env or {}),
        )

    def on_wire(self, *, here: bool = True) -> dict[str, Any]:
        """The options of `start`. `here`: interpreter and directory, where not given, are this process's own of this
        moment; else the service's."""
        options: dict[str, Any] = {}
        if python := self.python or (sys.executable if here else None):
            options["python"] = python
        if self.preload:
            options["preload"] = self.preload
        if self.isolation is not None:
            options["isolation"] = self.isolation
        if self.limits:
            options["limits"] = self.limits
        if cwd := self.cwd or (_current_directory() if here else None):
            options["cwd"] = cwd
        if self.env:
            options["env"] = self.env
        return options


def path_text(path: str | os.PathLike[str] | None, where: str) -> str | None:
    """A path as text, or None."""
    if path is None:
        return None
    try:
        text = os.fspath(path)
    except TypeError:
        raise BadType(f"{where} must be a path, not {type(path).__name__}") from None
    if not isinstance(text, str):
        raise BadType(f"{where} must be a path of text, not of bytes")
    return text


def _current_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # It was deleted: the engine's own will do.
        return None
