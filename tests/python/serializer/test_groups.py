"""Groups, determinism, limits, and loading in parts."""

import json

import pytest
import tools
from _pyrepl3.serializer import pickling, save
from harness import Directory


def groups(body):
    return {frozenset(group["names"]) for group in body["groups"]}


@pytest.mark.parametrize(
    "setup, together",
    [
        ("a = [1]; b = [a]; c = [2]", {("a", "b"), ("c",)}),
        ("t = (1, 2); a = [t]; b = [t]", {("t",), ("a",), ("b",)}),
        ("class A: pass\na, b = A(), A()", {("A",), ("a",), ("b",)}),
        ("import math\na = [math.sin]; b = [math.sin, str]", {("math",), ("a",), ("b",)}),
        ("s = 'x' * 100; a = [s]; b = [s]", {("s",), ("a",), ("b",)}),
        ("l = []\ndef f(x=l): pass\ng = [f]", {("f", "l"), ("g",)}),
        ("def m():\n    v = []\n    return lambda: v, v\nf, v = m()", {("m",), ("v",), ("f",)}),
        ("class A: l = []\nl = A.l; a = A()", {("A", "l"), ("a",)}),
    ],
)
def test_what_shares_mutable_objects_is_together(setup, together, tmp_path):
    body = tools.save(tmp_path, setup)
    assert not body["lost"]
    assert groups(body) == {frozenset(names) for names in together}


def test_overlapping_memory_is_together(tmp_path):
    pytest.importorskip("numpy")
    body = tools.save(tmp_path, "import numpy as np\na = np.zeros(90_000); v = a[10:]; c = np.zeros(90_000); d = np.float64(1)")
    assert groups(body) == {frozenset(names) for names in (("np",), ("a", "v"), ("c",), ("d",))}
    joined = next(group for group in body["groups"] if "a" in group["names"])
    assert len(joined["buffers"]) == 1 and joined["bytes"] < 800_000


DETERMINED = """
import dataclasses, enum, collections
class A:
    def __init__(self, x): self.x = x
@dataclasses.dataclass
class D:
    x: int = 0
class E(enum.Enum): P = 1
def make():
    n = [0]
    def f(): n[0] += 1
    return f
f = make(); a = A({1, 2, 3}); d = D(4); e = E.P; s = {'x', 'y', A}; l = [a, {'k': d}]; big = list(range(1000)); t = {(1, 'a'): A(1)}
g = lambda x, y=[]: x
"""


def test_an_unchanged_state_gives_the_same_bytes(tmp_path):
    """Two forks of one process save; then the process changes one name, and a third does."""
    job = {"setup": [DETERMINED], "forks": 2, "then": ["big.append(1)\nnew = 5\ndef later(): pass\n"]}
    tools.child("forks", tmp_path, job)
    first, second, third = (json.loads((tmp_path / f"digests{n}.json").read_text()) for n in range(3))
    assert first == second
    assert {name for name in third if third[name] != first.get(name)} == {"big", "new", "later"}


def test_a_hanging_reduce_is_stopped_and_named(tmp_path):
    setup = """
    import time
    class Slow:
        def __reduce__(self): time.sleep(60)
    class Stubborn:
        def __reduce__(self):
            for _ in range(3):
                try: time.sleep(60)
                except BaseException: pass
            return Stubborn, ()
    class Loop:
        def __setstate__(self, state):
            while True: pass
    slow, stubborn, loop = Slow(), Stubborn(), Loop(); loop.x = 1; ok = [1]
    """
    body = tools.save(tmp_path, setup, options={"deadline": 0.5})
    named = tools.lost(body)
    assert named.keys() >= {"slow", "loop"} and "too long" in named["slow"] and "too long" in named["loop"]
    assert not tools.lost(tools.load(tmp_path, "assert ok == [1]")).keys() - {"slow", "loop", "stubborn"}


