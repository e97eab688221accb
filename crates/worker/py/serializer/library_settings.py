"""Settings that libraries keep behind calls and properties: a table of how each is asked for, and set again.

What is in a module's public containers, or was assigned to its attributes, is seen without a table (`entries`, `patches`); these
are not. A library that is not loaded is not looked for. Where nobody can tell what a setting is by default it is kept whatever it is.
"""

import importlib
import os
import sys

from .situation import why

# pyarrow's own.
_IO_THREADS = 8
# A variable in which a session says itself what else is to be kept: name -> (function that tells it, function that sets it).
OWN = "__checkpoint_settings__"


class Declared:
    """`module`: what has to be loaded for it. `read(module)` gives the value, None for what it is by default, where that is known
    (`has_default`); `write(module, value)` sets it, to the default where the value is None."""

    def __init__(self, name, module, read, write, has_default=False):
        self.name, self.module, self.read, self.write, self.has_default = name, module, read, write, has_default


def _put_into(container, value):
    container.clear()
    container.update(value)


def _write_structlog(module, value):
    module.reset_defaults() if value is None else module.configure(**value)


def _processors():
    return len(os.sched_getaffinity(0))


def _read_cpus(module):
    count = module.cpu_count()
    return None if count == _processors() else count


def _registry(name, module, attribute):
    """What altair calls a plugin registry: one of its entries is on, with options."""

    def read(found):
        registry = getattr(found, attribute)
        return {"name": registry.active, "options": dict(registry.options)}

    return Declared(name, module, read, lambda found, value: getattr(found, attribute).enable(value["name"], **value["options"]))


ALL = (
    Declared(
        "xarray.set_options",
        "xarray.core.options",
        lambda module: dict(module.OPTIONS),
        lambda module, value: _put_into(module.OPTIONS, {name: each for name, each in value.items() if name in module.OPTIONS}),
    ),
    Declared("dask.config", "dask.config", lambda module: dict(module.config), lambda module, value: _put_into(module.config, value)),
    Declared(
        "structlog.configure",
        "structlog",
        lambda module: module.get_config() if module.is_configured() else None,
        _write_structlog,
        has_default=True,
    ),
    Declared(
        "pyarrow.set_cpu_count",
        "pyarrow.lib",
        _read_cpus,
        lambda module, value: module.set_cpu_count(value or _processors()),
        has_default=True,
    ),
    Declared(
        "pyarrow.set_io_thread_count",
        "pyarrow.lib",
        lambda module: None if module.io_thread_count() == _IO_THREADS else module.io_thread_count(),
        lambda module, value: module.set_io_thread_count(value or _IO_THREADS),
        has_default=True,
    ),
    Declared(
        "plotly.io.templates.default",
        "plotly.io._templates",
        lambda module: module.templates.default,
        lambda module, value: setattr(module.templates, "default", value),
    ),
    Declared(
        "plotly.io.renderers.default",
        "plotly.io._renderers",
        lambda module: module.renderers.default,
        lambda module, value: setattr(module.renderers, "default", value),
    ),
    _registry("altair.data_transformers", "altair", "data_transformers"),
    _registry("altair.renderers", "altair", "renderers"),
    Declared(
        "torch.set_default_dtype",
        "torch",
        lambda module: module.get_default_dtype(),
        lambda module, value: module.set_default_dtype(value),
    ),
    Declared(
        "torch's random state",
        "torch",
        lambda module: module.get_rng_state().numpy(),
        lambda module, value: module.set_rng_state(module.from_numpy(value.copy())),
    ),
    Declared(
        "torch.set_num_threads", "torch", lambda module: module.get_num_threads(), lambda module, value: module.set_num_threads(value)
    ),
)


def _loaded(one):
    """Its module, where the import has ended."""
    module = sys.modules.get(one.module)
    spec = getattr(module, "__spec__", None)
    return None if module is None or getattr(spec, "_initializing", False) else module


def capture(here):
    for one in ALL:
        module = _loaded(one)
        if module is None:
            continue
        try:
            value = one.read(module)
        except AttributeError:
            continue  # a version that has no such thing
        entry = None if value is None else here.put(one.name, value)
        if entry is not None:
            yield {"name": one.name, "value": entry}
    yield from _capture_own(here)
    _look_at_duckdb(here)


def _capture_own(here):
    declared = here.options.namespace.get(OWN)
    if declared is None:
        return
    if type(declared) is not dict:
        here.lose(OWN, "it is no dict of names, and for each a function that tells a setting and one that sets it")
        return
    for name, pair in declared.items():
        label = f"{OWN}[{name!r}]"[:200]
        if type(name) is not str or not _is_pair(pair):
            here.lose(label, "it is no pair of functions: one that tells the setting, one that sets it")
            continue
        try:
            value = pair[0]()
        except Exception as error:
            here.lose(label, f"it could not be asked for: {why(error)}")
            continue
        entry = here.put(label, value)
        if entry is not None:
            yield {"name": name, "value": entry, "own": True}


def _is_pair(pair):
    return type(pair) in (tuple, list) and len(pair) == 2 and all(map(callable, pair))


def _restore_own(item, here):
    declared = here.options.namespace.get(OWN)
    pair = declared.get(item["name"]) if type(declared) is dict else None
    label = f"{OWN}[{item['name']!r}]"[:200]
    if _is_pair(pair):
        here.attempt(label, lambda: pair[1](here.get(item["value"])))
    else:
        here.lose(label, "what sets it did not come back")


def _look_at_duckdb(here):
    """No variable holds the connection that its functions use."""
    module = sys.modules.get("duckdb")
    if module is None or not hasattr(module, "default_connection"):
        return
    found = module.default_connection().execute("select table_name from duckdb_tables()").fetchall()
    if found:
        names = ", ".join(sorted(str(row[0]) for row in found)[:5])
        here.lose("duckdb's default connection", f"its tables ({names}) belong to this process: keep them in a file or in data frames")


def restore(items, here):
    known = {one.name: one for one in ALL}
    kept = {item["name"] for item in items if not item.get("own")}
    for one in ALL:
        # This session has changed it, and the one that was saved had not.
        module = _loaded(one) if one.name not in kept else None
        if module is not None and one.has_default and one.read(module) is not None:
            here.attempt(one.name, one.write, module, None)
    for item in items:
        if item.get("own"):
            _restore_own(item, here)
            continue
        one = known.get(item["name"])
        if one is None:
            here.lose(str(item["name"])[:100], "this version does not know it")
        else:
            here.attempt(one.name, _set_again, one, item["value"], here)


def _set_again(one, entry, here):
    # The session that was saved had it loaded.
    module = importlib.import_module(one.module)
    value, now = here.get(entry), one.read(module)
    if type(value) is not type(now) or not _is_same(value, now):
        one.write(module, value)


def _is_same(value, now):
    try:
        return bool(value == now)
    except Exception:  # arrays, say: it is set again, whatever it is
        return False
