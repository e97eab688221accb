"""Prints the matrix of libraries as a table in Markdown, and counts it: `python -m libraries.table`, in tests/python."""

from __future__ import annotations

from .matrix import all_libraries
from .pinned import APART, FOLLOWS, LOST, ROLLBACK

GAPS = {name: parts for name, parts in APART.items() if any(why != FOLLOWS for why in parts.values())}
"""Where something differs after a restore and nothing says so."""


def table() -> str:
    """Each library, and what does not come back of its objects."""
    lines = ["| library | after a rollback, in a branch | after a restore |", "| --- | --- | --- |"]
    names = [case.name for case in all_libraries()]
    for name in sorted(names):
        lost = "; ".join(f"{one}: {why}" for one, why in sorted(LOST.get(name, {}).items()))
        gaps = "; ".join(sorted({why for why in GAPS.get(name, {}).values() if why != FOLLOWS}))
        after = " · ".join(filter(None, [f"named: {lost}" if lost else "", f"**not named**: {gaps}" if gaps else ""]))
        lines.append(f"| {name} | {ROLLBACK.get(name, 'exact')} | {after or 'exact'} |")
    named = [name for name in names if name in LOST and name not in GAPS]
    exact = [name for name in names if name not in LOST and name not in GAPS]
    lines += ["", f"{len(names)} libraries: {len(exact)} exact, {len(named)} with what is named, {len(GAPS)} where something is not named."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
