"""Whatever a checkpoint lists as saved is there after a restore, and as it was; and whatever there was is listed as saved or lost.

Objects of many kinds, well-behaved and not, in random company. What is looked at is described by code that runs on both sides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tools

MAKERS = """
import collections, dataclasses, datetime, decimal, enum, fractions, functools, itertools, operator, pathlib, random, re, threading, types, uuid, weakref, io, array
try: import numpy as np
except ImportError: np = None
try: import pandas as pd
except ImportError: pd = None

class Plain:
    def __init__(self, *parts): self.parts = list(parts)
class Slots:
    __slots__ = ("a", "b")
    def __init__(self, a, b): self.a, self.b = a, b
class Base:
    registry = []
    def __init_subclass__(cls): Base.registry.append(cls.__name__)
class Sub(Base):
    def __init__(self, x): self.x = x
    def __eq__(self, other): return type(other) is Sub and other.x == self.x
    __hash__ = None
@dataclasses.dataclass
class Data:
    n: int
    more: list = dataclasses.field(default_factory=list)
@dataclasses.dataclass(frozen=True)
class Frozen:
    n: object
class Kind(enum.Enum):
    A = 1
    B = [2]
Pair = collections.namedtuple("Pair", "left right")
class Stateful:
    def __init__(self, x): self.x, self.cache = x, {"c": 1}
    def __getstate__(self): return {"x": self.x}
    def __setstate__(self, state): self.__dict__.update(state, cache={})
# What does not come back as it was.
class Forgets:
    def __init__(self, x): self.x = x
    def __reduce__(self): return Forgets, (None,)
class Changes:
    def __init__(self, x): self.x = x
    def __reduce__(self): return int, (5,)
class Fails:
    def __init__(self, x): self.x = x
    def __reduce__(self): raise RuntimeError("not this one")
class FailsToLoad:
    def __init__(self, x): self.x = x
    def __setstate__(self, state): raise RuntimeError("not back")
class Copies:
    def __init__(self, x): self.x = x
    def __getstate__(self): return {"x": list(self.x) if type(self.x) is list else self.x}
class Counts:
    made = 0
    def __init__(self, x): self.x = x; Counts.made += 1
    def __reduce__(self): return Counts, (self.x,)
class Named:
    def __reduce__(self): return "anything"
class Lists(list): pass
class Dicts(dict):
    def __missing__(self, key): return key
def function(x, y=(1, 2)): return x, y
def closure_of(value):
    def inner(): return value
    return inner
def generator_of(value):
    yield value
class WithProperty:
    @property
    def p(self): return self._p
    @p.setter
    def p(self, value): self._p = value
    @classmethod
    def make(cls): return cls()
    @staticmethod
    def s(x): return x

def some(rng, pick):
    kind = rng.randrange(64)
    makers = [
        lambda: Plain(pick(), pick()), lambda: Slots(pick(), pick()), lambda: Sub(pick()), lambda: Data(3, [pick()]), lambda: Frozen(pick()),
        lambda: rng.choice(list(Kind)), lambda: Pair(pick(), [pick()]), lambda: Stateful(pick()), lambda: Forgets(1), lambda: Changes(pick()),
        lambda: Fails(pick()), lambda: FailsToLoad(pick()), lambda: Copies([pick()]), lambda: Counts(pick()), Named, lambda: Lists([pick()]),
        lambda: Dicts(a=pick()), lambda: function, lambda: closure_of(pick()), lambda: generator_of(pick()), WithProperty,
        lambda: functools.partial(function, pick()), lambda: operator.itemgetter(1), lambda: re.compile("a(b)"), lambda: uuid.UUID(int=rng.randrange(9)),
        lambda: decimal.Decimal("1.50"), lambda: fractions.Fraction(1, 3), lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
        lambda: pathlib.PurePosixPath("a/b"), lambda: types.SimpleNamespace(v=pick()), lambda: collections.Counter("abca"),
        lambda: collections.defaultdict(list, a=[pick()]), lambda: collections.deque([pick()], maxlen=3), lambda: random.Random(4),
        lambda: itertools.count(3), lambda: iter([pick(), pick()]), lambda: threading.Lock(), threading.Event, lambda: io.StringIO("text"),
        lambda: array.array("i", [1, 2]), lambda: memoryview(bytearray(b"abc")), lambda: bytearray(b"xy"), lambda: range(3), lambda: slice(1, 2),
        lambda: {pick(): 1} if False else {1: pick()}, lambda: frozenset([1, 2]), lambda: {1, 2, (3,)}, lambda: [pick() for _ in range(3)],
        lambda: (pick(), [pick()]), lambda: ValueError("x", pick()), lambda: Plain, lambda: Kind, lambda: len, lambda: [].append,
        lambda: Plain(1).__init__, lambda: str.upper, lambda: types.MappingProxyType({"a": 1}), lambda: weakref.ref(function), lambda: property(len),
        lambda: 1.5, lambda: "text", lambda: np and np.arange(rng.choice([5, 5000])), lambda: np and np.array([pick(), 1], dtype=object),
        lambda: pd and pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    ]
    return makers[kind]()

def fill(seed):
    rng, pool = random.Random(seed), []
    def pick(): return rng.choice(pool) if pool and rng.random() < 0.5 else rng.choice([1, "a", None, (1, "b"), b"x"])
    for number in range(30):
        pool.append(some(rng, pick))
        globals()[f"v{number}"] = pool[-1]
