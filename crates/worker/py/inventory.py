"""What a fork does not keep, taken down before it and put right when the child is woken.

Descriptors are shared by both processes: their offsets have to be restored; pipes and listening sockets are given up
by the frozen process, so that closing them means what it means; locks belong to the process and are taken again.
"""

import _signal as _native
import _socket
import fcntl
import gc
import io
import os
import stat
import sys
import weakref

_fstat, _lseek, _listdir, _readlink = os.fstat, os.lseek, os.listdir, os.readlink
_open, _close, _dup2, _pread, _getpid = os.open, os.close, os.dup2, os.pread, os.getpid
_get_inheritable = os.get_inheritable
_fcntl, _F_GETFL, _ACC, _APPEND = fcntl.fcntl, fcntl.F_GETFL, os.O_ACCMODE, os.O_APPEND
_lockf, _LOCK_EX, _LOCK_SH, _LOCK_NB = fcntl.lockf, fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_NB
_S_IFMT, _IFREG, _IFIFO, _IFSOCK = stat.S_IFMT, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK
_getitimer, _setitimer = _native.getitimer, _native.setitimer
_TIMERS = (_native.ITIMER_REAL, _native.ITIMER_VIRTUAL, _native.ITIMER_PROF)
_socket_type, _SOL, _ACCEPT = _socket.socket, _socket.SOL_SOCKET, _socket.SO_ACCEPTCONN
_Buffered = (io.BufferedWriter, io.BufferedRandom)
_Text, _ref, _objects = io.TextIOWrapper, weakref.ref, gc.get_objects
_SQLITE = b"SQLite format 3\0"


# Pipes that the zygote was started with: they belong to whoever started it, and both processes may have them.
inherited = set()


def note_inherited():
    """In the zygote."""
    for name in _listdir("/proc/self/fd"):
        identity = _identity(int(name))
        if identity is not None:
            inherited.add(identity)


class Writers:
    """Python's buffered writers on regular files: flushed before a fork, or both processes would write what they hold."""

    def __init__(self):
        self.known = {}  # descriptor -> (identity of the file, weak references to its writers)

    def flush(self, files):
        """`files`: descriptor -> identity, of the regular files that are open for writing."""
        new = {fd for fd, identity in files.items() if self.known.get(fd, (None,))[0] != identity}
        self.known = {fd: known for fd, known in self.known.items() if fd in files and fd not in new}
        if new:
            for fd in new:
                self.known[fd] = (files[fd], [])
            # There is no list of writers: they are looked for once for each file that is new.
            for one in _objects():
                if isinstance(one, _Buffered) or isinstance(one, _Text):
                    try:
                        fd = one.fileno()
                    except Exception:
                        continue
                    if fd in new:
                        self.known[fd][1].append(_ref(one))
        for _identity, writers in self.known.values():
            for reference in writers:
                writer = reference()
                if writer is not None:
                    try:
                        (_Text if isinstance(writer, _Text) else type(writer)).flush(writer)
                    except Exception:
                        pass  # closed, or its disk is full: what it holds stays in it, as without a snapshot


