"""What people hold of the libraries that they use: a case for each library, in one session from its making to after a restore."""

from __future__ import annotations

import importlib
import pkgutil
from textwrap import dedent

from transactions.case import Case


class Library(Case):
    """One library's everyday objects, as its documentation makes them: shared between names, changed in place.

    It is imported by the setup, as people do, and no session is started with it.
    """

    def preload(self) -> tuple[str, ...]:
        return ()


_LIBRARIES: dict[str, Library] = {}


def library(name: str, needs: str, setup: str, mutate: str, check: str, *, consumes: bool = False) -> None:
    """Registers a case. `needs`: the modules that it needs, with spaces between them."""
    if name in _LIBRARIES:
        raise ValueError(f"two cases are named {name}")
    code = [dedent(text).strip("\n") + "\n" for text in (setup, mutate, check)]
    _LIBRARIES[name] = Library(name, code[0], code[1], code[2], tuple(needs.split()), consumes=consumes)


def all_libraries() -> list[Library]:
    """Every case, in the order of the files."""
    from . import cases

    for module in sorted(found.name for found in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"{cases.__name__}.{module}")
    return list(_LIBRARIES.values())
