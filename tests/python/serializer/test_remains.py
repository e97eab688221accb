"""The tier `data`: what remains of a container that holds what cannot be saved."""

import json

import pytest
import tools

THREADS = "import threading, collections, types\nlock = threading.Lock(); lock.acquire()\n"


def save_and_load(tmp_path, setup, check):
    body = tools.save(tmp_path, THREADS + setup)
    report = tools.load(tmp_path, check)
    return body, {entry["name"]: entry["tier"] for entry in body["variables"]}, tools.lost(report)


def test_the_rest_of_a_container_comes_back(tmp_path):
    setup = """
results = {"score": 0.9, "lock": lock, "rows": [1, (lock, 2), {"deep": lock}], "model": {"w": [1.5]}}
rows = results["rows"]
other = results["model"]
"""
    check = """
    assert results["score"] == 0.9 and results["model"] == {"w": [1.5]} and list(results) == ["score", "lock", "rows", "model"]
    assert results["rows"] is rows and results["model"] is other
    mark = results["lock"]
    assert rows[0] == 1 and rows[1] == (mark, 2) and rows[2]["deep"] is mark
    assert repr(mark).startswith("<not saved: a lock that is held belongs to") and mark.reason.startswith("a lock that is held belongs to")
    try:
        mark.acquire()
    except AttributeError as error:
        assert "not saved in the checkpoint: a lock" in str(error)
    else:
        raise AssertionError("a placeholder can be used")
    import copy
    assert copy.copy(mark) is mark and copy.deepcopy(results)["lock"] is mark and not mark
    try:
        with mark:
            raise AssertionError("a placeholder can be entered")
    except TypeError as error:
        assert "not saved in the checkpoint: a lock" in str(error)
    """
    body, tiers, lost = save_and_load(tmp_path, setup, check)
    assert (tiers["results"], tiers["rows"], tiers["other"]) == ("data", "data", "pickle")
    places = {"results['lock']", "results['rows'][1][0]", "results['rows'][2]['deep']", "rows[1][0]", "rows[2]['deep']"}
    assert set(tools.lost(body)) == {"lock", *places}
    assert all("a lock that is held belongs to the threads" in reason for reason in lost.values())
    assert places <= set(lost)


@pytest.mark.parametrize(
    ("kind", "value", "places", "check"),
    [
        ("list", "[1, lock]", ["x[1]"], "x[0] == 1 and len(x) == 2"),
        ("tuple", "(1, lock)", ["x[1]"], "type(x) is tuple and x[0] == 1"),
        ("set", "{1, lock}", ["an element of x"], "type(x) is set and len(x) == 2 and 1 in x"),
        ("deque", "collections.deque([lock, 1], 5)", ["x[0]"], "type(x).__name__ == 'deque' and x.maxlen == 5 and x[1] == 1"),
        ("ordered", "collections.OrderedDict(a=lock, b=1)", ["x['a']"], "list(x) == ['a', 'b'] and x['b'] == 1"),
        ("default", "collections.defaultdict(list, a=lock, b=[1])", ["x['a']"], "x['b'] == [1] and x['c'] == []"),
        ("namespace", "types.SimpleNamespace(a=lock, b=1)", ["x.a"], "x.b == 1"),
        ("cycle", "[lock, 1]; x.append(x)", ["x[0]"], "x[2] is x and x[1] == 1"),
        ("generator", "[1, (i for i in [2])]", ["x[1]"], "x[0] == 1"),
        ("function", "[lock, lambda: k]; k = 3", ["x[0]"], "x[1]() == 3"),
        ("raises", "[1, R()]", ["x[1]"], "x[0] == 1 and 'no way' in x[1].reason"),
    ],
)
def test_containers_of_every_kind(tmp_path, kind, value, places, check):
    setup = f"class R:\n    def __reduce__(self): raise ValueError('no way')\nx = {value}\n"
    _body, tiers, lost = save_and_load(tmp_path, setup, f"assert {check}, x")
    assert tiers["x"] == "data"
    assert [name for name in lost if "x" in name] == places


@pytest.mark.parametrize(
    "value",
    [
        "[lock]",  # nothing would remain
        "{'a': [lock, {}]}",
        "{lock: 1, 'a': 2}",  # a key has no other place
        "collections.defaultdict((i for i in [1]).__next__, a=1)",
    ],
)
def test_what_is_no_use_is_lost_as_a_whole(tmp_path, value):
    _body, tiers, lost = save_and_load(tmp_path, f"x = {value}\nok = 1", "assert ok == 1")
    assert "x" not in tiers and "x" in lost


def test_many_are_counted(tmp_path):
    _body, tiers, lost = save_and_load(tmp_path, "x = [1] + [threading.Lock() for _ in range(100)]; [one.acquire() for one in x[1:]]", "assert x[0] == 1")
    assert tiers["x"] == "data"
    assert "x[20] and 80 more" in lost and len([name for name in lost if name.startswith("x[")]) == 21


def test_an_object_of_a_class_is_never_in_parts(tmp_path):
    setup = "class Worker:\n    def __init__(self, n): self.n, self.lock = n, lock\nx = [Worker(1), 2]\n"
    check = "assert type(x[0]).__name__ == 'NotSaved' and x[1] == 2"
    _body, tiers, lost = save_and_load(tmp_path, setup, check)
    assert tiers["x"] == "data" and "x[0]" in lost


def test_a_placeholder_is_saved_again(tmp_path):
    (tmp_path / "again").mkdir()
    tools.save(tmp_path, THREADS + "x = [1, lock]; del lock")
    tools.load(tmp_path, "y = x[1]", save_again=True)
    body = json.loads((tmp_path / "again" / "body.json").read_text())
    assert {entry["name"]: entry["tier"] for entry in body["variables"] if entry["name"] in "xy"} == {"x": "pickle", "y": "pickle"}
    reason = "it holds 1 placeholders for what an earlier checkpoint could not keep"
    assert tools.lost(body) == {"placeholders in x": reason, "placeholders in y": reason}
    tools.load(tmp_path / "again", "assert x[1] is y and y.reason.startswith('a lock')")
