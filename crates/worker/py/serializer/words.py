"""Why something cannot be saved, in plain words."""

import reprlib
import sys
import types

from .situation import clean


class Lost(Exception):
    """Something cannot be saved or brought back. `reason`: why, in plain words."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


_RUNNING = "is a function in the middle of its run, which Python cannot save: keep what it has given so far in a list"
_OUTSIDE = "belongs to this process and to what is at the other end: make it again after the restore"
# By module and name of the type: looking must not import anything.
KINDS = {
    ("builtins", "generator"): f"a generator {_RUNNING}",
    ("builtins", "coroutine"): f"a coroutine {_RUNNING}",
    ("builtins", "async_generator"): f"an asynchronous generator {_RUNNING}",
    ("builtins", "frame"): "a frame is a function in the middle of its run, which Python cannot save",
    ("builtins", "traceback"): "a traceback holds frames, which Python cannot save: keep its text",
    ("_thread", "lock"): "a lock that is held belongs to the threads of this process: make a new one after the restore",
    ("_thread", "RLock"): "a lock that is held belongs to the threads of this process: make a new one after the restore",
    ("_thread", "_localdummy"): "a thread-local object has other values in each thread, which end with this process",
    ("_thread", "_ThreadHandle"): "a thread ends with its process: start it again after the restore",
    ("threading", "Thread"): "a thread ends with its process: start it again after the restore",
    ("threading", "Timer"): "a thread ends with its process: start it again after the restore",
    ("subprocess", "Popen"): f"a child process {_OUTSIDE}",
    ("multiprocessing.context", "Process"): f"a child process {_OUTSIDE}",
    ("multiprocessing.pool", "Pool"): f"a pool of processes {_OUTSIDE}",
    ("multiprocessing.pool", "ThreadPool"): f"a pool of threads {_OUTSIDE}",
    ("concurrent.futures.thread", "ThreadPoolExecutor"): f"a pool of threads {_OUTSIDE}",
    ("concurrent.futures.process", "ProcessPoolExecutor"): f"a pool of processes {_OUTSIDE}",
    ("concurrent.futures._base", "Future"): f"a future {_OUTSIDE}",
    ("socket", "socket"): f"a socket {_OUTSIDE}",
    ("_socket", "socket"): f"a socket {_OUTSIDE}",
    ("ssl", "SSLContext"): "a TLS context holds keys inside of a C library: make a new one after the restore",
    ("_io", "TextIOWrapper"): "an open file belongs to this process: open it again after the restore",
    ("_io", "BufferedReader"): "an open file belongs to this process: open it again after the restore",
    ("_io", "BufferedWriter"): "an open file belongs to this process: open it again after the restore",
    ("_io", "BufferedRandom"): "an open file belongs to this process: open it again after the restore",
    ("_io", "FileIO"): "an open file belongs to this process: open it again after the restore",
    ("tempfile", "_TemporaryFileWrapper"): "an open temporary file belongs to this process: make a new one",
    ("mmap", "mmap"): "a memory-mapped file belongs to this process: map it again after the restore",
    ("numpy", "memmap"): "an array in a memory-mapped file belongs to this process: map it again after the restore",
    ("sqlite3", "Connection"): "a connection to a database belongs to this process: connect again after the restore",
    ("sqlalchemy.engine.base", "Engine"): "an engine holds connections to a database: make it again after the restore",
    ("sqlite3", "Cursor"): "a cursor of a database belongs to this process: run its query again after the restore",
    ("re", "Match"): "a match cannot be pickled: keep what is needed of it, such as .groups() and .span()",
    ("re", "Scanner"): "an iterator over matches cannot be pickled: keep a list of what it gives",
    ("_sre", "SRE_Scanner"): "an iterator over matches cannot be pickled: keep a list of what it gives",
    ("builtins", "callable_iterator"): "an iterator over calls cannot be pickled: keep a list of what it gives",
    ("itertools", "_tee"): "a half of itertools.tee cannot be pickled: keep a list of what it gives",
    ("builtins", "memoryview"): "a memoryview of memory that is not a plain bytes or bytearray cannot be saved",
    ("contextvars", "ContextVar"): "a context variable cannot be pickled",
    ("_contextvars", "ContextVar"): "a context variable cannot be pickled",
    ("_contextvars", "Token"): "a token of a context variable belongs to a context of this process",
    ("_contextvars", "Context"): "a context of context variables cannot be pickled",
    ("_asyncio", "Task"): f"a task {_RUNNING}",
    ("_asyncio", "Future"): "a future belongs to an event loop of this process",
    ("weakref", "finalize"): "a finalizer is registered with this process: register it again after the restore",
    ("weakref", "ProxyType"): "a weak proxy cannot be saved: make it again from its object",
    ("weakref", "CallableProxyType"): "a weak proxy cannot be saved: make it again from its object",
    ("_queue", "SimpleQueue"): f"a queue between threads {_OUTSIDE}",
    ("builtins", "weakref"): "a weak reference with a callback cannot be saved",
    ("builtins", "PyCapsule"): "a pointer of a C library has no meaning outside of this process",
    ("zipfile", "ZipFile"): "an open archive belongs to this process: open it again after the restore",
    ("tarfile", "TarFile"): "an open archive belongs to this process: open it again after the restore",
    ("selectors", "EpollSelector"): f"a selector {_OUTSIDE}",
    ("select", "epoll"): f"a selector {_OUTSIDE}",
}
_MODULES = {"_io": "io", "_sre": "re", "_socket": "socket", "_sqlite3": "sqlite3"}


def kind_words(cls):
    """Why objects of this type cannot be saved, or None where nothing is known of it."""
    for base in type.__dict__["__mro__"].__get__(cls):
        if base is object:
            return None
        found = KINDS.get((module_of(base), name_of(base)))
        if found is None and module_of(base) == "asyncio.base_events" and name_of(base) == "BaseEventLoop":
            found = "an event loop belongs to this process: a new one is made after the restore"
        if found is not None:
            return found
    return None


_type_dict = type.__dict__["__dict__"].__get__


def module_of(cls):
    """The module of a class, whatever its metaclass says."""
    found = type.__dict__["__module__"].__get__(cls)
    return found if type(found) is str else None


def name_of(cls):
    return type.__dict__["__qualname__"].__get__(cls)


def type_name(obj):
    cls = type(obj)
    module = module_of(cls)
    return name_of(cls) if module in ("builtins", "__main__", None) else f"{module}.{name_of(cls)}"


def of_error(error, during):
    """A reason from an exception. Its own words are asked with care: they may be the user's code."""
    if isinstance(error, Lost):
        return error.reason
    kind = name_of(type(error))
    if isinstance(error, RecursionError):
        return f"{during}: it is nested too deeply, or refers to itself through its own pickling"
    if isinstance(error, MemoryError):
        return f"{during}: there is not enough memory"
    try:
        text = str(error)
        text = clean(text) if type(text) is str else ""
    except BaseException:  # the exception's own __str__ fails: its type says what there is to say
        text = ""
    text = text.split("\n", 1)[0][:300]
    return f"{during}: {kind}: {text}" if text else f"{during}: {kind}"


# Longer names are nobody's variables.
_LONGEST = 1000


def unfit_name(name):
    """For a key of the namespace that no checkpoint can name: what to call it, and why it is lost."""
    if type(name) is not str:
        return f"globals()[{reprlib.repr(name)}]", "a key that is no string is no variable"
    if len(name) > _LONGEST:
        return f"{clean(name[:60])}…", f"its name has {len(name):,} characters: {_LONGEST:,} can be kept"
    if clean(name) != name:
        return clean(name), "its name is no text: it has a lone surrogate"
    return None


def is_main(module):
    return module is None or module == "__main__"


def module_named(name):
    found = sys.modules.get(name) if type(name) is str else None
    return found if isinstance(found, types.ModuleType) else None
