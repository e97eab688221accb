"""Whether what was loaded back is what was saved: in structure, types and aliasing, without a call of `__eq__`.

Used where equal streams are no proof: for objects whose classes pickle themselves in a way of their own (they may lie),
and for what a second pickle writes differently, such as sets of objects.
"""

import collections
import math
import struct
import sys
import types
import weakref

from . import bytecode
from .iterators import PARTS
from .reducing import HOOKS, state_of
from .registry import package
from .remains import NotSaved
from .situation import LAZY
from .words import module_of, name_of, type_name

_mro = type.__dict__["__mro__"].__get__
_ATOMS = (int, str, bytes, bool, type(None), complex, bytearray, range)
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque, collections.OrderedDict)
_PLACEHOLDER = NotSaved("")
# The most that a difference shows of a value.
SHOWN = 60


class Different(Exception):
    pass


class Comparison:
    """`key_here`, `key_there`: the keys of definitions among the originals and among what was loaded. `missing`: id of
    an original -> why there is a placeholder for it (remains.py)."""

    def __init__(self, key_here, key_there, missing=None):
        self.missing = missing or {}
        self.key_here, self.key_there = key_here, key_there
        self.there, self.here = {}, {}  # id -> the id of its counterpart
        self.alive, self.todo = [], []

    def difference(self, one, other, name, ordered=True):
        """None, or what differs in words, such as "x[3].a: 1 became 2". `ordered`: whether the order in dicts counts."""
        self.ordered = ordered
        self.todo.append((one, other, (None, name)))
        try:
            while self.todo:
                self._pair(*self.todo.pop())
        except Different as difference:
            return str(difference)
        return None

    def _differ(self, path, text):
        parts = []
        while path is not None:
            parts.append(path[1])
            path = path[0]
        raise Different(f"{''.join(reversed(parts))}: {text}")

    def _pair(self, one, other, path):
        if type(one) is LAZY:
            one = one.resolve()
        if one is other or type(other) is NotSaved and self.missing.get(id(one)) == other.reason:
            return
        kind = type(one)
        key = self.key_here(one)
        if key is not None:
            if self.key_there(other) != key:
                self._differ(path, f"{type_name(one)} became another one")
            return
        if one is None and _in_library(path):
            return  # a library computes some things only when somebody, such as its own pickling, asks for them
        if kind is not type(other) and (self.key_here(kind) or 0) != self.key_there(type(other)):
            self._differ(path, f"{_show(one)} became {_show(other)}")
        if kind is float:
            if struct.pack("d", one) != struct.pack("d", other) and not (math.isnan(one) and math.isnan(other)):
                self._differ(path, f"{_show(one)} became {_show(other)}")
            return
        if kind in _ATOMS and kind is not bytearray:
            if one != other:
                self._differ(path, f"{_show(one)} became {_show(other)}")
            return
        known, back = self.there.get(id(one)), self.here.get(id(other))
        if known is not None or back is not None:
            if known != id(other) or back != id(one):
                if kind not in (tuple, frozenset):
                    self._differ(path, "what was one object became two, or two became one")
            elif known is not None:
                return
        self.there[id(one)], self.here[id(other)] = id(other), id(one)
        self.alive += (one, other)
        self._content(one, other, kind, path)

    def _content(self, one, other, kind, path):
        if kind is bytearray:
            if one != other:
                self._differ(path, "its bytes changed")
        elif kind is types.CodeType:
            if bytecode.marshalled(one) != bytecode.marshalled(other):
                self._differ(path, "its code changed")
        elif kind is types.MethodType:
            self.todo += [(one.__self__, other.__self__, (path, ".__self__"))]
            self.todo += [(one.__func__, other.__func__, (path, ".__func__"))]
        elif kind in (property, classmethod, staticmethod):
            names = ("fget", "fset", "fdel") if kind is property else ("__func__",)
            self.todo += [(getattr(one, name), getattr(other, name), (path, f".{name}")) for name in names]
        elif kind is weakref.WeakSet:
            self._set(weakref.WeakSet, one, other, path)
        elif kind is weakref.ref:
            self.todo.append((one(), other(), (path, "()")))
        elif "numpy" in sys.modules and issubclass(kind, sys.modules["numpy"].ndarray):
            self._array(one, other, path)
            if hasattr(one, "__dict__"):
                self.todo.append((vars(one), vars(other), path))
        elif kind.__module__ == "numpy" and hasattr(kind, "__array_interface__") and hasattr(one, "dtype"):
            self._array(one, other, path)
        else:
            self._object(one, other, kind, path)

    def _array(self, one, other, path):
        for name in ("dtype", "shape", "strides"):
            if getattr(one, name) != getattr(other, name) and (one.size or name != "strides"):
                self._differ(path, f".{name}: {getattr(one, name)} became {getattr(other, name)}")
        if isinstance(one, sys.modules["numpy"].ndarray):
            # As they lie in memory, whatever a subclass makes of it.
            plain = sys.modules["numpy"].ndarray
            one, other = plain.view(one, plain), plain.view(other, plain)
        if one.dtype.hasobject:
            self.todo += [(a, b, (path, f".flat[{at}]")) for at, (a, b) in enumerate(zip(one.flat, other.flat))]
        elif one.__array_interface__["data"] != other.__array_interface__["data"] and one.tobytes() != other.tobytes():
            self._differ(path, "its content changed")

    def _object(self, one, other, kind, path):
        hooked = _hooked(kind)
        if hooked is not None and self.key_here(hooked) is None and kind not in _CONTAINERS:
            # An installed package's own pickling is trusted: it leaves out caches, numbers things anew, and the like.
            if package(module_of(hooked) or "__main__") is not None:
                return
            if self.key_here(kind) is None:
                self._reduction(one, other, path)
                return
        for base in _mro(kind):
            if base in _CONTAINERS:
                self._container(base, one, other, path)
                break
            if base in _ATOMS or base is float:
                self.todo.append((base.__new__(base, one), base.__new__(base, other), path))
                break
        if issubclass(kind, BaseException):
            for name in ("args", "__cause__", "__context__"):
                get = vars(BaseException)[name].__get__
                self.todo.append((get(one), get(other), (path, f".{name}")))
        (own, slots), (own2, slots2) = state_of(one), state_of(other)
        if self.key_here(kind) is None and own is None and not slots and kind not in _CONTAINERS:
            self._reduction(one, other, path)
            return
        dropped = _dropped(one, kind, {**(own or {}), **slots})
        for mine, yours in ((own or {}, own2 or {}), (slots, slots2)):
            for name in mine:
                if name in dropped:
                    continue
                if name not in yours:
                    self._differ(path, f".{name}: is gone")
                self.todo.append((mine[name], yours[name], (path, f".{name}")))
            if any(name not in mine and name not in dropped for name in yours):
                extra = next(name for name in yours if name not in mine)
                self._differ(path, f".{extra}: was not there")

    def _container(self, base, one, other, path):
        if len_of(base, one) != len_of(base, other):
            self._differ(path, f"{len_of(base, one)} items became {len_of(base, other)}")
        if base in (set, frozenset):
            self._set(base, one, other, path)
        elif issubclass(base, dict):
            pairs = zip(base.items(one), base.items(other))
            if not self.ordered and all(type(key) is str for key in (*base.keys(one), *base.keys(other))):
                if set(one) != set(other):
                    self._differ(path, f"{sorted(set(one) ^ set(other))[0]!r} came or went")
                pairs = (((key, value), (key, base.__getitem__(other, key))) for key, value in base.items(one))
            for (key, value), (key2, value2) in pairs:
                self.todo.append((value, value2, (path, f"[{_show(key)}]")))
                self.todo.append((key, key2, (path, f"[key {_show(key)}]")))
        else:
            items = enumerate(zip(base.__iter__(one), base.__iter__(other)))
            self.todo += [(a, b, (path, f"[{at}]")) for at, (a, b) in items]

    def _set(self, base, one, other, path):
        mine, yours = list(base.__iter__(one)), list(base.__iter__(other))
        if all(type(item) in (int, str, bytes, bool, type(None)) for item in mine):
            if not all(type(item) in (int, str, bytes, bool, type(None)) for item in yours) or set(mine) != set(yours):
                self._differ(path, "its items changed")
            return
        # Objects lie in another order where their hash comes from their address: only their kinds can be compared.
        kinds = [type_name(_PLACEHOLDER if id(item) in self.missing else item) for item in mine]
        if sorted(kinds) != sorted(map(type_name, yours)):
            self._differ(path, "its items changed")

    def _reduction(self, one, other, path):
        """Objects of C code: by what they are pickled as."""
        try:
            reduce = PARTS.get(type(one), _reduce)
            parts, parts2 = reduce(one), reduce(other)
        except Exception:  # they were pickled in a way of their own that gave equal streams: nothing more can be seen
            return
        if type(parts) is tuple and type(parts2) is tuple and len(parts) == len(parts2):
            for at, (a, b) in enumerate(zip(parts[1:5], parts2[1:5])):
                if at > 1 and a is not None and b is not None:
                    a, b = list(a), list(b)
                self.todo.append((a, b, (path, ("", " (state)", " (items)", " (items)")[at], True)))
        elif parts != parts2:
            self._differ(path, "it is another object")


