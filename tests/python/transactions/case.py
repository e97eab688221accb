"""A case of the correctness suite: a state, a change of it, and a check that only the state as it was passes."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent

MODES = ("mutate_then_rollback", "mutate_and_raise", "savepoint", "branches", "twice", "killed")
"""The ways in which the suite changes a state and takes the change back."""

LIGHT = ("numpy", "pandas")
HEAVY = (
    "numpy",
    "pandas",
    "scipy.sparse",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "matplotlib.pyplot",
    "networkx",
    "sympy",
    "lxml.etree",
    "PIL.Image",
    "pydantic",
)
"""What sessions are started with. Sessions with the same preload share a zygote, so there are few groups."""


@dataclass(frozen=True)
class Case:
    """All code runs in the session's `__main__`.

    `check` passes if and only if the state is exactly as `setup` left it. It may be run twice on the same state,
    unless it `consumes` what it checks. `diverge` is what a branch does to differ, `{i}` its number.
    """

    name: str
    setup: str
    mutate: str
    check: str
    needs: tuple[str, ...] = ()
    diverge: str | None = None
    note: str = ""
    consumes: bool = False
    exact_except: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot be exact, by the mode where it cannot."""
    refused: str = ""
    """Part of what the refusal says, where no snapshot can be taken of it."""
    theme: str = ""

    def missing(self) -> list[str]:
        """What it needs and is not installed."""
        return [module for module in self.needs if importlib.util.find_spec(module.partition(".")[0]) is None]

    def preload(self) -> tuple[str, ...]:
        """What to preload for it: nothing, numpy and pandas, or everything heavy that is installed."""
        if not self.needs:
            return ()
        wanted = LIGHT if set(self.needs) <= set(LIGHT) else HEAVY
        return tuple(name for name in wanted if importlib.util.find_spec(name.partition(".")[0]) is not None)

    def divergence(self, number: int) -> str:
        """What branch `number` runs."""
        return self.mutate if self.diverge is None else self.diverge.replace("{i}", str(number))


_CASES: dict[str, Case] = {}


def case(
    name: str,
    setup: str,
    mutate: str,
    check: str,
    *,
    needs: tuple[str, ...] = (),
    diverge: str | None = None,
    note: str = "",
    consumes: bool = False,
    exact_except: Mapping[str, str] | None = None,
    refused: str = "",
) -> Case:
    """Registers a case; its theme is the file that it stands in."""
    theme = sys._getframe(1).f_globals["__name__"].rpartition(".")[2].removesuffix("_cases")
    if name in _CASES:
        raise ValueError(f"two cases are named {name}")
    unknown = set(exact_except or ()) - set(MODES)
    if unknown:
        raise ValueError(f"{name}: no such modes: {unknown}")
    made = Case(
        name,
        _code(setup),
        _code(mutate),
        _code(check),
        needs,
        None if diverge is None else _code(diverge),
        note,
        consumes,
        dict(exact_except or {}),
        refused,
        theme,
    )
    _CASES[name] = made
    return made


def _code(text: str) -> str:
    return dedent(text).strip("\n") + "\n"


def all_cases() -> list[Case]:
    """Every case, theme by theme, in the order of the files."""
    from . import cases

    for module in sorted(found.name for found in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"{cases.__name__}.{module}")
    return list(_CASES.values())
