"""After a rollback the live process is another one: children that it had are children of session init now, which knows
how they ended. Hooks that user code registered for its own forks do not run at ours.
"""

import _thread
import functools
import os
import select
import sys
import time

from . import system
from .native import helper

_waitpid = os.waitpid
_getpid, _pidfd_open = os.getpid, getattr(os, "pidfd_open", None)
_WNOHANG, _poll, _sleep, _close = os.WNOHANG, select.poll, time.sleep, os.close
_frame, _get_ident = sys._getframe, _thread.get_ident
_Error = ChildProcessError
_ECHILD = 10

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

    def visible(self):
        """Pids of the children of this process."""
        # Most have none, and a list of them costs more than to ask.
        return system.children(_getpid()) if helper.has_children() else []

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

    def forget_all(self):
        """In a process that user code forked: none of them is its child."""
        self.estranged.clear()
        self.foreign.clear()
        self.home = _getpid()

    # ---- what user code calls ----

    def install(self):
        children = self
        self.reseeds = "random" in sys.modules

        @functools.wraps(os.waitpid)
        def waitpid(pid, options, /):
            if type(pid) is int and pid > 0:
                if pid in children.estranged or pid in children.foreign:
                    return children.status(pid, options & _WNOHANG)
                try:
                    return _waitpid(pid, options)
                except _Error:
                    # A thread that waited when the session was rolled back goes on in another process.
                    if not children.has_moved() or not (pid in children.estranged or pid in children.foreign):
                        raise
                return children.status(pid, options & _WNOHANG)
            return _waitpid(pid, options)

        os.waitpid = waitpid
        _rebind_subprocess(waitpid)
        self._install_hooks()

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
            raise _Error(_ECHILD, "No child processes")
        if answer == "running":
            return 0, 0
        self.estranged.discard(pid)
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