def test_only_some_names(tmp_path):
    tools.save(tmp_path, "k = 1\ndef f(): return k\nclass A: pass\na = A(); b = [a]; c = 5")
    report = tools.load(tmp_path, "assert type(a).__name__ == 'A' and 'c' not in globals() and 'f' not in globals()",
                        load_options={"only": ["a"]})
    assert [entry["name"] for entry in report["restored"]] == ["a"] and not report["lost"]


def test_a_limit_of_verification_is_told(tmp_path):
    body = tools.save(tmp_path, "class A: pass\nbig = [A() for _ in range(1000)]; small = 1", options={"verify_bytes": 100})
    assert [group["verified"] for group in body["groups"] if group["names"] == ["big"]] == [False]
    tools.load(tmp_path, "assert len(big) == 1000 and small == 1")


def test_the_session_as_it_is_now_is_what_functions_see(tmp_path):
    tools.save(tmp_path, "x = 1\ndef f(): return x, y\n")
    tools.load(tmp_path, "assert f() == (1, 'now'); x = 2; assert f() == (2, 'now')", before=["y = 'now'"])


def test_a_setstate_that_uses_other_names(tmp_path):
    setup = """
    class A:
        def __getstate__(self): return {'x': 1}
        def __setstate__(self, state): self.x = state['x'] + base - base + helper()
    a = A(); a.x = 1
    import math
    def helper(): return math.floor(0.5)
    base = 100
    """
    body = tools.save(tmp_path, setup)
    assert not body["lost"]
    report = tools.load(tmp_path, "assert a.x == 1")
    assert not report["lost"]


def test_modules_of_the_session_come_back(tmp_path):
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir(), elsewhere.mkdir()
    text = "K = 3\nclass Thing:\n    def __init__(self, x): self.x = x\ndef f(t): return t.x + K\n"
    (work / "agent_helper.py").write_text(text)
    body = tools.save(tmp_path, "import agent_helper\nfrom agent_helper import f\nt = agent_helper.Thing(1)",
                      path=[str(work)], options={"local": {"agent_helper": str(work / "agent_helper.py")}})
    assert [entry["name"] for entry in body["modules"]] == ["agent_helper"] and not body["packages"].get("agent_helper")
    (work / "agent_helper.py").unlink()
    report = tools.load(tmp_path, "assert f(t) == 4 and t.x == 1 and agent_helper.K == 3")
    assert not report["lost"]


def test_packages_that_are_missing_are_named(tmp_path):
    pytest.importorskip("numpy")
    tools.save(tmp_path, "import numpy\na = numpy.ones(3); b = 1")
    body = json.loads((tmp_path / "body.json").read_text())
    assert set(body["packages"]) == {"numpy"}
    body["packages"]["numpy"] = "0.1"
    body["packages"]["surely_not_there"] = "2"
    (tmp_path / "body.json").write_text(json.dumps(body))
    result = tools.child("load", tmp_path, {"check": ""})
    assert [(entry["name"], entry["saved"]) for entry in result["missing"]] == [("numpy", "0.1"), ("surely_not_there", "2")]
    assert result["missing"][1]["here"] is None


def test_a_broken_stream_binds_nothing(tmp_path):
    body = tools.save(tmp_path, "class A: pass\na = A(); b = 1")
    (tmp_path / str(body["skeletons"])).write_bytes(b"rubbish")
    with pytest.raises(tools.Failed):
        tools.load(tmp_path)


def test_a_broken_group_is_named_and_the_rest_comes_back(tmp_path):
    body = tools.save(tmp_path, "a = [1]; b = [2]")
    stream = next(group["stream"] for group in body["groups"] if group["names"] == ["a"])
    (tmp_path / str(stream)).write_bytes(b"\x80\x05rubbish")
    report = tools.load(tmp_path, "assert b == [2] and 'a' not in globals()")
    assert tools.lost(report).keys() == {"a"}


