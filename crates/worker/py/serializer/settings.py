"""Settings of the process and the interpreter that are one plain value each: read, compared, and set again."""

import _locale
import _signal
import _thread
import gc
import os
import resource
import sys

_SHUT = 0o77
# What a session's init uses to tell branches apart, and what the kernel's own defaults decide.
_NOT_OURS = ("RLIMIT_MSGQUEUE",)
_LIMITS = {
    name[7:].lower(): getattr(resource, name)
    for name in sorted(dir(resource))
    if name.startswith("RLIMIT_") and name not in _NOT_OURS
}
_CATEGORIES = {
    name: getattr(_locale, name)
    for name in ("LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_MONETARY", "LC_NUMERIC", "LC_MESSAGES")
    if hasattr(_locale, name)
}
_CSV_LIMIT = 131072
_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")


class Setting:
    """`module`: which must be loaded for the setting to be other than `default`; None for one that is always there."""

    def __init__(self, name, read, write, module=None, default=None):
        self.name, self.read, self.write, self.module, self.default = name, read, write, module, default

    def now(self):
        if self.module is not None and self.module not in sys.modules:
            return self.default
        return self.read()


def _umask():
    # It can only be read by setting it. Another thread may make a file meanwhile: it must not be open to all.
    mask = os.umask(_SHUT)
    if mask != _SHUT:
        os.umask(mask)
    return mask


def _write_collector(value):
    enabled, threshold, debug = value
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    (gc.enable if enabled else gc.disable)()


def _soft(which):
    return resource.getrlimit(which)[0]


def _write_soft(which):
    def write(value):
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
            raise ValueError(f"{value} is above the hard limit, {hard}")
        resource.setrlimit(which, (value, hard))

    return write


def _locales(category):
    return Setting(
        f"locale {category}",
        lambda: _locale.setlocale(_CATEGORIES[category]),
        lambda value: _locale.setlocale(_CATEGORIES[category], value),
    )


def _mask():
    return sorted(map(int, _signal.pthread_sigmask(_signal.SIG_BLOCK, ())))


def _temporary_directory():
    """What the session chose; what the library found by itself it finds again."""
    value = sys.modules["tempfile"].tempdir
    if type(value) is not str:
        return None
    candidates = (*(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")), *_TEMPORARY)
    # The first that it can use.
    found = next((one for one in candidates if one and os.path.isdir(one) and os.access(one, os.W_OK | os.X_OK)), None)
    return None if found is not None and value == os.path.abspath(found) else value


def _write_temporary_directory(value):
    import tempfile

    if value is not None and not os.path.isdir(value):
        raise FileNotFoundError(f"there is no directory {value}")
    tempfile.tempdir = value


def _write_timeout(value):
    import socket

    socket.setdefaulttimeout(value)


def _csv_limit():
    return sys.modules["_csv"].field_size_limit()


def _write_csv_limit(value):
    import csv

    csv.field_size_limit(value)


def _start_method():
    return sys.modules["multiprocessing"].get_start_method(allow_none=True)


def _write_start_method(value):
    import multiprocessing

    multiprocessing.set_start_method(value, force=True)


def _traces():
    tracemalloc = sys.modules["_tracemalloc"]
    return tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0


def _write_traces(value):
    import tracemalloc

    tracemalloc.stop()
    if value:
        tracemalloc.start(value)


def _write_faults(value):
    import faulthandler

    # Not `sys.stderr`, which the session may have replaced by something without a descriptor.
    faulthandler.enable(2) if value else faulthandler.disable()


def _all():
    yield Setting("umask", _umask, os.umask)
    yield Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)
    yield Setting("garbage collector", lambda: [gc.isenabled(), list(gc.get_threshold()), gc.get_debug()], _write_collector)
    yield Setting("switch interval", sys.getswitchinterval, sys.setswitchinterval)
    if hasattr(sys, "set_int_max_str_digits"):
        yield Setting("int max str digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits)
    yield Setting("signal mask", _mask, lambda value: _signal.pthread_sigmask(_signal.SIG_SETMASK, value))
    for category in _CATEGORIES:
        yield _locales(category)
    for name, which in _LIMITS.items():
        yield Setting(f"resource limit {name}", lambda which=which: _soft(which), _write_soft(which))
    yield Setting("nice", lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda value: os.setpriority(os.PRIO_PROCESS, 0, value))
    yield Setting("cpu affinity", lambda: sorted(os.sched_getaffinity(0)), lambda value: os.sched_setaffinity(0, value))
    yield Setting("threading.stack_size", _thread.stack_size, _thread.stack_size)
    yield Setting("tempfile.tempdir", _temporary_directory, _write_temporary_directory, "tempfile")
    yield Setting("socket timeout", lambda: sys.modules["_socket"].getdefaulttimeout(), _write_timeout, "_socket")
    yield Setting("csv field size limit", _csv_limit, _write_csv_limit, "_csv", _CSV_LIMIT)
    yield Setting("multiprocessing start method", _start_method, _write_start_method, "multiprocessing")
    yield Setting("tracemalloc", _traces, _write_traces, "_tracemalloc", 0)
    yield Setting("faulthandler", lambda: sys.modules["faulthandler"].is_enabled(), _write_faults, "faulthandler", False)


ALL = tuple(_all())


def read_all():
    return {setting.name: setting.now() for setting in ALL}


def note_again(noted):
    """In a session: what the worker sets when it begins."""
    for setting in ALL:
        if setting.name.startswith(("resource limit", "signal mask")):
            noted[setting.name] = setting.read()


def capture(here):
    before = here.options.before
    for setting in ALL:
        value = before["settings"][setting.name] if before else setting.now()
        if value != here.baseline.settings.get(setting.name, setting.default):
            yield {"name": setting.name, "value": value}


def restore(items, here):
    wanted = dict(here.baseline.settings)
    known = {setting.name for setting in ALL}
    for item in items:
        if item["name"] not in known:
            here.lose(str(item["name"]), "this Python has no such setting")
        else:
            wanted[item["name"]] = item["value"]
    for setting in ALL:
        value = wanted.get(setting.name, setting.default)
        if setting.now() != value:
            here.attempt(setting.name, setting.write, value)
