"""What user code builds on threads and processes, in a process that was woken without them: it is put right where that
can be, and otherwise says that it is gone, instead of waiting for what will never come.
"""

import ctypes
import gc
import io
import os
import signal
import sys
import threading
from _thread import get_ident as _get_ident

from .files import identity, replace

_objects, _getpid, _kill, _close = gc.get_objects, os.getpid, os.kill, os.close
_pidfd_open = getattr(os, "pidfd_open", None)
_Buffered = (io.BufferedWriter, io.BufferedReader, io.BufferedRandom)
_GONE = "the session was rolled back or branched, and the threads and processes of this pool are gone: make a new one"


_LOST = "the session was rolled back or branched, and the thread that was at this task is gone: submit it again"

# Python's own, and those of joblib and loky.
_TRACKERS = (
    "multiprocessing.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
    "loky.backend.resource_tracker",
)


def trackers():
    """Descriptors of the pipes to processes that remove shared memory and semaphores when these pipes end: while any
    line of the session lives they must not."""
    found = set()
    for name in _TRACKERS:
        fd = getattr(getattr(sys.modules.get(name), "_resource_tracker", None), "_fd", None)
        if type(fd) is int:
            found.add(fd)
    return found


def sentinels():
    """Descriptors by which `multiprocessing` sees the end of a process, and pipes that tell a process of ours: pid by
    descriptor, None for the latter."""
    found = {}
    process = sys.modules.get("multiprocessing.process")
    for child in list(process._children) if process is not None else ():
        popen = getattr(child, "_popen", None)
        if getattr(popen, "method", None) not in ("fork", "spawn"):
            continue  # a fork server tells the status through it
        for fd in getattr(getattr(popen, "finalizer", None), "_args", None) or ():
            if type(fd) is int:
                found[fd] = None
        if type(getattr(popen, "sentinel", None)) is int:
            found[popen.sentinel] = popen.pid
    return found


def watch(sentinels):
    """The end of a process is seen by a descriptor of the process itself: the pipe is the other line's."""
    for fd, pid in sentinels.items():
        if pid is None or _pidfd_open is None or identity(fd) is None:
            continue
        try:
            new = _pidfd_open(pid)
        except OSError:
            continue  # it is gone: the descriptor reads as ended
        replace(new, fd)
        _close(new)


def mend_processes(pid_before, branched):
    """`multiprocessing` asks whether the process that uses an object is the one that made it: after a rollback it is,
    in effect. A branch is another one: the processes and what is to be cleaned up at the end are its parent's."""
    pid = _getpid()
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if branched:
        if process is not None:
            process._children.clear()
        return
    if util is not None:
        for finalizer in list(util._finalizer_registry.values()):
            if getattr(finalizer, "_pid", None) == pid_before:
                finalizer._pid = pid
    if process is not None:
        for child in list(process._children):
            if getattr(child, "_parent_pid", None) == pid_before:
                child._parent_pid = pid


def mend(threads, branched):
    """Everything that lost its threads. `threads`: names of the lost ones by their idents. Returns words."""
    if not threads:
        return []
    found, kinds = [], _kinds()
    item, items, queued = getattr(sys.modules.get("concurrent.futures.thread"), "_WorkItem", None), [], set()
    for one in _objects():
        if type(one) is item:
            items.append(one)
            continue
        for kind, action in kinds:
            # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
            if issubclass(type(one), kind):
                try:
                    text = action(one, threads, branched)
                except Exception as error:
                    text = f"a {type(one).__name__} is gone with its threads ({type(error).__name__}: {error})"
                if text:
                    found.append(text)
                if action is _mend_threads:
                    queued.update(_queued(one))
                break
    for one in items:
        if id(one) not in queued:
            _give_up(one.future)
    return found


def _queued(executor):
    """Ids of the tasks that an executor has not begun: its new threads will."""
    tasks, ids = [], set()
    try:
        while True:
            tasks.append(executor._work_queue.get_nowait())
    except Exception:  # it is empty
        pass
    for task in tasks:
        executor._work_queue.put(task)
        ids.add(id(task))
    return ids


def _give_up(future):
    """A task that a lost thread was at, or was about to begin: who waits for it would wait for ever."""
    if future.done():
        return
    if not future._condition.acquire(blocking=False):
        future._condition = threading.Condition()  # the lost thread had it
    else:
        future._condition.release()
    if future.set_running_or_notify_cancel() if future._state == "PENDING" else True:
        future.set_exception(sys.modules["concurrent.futures.thread"].BrokenThreadPool(_LOST))


