"""Context variables: those that the session made, and the values that hold between executions."""

import contextvars
import sys

from .situation import key_of, once

# Settings of libraries, which are kept as such.
_SETTINGS = ("decimal_context", "format_options", "numpy.ufunc.extobj", "numpy.extobj", "numpy_errstate")


def reducers():
    return {contextvars.ContextVar: _reduce}


def _reduce(variable):
    try:
        default = (contextvars.Context().run(variable.get),)
    except LookupError:
        default = ()
    return _variable, (key_of(variable), variable.name, default)


def _variable(key, name, default):
    """Every group that refers to a variable gets the same one."""
    return once(key, lambda: contextvars.ContextVar(name, **({"default": default[0]} if default else {})))


def capture(here):
    values = dict(contextvars.copy_context().items())
    if not values:
        return
    namespace = here.options.namespace
    mine = {id(value) for value in namespace.values() if type(value) is contextvars.ContextVar}
    others = [variable for variable in values if id(variable) not in mine and variable.name not in _SETTINGS]
    holders = _holders(others) if others else {}
    for variable, value in values.items():
        if variable in here.baseline.stale and id(variable) not in mine:
            continue
        if variable in holders:
            module, attribute = holders[variable]
            entry = here.put(f"contextvar {variable.name}", value)
            if entry is not None:
                yield {"name": variable.name, "module": module, "attribute": attribute, "value": entry}
        elif id(variable) in mine or variable.name not in _SETTINGS:
            entry = here.put(f"contextvar {variable.name}", (variable, value))
            if entry is not None:
                yield {"name": variable.name, "both": entry}


def _holders(variables):
    """Where modules keep them, as (module, name)."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name == "__main__" or type(module) is not type(sys):
            continue
        for attribute, value in list(vars(module).items()):
            if type(value) is contextvars.ContextVar and value in variables:
                found.setdefault(value, (name, attribute))
    return found


def restore(items, here):
    # Nothing takes a variable out of a context. Those of what this session was before must not be saved again.
    known = set(contextvars.copy_context())
    here.baseline.stale = known - set(_holders(known)) if known else known
    for item in items:
        here.attempt(f"contextvar {item['name']}", _set, item, here)


def _set(item, here):
    if "both" in item:
        variable, value = here.get(item["both"])
    else:
        variable, value = getattr(sys.modules[item["module"]], item["attribute"]), here.get(item["value"])
    if type(variable) is not contextvars.ContextVar:
        raise TypeError(f"a {type(variable).__name__} is no context variable")
    variable.set(value)
