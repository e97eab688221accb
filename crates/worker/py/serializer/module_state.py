"""What modules of the session's own hold: their variables, and what their classes and functions keep.

When a checkpoint is restored such a module is imported again, which gives it what its source says. What it has come to hold since then is
no variable of `__main__`. It is kept by place (`config.OPTIONS`, `config.Shape.registry`, `config.load.__closure__.cache`): objects as
roots beside the variables, so that they come back as one with them, and numbers and texts as items.
"""

import abc
import collections
import functools
import importlib
import sys
import types

from .situation import text, untext

_ATOMS = frozenset((int, float, str, bytes, bool, complex, type(None)))
_CONTAINERS = (
    list, tuple, dict, set, frozenset, bytearray, collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter,
)  # fmt: skip
_Function, _Class, _Module = types.FunctionType, type, types.ModuleType
# What a module has from its source or from an import. What the session has put in the place of one is a patch (patches.py).
_CODE = (_Function, _Class, _Module, types.BuiltinFunctionType, functools._lru_cache_wrapper)
_METACLASSES = (type, abc.ABCMeta)
# How far functions within functions are followed.
DEEP = 8


class Place:
    """Where a module holds a value. `put(value)`: sets it. `attribute`: of the module itself, or None."""

    def __init__(self, label, value, put, attribute=None):
        self.label, self.value, self.put, self.attribute = label, value, put, attribute

    @property
    def root(self):
        """A name that no variable has."""
        return f"<{self.label}>"

    def is_atom(self):
        return type(self.value) in _ATOMS


def places(name, module):
    """Each place of a module that can hold state."""
    return _Places(name, module).found


class _Places:
    def __init__(self, name, module):
        self.name, self.contents, self.found, self.seen, self.caches = name, vars(module), [], set(), []
        for attribute, value in _shown(self.contents):
            label = f"{name}.{attribute}"
            if isinstance(value, _CODE):
                self._code(label, value, 0)
            else:
                self._add(label, value, functools.partial(self.contents.__setitem__, attribute), attribute)

    def _add(self, label, value, put, attribute=None):
        self.found.append(Place(label, value, put, attribute))

    def _code(self, label, value, depth):
        """Functions and classes that are the module's."""
        if id(value) in self.seen or depth > DEEP:
            return
        self.seen.add(id(value))
        if type(value) is functools._lru_cache_wrapper:
            if value.cache_info().currsize and value.__module__ == self.name:
                self.caches.append(label)
            self._code(label, value.__wrapped__, depth + 1)
        elif type(value) is _Function:
            if value.__globals__ is self.contents or value.__module__ == self.name:
                self._function(label, value, depth)
        elif type(value) in _METACLASSES and _module_of(value) == self.name:
            self._class(label, value, depth)

    def _function(self, label, function, depth):
        for attribute, value in _shown(vars(function)):
            self._held(f"{label}.{attribute}", value, functools.partial(vars(function).__setitem__, attribute), depth)
        for at, value in enumerate(function.__defaults__ or ()):
            if type(value) not in _ATOMS:
                self._held(f"{label}.__defaults__.{at}", value, functools.partial(_put_default, function, at), depth)
        for attribute, value in list((function.__kwdefaults__ or {}).items()):
            if type(value) not in _ATOMS:
                put = functools.partial(function.__kwdefaults__.__setitem__, attribute)
                self._held(f"{label}.__kwdefaults__.{attribute}", value, put, depth)
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self._held(f"{label}.__closure__.{variable}", value, functools.partial(setattr, cell, "cell_contents"), depth)

    def _held(self, label, value, put, depth):
        if isinstance(value, _CODE):
            self._code(label, value, depth + 1)
        else:
            self._add(label, value, put)

    def _class(self, label, cls, depth):
        for attribute, value in _shown(type.__dict__["__dict__"].__get__(cls)):
            inner, where = value, f"{label}.{attribute}"
            if type(value) in (staticmethod, classmethod):
                inner = value.__func__
            elif type(value) is property:
                inner = value.fget
            if isinstance(inner, _CODE):
                self._code(where, inner, depth + 1)
            elif type(value) in _ATOMS or type(value) in _CONTAINERS or self._is_own(type(value)):
                self._add(where, value, functools.partial(type.__setattr__, cls, attribute))

    def _is_own(self, kind):
        return _module_of(kind) in (self.name, "__main__") and not any(hasattr(kind, each) for each in ("__get__", "__set__"))