def _kinds():
    kinds = [(_Buffered, _mend_buffer)]
    for name, attribute, action in (
        ("concurrent.futures.thread", "ThreadPoolExecutor", _mend_threads),
        ("concurrent.futures.process", "ProcessPoolExecutor", _break_executor),
        ("multiprocessing.pool", "Pool", _end_pool),
        ("multiprocessing.queues", "Queue", _mend_queue),
    ):
        kind = getattr(sys.modules.get(name), attribute, None)
        if isinstance(kind, type):
            kinds.append((kind, action))
    for name, module in list(sys.modules.items()):
        # joblib has a copy of its own.
        if name.endswith("loky.process_executor") and isinstance(getattr(module, "ProcessPoolExecutor", None), type):
            kinds.append((module.ProcessPoolExecutor, _break_executor))
    return kinds


def _mend_threads(executor, _threads, _branched):
    """It believes that its threads wait for work: new ones are started then. What they were at is lost."""
    executor._threads.clear()
    executor._idle_semaphore = threading.Semaphore(0)
    return "the tasks that a ThreadPoolExecutor was running are gone"


def _kill_all(pids, branched):
    if not branched:
        for pid in pids:
            try:
                _kill(pid, signal.SIGKILL)
            except (OSError, TypeError):
                pass


def _break_executor(executor, _threads, branched):
    if getattr(executor, "_executor_manager_thread", None) is None:
        return None  # it has not begun, or is shut down
    error = sys.modules["concurrent.futures.process"].BrokenProcessPool(_GONE)
    flags = getattr(executor, "_flags", None)
    if flags is not None:
        flags.broken = error
    else:
        executor._broken = _GONE
    for item in list((executor._pending_work_items or {}).values()):
        if not item.future.done():
            item.future.set_exception(error)
    executor._pending_work_items.clear()
    _kill_all(list(executor._processes or ()), branched)
    return f"a {type(executor).__name__.strip('_')} is gone with its threads: make a new one"


def _end_pool(pool, _threads, branched):
    if pool._state not in ("RUN", "CLOSE"):
        return None
    pool._state = "TERMINATE"
    # What ends it otherwise talks with its threads.
    pool._terminate.cancel()
    error = RuntimeError(_GONE)
    for result in list(pool._cache.values()):
        if hasattr(result, "ready"):
            while not result.ready():
                result._set(0, (False, error))
        else:
            result._set(result._index, (False, error))
            result._set_length(result._index + 1)
    pool._cache.clear()
    _kill_all([one.pid for one in pool._pool if hasattr(one, "_popen")], branched)
    return f"a {type(pool).__name__} is gone with its threads: make a new one"


def _mend_queue(queue, _threads, _branched):
    """The thread that feeds its pipe is gone: another one is started for what is put next, and what still waited."""
    if queue._thread is None or queue._closed:
        return None
    waiting = list(queue._buffer)
    queue._reset(after_fork=True)
    queue._buffer.extend(waiting)
    return None


# ---- buffers that a lost thread was in ----


class _Probe(io.FileIO):
    def truncate(self, size=None, /):
        self.inside()
        return 0


def _find_owner():
    """Where a buffer's structure has the thread that is in it: the only word that is that thread while it is, and
    nothing otherwise."""
    probe = _Probe(os.devnull, "w")
    buffer = io.BufferedWriter(probe)
    count = io.BufferedWriter.__basicsize__ // ctypes.sizeof(ctypes.c_ulong)
    words = (ctypes.c_ulong * count).from_address(id(buffer))
    during = []
    before, me = list(words), _get_ident()
    probe.inside = lambda: during.extend(words)
    buffer.truncate(0)
    after = list(words)
    buffer.close()
    found = [at for at in range(2, count) if during[at] == me and not before[at] and not after[at]]
    return found[0] if len(found) == 1 else None


_owner = []


def _mend_buffer(buffer, threads, _branched):
    """A thread that is gone was reading or writing, and holds the buffer's lock for ever: the buffer begins anew."""
    if not _owner:
        _owner.append(_find_owner())
    if _owner[0] is None:
        return None
    word = ctypes.sizeof(ctypes.c_ulong)
    ident = ctypes.c_ulong.from_address(id(buffer) + _owner[0] * word).value
    if ident not in threads:
        return None
    kind = next(kind for kind in _Buffered if isinstance(buffer, kind))
    kind.__init__(buffer, buffer.raw)
    verb = "reading" if kind is io.BufferedReader else "writing"
    name = getattr(buffer.raw, "name", None)
    what = f"the file {name}" if isinstance(name, str) else "a file or socket"
    return f"the thread {threads[ident]} was {verb} {what}: what its buffer held is gone"
