"""Functions, classes and whatever else others refer to by key: put together again (the reverse of definitions.py).

Classes are made without running `__init_subclass__` of a class of the session and without `__set_name__`: those ran
when the class was made, and what they did is in the state. A library's `__init_subclass__` does run, as an import of
the class's module would run it: it is how the library gets to know the class in this process.
"""

import abc
import builtins
import collections
import dataclasses
import enum
import functools
import sys
import types
import typing

from . import annotations, statements
from .words import Lost

_set = type.__setattr__
_TYPING_METACLASSES = (type, type(typing.TypedDict("_T", {})))


class Missing:
    """In the place of a function whose code is of another version of Python, without source. `generated`: it is a
    library's own, which puts it into classes where it has it."""

    def __init__(self, name, generated=False):
        self.name, self.generated = name, generated


def _is_missing(obj):
    return isinstance(obj, Missing)


def function(loader, head):
    code = head["code"]
    if code is None:
        return Missing(head["qualname"])
    cells = dict(head["cells"])
    if set(code.co_freevars) - set(cells):
        raise Lost("its source gives another function under this version of Python")
    closure = tuple(cells[name] for name in code.co_freevars)
    made = types.FunctionType(code, _globals(loader, head["globals"]), head["name"], None, closure or None)
    made.__qualname__, made.__module__ = head["qualname"], head["module"]
    return made


def _globals(loader, where):
    if where is None:
        return loader.namespace
    kind, what = where
    if kind == "module":
        return vars(loader.module(what))
    return vars(what) if isinstance(what, types.ModuleType) else what


def fill_function(made, state):
    if "defaults" in state:
        made.__defaults__ = state["defaults"]
    if "kwdefaults" in state:
        made.__kwdefaults__ = state["kwdefaults"]
    annotations.give_function(made, state, _is_missing)
    if "dict" in state:
        vars(made).update(state["dict"])
    if "doc" in state:
        made.__doc__ = state["doc"][0]
    if "type_params" in state and hasattr(made, "__type_params__"):
        made.__type_params__ = state["type_params"]


def fill_cell(cell, state):
    cell.cell_contents = state[0]


def fill_module(module, state):
    vars(module).update(state)


def fill_globals(namespace, state):
    namespace.update(state, __builtins__=builtins)


statement = statements.make


def fill_statement(made, state):
    for name, value in state.items():
        _set(made, name, value)


def lru(loader, head):
    maxsize, typed, below = head
    if isinstance(below, Missing):
        return below
    return functools.lru_cache(maxsize, typed)(below)


def fill_dict(made, state):
    vars(made).update(state)


def dispatch(loader, head):
    return functools.singledispatch(*head)


def fill_dispatch(made, state):
    for cls, implementation in state:
        made.register(cls, implementation)


def typed(loader, head):
    kind, name, *rest = head
    if not hasattr(builtins if kind == "sentinel" else typing, kind):
        raise Lost(f"this version of Python has no {kind}")
    if kind == "sentinel":
        made, module = builtins.sentinel(name), rest[0]
    elif kind == "NewType":
        made, module = typing.NewType(name, rest[0]), rest[1]
    elif kind == "TypeAliasType":
        return typing.TypeAliasType(name, rest[0], type_params=rest[1])
    else:
        constraints, options, module = rest
        if sys.version_info < (3, 12):
            options.pop("infer_variance", None)
        if sys.version_info < (3, 13):
            options.pop("default", None)
        made = getattr(typing, kind)(name, *constraints, **options)
    made.__module__ = module
    return made


def alias(name, module):
    """A type alias, and the list with what it stands for, which is asked when that is needed: it may refer to itself."""
    if not hasattr(typing, "TypeAliasType"):
        raise Lost("this version of Python has no TypeAliasType")
    if not str.isidentifier(name):
        raise Lost("its name is no name")
    held = []
    scope = {"__name__": module, "_pyrepl3_held": held}
    exec(f"type {name} = _pyrepl3_held[0]", scope)
    return scope[name], held


