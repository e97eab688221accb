"""What the standard library lacks: prctl, the process tree, OpenMP pools, resource limits."""

import ctypes
import os
from os import kill as _kill
from os import listdir as _listdir
from os import waitpid as _waitpid
from signal import SIGKILL

PR_SET_CHILD_SUBREAPER = 36


_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper():
    """Orphans among this process's descendants become its children, not those of the system's init."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def thread_count():
    return len(_listdir("/proc/self/task"))


def children(pid):
    """Pids of the children of a process, zombies included."""
    found = []
    try:
        for task in _listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if not os.path.exists("/proc/self/task/self/children") and not os.path.exists(
            f"/proc/self/task/{os.getpid()}/children"
        ):
            return _children_by_scan(pid)
    return found


def _children_by_scan(pid):
    # Kernels without CONFIG_PROC_CHILDREN.
    found = []
    for entry in _listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(entry))
    return found


def descendants(roots):
    """Pids of the roots and of all below them."""
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children(pid)
    return found


def reap():
    """Takes the exit statuses that wait: a list of (pid, status)."""
    ended = []
    while True:
        try:
            pid, status = _waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def kill(pids):
    for pid in pids:
        try:
            _kill(pid, SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def pause_openmp():
    """Ends the threads of OpenMP runtimes: a parallel region in a forked child would wait for them for ever."""
    seen = set()
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line.rstrip("\n").partition("/")
                path = path[1] + path[2]
                name = path.rpartition("/")[2]
                if name.startswith(("libgomp", "libomp", "libiomp")) and path not in seen:
                    seen.add(path)
    except OSError:
        return
    for path in seen:
        try:
            ctypes.CDLL(path).omp_pause_resource_all(2)
        except (OSError, AttributeError):
            pass
