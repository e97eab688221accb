"""What the standard library lacks: prctl, the process tree, resource limits."""

import ctypes
import os
import resource
import select
import time
from os import close as _close
from os import kill as _kill
from os import listdir as _listdir
from os import open as _open
from os import read as _read
from os import waitid as _waitid
from os import waitpid as _waitpid
from signal import SIGCHLD, SIGCONT, SIGKILL, SIGSTOP

PR_SET_CHILD_SUBREAPER, PR_SET_NAME = 36, 15
SA_NOCLDSTOP = 1
FROZEN, ANSWERS = "pyrepl3-frozen", "pyrepl3-answer"
_PF_EXITING = 4
_TRACKS = b"from multiprocessing.resource_tracker import main"
_NO_PRIORITY = os.sched_param(0)
_TICKS = os.sysconf("SC_CLK_TCK")
_READ, _WRITE, _write = os.O_RDONLY | os.O_CLOEXEC, os.O_WRONLY | os.O_CLOEXEC, os.write


_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper():
    """Orphans among this process's descendants become its children, not those of the system's init."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class _Action(ctypes.Structure):
    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong)))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


def hear_of_ends_only():
    """No SIGCHLD for children that are stopped: a worker is, at each rollback, and whoever is woken for that is in the way of those
    who have something to do."""
    action = _Action()
    if _libc.sigaction(SIGCHLD, None, ctypes.byref(action)) == 0:
        action.flags |= SA_NOCLDSTOP
        _libc.sigaction(SIGCHLD, ctypes.byref(action), None)


def set_name(name):
    """What process listings show."""
    _libc.prctl(PR_SET_NAME, name, 0, 0, 0)


def set_oom_score(value):
    """How likely this process is to be ended when memory runs out: bytes, from 0 to 1000."""
    try:
        fd = _open("/proc/self/oom_score_adj", _WRITE)
    except OSError:
        return
    try:
        _write(fd, value)
    except OSError:
        pass  # not allowed here: then the kernel chooses by size alone
    finally:
        _close(fd)


def read(path):
    """A small file. Python's own file objects cost more than the reading, above all right after a fork."""
    fd = _open(path, _READ)
    try:
        data = more = _read(fd, 65536)
        while more:
            more = _read(fd, 65536)
            data += more
        return data
    finally:
        _close(fd)


def thread_name(tid):
    """What a thread of this process is called."""
    try:
        return read(f"/proc/self/task/{tid}/comm").decode(errors="replace").strip()
    except OSError:
        return "which has ended"


def thread_count():
    return len(_listdir("/proc/self/task"))


