"""What a fork does not keep, taken down before it and put right when the child is woken.

Descriptors are shared by both processes: their offsets have to be restored; pipes and listening sockets are given up
by the frozen process, so that closing them means what it means; locks belong to the process and are taken again.
"""

import _signal as _native
import _socket
import ctypes
import fcntl
import os
import select
import stat
import struct
import termios

from . import pools, system
from .files import Files, identity, replace

_fstat, _listdir, _readlink = os.fstat, os.listdir, os.readlink
_open, _close = os.open, os.close
_fcntl, _F_GETFL, _ACC = fcntl.fcntl, fcntl.F_GETFL, os.O_ACCMODE
_S_IFMT, _IFREG, _IFIFO, _IFSOCK = stat.S_IFMT, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK
_getitimer, _setitimer = _native.getitimer, _native.setitimer
_SENDS = {_native.ITIMER_REAL: "SIGALRM", _native.ITIMER_VIRTUAL: "SIGVTALRM", _native.ITIMER_PROF: "SIGPROF"}
_TIMERS = tuple(_SENDS)
_socket_type, _SOL, _ACCEPT = _socket.socket, _socket.SOL_SOCKET, _socket.SO_ACCEPTCONN
_ioctl = fcntl.ioctl
_libc = ctypes.CDLL(None, use_errno=True)


def _tee(source, target, size):
    """Copies what is in a pipe to another, and leaves it there. Bytes copied."""
    try:
        return max(0, _libc.tee(source, target, ctypes.c_size_t(size), 2))
    except AttributeError:
        return 0


def _copy(reading):
    """A pipe with the content of another, and whether that is all of it."""
    held = struct.unpack("i", _ioctl(reading, termios.FIONREAD, b"\0\0\0\0"))[0]
    pair = os.pipe2(os.O_CLOEXEC)
    if not held:
        return pair, True
    try:
        _fcntl(pair[1], fcntl.F_SETPIPE_SZ, max(held, 65536))
    except OSError:
        pass  # the user's limit on pipes is reached: then it is cut
    return pair, _tee(reading, pair[1], held) == held


# Pipes that the zygote was started with: they belong to whoever started it, and both processes may have them.
inherited = set()


def note_inherited():
    """In the zygote."""
    for name in _listdir("/proc/self/fd"):
        one = identity(int(name))
        if one is not None:
            inherited.add(one)


