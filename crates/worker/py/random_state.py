"""Random state of branches that are to differ: every generator goes its own way, reproducibly."""

import gc
import random
import sys

_objects = gc.get_objects
_BRANCH = 0xB4A9C4
_PATIENCE = 0.5
"""Seconds for a thread to give a generator free: it draws, mostly."""


def generators():
    """All generators of random numbers. To look for them is to write to all memory: who makes many branches does it once, before,
    as each page that a branch writes to would be copied."""
    objects = _objects()
    # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
    own = [one for one in objects if issubclass(type(one), random.Random) and not issubclass(type(one), random.SystemRandom)]
    numpy_random = sys.modules.get("numpy.random")
    others = [] if numpy_random is None else [numpy_random.mtrand._rand, *_of_numpy(numpy_random, objects)]
    return [random._inst, *(one for one in own if one is not random._inst)], others


def split(found, index):
    """Moves each generator of this process to a stream of its own, that depends on its state and the branch's number. `found`:
    what `generators` returned. Returns words for those that could not be moved. No code of the user's runs: a subclass is moved by
    the methods of its base, or not at all."""
    own, others = found
    left = []
    for one in own:
        if type(one).random is not random.Random.random or type(one).getrandbits is not random.Random.getrandbits:
            left.append(f"a generator of the class {type(one).__name__} makes its numbers itself: they are the same in each branch")
            continue
        random.Random.seed(one, f"{random.Random.getrandbits(one, 128)} {index}")
    seen = set()
    for one in others:
        bits = getattr(one, "bit_generator", None) or getattr(one, "_bit_generator", one)
        if id(bits) not in seen:
            seen.add(id(bits))
            try:
                _split_bits(sys.modules["numpy.random"], bits, index)
            except Exception as error:
                left.append(f"a {type(bits).__name__} of numpy draws the same in each branch: {error}")
    return left


def _of_numpy(numpy_random, objects):
    """Those of numpy. Not all are tracked themselves, so those who hold them are asked, too; and not all who hold them are listed."""
    kinds = (numpy_random.Generator, numpy_random.RandomState, numpy_random.BitGenerator)
    found = []
    for at in range(0, len(objects), 1000):
        some = objects[at : at + 1000]
        found += [one for one in (*some, *gc.get_referents(*some)) if issubclass(type(one), kinds)]
    return found


def _split_bits(numpy_random, bits, index):
    if not bits.lock.acquire(timeout=_PATIENCE):
        raise TimeoutError("a thread has locked it")
    bits.lock.release()
    seed = [int(word) for word in bits.random_raw(4)] + [index]
    kind = next(kind for kind in type(bits).__mro__ if kind.__module__.startswith("numpy.random"))
    state = kind(numpy_random.SeedSequence(seed)).state
    state["bit_generator"] = type(bits).__name__
    bits.state = state
    source = getattr(bits, "seed_seq", None)
    if type(source) is numpy_random.SeedSequence:
        # Generators that it spawns from now on are this branch's, too: children of a child that nobody else has.
        key = (*source.spawn_key, _BRANCH, index)
        source.__init__(source.entropy, spawn_key=key, pool_size=source.pool_size, n_children_spawned=source.n_children_spawned)
