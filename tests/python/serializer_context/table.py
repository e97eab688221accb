"""Each kind of state that is no variable: how a session changes it, and what a restored one must show."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str
    change: str
    check: str
    """Runs in the process that was restored into."""
    shared: str = ""
    """Runs in both processes before anything else: imports and definitions."""
    undone: str = ""
    """Runs in a process that made the same change, when a session that changed nothing was restored over it."""
    lost: dict[str, str] = field(default_factory=dict)
    """Names that are lost, and a part of each reason."""
    lost_undone: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Packages without which the case is left out."""


CASES: list[Case] = []


def case(name: str, *, shared: str = "", change: str, check: str, undone: str = "", **more: object) -> None:
    texts = [textwrap.dedent(text).strip() for text in (change, check, shared, undone)]
    CASES.append(Case(name, *texts, **more))  # type: ignore[arg-type]
