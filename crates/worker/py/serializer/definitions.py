"""Functions, classes and whatever else others refer to by key: taken apart for a checkpoint.

A definition has a head (what its skeleton is made from: code, names, bases), a shape (what a class has in the way of
functions, put in before there is any instance) and a state (defaults, cells' contents, attributes). Only the state may
share mutable objects with other groups, and may refer to what refers to the definition. skeletons.py is the reverse.
"""

import abc
import enum
import functools
import gc
import sys
import types
import typing

from . import annotations, pickling, reducing, references, statements
from .words import Lost, name_of, of_error

_type_dict = type.__dict__["__dict__"].__get__
_mro = type.__dict__["__mro__"].__get__
# Made by the class statement itself, or kept otherwise.
_SKIPPED = frozenset(
    ("__dict__", "__weakref__", "__slots__", "_abc_impl", "__module__", "__qualname__")
    + ("__slotnames__",)  # copyreg keeps what it found: pickling an instance puts it there
)
_SHAPE = frozenset((types.FunctionType, property, classmethod, staticmethod, functools.cached_property, reducing.LRU))
# Set on a class these would change the class itself: they have to be there when it is made.
_EARLY = frozenset(("__class__", "__name__", "__bases__", "__mro__", "__base__", "__subclasses__"))
# What cannot refer to anything is there when the class is made: a library's __init_subclass__ may look at it.
_VALUES = frozenset((int, str, float, bool, bytes, type(None)))
# What EnumType makes of an enum's members.
_ENUM_MADE = frozenset(
    ("_member_names_", "_member_map_", "_value2member_map_", "_member_type_", "_unhashable_values_", "_use_args_")
    + ("_unhashable_values_map_", "_hashable_values_", "_new_member_", "__new_member__", "_value_repr_", "_boundary_")
    + ("_flag_mask_", "_all_bits_", "_inverted_", "_singles_mask_", "__new__")
)


def describe(registry, unit):
    """Fills in head, shape, payload and deps of a unit, or its error."""
    try:
        found = statements.describe(registry, unit.obj) if unit.kind in ("class", "statement") else None
        if found is not None:
            unit.kind = "statement"
        head, shape, payload = found or _KINDS[unit.kind](registry, unit.obj)
    except Lost as lost:
        unit.error = lost.reason
        return
    except Exception as error:  # a definition that cannot even be looked at
        unit.error = of_error(error, "it cannot be taken apart")
        return
    unit.parts = head, shape
    for name, part in (("head", head), ("shape", shape)):
        if part is None:
            continue
        done = pickling.run(registry, part)
        if done.error is not None:
            unit.error = done.error
            return
        if done.views:
            unit.error = "it holds a large buffer where only small things can be kept"
            return
        setattr(unit, name, done.stream)
        unit.deps += [key for key in done.pickler.units if key != unit.key]
        unit.modules |= done.pickler.modules
    unit.payload = payload


def _intern(text):
    return sys.intern(text) if type(text) is str else text


def _function(registry, function):
    code = function.__code__
    cells = []
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        place = f"{function.__qualname__}@{code.co_filename}:{code.co_firstlineno}"
        cells.append((_intern(name), references.Key(registry, cell, "cell", f"{place}.{name}")))
    doc = code.co_consts[0] if code.co_consts and type(code.co_consts[0]) is str else None
    head = {
        "code": code,
        "name": _intern(function.__name__),
        "qualname": _intern(function.__qualname__),
        "module": _intern(function.__module__),
        "globals": _globals(registry, function),
        "cells": cells,
    }
    state = {
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        **annotations.of_function(function, lambda found: _can_be_kept(registry, found)),
        "dict": vars(function) or None,
        "doc": (function.__doc__,) if function.__doc__ != doc else None,
        "type_params": getattr(function, "__type_params__", ()) or None,
    }
    state = {name: value for name, value in state.items() if value is not None}
    return head, None, state or None


def _can_be_kept(registry, obj):
    return pickling.run(registry, (obj,)).error is None


def _globals(registry, function):
    """None: the session's namespace. Else what stands for the dict: a module, or a unit of its own."""
    namespace = function.__globals__
    if namespace is registry.namespace:
        return None
    name = namespace.get("__name__")
    module = sys.modules.get(name) if type(name) is str else None
    if isinstance(module, types.ModuleType) and vars(module) is namespace:
        if registry.real_module(name) is module:
            return "module", name
        return "unit", module
    module = _home(registry, namespace)
    if module is not None:
        return "unit", module
    registry.mentioned.setdefault(id(namespace), set()).update(_mentioned(function.__code__))
    return "unit", references.Key(registry, namespace, "globals", f"globals of {function.__qualname__}")