def cls(loader, head):
    if head["enum"] is not None:
        return None  # made with its shape, below
    metaclass = head["metaclass"]
    body = {"__module__": head["module"], "__qualname__": head["qualname"]}
    values = {**_EMPTY, **head["values"]}
    body.update((name, values.get(name)) for name in head["names"] if annotations.has_place(name))
    if head["orig_bases"] is not None:
        body["__orig_bases__"] = head["orig_bases"]
    if head["early"] is not None:
        body.update(head["early"])
    if head["slots"] is not None:
        body["__slots__"] = head["slots"]
    new = _new_of(loader, metaclass)
    silenced = _silence(loader, head["bases"])
    try:
        made = new(metaclass, head["name"], head["bases"], body)
    finally:
        for base, hook in silenced:
            _set(base, "__init_subclass__", hook)
    for name in head["late"]:
        _set(made, name, values.get(name))
    return made


# What holds the place of a name, so that vars() has the order that it had, until its value is put in. Else None.
_EMPTY = {"__annotations__": {}, annotations.GIVEN: {}, "__parameters__": (), "__abstractmethods__": frozenset()}


def _silence(loader, bases):
    """Takes `__init_subclass__` of the session's own classes out for a moment; a library's runs."""
    silenced = []
    for base in dict.fromkeys(one for base in bases for one in base.__mro__):
        hook = vars(base).get("__init_subclass__")
        if hook is not None and id(base) in loader.classes:
            silenced.append((base, hook))
            _set(base, "__init_subclass__", classmethod(_pass_on(base)))
    return silenced


def _pass_on(base):
    return lambda made, **_options: super(base, made).__init_subclass__()


def _new_of(loader, metaclass):
    """What makes a class for this metaclass, without running code of the session's."""
    if metaclass is _TYPING_METACLASSES[1]:
        return type.__new__
    for one in metaclass.__mro__:
        if "__new__" in vars(one) and id(one) not in loader.classes:
            found = vars(one)["__new__"]
            return found.__func__ if isinstance(found, staticmethod) else found
    return type.__new__


def shape_class(loader, key, made, shape, head):
    if head["enum"] is not None:
        return _enum(head, shape)
    loader.classes.add(id(made))
    missing = {name: value for name, value in shape.items() if isinstance(value, Missing)}
    for name, value in shape.items():
        if not isinstance(value, Missing):
            _set(made, name, value)
            _know_class(value, made)
    for name in (*head["names"], *head["late"]):
        # Until its state is there, a class has what it inherits, not what holds a place.
        if name not in shape and name not in head["values"] and not name.startswith("__"):
            if any(name in vars(base) for base in made.__mro__[1:]):
                type.__delattr__(made, name)
    if missing:
        loader.later[key] = missing
        for name in missing:
            if name in head["names"] or name in head["late"]:
                type.__delattr__(made, name)  # what held its place
    return made


def _know_class(value, made):
    """Instances that the class itself holds are loaded before its cells are: `super()` must work in their methods."""
    parts = (value.fget, value.fset, value.fdel) if type(value) is property else (getattr(value, "__func__", value),)
    for function in parts:
        if type(function) is types.FunctionType and "__class__" in function.__code__.co_freevars:
            cell = function.__closure__[function.__code__.co_freevars.index("__class__")]
            try:
                cell.cell_contents  # noqa: B018
            except ValueError:
                cell.cell_contents = made


def fill_class(loader, key, made, state):
    registered = state.pop("_abc_registry", ())
    annotations.give_class(made, state, _is_missing)
    for name, value in state.items():
        if _is_missing(value):
            loader.later.setdefault(key, {})[name] = value
        else:
            _set(made, name, value)
    for one in registered:
        abc.ABCMeta.register(made, one)


