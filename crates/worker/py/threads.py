"""Threads do not come along in a fork: what they leave behind in the woken process is found, mended and named."""

import dis
import gc
import os
import sys
import threading
from _thread import LockType as _Lock
from _thread import RLock as _RLock
from _thread import get_ident as _get_ident

_enumerate, _frames, _objects = threading.enumerate, sys._current_frames, gc.get_objects
_getpid = os.getpid


class Lost:
    """The threads of the process at one moment, other than its main thread."""

    def __init__(self):
        self.names, self.locks = [], []
        me = _get_ident()
        others = [thread for thread in _enumerate() if thread.ident != me and thread.ident is not None]
        if not others:
            return
        frames = _frames()
        for thread in others:
            self.names.append(str(thread.name))
            self._look_for_locks(thread, frames.get(thread.ident))

    def _look_for_locks(self, thread, frame):
        """Locks that a thread seems to hold: in the local variables of its frames, and in what those belong to."""
        seen, depth = set(), 0
        if frame is not None and _is_acquiring(frame):
            # What it waits for is another's.
            frame = frame.f_back
        while frame is not None and depth < 50:
            for name, value in list(frame.f_locals.items()):
                self._consider(thread, name, value, seen)
                if name == "self":
                    try:
                        inner = list(vars(value).items())
                    except TypeError:
                        inner = []
                    for attribute, part in inner:
                        self._consider(thread, f"{type(value).__name__}.{attribute}", part, seen)
            for name in frame.f_code.co_names:
                if name in frame.f_globals:
                    self._consider(thread, name, frame.f_globals[name], seen)
            frame, depth = frame.f_back, depth + 1

    def _consider(self, thread, name, value, seen):
        if isinstance(value, threading.Condition):
            value = value._lock
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, _RLock):
            # Its repr is the only place where its owner stands.
            if f"owner={thread.ident} " in repr(value):
                self.locks.append((name, str(thread.name), value))
        elif isinstance(value, _Lock) and value.locked() and not _is_internal(thread, value):
            self.locks.append((name, str(thread.name), value))

    def warnings(self):
        found = [f"the thread {name} runs: a rollback loses it" for name in self.names]
        found += [f"the thread {thread} holds the lock {name}" for name, thread, _lock in self.locks]
        return found

    # ---- in the process that was woken ----

    def mend(self):
        """Releases the locks of lost threads, and makes what relied on them usable. Returns what is lost, in words."""
        lost = [f"the thread {name} is gone" for name in self.names]
        for name, thread, lock in self.locks:
            if lock.locked() if hasattr(lock, "locked") else "locked" in repr(lock).split()[0]:
                lock._at_fork_reinit()
                lost.append(f"the lock {name} was held by the thread {thread}, which is gone: it is released")
        if self.names and "concurrent.futures.thread" in sys.modules:
            _mend_executors()
        return lost


def _is_acquiring(frame):
    """Whether a frame is about to get a lock, not holding it yet."""
    code = frame.f_code
    at = max(0, frame.f_lasti)
    name = dis.opname[code.co_code[at]] if at < len(code.co_code) else ""
    return name in ("BEFORE_WITH", "SETUP_WITH") or ("CALL" in name and "acquire" in code.co_names)


def _is_internal(thread, lock):
    """The locks by which a thread is joined and started are not held by what it does."""
    return lock in (getattr(thread, "_tstate_lock", None), getattr(thread, "_lock", None))


def _mend_executors():
    """Executors believe that their threads wait for work: new ones are started then."""
    futures = sys.modules["concurrent.futures.thread"]
    for one in _objects():
        if isinstance(one, futures.ThreadPoolExecutor):
            one._threads.clear()
            one._idle_semaphore = threading.Semaphore(0)


def mend_processes(pid_before):
    """`multiprocessing` asks whether the process that uses an object is the one that made it: it is, in effect."""
    pid = _getpid()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        for finalizer in list(util._finalizer_registry.values()):
            if getattr(finalizer, "_pid", None) == pid_before:
                finalizer._pid = pid
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        for child in list(process._children):
            if getattr(child, "_parent_pid", None) == pid_before:
                child._parent_pid = pid


def mend_loops(loops):
    """Event loops: the pair of sockets by which a loop wakes itself is shared with the other process, so each gets a
    new one; its threads are gone."""
    socket = sys.modules.get("socket")
    for loop in loops:
        ends = (getattr(loop, "_ssock", None), getattr(loop, "_csock", None))
        if socket is None or None in ends or loop.is_closed():
            continue
        for new, place in zip(socket.socketpair(), ends):
            new.setblocking(False)
            os.dup2(new.fileno(), place.fileno(), inheritable=False)
            new.close()
        loop._default_executor = None
