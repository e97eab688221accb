"""Values on the wire: exact, both ways."""

from __future__ import annotations

import json
import sys

import pytest

from pyrepl3 import _wire

EXACT = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(10**3999),
    0.1,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    "",
    "é\n\0",
    "\ud800 alone",
    "😀",
    [],
    {},
    [1, [2, [3, {"a": None}]]],
    {"a": 1, "b": {"c": [True]}},
    {"": 1, "$x": 2},
]


def escaped(value: object) -> object:
    """What the engine sends for a value (docs/protocol.md)."""
    if type(value) is int and abs(value) >= 10**4000:
        return {"$int": hex(value)}
    if type(value) is list:
        return [escaped(item) for item in value]
    if type(value) is dict:
        inner = {name: escaped(item) for name, item in value.items()}
        return {"$esc": inner} if len(inner) == 1 and next(iter(inner)).startswith("$") else inner
    return value


def over_the_wire(value: object) -> object:
    return _wire.decode(json.dumps({"type": "result", "value": escaped(value)}))["value"]


@pytest.mark.parametrize("value", EXACT, ids=repr)
def test_a_value_comes_as_it_was(value: object) -> None:
    found = over_the_wire(value)
    assert found == value
    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", [10**5000, -(16**4000), [10**4000, {"a": 10**9999}]], ids=["a", "b", "c"])
def test_integers_beyond_4000_digits_come_as_hexadecimal(value: object) -> None:
    assert "$int" in json.dumps(escaped(value))
    assert over_the_wire(value) == value


@pytest.mark.parametrize(
    "value",
    [{"$int": "0x10"}, {"$esc": {"$esc": 1}}, {"$other": [{"$int": 10**5000}]}, {"$": {"$": {"$": None}}}],
    ids=["int", "esc", "other", "deep"],
)
def test_a_dict_that_looks_like_an_escape_is_not_mistaken_for_one(value: object) -> None:
    assert over_the_wire(value) == value


def test_a_low_limit_on_digits_does_not_stop_integers() -> None:
    if not hasattr(sys, "set_int_max_str_digits"):
        pytest.skip("this Python has no such limit")
    before = sys.get_int_max_str_digits()
    number = -(7**4700)
    text = json.dumps({"type": "result", "value": [number, 1]})
    sys.set_int_max_str_digits(640)
    try:
        assert _wire.decode(text)["value"] == [number, 1]
    finally:
        sys.set_int_max_str_digits(before)


def test_a_frame_is_its_length_and_ascii() -> None:
    frame = _wire.encode({"type": "execute", "code": "'é\ud800'"})
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert json.loads(frame[4:].decode("ascii"))["code"] == "'é\ud800'"


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"a": 1}', '{"type": 1}', '{"type": "x"} {}', "\0"])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        _wire.decode(text)


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    result = _wire.result(
        {"type": "result", "id": "m", "timestamp": 1.0, "duration": 0.5, "execution_count": 3, "new": [1]}, "", "", []
    )
    assert (result.value, result.repr, result.data, result.changes.added, result.replayed) == (
        None,
        None,
        {},
        [],
        False,
    )
    assert (result.duration, result.execution_count) == (0.5, 3)
