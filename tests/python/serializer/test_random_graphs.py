"""Random graphs of objects: shared, cyclic, with views and functions. What comes back has the same shape.

The shape is taken by code that runs on both sides: every object gets the number of its first visit, so that equal
descriptions mean equal values, equal types and equal aliasing.
"""

import importlib.util

import pytest
import tools

MAKE = """
import random, collections, dataclasses
try: import numpy as np
except ImportError: np = None
rng = random.Random({seed})
class Node:
    def __init__(self, **kw): self.__dict__.update(kw)
class Child(Node):
    __slots__ = ('extra',)
@dataclasses.dataclass
class Data:
    x: object = None
    y: object = None
pool = []
def pick(): return rng.choice(pool) if pool and rng.random() < 0.6 else rng.choice([1, 'a', 2.5, None, (1, 2), b'x'])
def closure(value):
    def f(): return value
    return f
def with_default(value):
    def g(x=value): return x
    return g
def make():
    kind = rng.randrange(14)
    if kind == 0: return [pick() for _ in range(rng.randrange(4))]
    if kind == 1: return {{'k%d' % i: pick() for i in range(rng.randrange(4))}}
    if kind == 2: return (pick(), [pick()])
    if kind == 3: return Node(a=pick(), b=pick())
    if kind == 4: c = Child(a=pick()); c.extra = pick(); return c
    if kind == 5: return Data(pick(), pick())
    if kind == 6: return collections.deque([pick(), pick()])
    if kind == 7: return closure(pick())
    if kind == 8: return with_default(pick())
    if kind == 9: return collections.OrderedDict(z=pick(), a=pick())
    if kind == 10: return bytearray(b'abc')
    if kind == 11 and pool: return Node(m=rng.choice(pool))
    if np is not None and kind == 12: return np.arange(rng.choice([6, 6000]), dtype='f8')
    if np is not None and kind == 13:
        bases = [o for o in pool if type(o) is np.ndarray and o.size > 2]
        if bases: return rng.choice(bases)[rng.randrange(2)::rng.randrange(1, 3)]
    return [pick()]
for _ in range(40): pool.append(make())
for _ in range(15):  # cycles
    target, value = rng.choice(pool), rng.choice(pool)
    if type(target) is list: target.append(value)
    elif type(target) is dict: target['cycle'] = value
    elif type(target) in (Node, Data): target.cycle = value
    elif type(target).__name__ == 'function' and target.__defaults__: target.attr = value
for i, obj in enumerate(pool): globals()['v%d' % i] = obj
roots = {{'v%d' % i: None for i in range(len(pool))}}
del pool, rng, obj, i, _, value, target
"""
SHAPE = """
def shape():
    import numpy as np_or_none
    return walk(np_or_none)
def walk(np):
    seen, out, keep = {}, [], []
    todo = [globals()[name] for name in roots]
    buffers = {}
    at = 0
    while at < len(todo):
        obj = todo[at]; at += 1
        if type(obj) in (int, float, str, bytes, type(None)):
            out.append(repr(obj)); continue
        if type(obj) is tuple:
            out.append(('tuple', len(obj))); todo += obj; continue
        if id(obj) in seen:
            out.append(seen[id(obj)]); continue
        seen[id(obj)] = len(seen); keep.append(obj)
        name = type(obj).__name__
        if np is not None and isinstance(obj, np.ndarray):
            base = obj
            while isinstance(base.base, np.ndarray): base = base.base
            address = base.__array_interface__['data'][0]
            number = buffers.setdefault(address, len(buffers))
            out.append((name, number, obj.__array_interface__['data'][0] - address, obj.shape, obj.strides, str(obj.dtype), obj.tolist()))
        elif name == 'function':
            out.append((name, obj.__name__, sorted(vars(obj)), len(obj.__defaults__ or ()), len(obj.__closure__ or ())))
            todo += list(obj.__defaults__ or ()) + [c.cell_contents for c in obj.__closure__ or ()] + [vars(obj)[k] for k in sorted(vars(obj))]
        elif isinstance(obj, dict):
            out.append((name, list(obj))); todo += obj.values()
        elif isinstance(obj, bytearray):
            out.append((name, bytes(obj)))
        elif isinstance(obj, (list, collections.deque)):
            out.append((name, len(obj))); todo += obj
        else:
            out.append((name, sorted(vars(obj)), hasattr(obj, 'extra'), type(obj) is globals().get(name)))
            todo += [vars(obj)[k] for k in sorted(vars(obj))] + ([obj.extra] if name == 'Child' else [])
    return out
"""


@pytest.mark.parametrize("seed", range(24))
def test_random_graph(seed, tmp_path):
    numpy = "import numpy" if importlib.util.find_spec("numpy") else "numpy = None"
    setup = MAKE.format(seed=seed) + SHAPE.replace("import numpy as np_or_none", numpy + "; np_or_none = numpy")
    body = tools.save(tmp_path, [setup, f"import json\nwith open({str(tmp_path / 'shape')!r}, 'w') as f: f.write(repr(shape()))\ndel f"])
    assert not body["lost"]
    check = f"with open({str(tmp_path / 'shape')!r}) as f: expected = f.read()\nfound = repr(shape())\nassert found == expected, (found, expected)"
    assert not tools.load(tmp_path, check)["lost"]
