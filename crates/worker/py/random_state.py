"""Random state of branches that are to differ: every generator goes its own way, reproducibly."""

import gc
import random
import sys

_objects = gc.get_objects


def split(index):
    """Moves each generator of this process to a stream of its own, that depends on its state and the branch's number."""
    numpy_random = sys.modules.get("numpy.random")
    generators = [random._inst]
    legacy = []
    for one in _objects():
        # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
        kind = type(one)
        if issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom) and one is not random._inst:
            generators.append(one)
    for one in generators:
        one.seed(f"{one.getrandbits(128)} {index}")
    if numpy_random is None:
        return
    seen = set()
    legacy.append(numpy_random.mtrand._rand)
    for one in _referenced(numpy_random):
        legacy.append(one)
    for one in legacy:
        bits = getattr(one, "bit_generator", None) or one._bit_generator
        if id(bits) in seen:
            continue
        seen.add(id(bits))
        _split_bits(numpy_random, bits, index)


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
