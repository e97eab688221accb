"""Objects that the context and a variable both refer to, and what the codec is told of them."""

from __future__ import annotations

import sys

import pytest

from .harness import steps



def test_a_context_variable_is_one(python: str) -> None:
    """A variable and a group that refers to it, each saved by itself, are restored to one object, with its value."""
    code = "import contextvars; v = contextvars.ContextVar('v', default=[3]); v.set('now'); holder = {'var': v}"
    kept, lost, items, lost_context = steps(python, ["run", code], ["save", ["v", "holder"]])[1]
    assert (lost, lost_context) == ({}, [])
    check = "import contextvars; assert holder['var'] is v and v.get() == 'now' and contextvars.Context().run(v.get) == [3]"
    results = steps(python, ["load", kept], ["restore", items], ["run", check], ["load", kept], ["run", "other = v"])
    assert results[1] == []


def test_a_handler_is_one(python: str) -> None:
    code = "import logging, sys; handler = logging.StreamHandler(sys.stdout); logging.getLogger('app').addHandler(handler)"
    kept, lost, items, lost_context = steps(python, ["run", code], ["save", ["handler"]])[1]
    assert (lost, lost_context) == ({}, [])
    check = "import logging, sys; assert logging.getLogger('app').handlers == [handler] and handler.stream is sys.stdout"
    assert steps(python, ["load", kept], ["restore", items], ["run", check])[1] == []


def test_roots(python: str) -> None:
    """What stands in place of standard output is offered to the codec, and taken back from it."""
    code = """
import io, sys
from _pyrepl3.serializer import context, baseline
began = baseline.take().session_started()
sys.stdout = capture = io.StringIO(); print("x", end="")
roots = context.shared_roots(began)
assert list(roots) == ["<sys.stdout>"] and roots["<sys.stdout>"] is capture
class Keeper:
    def begin(self, kind): pass
    def dump(self, value): raise ValueError("not to be asked")
items, lost = context.capture(began, Keeper(), context.Options(shared=roots))
assert ([item["kind"] for item in items if item["kind"] != "random"], lost) == (["stream"], []), (items, lost)
sys.stdout = sys.__stdout__
assert context.restore(items, Keeper(), began, roots={"<sys.stdout>": capture}) == [] and sys.stdout is capture
lost = context.restore(items, Keeper(), began)
assert [each["name"] for each in lost] == ["sys.stdout"] and sys.stdout is sys.__stdout__
"""
    steps(python, ["run", code])


def test_figures_are_offered() -> None:
    pytest.importorskip("matplotlib")
    code = """
class Keeper:
    def begin(self, kind): pass
import matplotlib.pyplot as plt
from _pyrepl3.serializer import context, baseline
began = baseline.take().session_started()
figure = plt.figure(4)
(number, root), = context.shared_roots(began)["<figures>"]
assert number == 4 and root is figure
items, lost = context.capture(began, Keeper(), context.Options(shared=["<figures>"]))
plt.figure(9)
assert context.restore([i for i in items if i["kind"] == "figures"], None, began, roots={"<figures>": [(7, figure)]}) == []
assert plt.get_fignums() == [7] and plt.gcf() is figure and figure.number == 7
"""
    steps(sys.executable, ["run", code])


def test_originals(python: str) -> None:
    """What a patch replaced is told by where it was, since pickle does not find it there any more."""
    code = """
import json
from _pyrepl3.serializer import context, baseline
began = baseline.take().session_started()
original, json.dumps = json.dumps, print
assert context.originals(began) == {id(original): ("json", "dumps")}
"""
    steps(python, ["run", code])
