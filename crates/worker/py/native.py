"""The native helper, which forks this process with all of its threads. Loaded once, in the zygote; sessions inherit it.

What it is asked for, and what came of it, is one structure: `crates/native/src/helper/entry.rs` has the same.
"""

import array
import ctypes
import functools
import os
import struct
import sys
from _thread import get_ident as _get_ident

from . import system

INTERFACE = 3
LIVE, WOKEN, BRANCH, SAVER, ANSWER = range(5)
LATE, TOO_MANY_THREADS, RING, GPU, ZMQ, SHADOW_STACK, NO_ROOM, FORK, SYSTEM, DIED, NEEDS_FLUSH, FULL, NEEDS_LOOK = range(-1, -14, -1)
# Microseconds that a thread may take to be parked.
LIMIT = 2_000_000

_I32, _U32, _U64, _WORD = ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t
_List = _WORD * 2


class Request(ctypes.Structure):
    _fields_ = [
        ("wake", _I32),
        ("control", _I32),
        ("line", _I32),
        ("has_sqlite", _U32),
        ("is_flushed", _U32),
        ("prefers_to_die", _U32),
        ("has_looked", _U32),
        ("is_plain", _U32),
        ("limit", _U64),
        ("branch_base", _U64),
        ("loads", _U64),
        ("iterate", ctypes.c_void_p),
        ("own", _List),
        ("close", _List),
        ("inherited", _List),
        ("elsewhere", _List),
        ("said", _List),
        ("spare", _List),
        ("answer", _List),
        ("pids", _List),
        ("kept", _List),
        ("sentinels", _List),
        ("walk", _List),
        ("greeting", _List),
        ("watched", _List),
        ("written", _List),
        ("before", ctypes.c_void_p),
        ("after_in_parent", ctypes.c_void_p),
        ("after_in_child", ctypes.c_void_p),
        ("error", _I32),
        ("threads", _U32),
        ("warns", _U32),
        ("index", _U32),
        ("member", _U32),
        ("split", _U32),
        ("salvage", _I32),
        ("channel", _I32),
        ("spare_used", _U32),
        ("parent", _I32),
        ("answered", _U32),
        ("mask", _U64),
        ("parked_for", _U64),
        ("records", _WORD),
        ("record_count", _WORD),
        ("text", _WORD),
        ("arena", _WORD),
        ("arena_length", _WORD),
        ("present", _WORD),
        ("known", _List),
        ("unbound", _WORD),
        ("written_count", _WORD),
    ]


_python = ctypes.pythonapi
_HOOKS = ("PyOS_BeforeFork", "PyOS_AfterFork_Parent", "PyOS_AfterFork_Child")
_address, _cast, _string_at = ctypes.addressof, ctypes.cast, ctypes.string_at
_array, _iter_unpack = array.array, struct.Struct("=Ii4QII").iter_unpack
_RECORD = struct.calcsize("=Ii4QII")


for _name in (
    "PyInterpreterState_Head", "PyInterpreterState_Next", "PyInterpreterState_ThreadHead", "PyThreadState_Next",
    "PyThreadState_Get", "PyThreadState_GetInterpreter", "PyThreadState_GetDict",
):  # fmt: skip
    getattr(_python, _name).restype = ctypes.c_void_p


class Unloadable(Exception):
    """The helper cannot be loaded here: why."""


class Helper:
    """The loaded library. `why` says why there is none."""

    def __init__(self):
        self.why, self.freeze = "it was not loaded", None
        self.loads = None  # tells how many libraries were loaded, where the C library does

    def load(self, fd):
        """From a descriptor of its image, which is closed."""
        try:
            library = ctypes.PyDLL(f"/proc/self/fd/{fd}")
            found = library.pyrepl3_interface()
            if found != INTERFACE:
                raise Unloadable(f"it is of version {found}, not {INTERFACE}")
            platform = (ctypes.c_ssize_t * 4)(*_restartable(), *_c_library())
            library.pyrepl3_platform.argtypes = (ctypes.c_void_p,)
            library.pyrepl3_platform(platform)
        except (OSError, AttributeError, Unloadable) as error:
            self.why = str(error)
            return
        finally:
            os.close(fd)
        for one in (library.pyrepl3_freeze, library.pyrepl3_prepare, library.pyrepl3_release):
            one.argtypes = (ctypes.c_void_p,)
        library.pyrepl3_prepare.restype = library.pyrepl3_release.restype = None
        library.pyrepl3_thaw_unknown.argtypes = (ctypes.c_void_p, *(ctypes.c_void_p, ctypes.c_size_t) * 2)
        library.pyrepl3_thaw_unknown.restype = ctypes.c_ssize_t
        library.pyrepl3_loads.argtypes = (ctypes.c_void_p,)
        library.pyrepl3_loads.restype = ctypes.c_uint64
        self.freeze, self.prepare = library.pyrepl3_freeze, library.pyrepl3_prepare
        self.release, self.thaw_unknown = library.pyrepl3_release, library.pyrepl3_thaw_unknown
        if _template.iterate is not None:
            self.loads = functools.partial(library.pyrepl3_loads, _template.iterate)
        self.why = None


helper = Helper()


def _function(name):
    """The address of one of the C library's functions, or of the interpreter's."""
    try:
        return _cast(getattr(_python, name), ctypes.c_void_p).value
    except AttributeError:
        return None


# At each snapshot what is written to anew has to be copied: a request is a copy of one that is ready.
_template = Request()
_template.limit = LIMIT
_template.before, _template.after_in_parent, _template.after_in_child = map(_function, _HOOKS)
_template.iterate = _function("dl_iterate_phdr")
_template.branch_base = system.BASE
_copy = Request.from_buffer_copy


