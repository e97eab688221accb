"""Generators of random numbers in branches whose numbers are to differ, where user code makes that hard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from textwrap import dedent

import pytest

from pyrepl3 import Session

from .tools import first_words, run

HOME = "import random, threading\nimport numpy as np\n"
DIFFER = {
    "a bit generator": ("bits = np.random.PCG64(16)", "bits.random_raw()"),
    "one in a list": ("held = [np.random.Philox(17)]", "held[0].random_raw()"),
    "children": ("one = np.random.default_rng(3)", "one.bit_generator.seed_seq.spawn(1)[0].generate_state(1)[0].item()"),
    "a subclass of numpy's": (
        """
        class Bits(np.random.PCG64):
            def __init__(self): super().__init__(7)
        one = np.random.Generator(Bits())
        """,
        "one.random()",
    ),
    "another seed": (
        """
        class Own(random.Random):
            def seed(self, number): super().seed(int(number))
        one = Own(3)
        """,
        "one.random()",
    ),
}
SAME = {
    "a generator that is locked": (
        """
        one = np.random.default_rng(1)
        inside = threading.Event()
        def holds():
            with one.bit_generator.lock: inside.set(); threading.Event().wait()
        threading.Thread(target=holds, daemon=True).start(); inside.wait()
        """,
        "PCG64",
    ),
    "numbers of its own": (
        """
        class Constant(random.Random):
            def random(self): return 0.5
        one = Constant(3)
        """,
        "Constant",
    ),
}


@asynccontextmanager
async def split(setup: str, count: int) -> AsyncIterator[tuple[Session, list[Session]]]:
    """A session, and branches of it whose numbers are to differ."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(Session())
        await run(session, HOME + dedent(setup))
        made = await session.branch(count, random="split")
        yield session, [await stack.enter_async_context(branch) for branch in made]


@pytest.mark.parametrize("what", DIFFER)
async def test_generators_of_user_code_differ(what: str) -> None:
    setup, draw = DIFFER[what]
    async with split(setup, 3) as (session, branches):
        drawn = [await run(one, draw) for one in (session, *branches)]
        assert len(set(drawn)) == 4, drawn


@pytest.mark.parametrize("what", SAME)
async def test_one_that_cannot_differ_is_named_and_holds_nobody_up(what: str) -> None:
    setup, name = SAME[what]
    async with split(setup, 2) as (session, branches):
        for branch in branches:
            assert "same in each branch" in await first_words(branch, name)
        assert await run(session, "1 + 1") == 2
