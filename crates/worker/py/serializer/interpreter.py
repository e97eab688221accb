"""What modules of the standard library hold for the whole process: random numbers, warnings, decimal arithmetic,
standard streams, registries."""

import __future__
import array
import base64
import gc
import importlib
import re
import sys

from .situation import is_of_session, text, untext

_WORDS = array.array("I").itemsize == 4
_DIALECTS = ("excel", "excel-tab", "unix")
_DIALECT = ("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict")
_CONTEXTS = ("DefaultContext", "BasicContext", "ExtendedContext")
STREAMS = ("stdout", "stderr", "stdin")


def note(baseline):
    baseline.filters = warnings_filters()
    baseline.hooks = frozenset(map(id, [*sys.meta_path, *sys.path_hooks]))
    copyreg = sys.modules.get("copyreg")
    baseline.reducers = dict(copyreg.dispatch_table) if copyreg is not None else {}
    baseline.collector_hooks = tuple(gc.callbacks)


def note_again(baseline):
    """In a session: the standard streams are the worker's by then."""
    baseline.streams = {name: getattr(sys, name, None) for name in STREAMS}


# ---- random numbers ----


def words(values):
    """Words of 32 bits as text."""
    packed = array.array("I" if _WORDS else "L", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode("ascii")


def unwords(value):
    packed = array.array("I" if _WORDS else "L")
    packed.frombytes(base64.b64decode(value, validate=True))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed


def random_state():
    random = sys.modules.get("random")
    return random._inst.getstate() if random is not None and hasattr(random, "_inst") else None


def capture_random(here):
    # `random` may seed itself anew in a forked process.
    before = here.options.before
    found = before["random"] if before else random_state()
    if found is not None:
        version, state, gauss = found
        yield {"version": version, "words": words(state), "gauss": gauss}


def restore_random(items, here):
    for item in items:
        import random

        random._inst.setstate((item["version"], tuple(unwords(item["words"])), item["gauss"]))


# ---- warnings ----


def warnings_filters():
    warnings = sys.modules.get("warnings")
    return list(warnings.filters) if warnings is not None else []


def capture_warnings(here):
    before = here.options.before
    now = before["filters"] if before else warnings_filters()
    if now == here.baseline.filters:
        return
    filters = []
    for entry in now:
        action, message, category, module, line = entry
        filters.append([action, _pattern(message), _category(category, here), _pattern(module), line])
    if None not in (each[2] for each in filters):
        yield {"filters": filters}


def _pattern(value):
    # A text where the interpreter made the filter, a compiled pattern where Python code did.
    return [value.pattern, value.flags] if isinstance(value, re.Pattern) else value


def _category(category, here):
    module, name = category.__module__, category.__qualname__
    found = sys.modules.get(module)
    if module != "__main__" and getattr(found, name, None) is category:
        return {"module": module, "name": name}
    return here.put("warnings.filters", category)


def restore_warnings(items, here):
    wanted = here.baseline.filters
    for item in items:
        wanted = []
        for entry in item["filters"]:
            here.attempt("warnings.filters", _want_filter, wanted, entry, here)
    warnings = sys.modules.get("warnings")
    if warnings is None:
        if not items:
            return
        import warnings
    if warnings.filters != wanted:
        warnings.filters[:] = wanted
        warnings._filters_mutated()


def _want_filter(wanted, entry, here):
    action, message, category, module, line = entry
    if action not in ("default", "error", "ignore", "always", "all", "module", "once") or type(line) is not int:
        raise ValueError(f"{entry} is no filter")
    if "module" in category:
        kind = getattr(importlib.import_module(category["module"]), category["name"])
    else:
        kind = here.get(category)
    if not (isinstance(kind, type) and issubclass(kind, Warning)):
        raise TypeError(f"{kind!r} is no category of warnings")
    wanted.append((action, _compiled(message), kind, _compiled(module), line))


def _compiled(value):
    if type(value) is list:
        pattern, flags = value
        return re.compile(pattern, flags)
    if value is not None and type(value) is not str:
        raise TypeError(f"{value!r} is no pattern")
    return value


# ---- decimal arithmetic ----

CURRENT = "<decimal context>"

def shared_decimal():
    """The current context, where something else has it, too; or None. In the context in which user code runs."""
    decimal = sys.modules.get("decimal")
    context = getattr(decimal, "getcontext", lambda: None)()
    # An object that one other has, as the context variable has this one.
    one = object()
    holder = [one]
    return context if context is not None and sys.getrefcount(context) > sys.getrefcount(one) and holder else None


def capture_decimal(here):
    decimal = sys.modules.get("decimal")
    if decimal is None:
        return
    fresh = _fresh_contexts(decimal)
    now = {"current": decimal.getcontext(), **{name: getattr(decimal, name) for name in _CONTEXTS}}
    for name, context in now.items():
        about = _about(context)
        if name == "current" and CURRENT in here.options.shared:
            yield {"name": name, "root": CURRENT, **about}
        elif about != fresh[name]:
            yield {"name": name, **about}


def _fresh_contexts(decimal):
    """What decimal has when it is imported (Lib/_pydecimal.py)."""
    names = lambda *signals: sorted(signals)  # noqa: E731
    usual = {
        "prec": 28, "rounding": "ROUND_HALF_EVEN", "Emin": -999999, "Emax": 999999, "capitals": 1, "clamp": 0,
        "flags": [], "traps": names("DivisionByZero", "Overflow", "InvalidOperation"),
    }  # fmt: skip
    traps = names("DivisionByZero", "Overflow", "InvalidOperation", "Clamped", "Underflow")
    basic = {**usual, "prec": 9, "rounding": "ROUND_HALF_UP", "traps": traps}
    extended = {**usual, "prec": 9, "traps": []}
    return {"current": usual, "DefaultContext": usual, "BasicContext": basic, "ExtendedContext": extended}


def _about(context):
    about = {name: getattr(context, name) for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")}
    for name in ("flags", "traps"):
        about[name] = sorted(signal.__name__ for signal, is_set in getattr(context, name).items() if is_set)
    return about


def restore_decimal(items, here):
    if not items and "decimal" not in sys.modules:
        return
    import decimal

    wanted = _fresh_contexts(decimal)
    for item in items:
        if item["name"] not in wanted:
            raise ValueError(f"{item['name']!r} is no context of decimal")
        wanted[item["name"]] = {name: value for name, value in item.items() if name not in ("kind", "name", "root")}
        if item.get("root") in here.roots:
            here.attempt("decimal context", decimal.setcontext, here.roots[item["root"]])
    for name, about in wanted.items():
        context = decimal.getcontext() if name == "current" else getattr(decimal, name)
        if _about(context) != about:
            here.attempt("decimal context" if name == "current" else f"decimal.{name}", _set_context, context, about)


def _set_context(context, about):
    import decimal

    made = decimal.Context(**{name: value for name, value in about.items() if name not in ("flags", "traps")})
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
        setattr(context, name, getattr(made, name))
    for name in ("flags", "traps"):
        wanted = {getattr(decimal, each) for each in about[name]}
        signals = getattr(context, name)
        for signal in signals:
            signals[signal] = signal in wanted


# ---- standard streams ----


def replaced_streams(baseline, options):
    """Name -> what the session put in place of a standard stream."""
    found = {}
    for name in STREAMS:
        now = getattr(sys, name, None)
        usual = (baseline.streams.get(name), options.streams.get(name), getattr(sys, f"__{name}__", None))
        if now is None or not any(now is each for each in usual):
            if now is not baseline.streams.get(name):
                found[name] = now
    return found


def capture_streams(here):
    for name, stream in replaced_streams(here.baseline, here.options).items():
        root = f"<sys.{name}>"
        if root in here.options.shared:
            yield {"name": name, "root": root}
            continue
        entry = here.put(f"sys.{name}", stream)
        if entry is not None:
            yield {"name": name, "value": entry}


def restore_streams(items, here):
    wanted = dict(here.baseline.streams)
    for item in items:
        name = item["name"]
        if name not in STREAMS:
            here.lose(f"sys.{name}", "it is no standard stream")
        elif "root" not in item:
            here.attempt(f"sys.{name}", lambda: wanted.__setitem__(name, here.get(item["value"])))
        elif item["root"] in here.roots:
            wanted[name] = here.roots[item["root"]]
        else:
            here.lose(f"sys.{name}", "what stood in its place could not be restored")
    for name, stream in wanted.items():
        if getattr(sys, name, None) is not stream:
            setattr(sys, name, stream)


# ---- registries ----


def capture_dialects(here):
    csv = sys.modules.get("_csv")
    if csv is None:
        return
    for name in csv.list_dialects():
        if name not in _DIALECTS:
            dialect = csv.get_dialect(name)
            yield {"name": text(name), "values": [[key, getattr(dialect, key)] for key in _DIALECT]}


def restore_dialects(items, here):
    if not items and "_csv" not in sys.modules:
        return
    import csv

    wanted = {untext(item["name"]): {key: value for key, value in item["values"]} for item in items}
    for name in csv.list_dialects():
        if name not in wanted and name not in _DIALECTS:
            csv.unregister_dialect(name)
    for name, values in wanted.items():
        here.attempt(f"csv dialect {name}", lambda: csv.register_dialect(name, **values))


def capture_reducers(here):
    copyreg = sys.modules.get("copyreg")
    if copyreg is None:
        return
    before = here.baseline.reducers
    for kind, function in list(copyreg.dispatch_table.items()):
        if before.get(kind) is not function and (is_of_session(kind) or is_of_session(function)):
            entry = here.put(f"copyreg.dispatch_table[{kind.__name__}]", (kind, function))
            if entry is not None:
                yield {"name": kind.__name__, "value": entry}


def restore_reducers(items, here):
    import copyreg

    wanted = {}
    for item in items:
        here.attempt(f"copyreg.dispatch_table[{item['name']}]", lambda: wanted.update([here.get(item["value"])]))
    before, table = here.baseline.reducers, copyreg.dispatch_table
    for kind, function in list(table.items()):
        if before.get(kind) is not function and (is_of_session(kind) or is_of_session(function)):
            del table[kind]
            if kind in before:
                table[kind] = before[kind]
    table.update(wanted)


# ---- what executions are compiled with ----


def capture_future(here):
    flags = 0 if here.options.compiler is None else here.options.compiler.flags
    features = [name for name in __future__.all_feature_names if flags & getattr(__future__, name).compiler_flag]
    if features:
        yield {"features": features}


def restore_future(items, here):
    flags = 0
    for name in (name for item in items for name in item["features"]):
        if name in __future__.all_feature_names:
            flags |= getattr(__future__, name).compiler_flag
        else:
            here.lose(f"from __future__ import {name}", "this version of Python does not know it")
    if here.options.compiler is not None:
        here.options.compiler.flags = flags