# Kernels without CONFIG_PROC_CHILDREN have no such file.
_TELLS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def children(pid):
    """Pids of the children of a process, zombies included."""
    if not _TELLS_CHILDREN:
        return _children_by_scan(pid)
    found = []
    try:
        for task in _listdir(f"/proc/{pid}/task"):
            found += map(int, read(f"/proc/{pid}/task/{task}/children").split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return found


def _children_by_scan(pid):
    # Kernels without CONFIG_PROC_CHILDREN.
    found = []
    for entry in _listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(read(f"/proc/{entry}/stat").rpartition(b")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(entry))
    return found


def descendants(roots, without=()):
    """Pids of the roots and of all below them, some of them and all below these left out."""
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        if pid in without:
            continue
        found.append(pid)
        todo += children(pid)
    return found


def reap(left_out=lambda pid: False):
    """Takes the exit statuses that wait: a list of (pid, status), without those that `left_out` says of, before they are
    taken, that nobody wants them."""
    ended = []
    while True:
        try:
            found = _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return ended
            is_wanted = not left_out(found.si_pid)
            pid, status = _waitpid(found.si_pid, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid and is_wanted:
            ended.append((pid, status))


def resume_frozen():
    """Lets children that are frozen processes go on where somebody has stopped them: one that has not said yet that it is there
    would be waited for in vain, and its supervisor does not know its process before that."""
    for pid in children(os.getpid()):
        if is_frozen(pid):
            _send(pid, SIGCONT)


def is_frozen(pid):
    """Whether a process is one of ours that waits, or has ended as one."""
    return name(pid) == FROZEN


# A branch and its parent have one session init, and may lose processes to it at the same moment. Whose is which is
# told by a limit that nothing else uses, that every child inherits and that survives exec: each branch has one of its
# own, a number below this.
_prlimit, _MSGQUEUE = resource.prlimit, resource.RLIMIT_MSGQUEUE
BASE = min(resource.getrlimit(_MSGQUEUE)[1] % (1 << 64), 1 << 40)


def can_mark_branches():
    """Whether a branch of this process can have a mark of its own."""
    return resource.getrlimit(_MSGQUEUE)[1] % (1 << 64) >= BASE > 1 << 18


def mark_branch(number, pid=0):
    """A process, this one without a pid, and all that will come of it belong to the branch with this number."""
    _prlimit(pid, _MSGQUEUE, (BASE - number, resource.getrlimit(_MSGQUEUE)[1]))


def branch_of(pid):
    """The number of the branch that a process belongs to; 0 for none."""
    try:
        return BASE - _prlimit(pid, _MSGQUEUE)[0] % (1 << 64)
    except (ProcessLookupError, PermissionError):
        return 0


def kill(pids):
    for pid in pids:
        _send(pid, SIGKILL)


def stop(pid):
    """SIGSTOP: it does nothing more."""
    _send(pid, SIGSTOP)


def _send(pid, signal):
    try:
        _kill(pid, signal)
    except (ProcessLookupError, PermissionError):
        pass


def make_idle(pid):
    """A process that is to end does so when no processor has anything else to do: to take a large memory apart takes longer than
    what is waited for. Where memory runs out meanwhile, the kernel does it at once."""
    try:
        for thread in _listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, _NO_PRIORITY)
    except OSError:
        pass  # it is gone, or the kernel does not let this process: then it ends as any other


def pidfd(pid):
    """A descriptor of a process, to hand to the supervisor: another pid namespace has other numbers."""
    if _pidfd_open is not None:
        return _pidfd_open(pid)
    fd = _libc.syscall(_PIDFD_OPEN, pid, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    return fd


def take_pids(pidfds):
    """The pids that processes have here, None for one that is gone. Closes their descriptors, and empties the list."""
    pids = []
    while pidfds:
        fd = pidfds.pop(0)
        about = read(f"/proc/self/fdinfo/{fd}")
        _close(fd)
        pid = int(about.partition(b"\nPid:")[2].split(None, 1)[0])
        pids.append(pid if pid > 0 else None)
    return pids


def await_ends(pids, seconds):
    """Waits until these processes are gone, or zombies: all of their threads, and what they have open. Not longer."""
    poll, left, end = select.poll(), set(), time.monotonic() + seconds
    try:
        for pid in pids:
            try:
                fd = pidfd(pid)
            except OSError:
                continue
            left.add(fd)
            poll.register(fd, select.POLLIN)
        while left and (rest := end - time.monotonic()) > 0:
            for fd, _events in poll.poll(rest * 1000):
                poll.unregister(fd)
                left.discard(fd)
                _close(fd)
    finally:
        for fd in left:
            _close(fd)


# Python has it under a name only where it was built on a system that had it.
_PIDFD_OPEN, _pidfd_open = 434, getattr(os, "pidfd_open", None)


def _stat(pid):
    try:
        head, _, tail = read(f"/proc/{pid}/stat").rpartition(b")")
    except OSError:
        return None, None
    return head.partition(b"(")[2].decode(errors="replace"), tail.split()


def name(pid):
    return _stat(pid)[0] or "?"


def is_tracker(pid):
    """Whether a process is one that `multiprocessing` has to remove semaphores and shared memory by their names, once all who could use
    them have ended. It sees their end by itself, and ends then."""
    try:
        return _TRACKS in read(f"/proc/{pid}/cmdline")
    except OSError:
        return False


def is_stopped(pid):
    """Whether a signal has stopped a process."""
    fields = _stat(pid)[1]
    return fields is not None and fields[0] == b"T"


def is_ending(pid):
    """Whether a process is on its way out, or gone."""
    fields = _stat(pid)[1]
    return fields is None or bool(int(fields[6]) & _PF_EXITING)


def born(pid):
    """When a process was made, as something to compare: clock ticks since boot, and its pid. None when it is gone."""
    fields = _stat(pid)[1]
    return None if fields is None else (int(fields[19]), pid)


def is_fresh(pid, seconds):
    """Whether a process is a child of this one that was made not longer ago."""
    fields = _stat(pid)[1]
    if fields is None or int(fields[1]) != os.getpid():
        return False
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS < seconds


def is_older(pid, than):
    """Whether a process was made before another. Ticks are coarse; within one, pids tell, which count up and wrap."""
    mine = born(pid)
    if mine is None:
        return True
    if mine[0] != than[0]:
        return mine[0] < than[0]
    before = mine[1] < than[1]
    return before if abs(mine[1] - than[1]) < 16384 else not before


def is_below(pid, ancestor):
    """Whether a process is a descendant of another."""
    while pid > 1:
        fields = _stat(pid)[1]
        if fields is None:
            return False
        pid = int(fields[1])
        if pid == ancestor:
            return True
    return False
