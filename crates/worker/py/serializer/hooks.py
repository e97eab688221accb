"""What the session hung into the interpreter to be called later: codecs, exit functions, tracers, import hooks."""

import codecs
import gc
import sys

from . import assigned
from .situation import is_of_session, is_of_worker, text, untext

_STANDARD_ERRORS = ("strict", "ignore", "replace", "xmlcharrefreplace", "backslashreplace", "namereplace", "surrogatepass", "surrogateescape")


# ---- codecs ----


def capture_codecs(here):
    calls = assigned.read(here.options).calls
    for name in sorted(calls.get("codecs.register_error", ())):
        if name in _STANDARD_ERRORS:
            continue
        try:
            handler = codecs.lookup_error(name)
        except LookupError:
            continue
        entry = here.put(f"codec error handler {name}", handler)
        if entry is not None:
            yield {"error": text(name), "handler": entry}
    for name in sorted(calls.get("codecs.register", ())):
        search = here.options.namespace.get(name)
        if not callable(search):
            here.lose(f"codecs.register({name})", "the function is in no variable: register it again")
            continue
        entry = here.put(f"codecs.register({name})", search)
        if entry is not None:
            yield {"search": text(name), "function": entry}


def restore_codecs(items, here):
    for item in items:
        if "error" in item:
            name = untext(item["error"])
            here.attempt(f"codec error handler {name}", lambda: codecs.register_error(name, here.get(item["handler"])))
        else:
            here.attempt(f"codecs.register({item['search']})", lambda: codecs.register(here.get(item["function"])))


# ---- the end of the process ----


def capture_exits(here):
    said = assigned.read(here.options)
    entries = here.options.exits
    if entries is None:
        if said.calls.get("atexit.register"):
            here.lose("atexit functions", "which functions are registered is not known here")
        entries = ()
    for function, arguments, keywords in entries:
        if not _is_registered_by_session(function, arguments, said):
            continue
        name = getattr(function, "__qualname__", type(function).__name__)
        entry = here.put(f"atexit {name}", (function, arguments, keywords))
        if entry is not None:
            yield {"name": text(name), "call": entry}
    weakref = sys.modules.get("weakref")
    for info in list(weakref.finalize._registry.values()) if weakref is not None else ():
        if _is_registered_by_session(info.func, info.args, said):
            what = info.weakref()
            name = getattr(info.func, "__qualname__", type(info.func).__name__)
            here.lose(f"weakref.finalize {name} of a {type(what).__name__}", "finalizers are not kept: make it again")


def _is_registered_by_session(function, arguments, said):
    """Libraries register functions of their own when they are imported: those of others are the session's."""
    if is_of_worker(function):
        return False
    if is_of_session(function) or any(is_of_session(argument) for argument in arguments or ()):
        return True
    module = getattr(function, "__module__", None)
    if type(module) is not str or module == "builtins":
        return bool(said.calls.get("atexit.register") or said.calls.get("weakref.finalize"))
    name = getattr(function, "__name__", "")
    return name in said.calls.get("atexit.register", ()) or name in said.calls.get("weakref.finalize", ())


def restore_exits(items, here):
    for item in items:
        here.attempt(f"atexit {item['name']}", _register, item, here)


def _register(item, here):
    import atexit

    function, arguments, keywords = here.get(item["call"])
    atexit.register(function, *arguments, **keywords)


# ---- what is called while code runs ----


def capture_hooks(here):
    for name, value in (("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())):
        if value is not None and not is_of_worker(value):
            here.lose(name, "a tracer is in force: set it again")
    monitoring = getattr(sys, "monitoring", None)
    for tool in range(6) if monitoring is not None else ():
        if monitoring.get_tool(tool) is not None:
            here.lose(f"sys.monitoring tool {monitoring.get_tool(tool)}", "it is not kept: register it again")
    for holder, hooks in (("sys.meta_path", sys.meta_path), ("sys.path_hooks", sys.path_hooks)):
        for hook in list(hooks):
            if id(hook) not in here.baseline.hooks and is_of_session(hook):
                name = getattr(hook, "__qualname__", type(hook).__qualname__)
                here.lose(f"{holder} {name}", "an import hook is not kept: put it in again")
    calls = assigned.read(here.options).calls
    for name, reason in (
        ("os.register_at_fork", "what is to run at a fork cannot be seen: register it again"),
        ("sys.addaudithook", "audit hooks cannot be seen: add them again"),
        ("threading.settrace", "a tracer of threads is not kept: set it again"),
        ("threading.setprofile", "a profiler of threads is not kept: set it again"),
    ):
        if calls.get(name):
            here.lose(name, reason)
    usual = {id(each) for each in here.baseline.collector_hooks}
    for callback in list(gc.callbacks):
        if id(callback) not in usual and is_of_session(callback):
            entry = here.put("gc.callbacks", callback)
            if entry is not None:
                yield {"what": "gc.callbacks", "value": entry}


def restore_hooks(items, here):
    wanted = []
    for item in items:
        here.attempt("gc.callbacks", lambda: wanted.append(here.get(item["value"])))
    usual = {id(each) for each in here.baseline.collector_hooks}
    kept = [each for each in gc.callbacks if id(each) in usual or not is_of_session(each)]
    if wanted or len(kept) != len(gc.callbacks):
        gc.callbacks[:] = kept + wanted
