"""Snapshots: a fork of the live worker that waits, frozen, until it is woken or dropped.

The live process is the parent, and keeps its pid, its threads and its children. The child closes its copy of the
control channel and blocks on a channel of its own, which ends with the supervisor. Woken, it is the live worker.

    live      prepare -- fork ------------------------> goes on, serves
                           |
    frozen                 +-- give up pipes -- wait --> wake: new control channel, mend, serve
                                                 |----> branch: forks a session of its own, waits on
                                                 |----> save: forks a process that writes the state down, waits on
                                                 +----> end-of-file: leaves without a trace; where it has a mark and
                                                        a line to session init, fetches another channel, waits on
"""

import _signal as _native
import array
import ctypes
import errno
import os
import socket
import sys

from . import files, inventory, loops, pools, restorer, saver, sharing, system, threads
from .codec import decode, encode
from .libraries import Libraries

_libc, _python = ctypes.PyDLL(None, use_errno=True), ctypes.pythonapi
_exit, _close, _getpid, _setpgid, _dup2 = os._exit, os.close, os.getpid, os.setpgid, os.dup2
_mask, _SETMASK, _BLOCK = _native.pthread_sigmask, _native.SIG_SETMASK, _native.SIG_BLOCK
_ALL = frozenset(range(1, _native.NSIG)) & frozenset(_native.valid_signals())
_socket, _CMSG = socket.socket, socket.MSG_CMSG_CLOEXEC
_read, _write, _dup = os.read, os.write, os.dup
_SPACE, _CTRUNC = socket.CMSG_SPACE(8), socket.MSG_CTRUNC


_python.PyOS_AfterFork_Child.restype = None
_FORK = (_libc.fork, _python.PyOS_AfterFork_Child)
_invoke, _next, _filter, _map = type(_libc.fork).__call__, next, filter, map


TOO_MANY_OPEN = (
    "the session has as many files open as it may",
    "close files that are not needed, or raise the limit `open_files`",
)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
# Descriptors that the frozen process needs when it is woken: its channel, its replacement's, and a few for a moment.
_RESERVE = 4


class Refused(Exception):
    """This process cannot be frozen: (why, how)."""


class Woken:
    """What `take` returns in a process that was woken, with what it could not keep, in words."""

    def __init__(self, lost):
        self.lost = lost
        self.salvaged = None


class Freezer:
    """Takes snapshots of the worker."""

    def __init__(self, guard, channel, output, prompts, children, exits, keeping):
        self.guard, self.channel, self.output, self.prompts = guard, channel, output, prompts
        self.children, self.exits, self.keeping = children, exits, keeping
        self.libraries = Libraries()
        self.writers = files.Writers()
        self.told = set()
        self.executor = None
        self.prefers_to_die = False

    # ---- in the live process ----

    def take(self, wake, others=(), track=False, mark=None):
        """Freezes the present; `wake` is the frozen process's channel, `others` are descriptors of the supervisor's
        that it is not to have. In the live process: warnings that were not told before. In a process that was woken,
        which may be much later: a `Woken`. `track`: for a checkpoint. `mark`: by which a supervisor that takes over
        knows the frozen process; one without a mark is of use to this supervisor only."""
        try:
            self.libraries.look()
            if self.libraries.cuda is not None:
                raise Refused(
                    f"{self.libraries.cuda} is loaded, and what lives on a GPU cannot be used in a forked process",
                    "use the policy commit_always in this session",
                )
            if self.libraries.openmp:
                self.libraries.pause_openmp()
            self.children.reap()
            pool = system.native_pool()
            if pool is not None:
                raise Refused(
                    f"the threads of {pool} run, which cannot be started again in a forked process",
                    f"use the policy commit_always once {pool} is in use, or use {pool} in a process of its own",
                )
            _check_room(wake)
            present = _Present(self, (wake, *others))
        except BaseException:
            _close(wake)
            raise
        # A listening socket that is closed next must be closed: so the frozen process has to have given it up.
        ready = os.pipe2(os.O_CLOEXEC) if present.inventory.listeners else ()
        try:
            if track:
                self.keeping.track()
            pid = self._fork()
        except OSError as error:
            for fd in (wake, *ready):
                _close(fd)
            raise Refused(f"fork: {error.strerror}", "free memory, or raise the limit on processes") from None
        if pid == 0:
            try:
                for fd in others:
                    _close(fd)
                frozen = _Frozen(self, present, wake, mark)
                if ready:
                    _write(ready[1], b"\0")
                for fd in ready:
                    _close(fd)
                return frozen.wait()
            except BaseException:
                # What user code did to a module that this needs must not let it run on as the worker: there is one.
                _exit(70)
        if ready:
            _close(ready[1])
            _read(ready[0], 1)
            _close(ready[0])
        _leave_group(pid)
        self.children.frozen.add(pid)
        present.inventory.close_copies()
        if not self.prefers_to_die:
            # There is somebody now who can undo what fills the memory.
            self.prefers_to_die = True
            _prefer_to_die()
        _close(wake)
        warnings = [text for text in present.warnings() if text not in self.told]
        self.told.update(warnings)
        return warnings

    def branch(self, wake):
        """The same for a fork that is to make branches. They become children of session init when it leaves."""
        if not system.can_mark_branches():
            _close(wake)
            raise Refused(
                "the limit on bytes in POSIX message queues, by which the processes of branches are told apart, is low",
                "raise it with ulimit -q, or leave it as it was",
            )
        return self.take(wake)

    def _fork(self):
        """Forks while this thread holds every lock that the worker needs in the child."""
        channel, prompts, output = self.channel, self.prompts, self.output
        before = _mask(_SETMASK, _ALL)
        pid = -1
        try:
            with prompts._lock, channel._lock, channel._send_lock:
                pid = output.hold(self._raw_fork)
        finally:
            if pid != 0:
                _mask(_SETMASK, before)
        return pid

    def _raw_fork(self):
        # Not `os.fork`: that warns of threads, and user code may have replaced it.
        drawn = sys.modules["random"]._inst.getstate() if self.children.reseeds else None
        self.children.ours = True
        try:
            _python.PyOS_BeforeFork()
            # In the child the interpreter must not come by until it knows that it is alone: another thread may have
            # asked for its lock, and it would wait for that thread to take it. So the second call follows the first
            # without a step of Python between them; where the first returns a pid, there is no second.
            pid = _next(_filter(None, _map(_invoke, _FORK)), 0)
            if pid == 0:
                if drawn is not None:
                    sys.modules["random"]._inst.setstate(drawn)
            else:
                _python.PyOS_AfterFork_Parent()
        finally:
            self.children.ours = False
        if pid < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return pid