"""

DESCRIBE = """
def described(obj, seen, level=0):
    kind = type(obj)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if obj is None or kind in (int, float, str, bytes, bool, complex, range, slice, type(...)): return repr(obj)
    if isinstance(obj, (type, types.BuiltinFunctionType, types.ModuleType)) or kind in (type(str.upper), re.Pattern, decimal.Decimal, fractions.Fraction, uuid.UUID):
        return repr(obj).partition(" at 0x")[0] if "object at 0x" in repr(obj) else repr(obj)
    if id(obj) in seen: return f"seen {seen[id(obj)]}"
    if kind in (frozenset, set): return f"{name} {sorted(map(repr, obj))}"
    if kind is not tuple: seen[id(obj)] = len(seen)
    keep.append(obj)
    if level > 12: return "deep"
    deeper = lambda one: described(one, seen, level + 1)
    if isinstance(obj, enum.Enum): return repr(obj)
    if np is not None and isinstance(obj, np.ndarray): return [name, str(obj.dtype), obj.shape, [deeper(one) for one in obj.tolist()[:20]]]
    if pd is not None and isinstance(obj, pd.DataFrame): return [name, obj.to_dict()]
    if kind is types.FunctionType:
        return [name, obj.__qualname__, deeper(obj.__defaults__), [deeper(cell.cell_contents) for cell in obj.__closure__ or ()]]
    if kind is types.MethodType: return [name, obj.__name__, deeper(obj.__self__)]
    if kind is functools.partial: return [name, deeper(obj.func), deeper(obj.args)]
    if kind is random.Random: return [name, repr(obj.getstate())[:300], obj.getstate()[1][-1]]
    if kind is io.StringIO: return [name, obj.getvalue()]
    if kind is memoryview: return [name, bytes(obj)]
    if kind in (array.array, bytearray, datetime.datetime, pathlib.PurePosixPath, types.MappingProxyType, operator.itemgetter, itertools.count): return repr(obj)
    if kind is type(iter([])): return [name, [deeper(one) for one in obj.__reduce__()[1][0]]]
    if kind is weakref.ref: return [name, obj() is function]
    found = [name]
    if isinstance(obj, dict): found.append([(repr(key), deeper(value)) for key, value in obj.items()])
    elif isinstance(obj, (list, tuple, collections.deque)): found.append([deeper(one) for one in obj])
    elif isinstance(obj, BaseException): found.append(deeper(obj.args))
    if kind is Slots: found += [deeper(obj.a), deeper(obj.b)]
    elif kind is Stateful: found.append(deeper(obj.x))
    elif hasattr(obj, "__dict__") and kind not in (threading.Event,): found.append([(key, deeper(value)) for key, value in sorted(vars(obj).items())])
    return found

keep = []
def all_described():
    names = [f"v{number}" for number in range(30) if f"v{number}" in globals()]
    apart = {name: repr(described(globals()[name], {})) for name in names}
    # Which of several equal texts or numbers it is matters to nobody.
    own = [name for name in names if type(globals()[name]) not in (int, float, str, bytes)]
    same = sorted((one, other) for one in own for other in own if one < other and globals()[one] is globals()[other])
    return {"apart": apart, "same": same}
"""

TELL = DESCRIBE + """
import json
with open(PATH, 'w') as file: json.dump(all_described(), file)
del file, keep, described, all_described
"""


def is_noted(name: str, lost: list[dict[str, Any]]) -> bool:
    """Whether something is said to be missing in what a name holds."""
    return any(one["name"].startswith((f"{name}[", f"{name}.", f"{name}:")) or one["name"].endswith(f" in {name}") for one in lost)


@pytest.mark.parametrize("seed", [*range(30), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(30, 150))])
def test_saved_means_there_and_as_it_was(seed: int, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    body = tools.save(tmp_path, [MAKERS, f"fill({seed})", TELL.replace("PATH", repr(str(before)))])
    lost = {one["name"] for one in body["lost"]}
    saved = {one["name"] for one in body["variables"]}
    names = {f"v{number}" for number in range(30)}
    assert names - saved - lost == set(), "neither saved nor lost"
    assert saved & lost == set(), "both"
    report = tools.load(tmp_path, TELL.replace("PATH", repr(str(after))))
    assert {one["name"] for one in report["lost"]} == lost, "lost at the restore"
    then, now = json.loads(before.read_text()), json.loads(after.read_text())
    assert names & saved == set(now["apart"]), "listed as saved, and not there"
    for name in sorted(names & saved):
        if not is_noted(name, body["lost"]):
            assert now["apart"][name] == then["apart"][name], name
    both = [tuple(pair) for pair in then["same"] if set(pair) <= saved]
    assert [tuple(pair) for pair in now["same"]] == both, "what was one object is one"


def test_a_planted_fault_is_seen(tmp_path: Path) -> None:
    """The descriptions tell objects apart that differ."""
    before, after = tmp_path / "before", tmp_path / "after"
    tools.save(tmp_path, [MAKERS, "fill(1)\nv0 = Plain([1], [2])\nv1 = v0", TELL.replace("PATH", repr(str(before)))])
    tools.load(tmp_path, "v0.parts[1].append(3)\nv1 = Plain([1], [2])\n" + TELL.replace("PATH", repr(str(after))))
    then, now = json.loads(before.read_text()), json.loads(after.read_text())
    assert now["apart"]["v0"] != then["apart"]["v0"] and ["v0", "v1"] in then["same"] and ["v0", "v1"] not in now["same"]
