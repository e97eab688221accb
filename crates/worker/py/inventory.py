"""What the native helper wrote down of the process at one moment, and what it could not put right, in words.

The numbers of the kinds are those of `crates/native/src/helper/records.rs`.
"""

import _signal as _native
import os

_fstat, _listdir, _readlink = os.fstat, os.listdir, os.readlink

FILE, LOCK, DATABASE, FOREIGN_PIPE, OWN_PIPE, PIPE_COPY, SHARED_PIPE, LISTENER, SOCKET = range(1, 10)
EPOLL, WATCHED, EVENTFD, TIMERFD, OTHER, TIMER, SHARED, UNCOPIED, POSIX_TIMERS = range(10, 19)
CHILD, BOUND = 20, 21
(LOST_POSITION, LOST_LOCK, LOST_DATABASE, LOST_WATCH, LOST_OTHER, LOST_TIMER, LOST_PIPE, LOST_SHARING, LOST_LISTENER,
 LOST_SHARED, LOST_CONTENT, LOST_TO_PARENT, LOST_OWN_POSITION, LOST_DESCRIPTOR, LOST_SOCKET, LOST_ADDRESS,
 LOST_DATAGRAMS) = range(101, 118)  # fmt: skip
_FLOCK = 1
_SENDS = {_native.ITIMER_REAL: "SIGALRM", _native.ITIMER_VIRTUAL: "SIGVTALRM", _native.ITIMER_PROF: "SIGPROF"}


# Pipes that the zygote was started with: they belong to whoever started it, and both processes may have them.
inherited = set()


def note_inherited():
    """In the zygote."""
    for name in _listdir("/proc/self/fd"):
        one = identity(int(name))
        if one is not None:
            inherited.add(one)


def identity(fd):
    try:
        about = _fstat(fd)
    except OSError:
        return None
    return (about.st_dev, about.st_ino)


class Inventory:
    """Records of the helper: (kind, descriptor, four numbers, text)."""

    def __init__(self, records, sentinels):
        """`sentinels`: descriptors by which `multiprocessing` sees the end of processes, which are put right."""
        self.records, self.sentinels = records, sentinels

    def _of(self, *kinds):
        return [record for record in self.records if record[0] in kinds]

    def files(self):
        """Open regular files: descriptor -> (position, flags)."""
        return {fd: (c, d & 0xFFFFFFFF) for _kind, fd, _a, _b, c, d, _text in self._of(FILE)}

    def appended(self):
        """Those that are only appended to: descriptor -> identity of the file."""
        found = self._of(FILE)
        return {fd: (a, b) for _kind, fd, a, b, _c, d, _text in found if d & os.O_ACCMODE and d & os.O_APPEND}

    def children(self):
        """Pids, where there are threads that could have started one meanwhile."""
        return [record[1] for record in self._of(CHILD)]

    def sockets(self):
        return [record[1] for record in self._of(SOCKET, LISTENER, BOUND)]

    def timers(self):
        """Interval timers that run."""
        return {record[2] for record in self._of(TIMER)}

    def _pipes(self, *kinds):
        return sorted(record[1] for record in self._of(*kinds) if record[1] not in self.sentinels)

    def warnings(self):
        """In the live process, before anybody relies on the snapshot."""
        found = []
        for name in sorted(self._unsafe_databases()):
            found.append(f"the sqlite database {name} is in use: a rollback loses the connection to it")
        pipes = self._pipes(FOREIGN_PIPE, SHARED_PIPE)
        if pipes:
            numbers = ", ".join(map(str, pipes))
            found.append(f"a rollback loses the pipe{'s' * (len(pipes) > 1)} to another process (descriptor {numbers})")
        for name in sorted({_name(record) or "anonymous memory" for record in self._of(UNCOPIED)}):
            found.append(f"{name} is mapped and shared: changes to it are not undone")
        for record in self._of(POSIX_TIMERS):
            found.append(f"timers of timer_create ({record[2]}) are not kept: a rollback loses them")
        return found

    def _unsafe_databases(self):
        locked = {record[1] for record in self._of(LOCK) if record[2] != _FLOCK}
        unsafe = set()
        for _kind, fd, length, is_itself, _c, _d, text in self._of(DATABASE):
            if not is_itself or fd in locked:
                unsafe.add(os.fsdecode(text[:length]))
        return unsafe

    def lost(self, branched):
        """In a process that was woken, or a branch: what could not be put right."""
        found = []
        for record in self.records:
            if record[0] > 100 or record[0] == POSIX_TIMERS:
                text = self._loss(record, branched)
                if text is not None and text not in found:
                    found.append(text)
        return found

    def _loss(self, record, branched):
        kind, fd, a, b = record[:4]
        if kind == LOST_POSITION:
            return f"the position in {path(fd)} could not be restored"
        if kind == LOST_LOCK:
            return f"the lock on {path(fd)} is gone"
        if kind == LOST_DATABASE:
            name = os.fsdecode(record[6][:b])
            if a:
                return f"the connection to the sqlite database {name} was in use: close it and open it again"
            return f"what was committed to the sqlite database {name} is not undone"
        if kind == LOST_WATCH:
            return f"descriptor {a} is no longer watched for events"
        if kind == LOST_OTHER:
            return f"{_name(record)} (descriptor {fd}) is shared: it is not undone"
        if kind == LOST_TIMER:
            return f"a timer that would send {_SENDS[a]} is the parent's: set one here if it is needed"
        if kind == LOST_PIPE:
            return None if fd in self.sentinels else f"pipe:[{a}] (descriptor {fd}) was a pipe to another process: it is closed"
        if kind == LOST_SHARING:
            return f"pipe:[{a}] (descriptor {fd}) was a pipe to another process: only this one has it now"
        if kind == LOST_LISTENER:
            why = f" ({os.strerror(a)})" if a else ""
            return f"the listening socket at descriptor {fd} is closed{why}: listen again"
        if kind == LOST_SOCKET:
            if branched:
                return f"the socket at descriptor {fd} is shared with the session that this one was branched from"
            return f"the socket at descriptor {fd}: what was sent and received is not undone"
        if kind == LOST_ADDRESS:
            if branched:
                return f"the socket at descriptor {fd} has no address: the session that this one was branched from has it"
            return f"the socket at descriptor {fd} has lost its address ({os.strerror(a)}): bind it again"
        if kind == LOST_DATAGRAMS:
            return f"the socket at descriptor {fd} was made anew: what waited in it, and groups that it had joined, are gone"
        if kind == LOST_SHARED:
            return f"{_name(record) or 'anonymous memory'} is shared: it is not undone"
        if kind == LOST_TO_PARENT:
            return f"{_name(record) or 'anonymous memory'} is shared with the session that this one was branched from"
        if kind == LOST_CONTENT:
            return f"what was in the pipe at descriptor {fd} is not all of it there"
        if kind == LOST_OWN_POSITION:
            return f"the position in {path(fd)} is shared with the session that this one was branched from"
        if kind == POSIX_TIMERS:
            return f"timers of timer_create ({a}) are gone: make them anew"
        return f"descriptor {fd} could not be made anew: {os.strerror(a)}"


def _name(record):
    return os.fsdecode(record[6])


def path(fd):
    try:
        return _readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return f"descriptor {fd}"
