"""Iterators of `itertools`: what they are made of, and how they are made again where they were.

Python 3.14 stopped pickling them, and what older versions write is of no use to it. Where Python does not tell, the collector knows what an
iterator refers to. Of some (`islice`, `takewhile`, `product`…) nobody tells how far they are: these are lost there.
"""

import gc
import itertools
import operator
import sys
import warnings
from collections import deque

from . import references

chain, cycle, count, repeat = itertools.chain, itertools.cycle, itertools.count, itertools.repeat
# Whether Python pickles them.
_TELLS = sys.version_info < (3, 14)
_TupleIterator, _ListIterator = type(iter((1,))), type(iter([]))


def _told(obj):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return obj.__reduce__()


def _put(made, state):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.__setstate__(state)
    return made


def _referents(obj):
    return [one for one in gc.get_referents(obj) if one is not type(obj)]


def _count(obj):
    found = _referents(obj)
    # A number that fits into a register is kept as such: then there is only the step, of one.
    return count, tuple(found) if len(found) == 2 else (int(repr(obj)[len("count(") : -1]),)


def _repeat(obj):
    element = _referents(obj)[0]
    try:
        return repeat, (element, obj.__length_hint__())
    except TypeError:
        return repeat, (element,)  # it has no end


def _chain(obj):
    source, active = _chain_parts(obj)
    if active is None and type(source) is chain:
        # As `load_chain` makes it.
        first, before = _chain_parts(source)
        within = first.__reduce__() if type(first) is _TupleIterator and before is None else ()
        if len(within) == 3 and within[2] == 0 and len(within[1][0]) == 2 and type(within[1][0][0]) is tuple:
            ((active,), source) = within[1][0]
    return references.chained, (source, active)


def _chain_parts(obj):
    """The iterator of what follows, and the one that it is in; None where there is none."""
    if _TELLS:
        told = _told(obj)
        found = told[2] if len(told) > 2 else ()
    else:
        found = _referents(obj)
    return (*found, None, None)[:2]


def load_chain(source, active):
    if source is None:
        return chain()
    if active is None:
        return chain.from_iterable(source)
    if not _TELLS:
        return chain.from_iterable(chain((active,), source))
    return _put(chain(), (source, active))


def _cycle(obj):
    if _TELLS:
        _kind, (rest,), (saved, is_over) = _told(obj)
        if not is_over:
            return references.cycling, (saved, rest)
        # What it goes through, from where it is.
        left = operator.length_hint(rest)
        return references.cycling, (saved[len(saved) - left :] + saved[: len(saved) - left], None)
    *rest, saved = _referents(obj)
    if rest:
        return references.cycling, (saved, _rest_of(rest[0]))
    # Once round: it is where it was.
    return references.cycling, ([next(obj) for _ in saved], None)


def _rest_of(rest):
    """What `load_cycle` put behind what was gone through already."""
    if type(rest) is chain:
        source, active = _chain_parts(rest)
        if type(active) is _ListIterator and operator.length_hint(active) == 0 and type(source) is _TupleIterator:
            told = source.__reduce__()
            if len(told) == 3 and told[2] == 1 and len(told[1][0]) == 2:
                return told[1][0][1]
    return rest


def load_cycle(saved, rest):
    if _TELLS:
        return _put(cycle(iter(saved) if rest is None else rest), (saved, rest is None))
    if rest is not None and not saved:
        return cycle(rest)
    made = cycle(saved if rest is None else chain(saved, rest))
    # As far as it was; once more round, so that it does not ask for more.
    deque(itertools.islice(made, (2 if rest is None else 1) * len(saved)), 0)
    return made


def _of_two(kind, order):
    """One that is all that it refers to. `order`: of what it is made of, in that of the collector."""

    def parts(obj):
        found = _referents(obj)
        return kind, tuple(found[at] for at in order)

    return parts


# Type -> what `__reduce__` would return.
PARTS = {chain: _chain, cycle: _cycle}
if not _TELLS:
    PARTS.update({count: _count, repeat: _repeat, itertools.compress: _of_two(itertools.compress, (0, 1))})
    PARTS.update({kind: _of_two(kind, (1, 0)) for kind in (itertools.starmap, itertools.filterfalse)})