def new_request():
    """One that knows the interpreter's own functions for forks."""
    return _copy(_template)


def state_of(random):
    """What a generator of the module `random` holds, as an address and a length: its object without the head."""
    head = object.__basicsize__
    return id(random) + head, type(random).__mro__[-2].__basicsize__ - head


def has_subinterpreters():
    head = _python.PyInterpreterState_Head()
    return bool(_python.PyInterpreterState_Next(ctypes.c_void_p(head)))


_WALK = ("PyInterpreterState_Head", "PyInterpreterState_Next", "PyInterpreterState_ThreadHead", "PyThreadState_Next")
_walk = []


def walk():
    """By which the helper finds the interpreter's threads, as an address and a length: functions, where each thread's state has its
    thread pointer, and whether there is one lock."""
    if not _walk:
        words = _cast(_python.PyThreadState_Get(), ctypes.POINTER(ctypes.c_size_t))
        place = next((at for at in range(8, 64) if words[at] == _get_ident()), None)
        if place is None:
            return 0, 0
        found = [_cast(getattr(_python, name), ctypes.c_void_p).value for name in _WALK]
        is_locked = getattr(sys, "_is_gil_enabled", lambda: True)()
        _walk[:] = numbers("Q", (*found, place * ctypes.sizeof(ctypes.c_size_t), is_locked))
    return _walk[1]


def loop_pids():
    """Addresses of pids that running event loops remember, on Pythons where they do."""
    if sys.version_info >= (3, 12) or "_asyncio" not in sys.modules:
        return ()
    found = []
    for holder in _holders():
        # PyRunningLoopHolder: the loop, then the pid.
        found.append(id(holder) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p))
    return tuple(found)


def _holders():
    """What each thread of the interpreter remembers of its running loop."""
    state = _python.PyThreadState_Get()
    mine = _python.PyThreadState_GetDict()
    words = ctypes.cast(state, ctypes.POINTER(ctypes.c_void_p))
    place = next((at for at in range(64) if words[at] == mine), None)
    if place is None:
        return
    one = _python.PyInterpreterState_ThreadHead(ctypes.c_void_p(_python.PyThreadState_GetInterpreter(ctypes.c_void_p(state))))
    while one:
        address = ctypes.cast(one, ctypes.POINTER(ctypes.c_void_p))[place]
        if address:
            holder = ctypes.cast(address, ctypes.py_object).value.get("__asyncio_running_event_loop__")
            if holder is not None:
                yield holder
        one = _python.PyThreadState_Next(ctypes.c_void_p(one))


class Numexpr:
    """numexpr makes its threads anew, beside those that are there, where the pid is not the one that it remembers."""

    def __init__(self):
        self.module, self.state = None, None
        self.place = 0

    def pids(self):
        """The address of the pid, where there is one."""
        module = sys.modules.get("numexpr.interpreter")
        if module is None:
            return ()
        if module is not self.module:
            self.module, self.state = module, _variable(module, "gs")
        if self.state is None:
            return ()
        address, length = self.state
        pid = os.getpid()
        if not self.place or _string_at(self.place, 4) != pid.to_bytes(4, sys.byteorder):
            found = place_of_pid(_string_at(address, length), pid)
            self.place = 0 if found is None else address + found
        return (self.place,) if self.place else ()


def place_of_pid(data, pid):
    """Where in numexpr's state the pid is, which is another place in each version: behind three flags. Half of an address may be the same
    number: that has the other half before it."""
    words = memoryview(data[: len(data) // 4 * 4]).cast("I")
    found = [at for at in range(3, len(words)) if words[at] == pid and all(flag in (0, 1) for flag in words[at - 3 : at])]
    return 4 * found[0] if len(found) == 1 else None


def _variable(module, name):
    """Where a library has a variable, and how much there is from there on; None where it has none of that name."""
    try:
        start = _address(ctypes.c_char.in_dll(ctypes.PyDLL(module.__file__), name))
        with open("/proc/self/maps", "rb") as maps:
            ranges = [[int(one, 16) for one in line.split(None, 1)[0].split(b"-")] for line in maps]
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    end = next((end for first, end in ranges if first <= start < end), start)
    return start, min(end - start, 1 << 18)


def numbers(kind, values):
    """Numbers in memory, and what a field of the request is set to. The array has to live as long as the call."""
    one = _array(kind, values)
    return one, one.buffer_info()


def records(request):
    """What the helper wrote down: tuples of kind, descriptor, four numbers, and a text."""
    if not request.record_count:
        return []
    data = _string_at(request.records, request.record_count * _RECORD)
    return [
        (kind, fd, a, b, c, d, _string_at(request.text + at, length) if length else b"")
        for kind, fd, a, b, c, d, at, length in _iter_unpack(data)
    ]


def _restartable():
    """Where the C library has a thread's area for restartable sequences, from the thread pointer, and its size."""
    try:
        return (
            ctypes.c_ssize_t.in_dll(ctypes.pythonapi, "__rseq_offset").value,
            ctypes.c_uint.in_dll(ctypes.pythonapi, "__rseq_size").value,
        )
    except ValueError:
        return 0, 0  # musl, or glibc before 2.35


def _c_library():
    """Start and end of the C library's code."""
    function = _function("malloc") or 0
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            start, end = (int(one, 16) for one in line.split(None, 1)[0].split(b"-"))
            if start <= function < end:
                return start, end
    return 0, 0
