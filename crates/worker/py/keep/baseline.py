"""What a session found when it began: whatever differs from it is the session's doing.

`take` runs once in the zygote, after the worker has put its own replacements in place; `session_started` once in the
session. Modules that are imported later are noted by `note_modules`, which the worker calls before each execution.
"""

import ctypes
import os
import sys

from . import environment, interpreter, logs, open_files, settings, signals, situation

_id, _len, _hash, _type, _Module = id, len, hash, type, type(sys)
_main = sys.modules["__main__"]
# Modules that the worker changes after `take`: when it puts its streams and `input` in place.
_CHANGED_BY_WORKER = ("builtins", "sys", "getpass", "IPython.display", "IPython.core.display_functions")


class Baseline:
    def __init__(self):
        self.modules = {}  # name -> (module, a copy of its dict, the print of its dict)
        self.later = {}  # the same for modules that were imported in the session
        self.settings = {}
        self.environ, self.cwd, self.path, self.argv = {}, None, [], []
        self.descriptors = {}  # descriptor -> (device, inode)
        self.streams, self.hooks = {}, frozenset()
        self.handlers, self.filters, self.loggers = {}, [], {}
        self.reducers, self.collector_hooks = {}, ()
        self.stale = frozenset()  # context variables of what the session was before it was restored
        self._count = self._last = None

    def session_started(self):
        """In the session, when the worker has prepared it and before user code runs."""
        # So that keys of objects in one session's checkpoints are not those of another's.
        situation.begin_session(os.urandom(8).hex())
        for name in _CHANGED_BY_WORKER:
            module = sys.modules.get(name)
            if name in self.modules and module is not None:
                self.modules[name] = _noted(module)
        self.settings = settings.read_all()
        environment.note(self)
        interpreter.note(self)
        signals.note(self)
        logs.note(self)
        self.descriptors = open_files.listed()
        self._seen()
        return self

    def note_modules(self):
        """Notes modules that were imported since the last call. Cheap where there are none."""
        if _len(sys.modules) == self._count and next(reversed(sys.modules), None) == self._last:
            return
        for name, module in list(sys.modules.items()):
            if name not in self.modules and name not in self.later and _is_library(name, module):
                self.later[name] = _noted(module)
        self._seen()

    def _seen(self):
        self._count, self._last = _len(sys.modules), next(reversed(sys.modules), None)

    def changed_modules(self):
        """(name, module, its dict as noted, whether it was noted before any code of the session) for each module whose
        dict is not as it was."""
        for known, sure in ((self.modules, True), (self.later, False)):
            for name, (module, before, mark) in known.items():
                now = vars(module)
                if mark != _print(now) and not _same(now, before):
                    yield name, module, before, sure


def take():
    """The baseline of a zygote. The worker's own replacements must be in place."""
    baseline = Baseline()
    for name, module in list(sys.modules.items()):
        if _is_library(name, module):
            baseline.modules[name] = _noted(module)
    return baseline


def _is_library(name, module):
    # `__main__` has another name, too, once multiprocessing is imported.
    return issubclass(_type(module), _Module) and module is not _main and not name.startswith("_pyrepl3")


def _noted(module):
    now = vars(module)
    return module, now.copy(), _print(now)


def _same(now, before):
    return _len(now) == _len(before) and all(
        key in before and before[key] is value for key, value in list(now.items())
    )


# ---- prints of dicts ----
#
# To compare a dict's values by identity counts a reference to each, and so writes to the memory of each: in a forked
# process that copies every page, some 40 ms with pandas and matplotlib loaded. The table of a dict holds the addresses
# of its keys and values; to read it as bytes writes nothing. Where it is equal nothing has changed, since the copy
# keeps every old value alive and no other can have its address. Where it differs, the dicts are compared.

_Pointer = ctypes.c_void_p
# `ma_keys` is the last but one member of PyDictObject (Include/cpython/dictobject.h).
_KEYS_AT = dict.__basicsize__ - 2 * ctypes.sizeof(_Pointer)
_read_pointer, _bytes_at, _size = _Pointer.from_address, ctypes.string_at, dict.__sizeof__


def _table(mapping):
    address = _read_pointer(_id(mapping) + _KEYS_AT).value
    return address, _bytes_at(address, _size(mapping) - dict.__basicsize__)


def _print(mapping):
    """Equal for the same dict only while nothing in it was set or deleted; None where that cannot be told."""
    if not _PRINTS or _type(mapping) is not dict:
        return object()
    address, table = _table(mapping)
    return address, _hash(table)


def _table_is_understood():
    """Tries on a dict of its own whether the table is where it is read, and tells of a change."""
    first, second = object(), object()
    mapping = {f"name{number}": first for number in range(20)}
    try:
        size = _size(mapping) - dict.__basicsize__
        if sys.implementation.name != "cpython" or not 20 * 16 <= size <= 4096:
            return False
        if not _looks_like_table(_id(mapping) + _KEYS_AT):
            return False
        before = _table(mapping)
        at = before[1].find(_id(first).to_bytes(ctypes.sizeof(_Pointer), sys.byteorder))
        mapping["name7"] = second
        after = _table(mapping)
    except (ValueError, OSError, MemoryError):
        return False
    return at > 0 and before != after and _id(second).to_bytes(ctypes.sizeof(_Pointer), sys.byteorder) in after[1]


def _looks_like_table(address):
    """Whether what stands there is an address of readable memory: asked of the kernel, which does not crash."""
    target = _read_pointer(address).value
    if not target:
        return False
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(target)
            return bool(memory.read(1))
    except (OSError, OverflowError):
        return False


_PRINTS = os.name == "posix" and _table_is_understood()
