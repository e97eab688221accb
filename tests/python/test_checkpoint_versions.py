"""Saved by a session under one version of Python, restored by a session under each other, with one data directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from serializer.versions import CHECK, SETUP
from known_state import interpreters

import pyrepl3

PYTHONS = interpreters()
MORE = """
import datetime, decimal, logging, os, pathlib, random, re
moment, number, path = datetime.datetime(2020, 1, 1), decimal.Decimal('1.10'), pathlib.Path('/a/b')
pattern, whole = re.compile('a+(?P<x>b)', re.I), {'numbers': list(range(100)), 'set': {1, 2}, 'me': None}
whole['me'] = whole; shared = whole['numbers']; walk = iter(shared); next(walk)
gen = random.Random(5); gen.random(); twin = gen.getstate()
random.seed(7); expected = random.Random(7).random()
os.environ['CASE_VERSIONS'] = 'kept'; logging.getLogger('case').setLevel(7)
threshold = 5
def above(values): return [each for each in values if each > threshold]
async def later(): return threshold
class Meta(type):
    def __call__(cls, *args): made = super().__call__(*args); made.by = cls.__name__; return made
class Made(metaclass=Meta):
    __slots__ = ('by', '__dict__', '__weakref__')
made = Made()
half = (each for each in shared)
"""
MORE_CHECK = """
assert moment.year == 2020 and str(number) == '1.10' and path.name == 'b' and pattern.fullmatch('AB')
assert whole['me'] is whole and whole['numbers'] is shared and len(shared) == 100 and next(walk) == 1
assert gen.getstate() == twin and random.random() == expected
assert os.environ['CASE_VERSIONS'] == 'kept' and logging.getLogger('case').level == 7
assert above([1, 9]) == [9]; threshold = 9
assert above([1, 9]) == [] and await later() == 9
assert made.by == 'Made' and type(Made) is Meta and Made().by == 'Made'
assert 'half' not in globals()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a checkpoint by each version, of the version's name."""
    data = tmp_path_factory.mktemp("versions")

    async def save(version: str) -> None:
        async with pyrepl3.Session(python=PYTHONS[version], data=data) as session:
            await session.execute(SETUP)
            await session.execute(MORE)
            made = await session.checkpoint(f"by {version}")
            assert {lost.name for lost in made.lost} == {"half"}
            assert session.python is not None and session.python.version.startswith(f"{version}.")

    async def save_all() -> None:
        await asyncio.gather(*map(save, PYTHONS))

    asyncio.run(save_all())
    yield data


@pytest.mark.parametrize("there", PYTHONS, ids=lambda version: f"to {version}")
async def test_each_version_restores_what_each_has_saved(there: str, saved: Path) -> None:
    async def restore(here: str) -> None:
        async with pyrepl3.Session(python=PYTHONS[there], data=saved) as session:
            restored = await session.restore(f"by {here}")
            assert {lost.name for lost in restored.lost} == {"half"}, f"from {here}: {restored.lost}"
            for check in (CHECK, MORE_CHECK):
                try:
                    await session.execute(check)
                except pyrepl3.ExecutionError as error:
                    raise AssertionError(f"from {here}: {error.message.traceback}") from None

    await asyncio.gather(*map(restore, PYTHONS))


LAZY = """
import dataclasses
lazy import colorsys
lazy import xml.dom.minidom
lazy from textwrap import dedent
lazy from math import pi
held = {'colorsys': globals()['colorsys'], 'xml': globals()['xml']}
"""


@pytest.mark.skipif("3.15" not in PYTHONS, reason="no Python 3.15 is here")
async def test_what_is_imported_lazily_is_imported_at_the_restore(tmp_path: Path) -> None:
    async with pyrepl3.Session(python=PYTHONS["3.15"], data=tmp_path) as session:
        await session.execute(LAZY)
        # A module of Python's own uses what it has imported so: no change of the session's.
        await session.execute("dataclasses.copy; setattr(dataclasses, 'of_the_' + 'session', 1)")
        made = await session.checkpoint("lazy")
        assert not made.lost
        assert (await session.execute("type(globals()['colorsys']).__name__")).value == "lazy_import"
    async with pyrepl3.Session(python=PYTHONS["3.15"], data=tmp_path) as session:
        assert not (await session.restore("lazy")).lost
        look = "held['colorsys'] is colorsys, held['xml'] is xml, xml.dom.minidom.__name__, dedent('  a'), pi > 3, dataclasses.of_the_session"
        assert list((await session.execute(f"[{look}]")).value) == [True, True, "xml.dom.minidom", "a", True, 1]
