"""What a session has put into the containers of libraries: its own functions, classes and objects, in dicts, lists and
sets that a module has under a public name.

A library's private containers are its caches as often as its registries: what is known of these is in registries.py.
"""

import importlib
import re
import types

from . import registries
from .baseline import CONTAINERS
from .situation import is_of_session, modules, text, untext

# What lies in these is kept as other kinds, or is the interpreter's own.
_ELSEWHERE = frozenset(("sys", "builtins", "gc", "copyreg", "logging", "warnings", "threading", "atexit"))
# No session fills one by hand, and to look at all of it would take too long.
_LARGEST = 10_000
# Without any of these nothing is the session's own.
_DEFINES = re.compile(r"\b(?:def|class|lambda)\b")


# Most of what there is, and never the session's: asked first, as it is a tenth of the time.
_NOBODYS = frozenset(map(id, (str, int, float, bytes, bool, type(None), tuple, list, dict, types.BuiltinFunctionType)))


def _found(here, changed=None):
    """(module, attribute, container, what of it is the session's) of each: keys of a dict, or elements. `changed`: names of modules that
    are not as they were noted; None: all are looked at."""
    options, baseline = here.options, here.baseline
    if not any(_DEFINES.search(source) for source in options.sources.values() if type(source) is str):
        return
    seen = registries.containers()
    for name, module in modules():
        if name == "__main__" or name.partition(".")[0] in _ELSEWHERE or name.startswith("_"):
            continue
        contents = getattr(module, "__dict__", None)
        if type(contents) is not dict or contents is options.namespace or contents.get("__spec__") is None:
            continue
        if changed is not None and name not in changed and baseline.noted(name) is module:
            attributes = baseline.containers[name]
        else:
            attributes = [each for each, value in list(contents.items()) if id(type(value)) in CONTAINERS]
        for attribute in attributes:
            value = contents[attribute]
            if type(attribute) is not str or attribute.startswith("_") or len(value) > _LARGEST or id(value) in seen:
                continue
            seen.add(id(value))
            if type(value) is dict:
                own = [key for key, one in value.items() if _is_own(one) or _is_own(key)]
            else:
                own = [one for one in value if _is_own(one)]
            if own:
                yield name, attribute, value, own


def _is_own(one):
    return id(type(one)) not in _NOBODYS and is_of_session(one)


def capture(here):
    for name, attribute, container, own in _found(here, {name for name, _module, _before in here.baseline.look()}):
        label, entries = f"{name}.{attribute}", []
        for one in own:
            parts = (one, container[one]) if type(container) is dict else (one,)
            kept = [here.put(label, part) for part in parts]
            if None not in kept:
                entries.append(kept)
        if entries:
            yield {"module": text(name), "attribute": text(attribute), "of": type(container).__name__, "entries": entries}


def restore(items, here):
    for _name, _attribute, container, own in list(_found(here)):
        for one in own:
            _take_out(container, one)
    for item in items:
        name, attribute = untext(item["module"]), untext(item["attribute"])
        here.attempt(f"{name}.{attribute}", _fill, name, attribute, item, here)


def _take_out(container, one):
    if type(container) is dict:
        del container[one]
    elif type(container) is set:
        container.discard(one)
    else:
        # Not `remove`, which asks whether it is equal.
        container[:] = [other for other in container if other is not one]


def _fill(name, attribute, item, here):
    container = vars(importlib.import_module(name)).get(attribute)
    if type(container).__name__ != item["of"]:
        raise TypeError(f"it is no {item['of']} here")
    for entry in item["entries"]:
        values = [here.get(each) for each in entry]
        if type(container) is dict:
            container[values[0]] = values[1]
        elif type(container) is set:
            container.add(values[0])
        else:
            container.append(values[0])
