"""Open files at the moment of a fork: both processes share their offsets and flags, and locks stay with one of them.

Taken down before the fork, put right when the child is woken; a branch opens them again, to have offsets of its own.
"""

import ctypes
import fcntl
import gc
import io
import os
import sys
import weakref

from . import system

_lseek, _readlink, _open, _close, _dup2, _pread, _getpid = (
    os.lseek, os.readlink, os.open, os.close, os.dup2, os.pread, os.getpid,
)  # fmt: skip
_fstat, _get_inheritable = os.fstat, os.get_inheritable
_fcntl, _GETFL, _SETFL, _ACC, _APPEND = fcntl.fcntl, fcntl.F_GETFL, fcntl.F_SETFL, os.O_ACCMODE, os.O_APPEND
_lockf, _LOCK_EX, _LOCK_SH, _LOCK_NB = fcntl.lockf, fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_NB
_flock, _LOCK_UN = fcntl.flock, fcntl.LOCK_UN
_Buffered, _Text, _Random = io.BufferedWriter, io.TextIOWrapper, io.BufferedRandom
_ref, _objects = weakref.ref, gc.get_objects
_SQLITE = b"SQLite format 3\0"
# What only makes sense when a file is opened by its name for the first time.
_ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOFOLLOW | os.O_TMPFILE
_libc = ctypes.CDLL(None, use_errno=True)
# man 2 kcmp
_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}.get(os.uname().machine)
_KCMP_FILE = 0


def replace(with_, fd):
    _dup2(with_, fd, inheritable=_get_inheritable(fd))


def identity(fd):
    try:
        about = _fstat(fd)
    except OSError:
        return None
    return (about.st_dev, about.st_ino)


def _is_duplicate(one, other):
    """Whether two descriptors are of one open file, so that they share its offset; where the system does not tell,
    whether they look like it."""
    if _KCMP is not None:
        pid = _getpid()
        order = _libc.syscall(_KCMP, pid, pid, _KCMP_FILE, ctypes.c_ulong(one), ctypes.c_ulong(other))
        if order >= 0:
            return order == 0
    return (_lseek(one, 0, os.SEEK_CUR), _fcntl(one, _GETFL)) == (_lseek(other, 0, os.SEEK_CUR), _fcntl(other, _GETFL))


class Writers:
    """Python's buffered writers on files that are only appended to: flushed before a fork, or both processes would
    append what they hold. In any other file both write it to the same place, so that it may stay where it is."""

    def __init__(self):
        self.known = {}  # descriptor -> (identity of the file, weak references to its writers)

    def flush(self, files):
        """`files`: descriptor -> identity, of those that are only appended to."""
        new = {fd for fd, one in files.items() if self.known.get(fd, (None,))[0] != one}
        self.known = {fd: known for fd, known in self.known.items() if fd in files and fd not in new}
        if new:
            for fd in new:
                self.known[fd] = (files[fd], [])
            # There is no list of writers: they are looked for once for each file that is new.
            for one in _objects():
                # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
                if issubclass(type(one), (_Buffered, _Text, _Random)):
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
                        _flush(writer)
                    except Exception:
                        pass  # closed, or its disk is full: what it holds stays in it, as without a snapshot


def _flush(writer):
    if isinstance(writer, _Random) and writer.tell() <= writer.raw.tell():
        # It holds nothing that is to be written, and flushing it would throw away what it has read ahead.
        return
    (_Text if isinstance(writer, _Text) else type(writer)).flush(writer)