def _home(registry, namespace):
    """The module that has this dict and that no import knows, or None. A dict cannot be asked whose it is."""
    if id(namespace) not in registry.homes:
        found = [one for one in gc.get_referrers(namespace) if isinstance(one, types.ModuleType)]
        registry.homes[id(namespace)] = next((one for one in found if vars(one) is namespace), None)
        registry.alive.append(namespace)
    return registry.homes[id(namespace)]


def _mentioned(code):
    """Names that code may look up in its globals."""
    found = set(code.co_names)
    for const in code.co_consts:
        if type(const) is types.CodeType:
            found |= _mentioned(const)
    return found


def _globals_dict(registry, namespace):
    """What code was executed in. Often it began as a copy of the session's variables (attrs makes methods so): those that no code in it
    mentions are taken from the session again, as far as they come back."""
    mentioned, copies, own = registry.mentioned.get(id(namespace), ()), [], {}
    for name, value in namespace.items():
        if name == "__builtins__":
            continue
        if name not in mentioned and type(name) is str and registry.namespace.get(name, registry) is value:
            copies.append(_intern(name))
        else:
            own[name] = value
    return tuple(copies), None, own


def _cell(registry, cell):
    try:
        contents = cell.cell_contents
    except ValueError:
        return (), None, None
    cls = registry.class_of(contents) if type(contents) is dict else None
    return (), None, (contents if cls is None else references.ClassDict(cls),)


def _module(registry, module):
    state = {name: value for name, value in vars(module).items() if name not in ("__builtins__", "__name__")}
    return (vars(module).get("__name__"),), None, state


def _lru(registry, wrapper):
    """What a cache holds cannot be asked of it: it comes back empty, as after cache_clear()."""
    parameters = wrapper.cache_parameters()
    made = (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "cache_parameters")
    state = {name: value for name, value in vars(wrapper).items() if name not in made}
    # The function below is `__wrapped__`, unless somebody has set another.
    return (parameters["maxsize"], parameters["typed"], wrapper.__wrapped__), None, state or None


def _dispatch(registry, wrapper):
    return (wrapper.registry[object],), None, [(k, v) for k, v in wrapper.registry.items() if k is not object]


def _typing(registry, obj):
    kind = type(obj).__name__
    module = getattr(obj, "__module__", None)
    if kind == "sentinel":
        return (kind, obj.__name__, module), None, None
    if kind == "NewType":
        return (kind, obj.__name__, obj.__supertype__, module), None, None
    if kind == "TypeAliasType":
        return (kind, obj.__name__, obj.__value__, obj.__type_params__), None, None
    options = {}
    if kind == "TypeVar":
        options = {"bound": obj.__bound__, "covariant": obj.__covariant__, "contravariant": obj.__contravariant__}
        if getattr(obj, "__infer_variance__", False):
            options = {"bound": obj.__bound__, "infer_variance": True}
    default = getattr(obj, "__default__", None)
    if default is not getattr(typing, "NoDefault", None):
        options["default"] = default
    return (kind, obj.__name__, getattr(obj, "__constraints__", ()), options, module), None, None


def _class(registry, cls):
    bases, metaclass = cls.__bases__, type(cls)
    names = dict(_type_dict(cls))
    registry.knows_dict(cls)
    slots = names.get("__slots__")
    made = [name for name, v in names.items() if type(v) is types.MemberDescriptorType and v.__objclass__ is cls]
    if slots is not None and not isinstance(slots, (str, tuple, list, dict)):
        slots = tuple(made)  # an iterator, used up
    extra = None
    if issubclass(cls, enum.Enum):
        extra = _enum(cls, names)
        made += _ENUM_MADE
        made += ("__static_attributes__", "__firstlineno__")
        made += names["_member_map_"]
        made += [name for name, value in names.items() if _is_of_enum(registry, value)]
    shape, state, early = {}, {}, {}
    for name, value in names.items():
        if name in _SKIPPED or name in made:
            if name in ("__dict__", "__weakref__") and type(value) is not types.GetSetDescriptorType:
                early[name] = value
            continue
        if name in _EARLY:
            early[name] = value
            continue
        (shape if type(value) in _SHAPE and name != annotations.FUNCTION else state)[_intern(name)] = value
    if isinstance(cls, abc.ABCMeta):
        registered = [target for ref in abc._get_dump(cls)[0] if (target := ref()) is not None]
        if registered:
            state["_abc_registry"] = sorted(registered, key=name_of)
    # The class statement's own names come before what `type` adds, others after: the order of vars() is kept.
    added = [at for at, name in enumerate(names) if name in ("__dict__", "__weakref__") or name in made]
    own = [name for name in names if extra is None and (name in shape or name in state)]
    late = {*(list(names)[min(added) :] if added and extra is None else ()), *annotations.CELLS}
    values = {name: value for name, value in state.items() if type(value) in _VALUES and name != "__doc__"}
    if extra is None:
        state = {name: value for name, value in state.items() if name not in values}
    evaluated = annotations.of_class(names, lambda found: _can_be_kept(registry, found)) if extra is None else None
    if evaluated is not None:
        state[annotations.EVALUATED] = evaluated
    head = {
        "metaclass": metaclass,
        "values": values,
        "names": [name for name in own if name not in late],
        "late": [name for name in own if name in late],
        "orig_bases": names.get("__orig_bases__"),
        "name": _intern(cls.__name__),
        "qualname": _intern(name_of(cls)),
        "module": _intern(names.get("__module__")),
        "bases": bases,
        "slots": slots,
        "early": early or None,
        "enum": extra,
    }
    return head, shape or None, state or None


