"""After a rollback the live process is another one: children that it had are children of session init now, which knows
how they ended. Hooks that user code registered for its own forks do not run at ours.
"""

import _thread
import fcntl
import functools
import os
import select
import struct
import sys
import time

from . import system

_waitpid, _waitid = os.waitpid, os.waitid
_getpid, _pidfd_open = os.getpid, getattr(os, "pidfd_open", None)
_WNOHANG, _poll, _sleep, _close = os.WNOHANG, select.poll, time.sleep, os.close
_frame, _get_ident, _count_threads = sys._getframe, _thread.get_ident, _thread._count
_allocate_lock = _thread.allocate_lock
_Error = ChildProcessError
_ECHILD = 10
_fstat, _pread, _pwrite, _dup_high = os.fstat, os.pread, os.pwrite, fcntl.fcntl
# A place for each pid modulo so many, 1 MiB at most: threads use up numbers, too, and of a child whose place another has taken
# nothing is known.
_NOTE, _NOTES, _HIGH = struct.Struct("=ii"), 1 << 17, 512

# Modules whose hooks make their locks usable in a child. Everything else would see a fork that nobody asked for.
_LOCK_HOOKS = ("logging", "threading", "concurrent.futures.thread")


class Children:
    def __init__(self):
        self.estranged = set()  # children of the process that this one was rolled back from
        self.foreign = set()  # children of the session that this one was branched from
        self.home, self.moves = None, 0  # the process that this is, once it has been woken, and how often it was
        self.ours = None  # the thread that forks for us at this moment
        self.reseeds = False  # whether the module `random` seeds itself anew in our forks, too
        self.ask = None  # asks session init how an estranged child ended
        # A file that all lines of the session share, and what it is: how children ended that a line has waited for. Where that
        # line is undone, the one before has not waited yet, and nobody else knows.
        self.notes, self.identity = None, None
        self._making = _allocate_lock()  # the notes

    def visible(self):
        """Pids of the children of this process."""
        return system.children(_getpid())

    def move(self, before, branched):
        """In a process that was woken: these are no children of its own."""
        (self.foreign if branched else self.estranged).update(before)
        self.moves += 1
        self.home = _getpid()

    def has_moved(self):
        """Whether this process is not the one that it was when the calling thread last looked. Waits until that is known."""
        for _ in range(1000):
            if self.home in (None, _getpid()):
                break
            _sleep(0.001)
        return self.moves > 0

    def descriptors(self):
        return () if self.notes is None else (self.notes,)

    def keep_notes(self):
        """Before a fork that may be returned to: all lines are to have one file."""
        if self.notes is not None:
            return
        with self._making:
            if self.notes is None:
                self._make_notes()

    def prepare_wait(self):
        """The first snapshot may be taken while this thread waits."""
        if _count_threads():
            self.keep_notes()

    def _make_notes(self):
        try:
            fd = os.memfd_create("pyrepl3-children", os.MFD_CLOEXEC)
        except (OSError, AttributeError):
            return
        try:
            # Not among those that user code counts on.
            high = _dup_high(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
            # Whoever sees the one has the other.
            self.identity = _identity(high)
            self.notes = high
        except OSError:
            pass
        finally:
            _close(fd)

    def note(self, pid, status):
        try:
            # User code may have closed it, and another one may have its number.
            if self.notes is not None and status is not None and pid and _identity(self.notes) == self.identity:
                _pwrite(self.notes, _NOTE.pack(pid, status), pid % _NOTES * _NOTE.size)
        except OSError:
            pass

    def noted(self, pid):
        """How it ended, where another line has waited for it."""
        try:
            if self.notes is not None and _identity(self.notes) == self.identity:
                found = _pread(self.notes, _NOTE.size, pid % _NOTES * _NOTE.size)
                if len(found) == _NOTE.size and _NOTE.unpack(found)[0] == pid:
                    return _NOTE.unpack(found)[1]
        except OSError:
            pass
        return None

    def forget_all(self):
        """In a process that user code forked: none of them is its child."""
        self.estranged.clear()
        self.foreign.clear()
        self.home, self.notes = _getpid(), None
        self._making = _allocate_lock()

    # ---- what user code calls ----

    def install(self):
        children = self
        self.reseeds = "random" in sys.modules

        @functools.wraps(os.waitpid)
        def waitpid(pid, options, /):
            if type(pid) is int and pid > 0:
                if pid in children.estranged or pid in children.foreign:
                    return children.status(pid, options & _WNOHANG)
                children.prepare_wait()
                try:
                    if children.notes is not None and not options & ~_WNOHANG:
                        # Noted before nobody else can ask: this line may be undone at any moment.
                        children.note(pid, _status_of(pid, options))
                    return _waitpid(pid, options)
                except _Error:
                    # A thread that waited when the session was rolled back goes on in another process.
                    if not children.has_moved() or not (pid in children.estranged or pid in children.foreign):
                        raise
                return children.status(pid, options & _WNOHANG)
            found = _waitpid(pid, options)
            children.note(*found)
            return found

        os.waitpid = waitpid
        _rebind_subprocess(waitpid)
        self._install_others()
        self._install_hooks()

    def _install_others(self):
        """Waits that do not name one child, or that tell more of it: what they were told is noted, too."""
        children = self

        def noting(wait):
            @functools.wraps(wait)
            def waits(*arguments, **named):
                children.prepare_wait()
                found = wait(*arguments, **named)
                children.note(found[0], found[1])
                return found

            return waits

        os.wait, os.wait3, os.wait4 = noting(os.wait), noting(os.wait3), noting(os.wait4)

        @functools.wraps(_waitid)
        def waitid(idtype, id, options, /):
            children.prepare_wait()
            found = _waitid(idtype, id, options)
            if found is not None and not options & os.WNOWAIT:
                children.note(found.si_pid, _status_in(found))
            return found

        os.waitid = waitid

    def status(self, pid, nohang):
        """How a child ended that session init has now: (pid, status), or (0, 0) while it lives."""
        if pid in self.foreign:
            while _is_alive(pid):
                if nohang:
                    return 0, 0
                _await_any([pid])
            raise _Error(_ECHILD, "it is a child of the session that this one was branched from")
        answer = self.ask(pid, bool(nohang)) if self.ask is not None else None
        if answer is None or answer == "unknown":
            self.estranged.discard(pid)
            status = self.noted(pid)
            if status is None:
                raise _Error(_ECHILD, "No child processes")
            return pid, status
        if answer == "running":
            return 0, 0
        self.estranged.discard(pid)
        self.note(pid, int(answer))
        return pid, int(answer)

    def _install_hooks(self):
        original, children = os.register_at_fork, self

        def quiet(hook):
            @functools.wraps(hook)
            def run():
                if children.ours != _get_ident():
                    hook()

            return run

        @functools.wraps(original)
        def register_at_fork(*, before=None, after_in_child=None, after_in_parent=None):
            hooks = {"before": before, "after_in_child": after_in_child, "after_in_parent": after_in_parent}
            hooks = {name: hook for name, hook in hooks.items() if hook is not None}
            is_lock = _frame(1).f_globals.get("__name__") in _LOCK_HOOKS
            for name, hook in hooks.items():
                if callable(hook) and not (is_lock and name == "after_in_child"):
                    hooks[name] = quiet(hook)
            original(**hooks)

        os.register_at_fork = register_at_fork


def _status_of(pid, options):
    """How a child ended, as `waitpid` tells it, and leaves it to be waited for. None while it lives."""
    found = _waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | options)
    return None if found is None else _status_in(found)


