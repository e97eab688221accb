"""Saved under one version of Python, loaded under each other."""

import pytest
import tools
from known_state import PYENV
from versions import CHECK, SETUP

PYTHONS = sorted(PYENV.glob("versions/3.1[0-3].*/bin/python"))


def pairs():
    """Each with each; those without the newest take long together."""
    found = []
    for here in PYTHONS:
        for there in PYTHONS:
            marks = () if PYTHONS[-1] in (here, there) else pytest.mark.long
            found.append(pytest.param(here, there, marks=marks, id=f"from {here.parts[-3]} to {there.parts[-3]}"))
    return found


@pytest.mark.parametrize(("here", "there"), pairs())
def test_versions(here, there, tmp_path):
    body = tools.save(tmp_path, SETUP, python=str(here))
    assert not body["lost"]
    report = tools.load(tmp_path, CHECK, python=str(there))
    assert not report["lost"]


NEWER = """
k = 2
def deco(f): return f
@deco
@deco
def plain(x):
    '''
doc at the beginning of a line'''
    return x * k
type Number = int
class A:
    def get(self): return super().__repr__()[:1] + str(k)
    class Inner:
        def two(self): return [lambda: k][0]()
def newer[T](x: T) -> T: return x
def after(): return k + 1
"""


@pytest.mark.skipif(len(PYTHONS) < 2 or "3.1" not in PYTHONS[-1].parts[-3], reason="one version of Python is here")
def test_what_is_newer_loses_only_itself(tmp_path):
    body = tools.save(tmp_path, NEWER, python=str(PYTHONS[-1]))
    assert not body["lost"]
    check = "assert after() == 3 and A().get() == '<2' and A.Inner().two() == 2 and deco(1) == 1 and plain(4) == 8"
    report = tools.load(tmp_path, check, python=str(PYTHONS[0]))
    assert set(tools.lost(report)) == {"Number", "newer"}