def remake(made, missing):
    """Methods that the standard library generated, and whose code was of another version of Python."""
    if "__dataclass_params__" in vars(made):
        _dataclass(made, missing)
    elif issubclass(made, tuple) and hasattr(made, "_fields"):
        fresh = collections.namedtuple(made.__name__, made._fields, module=made.__module__)
        fresh.__new__.__defaults__ = tuple(made._field_defaults.values()) or None
        for name in missing:
            if name in vars(fresh):
                _set(made, name, vars(fresh)[name])
    # 3.13 gives named tuples a __replace__, older versions none.
    left = [name for name, value in missing.items() if name not in vars(made) and not value.generated]
    left = [name for name in left if name != "__replace__" or not hasattr(made, "_fields")]
    if left:
        raise Lost(f"{', '.join(left)}: made by another version of Python, and there is no source of it")


def _dataclass(made, missing):
    params, fields = vars(made)["__dataclass_params__"], vars(made)["__dataclass_fields__"]
    names = ("init", "repr", "eq", "order", "unsafe_hash", "frozen", "match_args", "kw_only")
    options = {name: getattr(params, name) for name in names if hasattr(params, name)}
    own = annotations.own(made)
    body = {"__annotations__": own, "__module__": made.__module__, "__qualname__": made.__qualname__}
    for name in own:
        field = fields.get(name)
        if field is not None and field._field_type is dataclasses._FIELD:
            parts = {one: getattr(field, one) for one in ("init", "repr", "hash", "compare", "metadata", "kw_only")}
            for one in ("default", "default_factory"):
                if getattr(field, one) is not dataclasses.MISSING:
                    parts[one] = getattr(field, one)
            body[name] = dataclasses.field(**parts)
        elif field is not None and name in vars(made):
            body[name] = vars(made)[name]
    bases = tuple(base for base in made.__bases__ if base is not typing.Generic)
    fresh = dataclasses.dataclass(type.__new__(type, made.__name__, bases, body), **options)
    for name in missing:
        if name in vars(fresh):
            _set(made, name, vars(fresh)[name])


class _Token:
    """In the place of a member's value while its enum is made."""


# Put into an enum after it is made: EnumType would call them.
_AFTER = ("_generate_next_value_", "_missing_", "__init__")


def _enum(head, shape):
    """Made by EnumType, with members whose values are given: the enum's own __new__ and __init__ do not run again."""
    extra, metaclass, bases = head["enum"], head["metaclass"], head["bases"]
    if any(isinstance(value, Missing) for value in shape.values()):
        raise Lost("a method of this enum was made by another version of Python, and there is no source of it")
    body = enum.EnumMeta.__prepare__(head["name"], bases)
    body["__module__"], body["__qualname__"] = head["module"], head["qualname"]
    kind, values = extra["type"], {}

    def new(cls, given):
        value = values[given]
        made = kind.__new__(cls) if kind is object else kind.__new__(cls, value)
        made._value_ = value
        return made

    for name, value in shape.items():
        if name not in _AFTER:
            body[name] = value
    body["__new__"] = new
    tokens = {}
    for name, canonical, value, _state in extra["members"]:
        token = tokens.setdefault(canonical, _Token())
        values[token] = value
        body[name] = token
    bounded = extra["boundary"] is not None and sys.version_info >= (3, 11)
    options = {"boundary": enum.FlagBoundary[extra["boundary"]]} if bounded else {}
    made = enum.EnumMeta.__new__(metaclass, head["name"], bases, body, **options)
    for name in _AFTER:
        if name in shape:
            _set(made, name, shape[name])
    if "_new_member_" in vars(made):
        _set(made, "_new_member_", kind.__new__ if extra["new"] is None else extra["new"])
    if extra["new"] is not None:
        _set(made, "__new_member__", extra["new"])
    elif "__new_member__" in vars(made):
        type.__delattr__(made, "__new_member__")
    if "_use_args_" in vars(made):
        _set(made, "_use_args_", extra["use_args"])
    for name, _canonical, _value, state in extra["members"]:
        if state:
            vars(made._member_map_[name]).update(state)
    return made
