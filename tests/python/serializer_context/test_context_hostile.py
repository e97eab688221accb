"""What a checkpoint says need not be true: items of other types and shapes are named, and nothing is raised."""

from __future__ import annotations

import random
from typing import Any

from .harness import steps

WRONG: list[Any] = [None, True, -1, 2**60, 1.5, "x", "\ud800", [], [[]], {}, {"plain": None}, {"kept": {"pickle": "00"}}]


def test_no_list(python: str) -> None:
    for items in (None, {}, "x", 5):
        (lost,) = steps(python, ["restore", items])
        assert [each["name"] for each in lost] == ["context"]


def test_unknown_kinds(python: str) -> None:
    (lost,) = steps(python, ["restore", [{"kind": "telepathy"}, {"kind": []}, 5, {}, {"kind": "x" * 10000}]])
    assert len(lost) >= 3 and all("knows no such kind" in each["reason"] and len(each["name"]) <= 100 for each in lost)


def test_wrong_types(python: str) -> None:
    """Every field of real items replaced, one at a time, by what it must not be: the rest comes back."""
    changes = """
import os, sys, signal, random, csv, gc, decimal, warnings, logging, contextvars, copyreg, string, codecs, socket
os.chdir("/usr"); os.environ["CASE"] = "1"; sys.path.append("/x"); sys.argv = ["a"]; os.umask(0o22); gc.disable()
signal.signal(signal.SIGUSR1, signal.SIG_IGN); csv.register_dialect("mine"); decimal.getcontext().prec = 5
warnings.simplefilter("error"); logging.getLogger("app").setLevel(5); string.digits = "1"; socket.setdefaulttimeout(5)
logging.getLogger("app").addHandler(logging.StreamHandler()); codecs.register_error("case", lambda e: ("?", e.end))
v = contextvars.ContextVar("v"); v.set(1); fd = os.open("/etc/passwd", os.O_RDONLY)
"""
    items, _lost = steps(python, ["run", changes], ["capture"])[1]
    chance = random.Random(5)
    todo = []
    for at, item in enumerate(items):
        for path in _paths(item):
            if path != ("kind",):
                broken = [_replaced(item, path, chance.choice(WRONG)) if each is item else each for each in items]
                todo.append(broken if chance.random() < 0.2 else [broken[at]])
    todo = [broken for broken in todo if not any(each.get("name") in ("resource limit as", "recursion limit") for each in broken)]
    check = ["run", "import sys; assert sys.getrecursionlimit() >= 100"]
    results = steps(python, *(["restore", broken] for broken in todo), ["restore", items], check)
    assert len(todo) > 50 and all(isinstance(each, list) for each in results[:-1])
    assert results[-2] == []


def _paths(item: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = item.items() if isinstance(item, dict) else enumerate(item[:3]) if isinstance(item, list) else ()
    found = [path] if path else []
    for key, value in inner:
        found += _paths(value, (*path, key))
    return found


def _replaced(item: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = item.copy()
    copy[path[0]] = _replaced(copy[path[0]], path[1:], value) if len(path) > 1 else value
    return copy


def test_one_kind_that_fails_loses_no_other(python: str) -> None:
    code = "import os, sys; os.umask(0o27); sys.path = 5\nos.environ['CASE'] = '1'"
    items, lost = steps(python, ["run", code], ["capture"])[1]
    assert [each["name"] for each in lost] == ["sys.path"]
    assert {item["kind"] for item in items} == {"environment", "setting"}
