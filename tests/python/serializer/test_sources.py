"""What sources say is read once, however often a session is saved."""

from __future__ import annotations

import ast
import json
import types
from typing import Any

import pytest
from _pyrepl3.serializer import assigned
from _pyrepl3.serializer.situation import Options

SOURCES = {
    "<execution 1>": "import json as j\nj.HO = 5\n",
    "<execution 2>": "for row in rows:\n    row.value = 3\n",
    "<execution 3>": "def f(self):\n    self.x = 1\n",
    "<execution 4>": "setattr(j, name, 1)",
    "<execution 5>": "import weakref; weakref.finalize(j, print)",
    "<execution 6>": "this is no Python ( j.x = 5",
    "<execution 7>": "from unittest import mock\nmock.patch('json.dumps')",
    "<execution 8>": "x = 1",
}
NAMESPACE = {"j": json, "x": 1}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    parse = ast.parse

    def noted(text: str, *arguments: Any) -> ast.AST:
        seen.append(text)
        return parse(text, *arguments)

    monkeypatch.setattr(assigned, "ast", types.SimpleNamespace(**{**vars(ast), "parse": noted}))
    return seen


def said(read_before: dict[str, Any], namespace: dict[str, Any] = NAMESPACE, sources: dict[str, str] = SOURCES) -> dict[str, Any]:
    return vars(assigned.read(Options(namespace=namespace, sources=sources, read_before=read_before)))


def test_what_is_read_ahead_is_not_read_again(parsed: list[str]) -> None:
    fresh = said({})
    assert fresh["targets"] == {("json", "HO"): True}
    assert fresh["loose"] and fresh["dynamic"] and fresh["patched"] == {("json", "dumps"): True}
    assert fresh["calls"] == {"weakref.finalize": {"j", "print"}}
    del parsed[:]
    known: dict[str, Any] = {}
    for _ in range(20):
        assigned.read_ahead(SOURCES, known, NAMESPACE)
    assert list(known) == list(SOURCES) and parsed
    del parsed[:]
    assert said(known) == fresh
    assert parsed == []


def test_a_source_is_read_when_it_becomes_worth_it(parsed: list[str]) -> None:
    known: dict[str, Any] = {}
    sources = {"<execution 1>": "later.attribute = 1"}
    assert said(known, {}, sources)["targets"] == {} and parsed == []
    assert said(known, {"later": json}, sources)["targets"] == {("later", "attribute"): True}
    # Another text under the same name, and what is not kept any more.
    sources = {"<execution 1>": "j.other = 1", "<execution 2>": "1"}
    assert said(known, NAMESPACE, sources)["targets"] == {("j", "other"): True}
    assigned.read_ahead({"<execution 2>": "1"}, known, NAMESPACE)
    assert list(known) == ["<execution 2>"]
