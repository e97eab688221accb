"""Prints the table of cases: `python -m transactions.table`."""

from __future__ import annotations

from .case import MODES, Case, all_cases

HEAD = ("case", "theme", "exact", "excepted", "note")


def row(case: Case) -> tuple[str, ...]:
    """What is exact, in how many modes, and where it is not, why."""
    if case.refused:
        return (case.name, case.theme, "none", f"refused up front: {case.refused}", case.note or "-")
    exact = [mode for mode in MODES if mode not in case.exact_except]
    refused = "; ".join(f"{mode}: {reason}" for mode, reason in case.exact_except.items())
    return (
        case.name,
        case.theme,
        "all modes" if len(exact) == len(MODES) else ", ".join(exact) or "none",
        refused or "-",
        case.note or "-",
    )


def table(cases: list[Case]) -> str:
    """The table in Markdown, and a line that counts."""
    rows = [HEAD, *map(row, cases)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() + " |" for line in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    refused = len(MODES) * sum(bool(case.refused) for case in cases)
    excepted = sum(len(case.exact_except) for case in cases)
    themes = len({case.theme for case in cases})
    lines.append("")
    lines.append(
        f"{len(cases)} cases in {themes} themes, {len(MODES)} modes: "
        f"{len(cases) * len(MODES) - excepted - refused} combinations must be exact, {excepted} are excepted, "
        f"{refused} are refused up front."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(all_cases()))
