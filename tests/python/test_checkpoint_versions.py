"""Saved by a session under one version of Python, restored by a session under each other, with one data directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from serializer.versions import CHECK, SETUP
from known_state import PYENV

import pyrepl3

PYTHONS = sorted(PYENV.glob("versions/3.1[0-3].*/bin/python"))
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


def _name(path: Path) -> str:
    return path.parts[-3]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a checkpoint by each version, of the version's name."""
    data = tmp_path_factory.mktemp("versions")

    async def save(python: Path) -> None:
        async with pyrepl3.Session(python=python, data=data) as session:
            await session.execute(SETUP)
            await session.execute(MORE)
            made = await session.checkpoint(_name(python))
            assert {lost.name for lost in made.lost} == {"half"}
            assert session.python is not None and session.python.version == _name(python)

    async def save_all() -> None:
        await asyncio.gather(*map(save, PYTHONS))

    asyncio.run(save_all())
    yield data


@pytest.mark.parametrize("there", PYTHONS, ids=lambda path: "to " + _name(path))
async def test_each_version_restores_what_each_has_saved(there: Path, saved: Path) -> None:
    async def restore(here: Path) -> None:
        async with pyrepl3.Session(python=there, data=saved) as session:
            restored = await session.restore(_name(here))
            assert {lost.name for lost in restored.lost} == {"half"}, f"from {_name(here)}: {restored.lost}"
            for check in (CHECK, MORE_CHECK):
                try:
                    await session.execute(check)
                except pyrepl3.ExecutionError as error:
                    raise AssertionError(f"from {_name(here)}: {error.message.traceback}") from None

    await asyncio.gather(*map(restore, PYTHONS))


def test_there_are_versions_to_test() -> None:
    assert PYTHONS, f"no Python 3.10 to 3.13 in {PYENV / 'versions'}"
