"""Loads groups back from their bytes, in the process that saved them, and compares.

What was loaded is pickled again: an equal stream means an equal structure, equal atoms and equal aliasing, at C speed,
for objects whose pickling says the truth. Classes of the session that pickle themselves are compared (compare.py).
"""

from . import definitions, pickling, statements
from .compare import Comparison
from .limits import TimedOut
from .load import Loader, _Restore
from .registry import Registry, Unit
from .words import Lost, of_error

# Of a class's head: in which order its names are. EnumType has an order of its own.
_ORDER = ("names", "late")


class _Memory:
    """The source that the groups are loaded from: the saver's own memory."""

    def __init__(self, streams, buffers):
        self.stream, self.buffer = streams.__getitem__, buffers.__getitem__


class _Loader(Loader):
    def in_main(self, name):
        """What is there is the original, which another process does not have."""
        raise Lost(f"it is pickled as the name {name} of __main__, where nothing else would bring it back")


class Verifier:
    def __init__(self, registry, skeletons, groups, streams, buffers):
        self.registry = registry
        # Functions that are loaded back see the session's values, but what they assign stays in the copy.
        scratch = dict(registry.namespace)
        self.loader = _Loader(scratch, skeletons, registry.texts, {}, None)
        self.restore = _Restore({"groups": groups}, _Memory(streams, buffers), self.loader)
        self.again = Registry(scratch, registry.texts, registry.reducers, registry.files, registry.local)
        self.again.table = registry.table
        self.again.real, self.again.single = registry.real, registry.single
        self.again.standard = registry.standard
        self.seen, self.known = set(), set()

    def definition(self, unit):
        """None, or why a definition does not come back as it was."""
        try:
            if unit.kind != "statement":
                self.loader.unit(unit.key)
            self.restore.unit(unit.key, self.seen)
            made = self.loader.unit(unit.key)
            if unit.kind == "globals":
                self.again.mentioned[id(made)] = self.registry.mentioned.get(id(unit.obj), ())
                self.loader.copy_variables(self.again.namespace, [unit.key])
            self._know()
            if unit.kind == "statement":
                return statements.difference(unit.obj, made)
            again = Unit(unit.key, unit.kind, made)
            definitions.describe(self.again, again)
        except TimedOut:
            return "loading it back took too long: it was stopped"
        except Lost as lost:
            return lost.reason
        except BaseException as error:
            return of_error(error, "it cannot be loaded back")
        if again.error is not None:
            return again.error
        if (again.head, again.shape) == (unit.head, unit.shape):
            return None
        comparison = Comparison(self.registry.key_of, self.again.key_of, self.registry.missing)
        parts = [[{k: v for k, v in part.items() if k not in _ORDER} if type(part) is dict else part for part in one]
                 for one in (unit.parts, again.parts)]
        return comparison.difference(*parts, unit.key.partition("@")[0], ordered=False)

    def group(self, group, done, payload, labels, shared):
        """Why a group does not come back as it was, and which of its parts, where that is known; (None, None): it does.
        `done`: its pass; `payload`: what that pickled; `labels`: what its parts are called in words."""
        try:
            values = self.restore.group(group, self.seen)
            self._know()
            if done is None or done.tier == "pickle" and done.pickler.plain and type(done.pickler) is pickling.Fast:
                return None, None  # Python's own containers and values, by C code both ways: nothing could lie
            again = []
            for kind, name in group["parts"]:
                again.append(values[name] if kind == "name" else self._payload(name))
            again = tuple(again)
            if not done.pickler.suspects:
                second = pickling.run(self.again, again, done.tier, shared)
                if second.error is None and second.stream == done.stream:
                    return None, None
            comparison = Comparison(self.registry.key_of, self.again.key_of, self.registry.missing)
            for at, ((kind, _name), label, one, other) in enumerate(zip(group["parts"], labels, payload, again)):
                difference = comparison.difference(one, other, label, ordered=kind == "name")
                if difference is not None:
                    return f"it does not come back as it was: {difference}", at
            return None, None
        except TimedOut:
            return "loading it back took too long: it was stopped", None
        except Lost as lost:
            return lost.reason, None
        except BaseException as error:
            return of_error(error, "it cannot be loaded back"), None

    def _payload(self, key):
        again = Unit(key, self.registry.units[key].kind, self.loader.unit(key))
        definitions.describe(self.again, again)
        if again.error is not None:
            raise Lost(again.error)
        return again.payload

    def _know(self):
        for key, made in list(self.loader.made.items()):
            if key not in self.known:
                self.known.add(key)
                self.again.known(made, key)
