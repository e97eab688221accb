"""What is kept of an execution's text and displays: the beginning and the end."""

from __future__ import annotations

import random

import pytest

from pyrepl3 import DisplayMessage
from pyrepl3._text import BoundedDisplays, BoundedText

LIMIT = 1 << 20


def kept(pieces: list[str], limit: int = LIMIT) -> tuple[str, int]:
    text = BoundedText(limit)
    for piece in pieces:
        text.append(piece)
    return text.text(), text.missing


def test_what_fits_is_kept_whole() -> None:
    assert kept([]) == ("", 0)
    assert kept(["a", "", "b\n"]) == ("ab\n", 0)
    assert kept(["x" * LIMIT]) == ("x" * LIMIT, 0)
    assert kept(["x"] * LIMIT)[1] == 0


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000, LIMIT, 3 * LIMIT])
def test_the_middle_is_left_out_and_the_text_says_how_much(size: int) -> None:
    whole = "".join(map(str, range(500_000)))
    found, missing = kept([whole[start : start + size] for start in range(0, len(whole), size)])
    head, marker, tail = found.split("\n")
    assert head == whole[: LIMIT // 2]
    assert tail == whole[-(LIMIT // 2) :]
    assert missing == len(whole) - LIMIT
    assert f"{missing:,} characters" in marker


def test_reading_in_between_changes_nothing() -> None:
    rng = random.Random(3)
    pieces = ["".join(rng.choices("ab\nc", k=rng.randrange(300))) for _ in range(500)]
    text, whole = BoundedText(10_000), ""
    for piece in pieces:
        text.append(piece)
        whole += piece
        if len(whole) <= 10_000:
            assert text.text() == whole
        else:
            found = text.text()
            assert found.startswith(whole[:5000])
            assert found.endswith(whole[-5000:])
            assert text.missing == len(whole) - 10_000


def test_a_million_small_pieces_do_not_stay_objects() -> None:
    text = BoundedText()
    for number in range(1_000_000):
        text.append(f"{number}\n")
    assert len(text._head) + len(text._tail) + len(text._fresh) < 80_000
    assert text.text().endswith("999999\n")


def test_displays_are_cut_in_the_middle_too() -> None:
    displays = BoundedDisplays(limit=100)
    for number in range(30):
        displays.append(DisplayMessage(data={"n": number}), 10)
    found = displays.list()
    assert [m.data.get("n") for m in found] == [0, 1, 2, 3, 4, None, 25, 26, 27, 28, 29]
    assert "20 displays" in found[5].data["text/plain"]
    assert displays.missing == 20


def test_one_large_display_is_kept() -> None:
    displays = BoundedDisplays(limit=100)
    displays.append(DisplayMessage(data={"n": 1}), 1000)
    assert [m.data["n"] for m in displays.list()] == [1]
    displays.append(DisplayMessage(data={"n": 2}), 1000)
    assert [m.data.get("n") for m in displays.list()] == [None, 2]