def test_execution_names_that_are_taken(tmp_path):
    tools.save(tmp_path, "def f():\n    return 1 / 0\n")
    check = """
    import traceback
    for one, line in ((f, 'return 1 / 0'), (g, 'return [][1]')):
        try: one()
        except Exception: assert line in traceback.format_exc(), traceback.format_exc()
    """
    tools.load(tmp_path, check, same_names=True, before=["def g():\n    return [][1]\n"])


def test_saved_again_after_a_restore(tmp_path):
    (tmp_path / "again").mkdir()
    setup = "import enum\nclass A:\n    l = []\nclass E(enum.Enum): P = 1\na = A(); l = A.l; e = E.P\ndef f(x=l): return x\n"
    first = tools.save(tmp_path, setup)
    tools.child("load", tmp_path, {"check": "", "save_again": True})
    second = json.loads((tmp_path / "again" / "body.json").read_text())
    assert not second["lost"] and groups(first) == groups(second)
    tools.load(tmp_path / "again", "assert f() is A.l is l and e is E.P and type(a) is A")


GRAPH = """
class Node:
    def __init__(self, *to): self.to = list(to)
nodes = [Node() for _ in range(2000)]
for at, node in enumerate(nodes): node.to = [nodes[at * 7 % 2000], nodes[at * 11 % 2000]]
del at, node
first, second, inner = nodes[0], nodes[1], nodes[5].to
"""


def test_names_within_one_graph_are_pickled_with_it(tmp_path, monkeypatch):
    """And not each with all of it, by itself."""
    monkeypatch.setattr("gc.disable", lambda: None)
    monkeypatch.setattr("sys.setrecursionlimit", lambda _: None)
    monkeypatch.setattr("warnings.filters", list(__import__("warnings").filters))
    runs = []
    run = pickling.run
    monkeypatch.setattr(pickling, "run", lambda registry, payload, *more: runs.append(len(payload)) or run(registry, payload, *more))
    nodes = [[] for _ in range(2000)]
    for at, node in enumerate(nodes):
        node += [nodes[at * 7 % 2000], nodes[at * 11 % 2000]]
    namespace = {"nodes": nodes, **{f"n{at}": nodes[at] for at in range(20)}, "alone": [1]}
    body = save.save(namespace, Directory(str(tmp_path)), deadline=None)
    assert [sorted(group["names"]) for group in body["groups"]] == [sorted({*namespace} - {"alone"}), ["alone"]]
    assert all(group["verified"] for group in body["groups"])
    # The list, the one that is alone, the group; and the group once more, to compare.
    assert sorted(runs) in ([1, 1, 21], [1, 1, 21, 21])


def test_names_within_one_graph_come_back_so(tmp_path):
    body = tools.save(tmp_path, GRAPH)
    assert tools.lost(body) == {}
    tools.load(tmp_path, "assert first is nodes[0] and second is nodes[1] and inner is nodes[5].to and inner[0] is nodes[35]")


def test_names_within_what_is_lost_are_looked_at_by_themselves(tmp_path):
    setup = "import threading\nclass Holder: pass\nholder = Holder(); holder.big = [[i] for i in range(3000)]\n"
    setup += "holder.f = lambda lock=threading.Lock(): lock\nholder.f.__defaults__[0].acquire(); big = holder.big; one = holder.big[1]"
    body = tools.save(tmp_path, setup)
    assert tools.lost(body).keys() == {"holder"}
    tools.load(tmp_path, "assert big[1] is one and one == [1] and len(big) == 3000")


def test_a_container_of_things_that_reach_each_other_is_given_up_in_time(tmp_path):
    setup = "class N:\n    def __init__(self): self.l = []\nns = [N() for _ in range(20000)]\n"
    setup += "for a, b in zip(ns, ns[1:]): a.l.append(b)\nns[-1].g = (i for i in [1])\ndel a, b"
    assert "generator" in tools.lost(tools.save(tmp_path, setup))["ns"]
