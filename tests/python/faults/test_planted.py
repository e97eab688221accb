"""What is wrong on purpose is noticed; the same run without it is clean."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from faults.runs import Kind, clean, violations
from faults.test_faults import cut_power, traced

TRIES = 6
"""Seeds within which a plant is to be found. What happens when is not the same in each run."""

PATIENCE = 30.0
"""Seconds that such a run may take."""

POWER = Kind(cut_power, traced, ("--durability", "machine"), may_crash=True, talks=False)
# What a client sees as told before it passes over: only who reads everything is asked.
CASES = {
    "skip_sync": (POWER, ("gone", "not known any more", "nothing now", "ended as", "was told as", "no answer")),
    "repeat": (Kind(network=True, talks=False), ("was taken 2 times", "ran 2 times", "was taken as")),
    "drop_output": (Kind(talks=False), ("differs at byte", "are said to be missing")),
    "reuse_number": (Kind(talks=False), ("comes after event", "was told as", "then {")),
}


@pytest.mark.parametrize("plant", list(CASES))
async def test_what_is_planted_is_noticed(plant: str, tmp_path: Path) -> None:
    kind, words = CASES[plant]
    for seed in range(TRIES):
        place = tmp_path / str(seed)
        place.mkdir()
        try:
            found = await asyncio.wait_for(violations(replace(kind, always=f"plant={plant}"), place, seed), PATIENCE)
        except (AssertionError, asyncio.TimeoutError) as error:
            # A journal without its beginning cannot be gone on with, say.
            found = [f"a client has no answer: {error!r}"]
        if any(word in one for word in words for one in found):
            break
    else:
        raise AssertionError(f"{plant} was not noticed")
    place = tmp_path / "clean"
    place.mkdir()
    await clean(kind, place, seed)
