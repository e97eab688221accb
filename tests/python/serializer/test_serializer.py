"""What the context uses: objects beside the variables, with the same definitions."""

import pytest
from _pyrepl3.serializer import save
from harness import Directory

import json
import tools

JOB = """
class A:
    def __init__(self, x): self.x = x
def handler(n): return n + k
k = 1
a = A(2)
"""


def test_objects_of_the_context_share_the_definitions(tmp_path):
    tools.child("context", tmp_path, {"setup": [JOB], "dump": ["[handler, a, A, {'k': [1]}]", "(lambda: k)", "(i for i in [1])"]})
    body = json.loads((tmp_path / "body.json").read_text())
    assert [item.get("error", "") == "" for item in body["context"]] == [True, True, False]
    assert "generator" in body["context"][2]["error"] and tools.lost(body) == {"gone": "named by the context"}
    check = """
    first, second = from_context
    assert first[0] is handler and type(first[1]) is A is first[2] and first[3] == {'k': [1]} and first[1].x == 2
    k = 5; assert first[0](1) == 6 and second() == 5
    """
    report = tools.child("load", tmp_path, {"check": tools.dedent(check), "context": True})["report"]
    assert tools.lost(report) == {"gone": "named by the context", "also": "named at the restore"}


def test_a_context_that_fails_loses_no_variable(tmp_path):
    def fails(keeper):
        raise RuntimeError("no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.disable", lambda: None)
        patch.setattr("warnings.simplefilter", lambda *_: None)
        patch.setattr("sys.setrecursionlimit", lambda _: None)
        body = save.save({"a": [1]}, Directory(str(tmp_path)), context=fails, deadline=None)
    assert [entry["name"] for entry in body["variables"]] == ["a"]
    assert tools.lost(body) == {"context": "the context cannot be saved: RuntimeError: no"}