def _leave_group(pid):
    """A frozen process is in no group of user code's: it sees to that itself, but may be late."""
    try:
        _setpgid(pid, pid)
    except OSError:
        pass  # it did so already, or is gone


def _check_room(wake):
    room = []
    try:
        for _ in range(_RESERVE):
            room.append(_dup(wake))
    except OSError:
        raise Refused(*TOO_MANY_OPEN) from None
    finally:
        for fd in room:
            _close(fd)


class _Present:
    """What a fork does not keep of this moment."""

    def __init__(self, freezer, channels):
        self.pid = _getpid()
        self.mask = _mask(_BLOCK, ())
        self.shared = sharing.Shared()
        self.children = freezer.children.visible()
        others = [*self.children, *freezer.children.estranged, *freezer.children.foreign]
        mine = (*freezer.executor.descriptors(), *freezer.keeping.descriptors(), *channels)
        self.inventory = inventory.Inventory(mine, freezer.writers, others)
        self.threads = threads.Lost()
        self.libraries = freezer.libraries.warnings

    def warnings(self):
        return [*self.threads.warnings(), *self.inventory.warnings(), *self.shared.warnings(), *self.libraries]


class _Frozen:
    def __init__(self, freezer, present, wake, mark):
        self.freezer, self.present = freezer, present
        self.line, self.mark = None if mark is None else freezer.channel.line, mark
        self.socket = _socket(fileno=wake)
        _setpgid(0, 0)
        _close(freezer.channel.fd)
        # Its siblings are not its children.
        freezer.children.frozen.clear()
        present.inventory.give_up()
        present.inventory.keep_own_pipes()
        present.name = system.own_name()
        system.set_name(b"pyrepl3-frozen")
        _prefer_to_survive()

    def wait(self):
        """Until something comes on its channel. Returns in a process that lives on."""
        self.send({"t": "frozen"})
        while True:
            request, fds = self.receive()
            if request is None:
                self.fetch()
                continue
            op = request["op"]
            if op == "wake":
                return self.wake(request, fds)
            if op == "branch":
                if self.branch(fds):
                    return self.live(fds, request, branched=True)
            elif op == "save":
                self.save(fds[0])
            elif op == "leave":
                _exit(0)

    def fetch(self):
        """Another channel, from session init; where there is none, the end."""
        fd = None if self.line is None else self.line.fetch({"t": "frozen", "mark": self.mark}, self.socket.close)
        if fd is None:
            _exit(0)
        self.socket.close()
        self.socket = _socket(fileno=fd)
        self.send({"t": "frozen"})

    def send(self, message):
        body = encode(message).encode()
        try:
            self.socket.sendall(len(body).to_bytes(4, "big") + body)
        except OSError:
            pass  # the supervisor is gone, as the next read says

    def receive(self):
        size = array.array("i").itemsize
        fds = array.array("i")
        try:
            head, ancillary, flags, _address = self.socket.recvmsg(4, _SPACE * size, _CMSG)
            if flags & _CTRUNC:
                _exit(71)  # a channel that it needs is missing
            for _level, _kind, data in ancillary:
                fds.frombytes(data[: len(data) - len(data) % size])
            while head and len(head) < 4 and (more := self.socket.recv(4 - len(head))):
                head += more
            length = int.from_bytes(head, "big")
            body = self.socket.recv(length, socket.MSG_WAITALL) if len(head) == 4 else b""
        except OSError:
            body, length = b"", 1
        if not body or len(body) < length:
            for fd in fds:
                _close(fd)
            return None, []
        return decode(body.decode(), 0)[0], list(fds)

    # ---- another life ----

    def wake(self, request, fds):
        lost = []
        if request["keep"]:
            # One that stays usable is replaced before it is used up.
            spare = fds.pop()
            try:
                pid = self.freezer._fork()
            except OSError as error:
                lost.append(f"the snapshot could not be kept for another time: {error.strerror}")
            else:
                if pid == 0:
                    for fd in fds:
                        _close(fd)
                    self.socket.close()
                    # The replacement waits in its turn.
                    _setpgid(0, 0)
                    self.socket = _socket(fileno=spare)
                    return self.wait()
                _leave_group(pid)
                self.freezer.children.frozen.add(pid)
            _close(spare)
        salvage = fds.pop() if request["salvage"] else None
        woken = self.live(fds, request, branched=False)
        woken.lost += lost
        if salvage is not None:
            woken.salvaged = restorer.take_over(self.freezer.keeping, salvage)
        return woken

    def branch(self, fds):
        """Forks a session of its own. True in it."""
        try:
            pid = self.freezer._fork()
        except OSError as error:
            body = encode({"seq": 1, "t": "refused", "why": f"fork: {error.strerror}"}).encode()
            _write(fds[0], len(body).to_bytes(4, "big") + body)
            pid = None
        if pid == 0:
            return True
        for fd in fds:
            _close(fd)
        return False

    def save(self, fd):
        """Forks a process that writes the state down. It is hidden as this one is, whoever is woken later."""
        freezer = self.freezer
        try:
            pid = freezer._fork()
        except OSError:
            pid = None  # its channel closes without a word, which the supervisor sees
        if pid == 0:
            _setpgid(0, 0)
            saver.run(freezer.keeping, self.present, fd, self.socket.detach())
        _close(fd)
        if pid is not None:
            _leave_group(pid)
            freezer.children.frozen.add(pid)

    def live(self, fds, request, branched):
        """Becomes the live worker of a new incarnation. Returns what it could not keep."""
        freezer, present = self.freezer, self.present
        self.socket.close()
        if branched:
            _setpgid(0, 0)
            for fd, place in zip(fds[1:], (1, 2, 0)):
                _dup2(fd, place)
                _close(fd)
            system.mark_branch(request["member"])
        _prefer_to_die()
        system.set_name(present.name)
        channel = freezer.channel
        channel.attach_again(fds[0])
        channel.mark = self.mark
        if branched:
            channel.member, channel.parent = request["member"], channel.member
        freezer.guard.attach_again()
        freezer.prompts.execution = None
        freezer.executor.attach()
        children = freezer.children
        (children.foreign if branched else children.estranged).update(present.children)
        lost = []
        lost += present.shared.restore(branched)
        own = loops.mend(freezer.executor.loop, present.inventory)
        if branched:
            lost += present.inventory.files.open_again()
            freezer.exits.begin_branch(freezer.executor.namespace)
        present.inventory.keep_own_pipes()
        lost += present.inventory.restore(not branched, own)
        lost += present.threads.mend()
        lost += pools.mend(present.threads.idents, branched)
        pools.mend_processes(present.pid, branched)
        if branched:
            lost += [f"process {pid} belongs to the session that this one was branched from" for pid in present.children]
            if request["random"] == "split":
                from . import random_state

                random_state.split(request["index"])
        _mask(_SETMASK, present.mask)
        return Woken(lost)


def _prefer_to_survive():
    """When memory runs out, the kernel is to end the process that filled it, not the one that can undo that."""
    system.set_oom_score(b"0")


def _prefer_to_die():
    system.set_oom_score(b"300")
