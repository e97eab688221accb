"""The checker finds each thing that can be wrong, and nothing where nothing is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from faults.checker import Json, Plan, Record, check

FAILURE: Json = {"type": "error", "status": "failed", "ename": "RuntimeError", "evalue": "t2-x", "execution_count": 2}
CRASH: Json = {"type": "error", "status": "crashed", "ename": "SessionLost", "evalue": "", "execution_count": 0}


def events() -> list[Json]:
    """What a session says in which three executions ran."""
    said: list[Json] = [
        {"type": "accepted", "execution_id": "e1", "code": "'t1-x'"},
        {"type": "output", "execution_id": "e1", "stream": "stdout", "data": "one\n"},
        {"type": "output", "execution_id": "e1", "stream": "stderr", "data": "\ufffd", "bytes": "/w=="},
        {"type": "result", "execution_id": "e1", "value": "t1-x", "execution_count": 1},
        {"type": "accepted", "execution_id": "e2", "code": "'t2-x'"},
        {"type": "error", "execution_id": "e2", **FAILURE},
        {"type": "accepted", "execution_id": "e3", "code": "'t3-x'"},
        {"type": "output", "execution_id": "e3", "stream": "stdout", "data": "beg"},
        {"type": "output", "stream": "stdout", "data": "inn"},
        {"execution_id": "e3", **CRASH},
        {"type": "session_lost"},
    ]
    return [{**event, "seq": number} for number, event in enumerate(said, 1)]


def record() -> Record:
    """What its clients were told."""
    one = Record()
    one.plan(Plan("t1-x", b"one\n", b"\xff", "t1-x"))
    one.plan(Plan("t2-x", fails=True))
    one.plan(Plan("t3-x", b"beginning", value="t3-x"))
    one.plan(Plan("t4-x", b"never asked", value="t4-x"))
    for event in events():
        one.hear(event)
    for token, execution, seq in (("t1-x", "e1", 1), ("t2-x", "e2", 5), ("t3-x", "e3", 7)):
        one.take(token, execution, seq)
    one.end("e1", events()[3])
    one.heard["e1"] = b"one\n", b"\xff"
    return one


EFFECTS = {"t1-x": 1, "t2-x": 1, "t3-x": 1}


def found(one: Record | None = None, said: list[Json] | None = None, **effects: int) -> list[str]:
    """What the checker finds."""
    counts = {**EFFECTS, **{name.replace("_", "-"): count for name, count in effects.items()}}
    return check(one or record(), events() if said is None else said, counts, may_crash=True)


def test_what_is_as_it_was_promised_is_nothing_to_find() -> None:
    assert found() == []
    assert found(t3_x=0) == []


def forgetful() -> Record:
    """A record of what was planned only: what is there is looked at by itself."""
    one = record()
    return Record(plans=one.plans)


CHANGES: dict[str, tuple[Any, str]] = {
    "a gap": (lambda said: said.pop(8), "event 10 comes after event 8"),
    "a number twice": (lambda said: said[8].update(seq=8), "event 8 comes after event 8"),
    "the beginning is missing": (lambda said: said.pop(0), "event 2 comes after event 0"),
    "no end": (lambda said: said[3].update(type="warning"), "t1-x (e1) has 0 ends"),
    "two ends": (lambda said: said[8].update(said[3], seq=9), "t1-x (e1) has 2 ends"),
    "output after the end": (lambda said: said[8].update(execution_id="e1"), "t1-x: output 9 comes after its end"),
    "output before it was taken": (
        lambda said: said[0].update(said[1], seq=1) or said[1].update(events()[0], seq=2),
        "t1-x: output 1 comes before it was taken",
    ),
    "another value": (lambda said: said[3].update(value=1), "t1-x came to 1"),
    "another failure": (lambda said: said[5].update(evalue="x"), "t2-x failed with RuntimeError: x"),
    "a success that was none": (lambda said: said[5].update(type="result", value=None), "t2-x came to None"),
    "a byte less": (
        lambda said: said[1].update(data="one"),
        "t1-x: stdout differs at byte 3: 4 were written, 3 are there",
    ),
    "a byte that differs": (
        lambda said: said[2].update(bytes="/g=="),
        "t1-x: stderr differs at byte 0: 1 were written, 1 are there",
    ),
    "bytes that are said to be missing": (
        lambda said: said[1].update(dropped=1),
        "t1-x: 1 bytes of output are said to be missing",
    ),
    "what was lost wrote otherwise": (
        lambda said: said[7].update(data="bag"),
        "t3-x was lost: stdout differs at byte 1: 9 were written, 3 are there",
    ),
    "output of nobody": (lambda said: said[8].update(data="x"), "1 bytes of stdout belong to nothing that was lost"),
    "taken twice": (lambda said: said[4].update(code="'t1-x'"), "t1-x was taken 2 times"),
    "nobody asked": (lambda said: said[4].update(code="?"), "nobody asked for what event 5 says was taken"),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_a_change_of_what_is_there_is_found(what: str) -> None:
    change, words = CHANGES[what]
    said = deepcopy(events())
    change(said)
    assert words in found(forgetful(), said)
    # And by who was told otherwise.
    assert any("was told" in one or "was taken as" in one for one in found(said=said))


def test_effects_outside_are_counted() -> None:
    assert found(t1_x=2) == ["t1-x ran 2 times", "t1-x has ended, and ran 2 times"]
    assert found(t1_x=0) == ["t1-x has ended, and ran 0 times"]
    assert found(t3_x=2) == ["t3-x ran 2 times"]
    assert found(t4_x=1) == ["t4-x ran, and no event says that it was taken"]


def test_what_was_cancelled_has_not_run() -> None:
    said = events()
    said[9]["status"] = "cancelled"
    assert found(forgetful(), said) == ["t3-x was cancelled, and ran"]
    assert found(forgetful(), said, t3_x=0) == []


def test_what_was_told_and_is_gone_is_found() -> None:
    assert "event 11 (session_lost) was told, and is gone" in found(said=events()[:10])
    one = record()
    one.events.clear()
    assert found(one, events()[:2]) == [
        "t2-x was taken as e2, number 5; that is nothing now",
        "t3-x was taken as e3, number 7; that is nothing now",
        "the end of e1 was told, and is gone",
        "t1-x (e1) has 0 ends",
        "t2-x ran, and no event says that it was taken",
        "t3-x ran, and no event says that it was taken",
    ]


def test_what_is_told_twice_and_not_the_same_is_found() -> None:
    one = record()
    one.hear({"seq": 1, "type": "accepted", "execution_id": "e9"})
    one.take("t1-x", "e9", 1)
    one.end("e1", CRASH)
    assert [text.partition(" was ")[0].partition(" ended ")[0] for text in found(one)] == ["event 1", "t1-x", "e1"]


def test_a_client_that_heard_otherwise_is_found() -> None:
    one = record()
    one.heard["e1"] = b"one", b"\xff"
    assert found(one) == ["t1-x, as a client heard it: stdout differs at byte 3: 4 were written, 3 are there"]


def test_no_process_was_killed_and_code_crashed() -> None:
    assert check(record(), events(), EFFECTS, may_crash=False) == ["t3-x ended as crashed (SessionLost: )"]


def test_power_takes_what_no_promise_came_after() -> None:
    one = record()
    one.hear({"seq": 12, "type": "warning", "text": "told, and gone"})
    assert found(one) == ["event 12 (warning) was told, and is gone"]
    one.lose_power()
    assert (one.relied_on(), max(one.events)) == (10, 10)
    assert found(one) == []


def test_power_takes_what_nobody_was_told_that_it_was_taken() -> None:
    one = record()
    one.plan(Plan("t5-x", value="t5-x"))
    one.lose_power()
    assert one.unknown == {"t4-x": 1, "t5-x": 1}
    assert found(one, events(), t4_x=1) == []
    assert found(one, events(), t4_x=2) == ["t4-x ran, and no event says that it was taken"]
    assert found(one, events(), t1_x=2) == ["t1-x ran 2 times", "t1-x has ended, and ran 2 times"]


def test_gaps_that_are_told_are_none_where_the_power_went() -> None:
    said = events()
    said[7] = {**said[7], "data": "inn", "dropped": 3}
    said[8]["data"] = "ing"
    said[1] = {**said[1], "data": "", "dropped": 4}
    assert found(forgetful(), said) != []
    one = forgetful()
    one.lose_power()
    assert found(one, said) == []
    # What somebody was told the end of is whole.
    one = record()
    one.lose_power()
    one.events.clear()
    assert one.shaken == {"t4-x"}
    assert "t1-x: stdout differs at byte 0: 4 were written, 0 are there" in found(one, said)