def _module_of(cls):
    return type.__getattribute__(cls, "__module__")


def _shown(contents):
    return [(key, value) for key, value in list(contents.items()) if type(key) is str and not key.startswith("__")]


def _put_default(function, at, value):
    defaults = list(function.__defaults__)
    defaults[at] = value
    function.__defaults__ = tuple(defaults)


def _loaded(baseline):
    """(name, module) of those that are the session's own and loaded."""
    return [(name, sys.modules[name]) for name in baseline.local if type(sys.modules.get(name)) is _Module]


def shared_roots(baseline):
    """Root -> object of all places."""
    return {place.root: place.value for each in _loaded(baseline) for place in places(*each) if not place.is_atom()}


def capture(here):
    for name, module in _loaded(here.baseline):
        found, values, shared = _Places(name, module), [], []
        for place in found.found:
            here.stated.add(place.label)
            if place.root in here.options.shared:
                shared.append(text(place.label))
            elif place.is_atom():
                entry = here.put(place.label, place.value)
                if entry is not None:
                    values.append([text(place.label), entry])
        for label in found.caches:
            here.lose(f"cache of {label}", "what an lru_cache holds cannot be asked of it: the function comes back with an empty cache")
        names = [text(attribute) for attribute, _value in _shown(vars(module))]
        yield {"module": text(name), "names": names, "values": values, "shared": shared}


def restore(items, here):
    """After this each module of the session's own is as the checkpoint has it; one that it does not have will be imported afresh."""
    wanted = {untext(item["module"]): item for item in items}
    for name in [name for name in here.baseline.local if name not in wanted]:
        _forget(name, here.baseline)
    for name, item in wanted.items():
        if item["values"] or item["shared"]:
            here.attempt(name, _fill, name, item, here)


def _forget(name, baseline):
    module = sys.modules.pop(name, None)
    above, _dot, last = name.rpartition(".")
    parent = sys.modules.get(above)
    if module is not None and parent is not None and vars(parent).get(last) is module:
        delattr(parent, last)
    baseline.local.pop(name, None)


def _fill(name, item, here):
    module = importlib.import_module(name)
    names = {untext(each) for each in item["names"]}
    known = {}
    for place in places(name, module):
        known[place.label] = place
        here.stated.add(place.label)
        if place.attribute is not None and place.attribute not in names:
            del vars(module)[place.attribute]
    wanted = [(untext(label), functools.partial(here.get, entry)) for label, entry in item["values"]]
    wanted += [
        (label, functools.partial(here.roots.__getitem__, f"<{label}>"))
        for label in map(untext, item["shared"])
        if f"<{label}>" in here.roots
    ]
    for label, get in wanted:
        here.stated.add(label)
        here.attempt(label, _set, name, module, known.get(label), label, get)


def _set(name, module, place, label, get):
    value = get()
    if place is not None:
        # A class's own value, a text say, is left alone where it is the same: to set it makes all that is cached of the class void.
        if type(value) not in _ATOMS or type(place.value) is not type(value) or place.value != value:
            place.put(value)
        return
    attribute = label[len(name) + 1 :]
    if "." not in attribute:
        vars(module)[attribute] = value
        return
    above, _dot, last = attribute.rpartition(".")
    owner = module
    for part in above.split("."):
        owner = vars(owner).get(part)
    if type(owner) not in (*_METACLASSES, _Function):
        raise LookupError("the module has no such place any more")
    setattr(owner, last, value)
