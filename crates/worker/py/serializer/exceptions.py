"""Exceptions, whose own pickling forgets their cause, their context, and what C code keeps beside their arguments."""

import types

from . import references

_type_dict = type.__dict__["__dict__"].__get__
_mro = type.__dict__["__mro__"].__get__
# Of every exception: kept otherwise, or made of frames. `obj`, what has no such attribute: any object at all, Python leaves it out, too.
_ELSEWHERE = frozenset("args __traceback__ __context__ __cause__ __dict__ __suppress_context__ obj message exceptions".split())


def fields(obj):
    """What C code keeps of an exception: {name: value}, as far as something is there."""
    found = {}
    for base in _mro(type(obj)):
        if base.__module__ != "builtins":
            continue
        for name, field in _type_dict(base).items():
            if type(field) in (types.MemberDescriptorType, types.GetSetDescriptorType) and name not in _ELSEWHERE:
                try:
                    value = field.__get__(obj, base)
                except (AttributeError, TypeError):
                    continue  # never set
                if value is not None:
                    found[name] = value
    return found


def reduce(_pickler, obj):
    kept = fields(obj)
    if obj.__cause__ is None and obj.__context__ is None and not obj.__suppress_context__ and not kept:
        return NotImplemented
    parts = obj.__reduce_ex__(5)
    if type(parts) is not tuple or len(parts) > 3:
        return NotImplemented
    own = parts[2] if len(parts) > 2 else None
    state = own, obj.__cause__, obj.__context__, obj.__suppress_context__
    return parts[0], parts[1], (*state, kept) if kept else state, None, None, references.chain


def set_state(made, state):
    own, made.__cause__, made.__context__, made.__suppress_context__, *more = state
    if own:
        made.__setstate__(own)
    for name, value in more[0].items() if more else ():
        if getattr(made, name, None) is not value:
            setattr(made, name, value)