def _status_in(found):
    """The same in what `waitid` tells. None where the child has not ended."""
    if found.si_code == os.CLD_EXITED:
        return found.si_status << 8
    if found.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        return found.si_status | (0x80 if found.si_code == os.CLD_DUMPED else 0)
    return None


def _identity(fd):
    about = _fstat(fd)
    return about.st_dev, about.st_ino


def _rebind_subprocess(waitpid):
    """What an environment imports by itself when it starts has bound the original already."""
    module = sys.modules.get("subprocess")
    if module is None:
        return
    for holder, name in ((module, "_waitpid"), (getattr(module, "_del_safe", None), "waitpid")):
        if getattr(holder, name, None) is _waitpid:
            setattr(holder, name, waitpid)
    poll = module.Popen._internal_poll
    poll.__defaults__ = tuple(waitpid if each is _waitpid else each for each in poll.__defaults__ or ()) or None


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _await_any(pids):
    """Waits until one of them may have ended; others may have been started meanwhile, so not for long."""
    if _pidfd_open is None:
        _sleep(0.01)
        return
    poll, fds = _poll(), []
    try:
        for pid in pids[:100]:
            try:
                fds.append(_pidfd_open(pid))
            except OSError:
                return
            poll.register(fds[-1], select.POLLIN)
        poll.poll(100)
    finally:
        for fd in fds:
            _close(fd)
