"""The tier `data`: a container that holds what cannot be saved keeps the rest.

In the place of each such object comes a placeholder which says that something is missing, and why. It stands for a whole
object in a list, tuple, dict, set or the like; never for a part of some other object, which could rely on it.
"""

import collections
import time
import types

# Objects that are tried one by one before a container is given up, and seconds for all of them: each may reach all the others.
_TRIED = 10_000
_SECONDS = 2.0
# Placeholders of one name that are listed, each by its place.
LISTED = 20
_SEQUENCES = (list, tuple, collections.deque)
_SETS = (set, frozenset)
_DICTS = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)
CONTAINERS = (*_SEQUENCES, *_SETS, *_DICTS, types.SimpleNamespace)
_ATOMS = (str, bytes, bytearray, int, float, complex, bool, type(None), type(...), range, slice)


class NotSaved:
    """Stands where an object was that a checkpoint could not keep. `reason`: why, in words."""

    __slots__ = ("reason",)

    def __init__(self, reason):
        object.__setattr__(self, "reason", reason)

    def __reduce__(self):
        return NotSaved, (self.reason,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<not saved: {self.reason}>"

    def __getattr__(self, name):
        raise AttributeError(f"this object was not saved in the checkpoint: {self.reason}")

    def __setattr__(self, name, value):
        self.__getattr__(name)

    def _fail(self, *_arguments, **_keywords):
        raise TypeError(f"this object was not saved in the checkpoint: {self.reason}")

    __call__ = __iter__ = __getitem__ = __len__ = __enter__ = _fail

    def __bool__(self):
        return False

    def __exit__(self, *_exception):
        pass  # never entered


class _TooMuch(Exception):
    """It is better lost as a whole."""


class Remains:
    """What is missing in one container. `missing`: id -> reason; `places`: (label, reason) of each place."""

    def __init__(self, name, obj, why):
        """`why(object)`: the reason for which it cannot be saved, or None."""
        self.missing, self.places = {}, []
        self._why, self._left, self._kept = why, _TRIED, 0
        self._until = time.monotonic() + _SECONDS
        self._seen, self._todo = set(), [(name, obj)]
        try:
            while self._todo:
                self._part(*self._todo.pop())
        except _TooMuch:
            self.missing = {}
        if not self._kept:
            self.missing = {}

    def notes(self):
        """What is listed: pairs of a name and a reason."""
        listed = self.places[:LISTED]
        more = len(self.places) - len(listed)
        if more:
            listed.append((f"{listed[-1][0]} and {more:,} more", "as those before it, they cannot be saved"))
        return listed

    def _part(self, place, obj):
        kind = type(obj)
        if kind in _ATOMS:
            self._kept += 1
        elif id(obj) in self.missing:
            self.places.append((place, self.missing[id(obj)]))
        elif id(obj) in self._seen:
            pass
        elif kind in CONTAINERS:
            self._seen.add(id(obj))
            # The first is taken from the end first.
            self._todo += reversed(list(self._inside(place, obj, kind)))
        else:
            self._seen.add(id(obj))
            reason = self._ask(obj)
            if reason is None:
                self._kept += 1
            else:
                self.missing[id(obj)] = reason
                self.places.append((place, reason))

    def _inside(self, place, obj, kind):
        if kind in _DICTS:
            keys = list(obj)
            # Nothing else can stand in the place of a key, or of what makes the values.
            if any(type(key) not in _ATOMS and self._ask(key) is not None for key in keys):
                raise _TooMuch
            if kind is collections.defaultdict and self._ask(obj.default_factory) is not None:
                raise _TooMuch
            return ((f"{place}[{_short(key)}]", value) for key, value in list(obj.items()))
        if kind is types.SimpleNamespace:
            return ((f"{place}.{name}", value) for name, value in vars(obj).items())
        if kind in _SETS:
            return ((f"an element of {place}", value) for value in obj)
        return ((f"{place}[{at}]", value) for at, value in enumerate(obj))

    def _ask(self, obj):
        self._left -= 1
        if self._left < 0 or time.monotonic() > self._until:
            raise _TooMuch
        return self._why(obj)


def _short(key):
    text = repr(key) if type(key) in (str, int, float, bool, bytes, type(None)) else f"a {type(key).__qualname__}"
    return text if len(text) <= 60 else f"{text[:57]}…"
