"""How the instances of each type are pickled: a function for each, or None for pickle's own way.

The pickler (pickling.py) asks once for a type and remembers the answer.
"""

import _thread
import builtins
import collections
import copyreg
import dataclasses
import enum
import functools
import gc
import pickle
import sys
import types
import typing
import weakref

from . import arrays, exceptions, frames, graph, iterators, references
from .remains import NotSaved
from .situation import LAZY
from .words import KINDS, Lost, kind_words, module_named, module_of, name_of

_mro = type.__dict__["__mro__"].__get__
_type_dict = type.__dict__["__dict__"].__get__
getrefcount = sys.getrefcount

HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_DISGUISES = ("__getattr__", "__getattribute__", "__setattr__", "__class__")
_NAMES = ("TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "TypeAliasType")
# `sentinel` is one of Python's own, from 3.15 on.
TYPING = (*(vars(typing)[name] for name in _NAMES if hasattr(typing, name)), *(vars(builtins)[name] for name in ("sentinel",) if hasattr(builtins, name)))
LRU = type(functools.lru_cache(lambda: None))
LOCK, RLOCK = type(_thread.allocate_lock()), _thread.RLock


def classify(pickler, cls):
    registry = pickler.registry
    registry.alive.append(cls)
    handler = find(registry, cls)
    registry.table[id(cls)] = handler
    return handler


def find(registry, cls):
    mro = _mro(cls)
    if registry.standard and any(type(getattr(sys, name, None)) is cls for name in registry.standard.values()):
        return _standard
    return _find(registry, cls, mro)


def _find(registry, cls, mro):
    for base in mro:
        extra = registry.reducers.get(base)
        if extra is not None:
            return lambda pickler, obj: extra(obj)
    if cls in HANDLERS:
        return HANDLERS[cls]
    if cls in _PLAIN:
        return None
    if issubclass(cls, type):
        return _class
    if issubclass(cls, types.ModuleType):
        return reduce_module
    if module_of(cls) == "numpy" and name_of(cls) == "ndarray":
        return lambda pickler, obj: arrays.reduce(obj)
    if "pandas" in sys.modules and (shared := frames.handler(mro)) is not None:
        return shared
    if any(module_of(base) == "PIL.ImageFile" and name_of(base) == "ImageFile" for base in mro):
        return _image_file
    if "numpy" in sys.modules and issubclass(cls, sys.modules["numpy"].ndarray):
        reduce = arrays.of_subclass(cls)
        if reduce is not None:
            return lambda pickler, obj: reduce(obj)
    if any(module_of(base) == "logging" and name_of(base) == "Logger" for base in mro):
        return _logger
    if module_of(cls) in ("_io", "io") and hasattr(cls, "fileno") and name_of(cls) not in ("BytesIO", "StringIO"):
        return _file
    if issubclass(cls, _thread._local) and not any(name in _type_dict(base) for base in mro[:-1] for name in HOOKS):
        return _local_of_class
    words = kind_words(cls)
    if (module_of(cls), name_of(cls)) in KINDS and words is not None:
        return _refuse(words)
    own = registry.place(cls) is None
    if own:
        return _member if issubclass(cls, enum.Enum) else _own(registry, cls, mro, words)
    if words is not None and name_of(cls) != "BaseEventLoop":
        return _refuse(words)
    if issubclass(cls, BaseException):
        return exceptions.reduce
    if not own:
        if issubclass(cls, enum.Enum) or not registry.singletons(cls):
            return _named if _reduces_itself(mro) else None
        return _maybe_single
    return None


def _own(registry, cls, mro, words):
    """An instance of a class of the session."""
    hooks = copyreg.dispatch_table.get(cls) is not None
    plain, disguised, by_library = True, False, False
    for base in mro[:-1]:
        names = _type_dict(base)
        if registry.place(base) is None:
            hooks = hooks or any(name in names for name in HOOKS)
            disguised = disguised or any(name in names for name in _DISGUISES)
        elif module_of(base) not in ("abc", "typing"):
            plain = False
            hooks_of_library = any(name in names for name in HOOKS)
            by_library = by_library or hooks_of_library
            if words is not None and not hooks_of_library:
                return _refuse(words)
    if hooks:
        return _suspect
    if (kind := _container_of(registry, mro)) is not None:
        return lambda _pickler, obj: _contents(obj, kind)
    if issubclass(cls, BaseException):
        return exceptions.reduce
    if plain and (disguised or _has_slots(mro)):
        return _instance
    if _dict_of(mro) is None:
        return None
    return _extended if by_library else _ordinary


def _has_slots(mro):
    return any(type(v) is types.MemberDescriptorType for base in mro[:-1] for v in _type_dict(base).values())


def _lock(_pickler, obj):
    """A lock that nobody holds says nothing but that: a new one is as good."""
    if repr(obj).startswith("<locked"):
        raise Lost(kind_words(type(obj)))
    return references.lock, (type(obj) is RLOCK,)


# What pickle asks a container for, and what it fills one with.
_ASKED = frozenset(("__iter__", "__len__", "items", "keys", "__getitem__", "__setitem__", "append", "extend", "add", "update"))


def _container_of(registry, mro):
    """dict, list or set, where the session's own subclass of it answers in a way of its own: what is in it is not what it says."""
    at = next((at for at, base in enumerate(mro) if base in (dict, list, set)), 0)
    if any(registry.place(base) is not None for base in (*mro[:at], *mro[at + 1 : -1])):
        return None  # a library has its say
    return mro[at] if any(name in _type_dict(base) for base in mro[:at] for name in _ASKED) else None


def _contents(obj, kind):
    own, slots = state_of(obj)
    return references.new, (type(obj), kind), (own, slots, kind(kind.items(obj)) if kind is dict else kind(kind.__iter__(obj))), None, None, references.contain


def _local(_pickler, obj):
    """The values of the thread that runs executions. Those of others end with their threads, which are named."""
    return references.local, (), dict(obj.__dict__) or None


def _local_of_class(_pickler, obj):
    """Of a subclass: with what its `__init__` is called in each thread that first comes to it."""
    parts = [one for one in gc.get_referents(obj) if type(one) in (tuple, dict)]
    arguments = next((one for one in parts if type(one) is tuple), ())
    named = next((one for one in parts if type(one) is dict and one and all(type(name) is str for name in one)), {})
    return references.local, (type(obj), arguments, named), dict(obj.__dict__) or None


def _refuse(words):
    def refuse(_pickler, _obj):
        raise Lost(words)

    return refuse


def _suspect(pickler, obj):
    """Of a class that says itself how it is pickled. One that says it is a name of `__main__` has said nothing: its state is saved."""
    cls = type(obj)
    pickler.suspects[id(cls)] = cls
    if cls in copyreg.dispatch_table:
        return NotImplemented
    parts = obj.__reduce_ex__(5)
    return _instance(pickler, obj) if _is_of_main(parts, obj) else parts


def _is_of_main(parts, obj):
    return type(parts) is str and getattr(obj, "__module__", None) == "__main__"


def _reduces_itself(mro):
    return any(type(_type_dict(base).get(name)) is types.FunctionType for base in mro for name in ("__reduce__", "__reduce_ex__"))


def _named(pickler, obj):
    """Of a library's class, in the place of a function of the session's: what a decorator makes may say that it is that function."""
    parts = obj.__reduce_ex__(5)
    return _instance(pickler, obj) if _is_of_main(parts, obj) else parts


def _member(_pickler, obj):
    """A member of an enumeration of the session: of its class, where it says that it is a name of `__main__`."""
    parts = obj.__reduce_ex__(5)
    return (getattr, (type(obj), obj._name_)) if _is_of_main(parts, obj) else parts


def state_of(obj):
    """Attributes of an instance, read past whatever its class does to attribute access: (dict or None, slots)."""
    slots, own = {}, None
    for base in reversed(_mro(type(obj))):
        for name, value in _type_dict(base).items():
            if type(value) is types.MemberDescriptorType:
                try:
                    slots[name] = value.__get__(obj, base)
                except AttributeError:
                    continue  # never set
            elif name == "__dict__" and type(value) is types.GetSetDescriptorType:
                own = value.__get__(obj, base)
    return own, slots


def _instance(pickler, obj):
    own, slots = state_of(obj)
    state = (own, slots, True) if own is not None and _is_shared(pickler, own) else (own, slots)
    return references.new, (type(obj),), state, None, None, references.fill


def _dict_of(mro):
    """What reads the dict of a class's instances, or None: they have none."""
    for base in mro:
        found = _type_dict(base).get("__dict__")
        if type(found) is types.GetSetDescriptorType:
            return found
    return None


def _ordinary(pickler, obj):
    """As pickle does it, but for an instance whose dict something else has as well (`vars(obj)`): it gets that dict."""
    own = obj.__dict__
    if type(own) is not dict or not _is_shared(pickler, own):
        return NotImplemented
    parts = obj.__reduce_ex__(5)
    if type(parts) is not tuple or len(parts) > 5 or len(parts) > 2 and parts[2] is not own and parts[2] is not None:
        return NotImplemented
    return (*parts[:2], own, *parts[3:], *(None,) * (5 - max(len(parts), 3)), references.adopt)


def _extended(pickler, obj):
    """As a class of a library pickles what is an instance of the session's subclass; with the attributes that the subclass adds, where the
    library does not think of any (`random.Random`, `collections.Counter`, `datetime.date`)."""
    parts = _ordinary(pickler, obj)
    if parts is not NotImplemented:
        return parts
    own = object.__getattribute__(obj, "__dict__")
    parts = obj.__reduce_ex__(5)
    if type(own) is not dict or not own or type(parts) is not tuple or len(parts) > 5 or _carries(parts, own):
        return parts
    function, arguments, *more = parts
    state, items, pairs = (*more, None, None, None)[:3]
    return function, arguments, (state, dict(own)), items, pairs, references.extend


def _carries(parts, own):
    """Whether attributes are in what a class makes of its instance, or it has chosen among them."""
    for part in (*parts[1], *parts[2:3]):
        if part is own or type(part) is dict and part.keys() & own.keys():
            return True
        if type(part) in (tuple, list) and any(one is own or type(one) is dict and one.keys() & own.keys() for one in part):
            return True
    return False


def _is_shared(pickler, own):
    """Whether an instance's dict is referred to by more than the instance. Asked when it is first come to: later, the
    memos of picklers refer to it, too. What shared it did so before the fork, so that its id is nobody else's."""
    shared = pickler.registry.shared.get(id(own))
    if shared is None:
        shared = pickler.registry.shared[id(own)] = getrefcount(own) > _USUAL
    return shared


class _Sample:
    pass


def _count(_pickler, own):
    return getrefcount(own)


def _count_of(obj):
    own = obj.__dict__
    return _count(None, own)


# What `_is_shared` counts where nothing else refers to a dict: the instance, and the names on the way.
_USUAL = _count_of(_Sample())


def _class(pickler, obj):
    registry = pickler.registry
    if registry.special(obj):
        return NotImplemented
    place = registry.place(obj)
    if place is None:
        word = registry.type_word(obj)
        if word is not None:
            return word
        if module_of(obj) == "builtins":
            return NotImplemented  # pickle says that it cannot
        if _is_of_c(obj):
            raise Lost(f"{module_of(obj)}.{name_of(obj)} is a type inside of a C library: its objects cannot be saved")
        return pickler.refer(obj, "class", name_of(obj), _file_of_class(obj))
    pickler.modules.add(place[0])
    return NotImplemented if place[0] == module_of(obj) else (references.member, place)


def _is_of_c(cls):
    """Whether C code made this class: its methods are no functions."""
    kinds = (types.MethodDescriptorType, types.WrapperDescriptorType)
    return module_of(cls) != "__main__" and any(
        type(value) in kinds and value.__objclass__ is cls for value in _type_dict(cls).values()
    )


def _file_of_class(cls):
    for value in _type_dict(cls).values():
        if type(value) is types.FunctionType and value.__qualname__.startswith(name_of(cls) + "."):
            return value.__code__.co_filename
    return ""


def _function(pickler, obj):
    place = pickler.registry.place(obj)
    if place is not None:
        pickler.modules.add(place[0])
        return NotImplemented if place[0] == obj.__module__ else (references.member, place)
    if hasattr(obj, "registry") and hasattr(obj, "dispatch") and obj.__globals__ is vars(functools):
        return pickler.refer(obj, "dispatch", obj.__qualname__)
    code = obj.__code__
    return pickler.refer(obj, "function", obj.__qualname__, f"{code.co_filename}:{code.co_firstlineno}")


def _builtin(pickler, obj):
    module = getattr(obj, "__module__", None)
    if type(module) is str and module_named(module) is not None:
        pickler.modules.add(module)
    return NotImplemented


def reduce_module(pickler, obj):
    name = pickler.registry.module_name(obj)
    if obj is sys.modules.get("__main__"):
        return references.module, ("__main__",)
    if name is None:
        return pickler.refer(obj, "module", str(vars(obj).get("__name__")))
    pickler.modules.add(name)
    return references.module, (name,)


def _lazy(pickler, obj):
    """What it stands for: neither can be made of the other's name alone (`import a.b`, `from a import b`)."""
    found = obj.resolve()
    if isinstance(found, types.ModuleType):
        return reduce_module(pickler, found)
    place = pickler.registry.place(found) if callable(found) else None
    if place is None:
        raise Lost("a lazy import of a value that was not used yet: use it, and save again")
    pickler.modules.add(place[0])
    return references.member, place


def _code(pickler, obj):
    from .bytecode import describe

    return references.code, describe(obj, pickler.registry.texts)


def _cell(pickler, obj):
    return pickler.refer(obj, "cell", "cell")


def _wrapped(pickler, obj):
    """property, classmethod, staticmethod, cached_property: their parts, and what was set on them."""
    kind = type(obj)
    if kind is property:
        parts = (obj.fget, obj.fset, obj.fdel, obj.__doc__)
        state = None
    elif kind is functools.cached_property:
        parts = (obj.func, obj.attrname)
        state = {k: v for k, v in vars(obj).items() if k not in ("func", "attrname", "lock", "__doc__", "__module__")}
    else:
        parts = (obj.__func__,)
        skipped = (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__")
        state = {k: v for k, v in getattr(obj, "__dict__", {}).items() if k not in skipped}
    return references.wrapper, (kind.__name__, parts, state or None)


def _proxy(pickler, obj):
    # What a proxy stands for cannot be asked of it; the collector knows what it refers to.
    if obj is dataclasses._EMPTY_METADATA:
        return references.member, ("dataclasses", "_EMPTY_METADATA")  # every field has it: it shares nothing
    below = gc.get_referents(obj)
    if len(below) == 1 and isinstance(below[0], type):
        below = [dict(obj)]
    return references.proxy, (below[0] if len(below) == 1 and isinstance(below[0], dict) else dict(obj),)


def _frozen_dict(pickler, obj):
    is_of_fields = obj is dataclasses._EMPTY_METADATA
    return (references.member, ("dataclasses", "_EMPTY_METADATA")) if is_of_fields else NotImplemented


def _weak(pickler, obj):
    if obj.__callback__ is not None:
        raise Lost("a weak reference with a callback cannot be saved")
    target = obj()
    return (references.dead, ()) if target is None else (references.weak, (target,))


def _weak_keys(pickler, obj):
    return type(obj), (dict(obj.items()),)


def _weak_set(pickler, obj):
    return type(obj), (list(obj),)


def _dict_view(which):
    def reduce(pickler, obj):
        below = gc.get_referents(obj)
        if len(below) != 1 or type(below[0]) is not dict:
            raise Lost("a view of something other than a plain dict cannot be saved: keep a list of it")
        return references.keys, (below[0], which)

    return reduce


def _lru(pickler, obj):
    if pickler.registry.place(obj) is not None:
        return NotImplemented
    return pickler.refer(obj, "lru", getattr(obj, "__qualname__", "lru_cache"))


def _typing(pickler, obj):
    name = obj.__name__
    home = pickler.registry.real_module(getattr(obj, "__module__", None) or "")
    if home is not None and vars(home).get(name) is obj:
        pickler.modules.add(obj.__module__)
        return NotImplemented
    # One without parameters may refer to itself: what it stands for is asked for when it is needed.
    is_alias = type(obj).__name__ == "TypeAliasType" and not obj.__type_params__
    return pickler.refer(obj, "alias" if is_alias else "typing", name)


def _memoryview(pickler, obj):
    below = obj.obj
    if type(below) in (bytes, bytearray) and obj.contiguous and obj.ndim == 1:
        offset = graph.extent(obj)[0] - graph.extent(below)[0]
        return references.memory, (below, offset, obj.nbytes, obj.format, obj.readonly)
    raise Lost("a memoryview of memory that is not a plain bytes or bytearray cannot be saved")


def _standard(pickler, obj):
    name = pickler.registry.standard.get(id(obj))
    if name is not None:
        return references.member, ("sys", name)
    handler = _find(pickler.registry, type(obj), _mro(type(obj)))
    return NotImplemented if handler is None else handler(pickler, obj)


def _image_file(pickler, obj):
    if getattr(obj, "n_frames", 1) > 1:
        raise Lost("an image of several frames: Pillow saves the one that is shown only. Keep a copy() of each frame")
    return NotImplemented


def _placeholder(pickler, obj):
    pickler.placeholders += 1
    return references.missing, (obj.reason,)


def _logger(pickler, obj):
    # cloudpickle would bring back the one that logging has under the same name, or a new one.
    if obj is obj.root or obj.manager.loggerDict.get(obj.name) is obj:
        return NotImplemented
    raise Lost("a logger that logging.getLogger does not know cannot be saved: make it again")


def _file(pickler, obj):
    if pickler.registry.files is None:
        raise Lost(kind_words(type(obj)) or "an open file belongs to this process: open it again after the restore")
    return references.file, (pickler.registry.files(obj),)


def _maybe_single(pickler, obj):
    name = pickler.registry.singletons(type(obj)).get(id(obj))
    if name is None:
        return NotImplemented
    pickler.modules.add(module_of(type(obj)))
    return references.member, (module_of(type(obj)), name, name_of(type(obj)))


def _method(pickler, obj):
    """A method that a module has under its name, such as `random.shuffle`, is that one."""
    owner = module_of(type(obj.__self__))
    home = pickler.registry.real_module(owner) if type(owner) is str else None
    name = getattr(obj.__func__, "__name__", None)
    if home is None or type(name) is not str or vars(home).get(name) is not obj:
        return NotImplemented
    pickler.modules.add(owner)
    return references.member, (owner, name)


def _parameters(pickler, obj):
    return references.parameters, (state_of(obj)[1] or dict(vars(obj)),)


def _key(pickler, obj):
    pickler.units[obj.key] = True
    return references.unit, (obj.key,)


HANDLERS = {
    **{kind: (lambda _pickler, obj, parts=parts: parts(obj)) for kind, parts in iterators.PARTS.items()},
    references.Key: _key,
    references.ClassDict: lambda _pickler, obj: (references.contents, (obj.cls,)),
    LAZY: _lazy,
    collections.Counter: _extended,
    # Each version of Python has other attributes, and another kind of mapping for none.
    dataclasses.Field: lambda _pickler, obj: (references.new, (type(obj),), state_of(obj)[1], None, None, references.field),
    getattr(builtins, "frozendict", None): _frozen_dict,
    dataclasses._DataclassParams: _parameters,
    types.FunctionType: _function,
    types.BuiltinFunctionType: _builtin,
    types.MethodType: _method,
    types.CodeType: _code,
    types.CellType: _cell,
    types.MappingProxyType: _proxy,
    **{type(getattr({}, which)()): _dict_view(which) for which in ("keys", "values", "items")},
    property: _wrapped,
    classmethod: _wrapped,
    staticmethod: _wrapped,
    functools.cached_property: _wrapped,
    weakref.ref: _weak,
    weakref.WeakKeyDictionary: _weak_keys,
    weakref.WeakValueDictionary: _weak_keys,
    weakref.WeakSet: _weak_set,
    LRU: _lru,
    memoryview: _memoryview,
    LOCK: _lock,
    RLOCK: _lock,
    _thread._local: _local,
    NotSaved: _placeholder,
    **dict.fromkeys(TYPING, _typing),
}
_PLAIN = frozenset(
    (str, bytes, bytearray, int, float, complex, bool, type(None), list, tuple, dict, set, frozenset, slice, range)
    + (collections.OrderedDict, collections.deque, collections.defaultdict)
    + (types.SimpleNamespace, types.GenericAlias, types.UnionType, functools.partial, pickle.PickleBuffer)
)