def _is_of_enum(registry, value):
    """Whether EnumType put it there: a function of its own module. Each version has others."""
    value = value.__func__ if type(value) is staticmethod else value
    if type(value) in (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType):
        return True
    place = registry.place(value) if type(value) is types.FunctionType else None
    return place is not None and place[0] == "enum"


def _enum(cls, names):
    members = []
    for name, member in names["_member_map_"].items():
        members.append((_intern(name), _intern(member._name_), member._value_, _member_state(member)))
    own_new = names.get("__new_member__")
    use = names.get("_use_args_", False)
    boundary = getattr(cls, "_boundary_", None)
    boundary = boundary and boundary.name  # by name: 3.10 does not know the type
    return {"members": members, "boundary": boundary, "new": own_new, "type": cls._member_type_, "use_args": use}


def _member_state(member):
    made = ("_value_", "_name_", "__objclass__", "_sort_order_")
    return {name: value for name, value in vars(member).items() if name not in made} or None


_KINDS = {
    "function": _function,
    "class": _class,
    "cell": _cell,
    "module": _module,
    "globals": _globals_dict,
    "lru": _lru,
    "dispatch": _dispatch,
    "typing": _typing,
    "alias": lambda registry, obj: ((obj.__name__, obj.__module__), None, (obj.__value__,)),
}


def sources_of(registry):
    """For each function and class: {"name", "kind", "source"}; and the texts that they come from, by file."""
    listed, texts, starts = [], {}, {}
    for unit in registry.units.values():
        if unit.kind not in ("function", "class", "statement"):
            continue
        file, line, name = _where(unit, registry.texts)
        if file is None:
            continue
        texts[file] = registry.texts[file]
        if "<locals>" in name:
            continue
        if file not in starts:
            starts[file] = _blocks(texts[file])
        source = starts[file].get((name, line) if line else name)
        if source is not None:
            listed.append({"name": name, "kind": "function" if unit.kind == "function" else "class", "source": source})
    return listed, texts


def _where(unit, texts):
    obj = unit.obj
    if unit.kind == "function":
        code = obj.__code__
        return (code.co_filename if code.co_filename in texts else None), code.co_firstlineno, obj.__qualname__
    name = name_of(obj)
    for value in _type_dict(obj).values():
        code = getattr(value, "__code__", None) if type(value) is types.FunctionType else None
        if code is not None and code.co_filename in texts and value.__qualname__.startswith(name + "."):
            return code.co_filename, 0, name
    for file in reversed(texts):
        if name.rpartition(".")[2] in texts[file] and name in _blocks(texts[file]):
            return file, 0, name
    return None, 0, name


@functools.lru_cache(maxsize=512)
def _blocks(text):
    """Source of the functions and classes of a text, by (qualified name, first line), and by name the last one's."""
    import ast

    found = {}
    if "def " not in text and "class " not in text and "lambda" not in text:
        return found
    lines = text.splitlines(keepends=True)

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first = min([child.lineno, *(one.lineno for one in child.decorator_list)])
                source = "".join(lines[first - 1 : child.end_lineno])
                found[prefix + child.name, first] = found[prefix + child.name] = source
                if isinstance(child, ast.ClassDef):
                    visit(child, prefix + child.name + ".")
            elif isinstance(child, ast.Lambda):
                found[prefix + "<lambda>", child.lineno] = "".join(lines[child.lineno - 1 : child.end_lineno])
            else:
                visit(child, prefix)

    try:
        visit(ast.parse(text), "")
    except (SyntaxError, ValueError, RecursionError):
        pass  # a text that is no Python, such as a magic command's, has no definitions
    return found
