"""What user code builds on other processes, in one that was woken: it is put right where that can be, and otherwise says that
it is gone, instead of waiting for what will never come.
"""

import os
import signal
import sys

_getpid, _kill = os.getpid, os.kill
_PATIENCE = 5.0
"""Seconds for a thread to see that it is to end: it has at most as many processes to start as the pool has."""
_GONE = "the session was rolled back or branched, and the processes of this pool are gone: make a new one"


# Python's own, and those of joblib and loky.
_TRACKERS = (
    "multiprocessing.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
    "loky.backend.resource_tracker",
)


# The same, with a table of the threads of their executors.
_EXECUTORS = ("concurrent.futures.process", "joblib.externals.loky.process_executor", "loky.process_executor")


def may_be_there():
    """Whether there can be any of what this module looks after."""
    return "multiprocessing.process" in sys.modules


def trackers():
    """Descriptors of the pipes to processes that remove shared memory and semaphores when these pipes end: while any
    line of the session lives they must not."""
    return _of_trackers("_fd")


def tracking():
    """Pids of these processes: all lines of a session have them, whoever's child they are."""
    return _of_trackers("_pid")


def _of_trackers(attribute):
    found, modules = set(), sys.modules
    for name in _TRACKERS:
        if name in modules:
            number = getattr(getattr(modules[name], "_resource_tracker", None), attribute, None)
            if type(number) is int:
                found.add(number)
    return found


def sentinels():
    """Descriptors by which `multiprocessing` sees the end of a process, and pipes that tell a process of ours: pid by
    descriptor, None for the latter. The helper sees to it that the former see the end of the process itself: the pipe is the
    other line's."""
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


def mend(branched):
    """Pools of processes: their queues are shared with processes that were told something else since. They say that they are
    gone, instead of waiting for ever. Returns words, and what `finish` is to be told."""
    found, ended = [], []
    for one, action in [*((one, _end_pool) for one in _pools()), *((one, _break_executor) for one in _executors())]:
        try:
            text = action(one, branched)
        except Exception as error:
            text = f"a {type(one).__name__} is gone ({type(error).__name__}: {error})"
        if text:
            found.append(text)
            if action is _end_pool:
                ended.append(one)
    return found, ended


def finish(ended):
    """Once threads can speak with the supervisor: waits for the threads of pools that `mend` has told to end, and ends what they
    have started meanwhile, of which nobody else would know. `ended`: what `mend` returned."""
    for pool in ended:
        try:
            pool._worker_handler.join(_PATIENCE)
            _kill_all([one.pid for one in pool._pool], False)
        except Exception:
            pass  # a subclass of the user's: it was told that it is gone


# Both are found by what Python itself knows them by: to look at all objects is to write to all memory, each page of which
# would be copied.


def _pools():
    util, pool = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.pool")
    if util is None or pool is None:
        return []
    found = [one._weakref() for one in list(util._finalizer_registry.values()) if getattr(one, "_weakref", None) is not None]
    # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
    return [one for one in found if issubclass(type(one), pool.Pool)]


def _executors():
    """By their threads, which are there until all is done, also where the executor itself is shut down or forgotten."""
    return [thread for name in _EXECUTORS for thread in list(getattr(sys.modules.get(name), "_threads_wakeups", ()))]


def _kill_all(pids, branched):
    if not branched:
        for pid in pids:
            try:
                _kill(pid, signal.SIGKILL)
            except (OSError, TypeError):
                pass


class _Ended:
    """Stands for the processes of an executor that are another session's: its thread sees that it has ended, and ends, too. With none
    at all the thread of loky's would wait for ever."""

    # No process has this number.
    pid, exitcode, name = (1 << 22) + 1, -int(signal.SIGKILL), "gone"

    def __init__(self):
        self.sentinel, writer = os.pipe()
        os.close(writer)
        self._worker_exit_lock = self

    def __del__(self, _close=os.close):
        _close(self.sentinel)

    def is_alive(self):
        return False

    def join(self, timeout=None):
        pass

    terminate = kill = close = release = join


def _break_executor(thread, branched):
    if not thread.is_alive():
        return None  # all is done
    executor = thread.executor_reference()
    error = sys.modules["concurrent.futures.process"].BrokenProcessPool(_GONE)
    flags = getattr(executor, "_flags", None)
    if flags is not None:
        flags.broken = error
    elif executor is not None:
        executor._broken = _GONE
    for item in list((thread.pending_work_items or {}).values()):
        if not item.future.done():
            item.future.set_exception(error)
    thread.pending_work_items.clear()
    _kill_all(list(thread.processes or ()), branched)
    if branched:
        # The thread would wait for processes that are the parent's, or end them.
        thread.processes.clear()
        thread.processes[_Ended.pid] = _Ended()
    kind = "ProcessPoolExecutor" if executor is None else type(executor).__name__.strip("_")
    return f"a {kind} is gone with its processes: make a new one"


def _end_pool(pool, branched):
    if pool._state not in ("RUN", "CLOSE"):
        return None  # it has ended
    # By its kind: of one whose processes have ended just now there are none to look at.
    if issubclass(type(pool), sys.modules["multiprocessing.pool"].ThreadPool):
        # Its workers are threads, which a branch has, too: it ends them itself.
        if branched:
            pool._terminate._pid = _getpid()
        return None
    # What ends it otherwise talks with its processes. Its threads end by themselves: one waits for what changes, one for what
    # it is to send, where nobody reads, and tells the last one.
    pool._terminate.cancel()
    pool._state = "TERMINATE"
    for handler in (pool._worker_handler, pool._task_handler, pool._result_handler):
        handler._state = "TERMINATE"
    # It is in memory that the pool's processes share. One that had just told a result has it locked, for ever.
    pool._outqueue._wlock = sys.modules["threading"].Lock()
    pool._inqueue._reader.close()
    pool._change_notifier.put(None)
    # The first of its threads does so as well when it ends, but not where it ends by an error: what it was at may be gone.
    pool._taskqueue.put(None)
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
    if branched:
        pool._pool.clear()
    return f"a {type(pool).__name__} is gone with its processes: make a new one"