class Files:
    """The open regular files of the process at one moment."""

    def __init__(self, writers):
        self.writers = writers
        self.open = {}  # descriptor -> [identity, offset, flags]
        self.sqlite = []  # descriptors of databases, their journals and logs
        self.locks = []
        self.paths = {}

    def add(self, fd, about):
        try:
            self.open[fd] = [(about.st_dev, about.st_ino), _lseek(fd, 0, os.SEEK_CUR), _fcntl(fd, _GETFL)]
        except OSError:
            pass  # the listing's own

    def look(self):
        """When all are added."""
        if not self.open:
            return
        appended = {fd: one for fd, (one, _offset, flags) in self.open.items() if flags & _ACC and flags & _APPEND}
        if appended:
            self.writers.flush(appended)
            for fd in appended:
                self.open[fd][1] = _lseek(fd, 0, os.SEEK_CUR)
        if "sqlite3" in sys.modules:
            self._look_for_sqlite()
        self.locks = self._look_for_locks()

    def _look_for_sqlite(self):
        for fd in self.open:
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

    def _look_for_locks(self):
        """Locks on the open files: a list of (kind, exclusive, start, length, descriptor).

        The kernel tells them by open file. A lock of the kind `flock` belongs to that, whichever process of this line of
        the session took it, be it gone by now; other lists name processes, and not those of other pid namespaces."""
        found, seen = [], set()
        for fd, (one, *_) in self.open.items():
            try:
                about = system.read(f"/proc/self/fdinfo/{fd}")
            except OSError:
                continue
            if b"lock:" not in about:
                continue
            for line in about.decode().split("\n"):
                # lock: 1: FLOCK ADVISORY WRITE 359 00:13:11691 0 EOF
                parts = line.split()
                if len(parts) < 9 or parts[0] != "lock:" or parts[2] not in ("FLOCK", "POSIX"):
                    continue
                kind, mode, start, end = parts[2], parts[4], int(parts[7]), parts[8]
                key = (one, kind, mode, start, end)
                if key not in seen:
                    seen.add(key)
                    length = 0 if end == "EOF" else int(end) - start + 1
                    found.append((kind, mode == "WRITE", start, length, fd))
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

    # ---- in the process that was woken ----

    def open_again(self):
        """In a branch: offsets of its own. Returns what could not be opened, in words."""
        # By identity of the file: descriptors of different open files, each with a new one. By descriptor: the new one.
        lost, leaders, twins = [], {}, {}
        for fd, (one, _offset, flags) in self.open.items():
            known = leaders.setdefault(one, [])
            twin = next((new for old, new in known if _is_duplicate(old, fd)), None)
            try:
                if twin is None:
                    twin = _open(f"/proc/self/fd/{fd}", flags & ~_ONCE | os.O_CLOEXEC)
                    known.append((fd, twin))
                twins[fd] = twin
            except OSError:
                lost.append(f"the position in {self.path(fd)} is shared with the session that this one was branched from")
        # Not before all are known: which are duplicates is told by what the parent has.
        for fd, new in twins.items():
            replace(new, fd)
        for new in set(twins.values()):
            _close(new)
        return lost

    def restore(self, estranged):
        """Puts right what can be. Returns what cannot, in words. `estranged`: whether the other process is gone."""
        lost = []
        for fd, (one, offset, flags) in self.open.items():
            try:
                if identity(fd) == one:
                    _lseek(fd, offset, os.SEEK_SET)
                    if _fcntl(fd, _GETFL) != flags:
                        _fcntl(fd, _SETFL, flags)
            except OSError:
                lost.append(f"the position in {self.path(fd)} could not be restored")
        lost += self._restore_databases(estranged)
        if estranged:
            self._give_back_locks()
        for kind, exclusive, start, length, fd in self.locks:
            if kind == "POSIX" and fd in self.sqlite:
                continue
            wanted = (_LOCK_EX if exclusive else _LOCK_SH) | _LOCK_NB
            try:
                if not estranged:
                    raise OSError
                if kind == "POSIX":
                    _lockf(fd, wanted, length, start)
                else:
                    self._lock_again(fd, wanted)
            except OSError:
                lost.append(f"the lock on {self.path(fd)} is gone")
        return lost

    def _lock_again(self, fd, wanted):
        """Takes a lock of the kind `flock`, which the open file may still have; which of several is not told."""
        same = [other for other, (one, *_) in self.open.items() if one == self.open[fd][0]]
        for other in same:
            try:
                return _flock(other, wanted)
            except OSError:
                pass
        raise OSError

    def _give_back_locks(self):
        """Locks that the undone line took on files that it shared with this process."""
        held = {self.open[fd][0] for _kind, _exclusive, _start, _length, fd in self.locks}
        if all(one in held for one, *_ in self.open.values()):
            return
        for kind, _exclusive, _start, _length, fd in self._look_for_locks():
            if kind == "FLOCK" and self.open[fd][0] not in held:
                for other, (one, *_) in self.open.items():
                    if one == self.open[fd][0]:
                        try:
                            _flock(other, _LOCK_UN)
                        except OSError:
                            pass  # a descriptor that cannot be locked has no lock

    def _restore_databases(self, estranged):
        unsafe = self._unsafe_databases()
        if unsafe:
            # Reads and writes on it fail from now on: a connection without its locks could destroy the file. Giving
            # back a lock does not fail on a directory: or sqlite would believe it held when it is opened again.
            dead = _open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for fd in self.sqlite:
                path = self.paths[fd]
                if path in unsafe or path.rpartition("-")[0] in unsafe:
                    replace(dead, fd)
            _close(dead)
            return [f"the connection to the sqlite database {one} was in use: close it and open it again" for one in unsafe]
        if estranged:
            files = sorted({self.paths[fd] for fd in self.sqlite})
            return [f"what was committed to the sqlite database {path} is not undone" for path in files]
        return []