def _reduce(obj):
    return obj.__reduce_ex__(4)


def _in_library(path):
    """Whether this is a part of what a library's class makes of itself when it is pickled."""
    while path is not None:
        if len(path) > 2:
            return True
        path = path[0]
    return False


def len_of(base, obj):
    return base.__len__(obj)


def _hooked(kind):
    """The class that says how its instances are pickled: the first of the bases that has a word in it, or None."""
    for base in _mro(kind)[:-1]:
        if any(name in type.__dict__["__dict__"].__get__(base) for name in HOOKS):
            return base
    return None


def _dropped(one, kind, own):
    """Attributes that the class itself leaves out of its state, or keeps None for: that is no loss, but its will."""
    if _hooked(kind) is None:
        return ()
    try:
        parts = one.__reduce_ex__(5)
        state = parts[2] if type(parts) is tuple and len(parts) > 2 else None
    except Exception:  # it was pickled once and fails now: what differs will be said
        return ()
    if type(state) is not dict:
        return ()
    return {name for name in own if state.get(name) is None}


def _show(value):
    """A value in a message: shortly, and without user code."""
    if type(value) in (int, float, bool, type(None), complex):
        return repr(value)[:SHOWN]
    if type(value) in (str, bytes):
        return repr(value[:SHOWN])
    return f"a {name_of(type(value))}"