class Inventory:
    """The descriptors, locks and timers of the process at one moment."""

    def __init__(self, mine, writers, others):
        """`mine`: descriptors of the worker's own. `others`: pids of processes that user code started."""
        self.files = Files(writers)
        self.pipes, self.listeners, self.sockets = [], [], []
        self.shared_pipes = []  # reading ends of pipes whose both ends are here, and in another process too
        self.processes, self.elsewhere = others, None
        self.sentinels = pools.sentinels()
        self.own_pipes = []  # (reading ends, writing ends, content): both ends are here
        self.epolls = {}  # descriptor -> what it watches
        self.events = {}  # eventfd -> its count
        self.others = []  # descriptors of other kinds that are shared
        self.timers = [(which, *_getitimer(which)) for which in _TIMERS]
        own = inherited | {identity(fd) for fd in (0, 1, 2)}
        kept = pools.trackers()
        pipes = {}
        for name in _listdir("/proc/self/fd"):
            fd = int(name)
            if fd in mine or fd in kept:
                continue
            try:
                about = _fstat(fd)
            except OSError:
                continue  # the listing's own
            kind = _S_IFMT(about.st_mode)
            if kind == _IFREG:
                self.files.add(fd, about)
            elif kind == _IFIFO:
                one = (about.st_dev, about.st_ino)
                if fd > 2 and one not in own:
                    pipes.setdefault(one, []).append(fd)
            elif kind == _IFSOCK:
                if _is_listening(fd):
                    self.listeners.append(fd)
                elif fd > 2:
                    self.sockets.append(fd)
            elif kind == 0:
                self._special(fd)
        for fds in pipes.values():
            self._pipe(fds)
        self.files.look()

    def _special(self, fd):
        """A descriptor that is no file: what it stands for is shared by both processes."""
        try:
            kind = _readlink(f"/proc/self/fd/{fd}")
            lines = system.read(f"/proc/self/fdinfo/{fd}").decode(errors="replace").split("\n")
            lines = [line.split() for line in lines]
        except OSError:
            return
        if "eventpoll" in kind:
            self.epolls[fd] = [(int(words[1]), int(words[3], 16)) for words in lines if words[:1] == ["tfd:"]]
        elif "eventfd" in kind:
            fields = {words[0]: words[1] for words in lines if len(words) > 1}
            self.events[fd] = (int(fields.get("eventfd-count:", "0"), 16), fields.get("eventfd-semaphore:") == "1")
        elif "pidfd" not in kind:
            self.others.append((fd, kind))

    def _pipe(self, fds):
        """A pipe with both ends here is this process's own: the frozen one gets a copy, with what is in it."""
        ends = [(_fcntl(fd, _F_GETFL), fd) for fd in fds]
        reading = [(flags, fd) for flags, fd in ends if flags & _ACC != os.O_WRONLY]
        writing = [(flags, fd) for flags, fd in ends if flags & _ACC != os.O_RDONLY]
        if not reading or not writing:
            self.pipes += fds
            return
        if self._is_elsewhere(fds[0]):
            self.shared_pipes.append(reading[0][1])
        pair, whole = _copy(reading[0][1])
        if not whole:
            self.others.append((fds[0], "what is in a pipe"))
        self.own_pipes.append((reading, writing, pair))

    def _is_elsewhere(self, fd):
        """Whether a process that user code started has a pipe open, too."""
        if self.elsewhere is None:
            self.elsewhere = set()
            for pid in system.descendants(self.processes):
                try:
                    if system.name(pid) != system.FROZEN:
                        names = _listdir(f"/proc/{pid}/fd")
                        self.elsewhere.update(_readlink(f"/proc/{pid}/fd/{name}") for name in names)
                except OSError:
                    pass  # it has ended meanwhile, or is another user's
        return _readlink(f"/proc/self/fd/{fd}") in self.elsewhere

    def close_copies(self):
        """In the live process, which keeps its own."""
        for _reading, _writing, pair in self.own_pipes:
            _close(pair[0])
            _close(pair[1])
        self.own_pipes = []

    def keep_own_pipes(self):
        """The copies take the place of what the other process goes on using. A woken process makes new ones first: its
        replacement has the same."""
        for at, (reading, writing, pair) in enumerate(self.own_pipes):
            if pair is None:
                pair, _whole = _copy(reading[0][1])
            for ends, new in ((reading, pair[0]), (writing, pair[1])):
                for flags, fd in ends:
                    replace(new, fd)
                    _fcntl(fd, fcntl.F_SETFL, flags)
                _close(new)
            self.own_pipes[at] = (reading, writing, None)

    def warnings(self):
        found = self.files.warnings()
        pipes = sorted(fd for fd in (*self.pipes, *self.shared_pipes) if fd not in self.sentinels)
        if pipes:
            numbers = ", ".join(map(str, pipes))
            found.append(f"a rollback loses the pipe{'s' * (len(pipes) > 1)} to another process (descriptor {numbers})")
        found += [f"a rollback closes the listening socket at descriptor {fd}" for fd in self.listeners]
        return found

    # ---- in the frozen process ----

    def give_up(self):
        """Closing a pipe or a listening socket must mean what it means, while this process only waits."""
        null = _open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in self.pipes + self.listeners:
            self.files.path(fd)
            replace(null, fd)
        _close(null)

    # ---- in the process that was woken ----

    def restore(self, estranged, loops=()):
        """Puts right what can be. Returns what cannot, in words. `estranged`: whether the other process is gone.
        `loops`: descriptors of event loops, which are this process's own already."""
        lost = self.files.restore(estranged)
        for fd, watched in self.epolls.items():
            new = select.epoll()
            for target, events in watched:
                try:
                    new.register(target, events)
                except OSError:
                    lost.append(f"descriptor {target} is no longer watched for events")
            replace(new.fileno(), fd)
            new.close()
        for fd, (count, semaphore) in self.events.items():
            flags = os.EFD_CLOEXEC | (os.EFD_SEMAPHORE if semaphore else 0)
            new = os.eventfd(count, flags | (_fcntl(fd, _F_GETFL) & os.O_NONBLOCK))
            replace(new, fd)
            _close(new)
        lost += [f"{kind} (descriptor {fd}) is shared: it is not undone" for fd, kind in self.others]
        for which, value, interval in self.timers:
            if value and estranged:
                _setitimer(which, value, interval)
            elif value:
                lost.append(f"a timer that would send {_SENDS[which]} is the parent's: set one here if it is needed")
        pools.watch(self.sentinels)
        for fd in self.pipes:
            if fd not in self.sentinels:
                lost.append(f"{self.files.path(fd)} (descriptor {fd}) was a pipe to another process: it is closed")
        for fd in self.shared_pipes:
            path = self.files.path(fd)
            lost.append(f"{path} (descriptor {fd}) was a pipe to another process: only this one has it now")
        for fd in self.sockets:
            if fd not in loops and identity(fd) is not None:
                lost.append(
                    f"the socket at descriptor {fd}: what was sent and received is not undone"
                    if estranged
                    else f"the socket at descriptor {fd} is shared with the session that this one was branched from"
                )
        for fd in self.listeners:
            lost.append(f"the listening socket at descriptor {fd} is closed: listen again")
        return lost


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
