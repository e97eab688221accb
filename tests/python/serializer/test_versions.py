"""Saved under one version of Python, loaded under each other."""

import pytest
import tools
from known_state import interpreters
from versions import CHECK, SETUP

PYTHONS = interpreters()
OLDEST, NEWEST = list(PYTHONS)[0], list(PYTHONS)[-1]


def pairs():
    """Each with each; those without the newest take long together."""
    found = []
    for here in PYTHONS:
        for there in PYTHONS:
            marks = () if NEWEST in (here, there) else pytest.mark.long
            found.append(pytest.param(PYTHONS[here], PYTHONS[there], marks=marks, id=f"from {here} to {there}"))
    return found


@pytest.mark.parametrize(("here", "there"), pairs())
def test_versions(here, there, tmp_path):
    body = tools.save(tmp_path, SETUP, python=here)
    assert not body["lost"]
    report = tools.load(tmp_path, CHECK, python=there)
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


@pytest.mark.skipif(len(PYTHONS) < 2, reason="one version of Python is here")
def test_what_is_newer_loses_only_itself(tmp_path):
    body = tools.save(tmp_path, NEWER, python=PYTHONS[NEWEST])
    assert not body["lost"]
    check = "assert after() == 3 and A().get() == '<2' and A.Inner().two() == 2 and deco(1) == 1 and plain(4) == 8"
    report = tools.load(tmp_path, check, python=PYTHONS[OLDEST])
    assert set(tools.lost(report)) == {"Number", "newer"}