class Inventory:
    """The descriptors, locks and timers of the process at one moment."""

    def __init__(self, mine, writers):
        """`mine`: descriptors of the worker's own."""
        self.files = {}  # descriptor -> (identity, offset)
        self.pipes, self.listeners = [], []
        self.sqlite = []  # descriptors of databases, their journals and logs
        self.paths = {}
        self.timers = [(which, *_getitimer(which)) for which in _TIMERS]
        own = inherited | {_identity(fd) for fd in (0, 1, 2)}
        writable = {}
        for name in _listdir("/proc/self/fd"):
            fd = int(name)
            if fd in mine:
                continue
            try:
                about = _fstat(fd)
            except OSError:
                continue  # the listing's own
            kind = _S_IFMT(about.st_mode)
            identity = (about.st_dev, about.st_ino)
            if kind == _IFREG:
                try:
                    flags = _fcntl(fd, _F_GETFL)
                    self.files[fd] = (identity, _lseek(fd, 0, os.SEEK_CUR))
                except OSError:
                    continue
                if flags & _ACC:
                    writable[fd] = identity
            elif kind == _IFIFO:
                if fd > 2 and identity not in own:
                    self.pipes.append(fd)
            elif kind == _IFSOCK and _is_listening(fd):
                self.listeners.append(fd)
        if writable:
            writers.flush(writable)
            for fd in writable:
                self.files[fd] = (self.files[fd][0], _lseek(fd, 0, os.SEEK_CUR))
        if self.files and "sqlite3" in sys.modules:
            self._look_for_sqlite()
        self.locks = self._locks() if self.files else []

    def _look_for_sqlite(self):
        for fd in self.files:
            try:
                path = _readlink(f"/proc/self/fd/{fd}")
            except OSError:
                continue
            self.paths[fd] = path
            if path.endswith(("-journal", "-wal", "-shm")):
                self.sqlite.append(fd)
            else:
                try:
                    if _pread(fd, 16, 0) == _SQLITE:
                        self.sqlite.append(fd)
                except OSError:
                    pass

    def _locks(self):
        """Locks of this process on its open files: a list of (kind, exclusive, start, length, descriptor)."""
        found = []
        try:
            with open("/proc/locks", encoding="ascii", errors="replace") as file:
                lines = file.read().split("\n")
        except OSError:
            return found
        pid = str(_getpid())
        by_inode = {}
        for fd, ((device, inode), _offset) in self.files.items():
            by_inode[(os.major(device), os.minor(device), inode)] = fd
        for line in lines:
            parts = line.split()
            if len(parts) < 8 or parts[1] == "->" or parts[4] != pid:
                continue
            major, minor, inode = parts[5].split(":")
            fd = by_inode.get((int(major, 16), int(minor, 16), int(inode)))
            if fd is not None:
                start = int(parts[6])
                length = 0 if parts[7] == "EOF" else int(parts[7]) - start + 1
                found.append((parts[1], parts[3] == "WRITE", start, length, fd))
        return found

    def path(self, fd):
        if fd not in self.paths:
            try:
                self.paths[fd] = _readlink(f"/proc/self/fd/{fd}")
            except OSError:
                self.paths[fd] = f"descriptor {fd}"
        return self.paths[fd]

    def warnings(self):
        found = []
        for fd in sorted({lock[4] for lock in self.locks if lock[0] == "FLOCK"}):
            found.append(f"{self.path(fd)} is locked: closing it does not release the lock while a snapshot exists")
        for path in self._unsafe_databases():
            found.append(f"the sqlite database {path} is in use: a rollback loses the connection to it")
        return found

    def _unsafe_databases(self):
        """Databases whose connection holds locks, or a log in shared memory: it cannot go on in another process."""
        unsafe = set()
        locked = {lock[4] for lock in self.locks if lock[0] == "POSIX"}
        for fd in self.sqlite:
            path = self.paths[fd]
            for end in ("-journal", "-wal", "-shm"):
                if path.endswith(end):
                    unsafe.add(path[: -len(end)])
            if fd in locked:
                unsafe.add(path)
        return sorted(unsafe)

    # ---- in the frozen process ----

    def give_up(self):
        """Closing a pipe or a listening socket must mean what it means, while this process only waits."""
        null = _open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in self.pipes + self.listeners:
            self.path(fd)
            _replace(null, fd)
        _close(null)

    # ---- in the process that was woken ----

    def restore(self, estranged):
        """Puts right what can be. Returns what cannot, in words. `estranged`: whether the other process is gone."""
        lost = []
        for fd, (identity, offset) in self.files.items():
            try:
                if _identity(fd) == identity:
                    _lseek(fd, offset, os.SEEK_SET)
            except OSError:
                lost.append(f"the position in {self.path(fd)} could not be restored")
        for which, value, interval in self.timers:
            if value and estranged:
                _setitimer(which, value, interval)
        unsafe = self._unsafe_databases()
        if unsafe:
            # Reads and writes on it fail from now on: a connection without its locks could destroy the file.
            dead = _open("/", os.O_PATH | os.O_CLOEXEC)
            for fd in self.sqlite:
                path = self.paths[fd]
                if path in unsafe or path.rpartition("-")[0] in unsafe:
                    _replace(dead, fd)
            _close(dead)
            lost += [f"the connection to the sqlite database {path} was in use: open it again" for path in unsafe]
        elif estranged:
            files = sorted({self.paths[fd] for fd in self.sqlite})
            lost += [f"what was committed to the sqlite database {path} is not undone" for path in files]
        for kind, exclusive, start, length, fd in self.locks:
            if kind != "POSIX" or fd in self.sqlite:
                continue
            try:
                if not estranged:
                    raise OSError
                _lockf(fd, (_LOCK_EX if exclusive else _LOCK_SH) | _LOCK_NB, length, start)
            except OSError:
                lost.append(f"the lock on {self.path(fd)} is gone")
        for fd in self.pipes:
            lost.append(f"{self.path(fd)} (descriptor {fd}) was a pipe to another process: it is closed")
        for fd in self.listeners:
            lost.append(f"the listening socket at descriptor {fd} is closed: listen again")
        return lost


def _replace(with_, fd):
    _dup2(with_, fd, inheritable=_get_inheritable(fd))


def _identity(fd):
    try:
        about = _fstat(fd)
    except OSError:
        return None
    return (about.st_dev, about.st_ino)


def _is_listening(fd):
    try:
        one = _socket_type(fileno=fd)
    except OSError:
        return False
    try:
        return bool(one.getsockopt(_SOL, _ACCEPT))
    except OSError:
        return False
    finally:
        one.detach()


