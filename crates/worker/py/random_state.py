"""Random state of branches that are to differ: every generator goes its own way, reproducibly."""

import gc
import random
import sys

_objects = gc.get_objects


def generators():
    """All generators of random numbers. To look for them is to write to all memory: who makes many branches does it once, before,
    as each page that a branch writes to would be copied."""
    # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
    kinds = [(one, type(one)) for one in _objects()]
    own = [one for one, kind in kinds if issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom)]
    numpy_random = sys.modules.get("numpy.random")
    others = [] if numpy_random is None else [numpy_random.mtrand._rand, *_referenced(numpy_random)]
    return [random._inst, *(one for one in own if one is not random._inst)], others


def split(found, index):
    """Moves each generator of this process to a stream of its own, that depends on its state and the branch's number. `found`:
    what `generators` returned."""
    own, others = found
    for one in own:
        one.seed(f"{one.getrandbits(128)} {index}")
    seen = set()
    for one in others:
        bits = getattr(one, "bit_generator", None) or one._bit_generator
        if id(bits) not in seen:
            seen.add(id(bits))
            _split_bits(sys.modules["numpy.random"], bits, index)


def _referenced(numpy_random):
    """Generators that something refers to. They are not tracked themselves, so those who hold them are asked."""
    kinds = (numpy_random.Generator, numpy_random.RandomState)
    holders, found = _objects(), []
    for at in range(0, len(holders), 1000):
        found += [one for one in gc.get_referents(*holders[at : at + 1000]) if issubclass(type(one), kinds)]
    return found


def _split_bits(numpy_random, bits, index):
    seed = [int(word) for word in bits.random_raw(4)] + [index]
    bits.state = type(bits)(numpy_random.SeedSequence(seed)).state
