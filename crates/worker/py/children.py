"""Frozen processes are children of the live one, and user code must not see them: not in `os.wait`, not as SIGCHLD.

After a rollback the live process is another one: children that it had are children of session init now, which knows
how they ended. Hooks that user code registered for its own forks do not run at ours.
"""

import _signal as _native
import functools
import os
import select
import sys
import time

from . import system

_waitpid, _wait3, _wait4, _waitid = os.waitpid, os.wait3, os.wait4, os.waitid
_getpid, _kill, _pidfd_open = os.getpid, os.kill, getattr(os, "pidfd_open", None)
_WNOHANG, _poll, _sleep, _close = os.WNOHANG, select.poll, time.sleep, os.close
_frame = sys._getframe
_Error = ChildProcessError
_ECHILD = 10

# Modules whose hooks make their locks usable in a child. Everything else would see a fork that nobody asked for.
_LOCK_HOOKS = ("logging", "threading", "concurrent.futures.thread")


class Children:
    def __init__(self):
        self.frozen = set()  # our own, to be hidden
        self.estranged = set()  # children of the process that this one was rolled back from
        self.foreign = set()  # children of the session that this one was branched from
        self.ended, self.taken = 0, 0  # how many frozen ones have ended, and how many others user code has waited for
        self.ours = False  # whether the fork that happens now is ours
        self.reseeds = False  # whether the module `random` seeds itself anew in our forks, too
        self.late = None  # calls a handler of SIGCHLD, if the wait that goes on was for a child of the user's
        self.ask = None  # asks session init how an estranged child ended

    # ---- our own ----

    def reap(self):
        """Takes the exit statuses of frozen processes that have ended."""
        for pid in list(self.frozen):
            try:
                if _waitpid(pid, _WNOHANG)[0] != pid:
                    continue
            except _Error:
                pass
            self.frozen.discard(pid)
            self.ended += 1

    def has_ended(self):
        """Whether a child waits to be waited for, now that the frozen ones do not."""
        try:
            while (found := _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if found.si_pid not in self.frozen:
                    return True
                self.reap()
        except _Error:
            pass
        return False

    def visible(self):
        """Pids of the children that user code may know of."""
        return [pid for pid in system.children(_getpid()) if pid not in self.frozen]

    def forget_all(self):
        """In a process that user code forked: none of them is its child."""
        self.frozen.clear()
        self.estranged.clear()
        self.foreign.clear()

    # ---- what user code calls ----

    def install(self):
        children = self
        self.reseeds = "random" in sys.modules

        def took(found):
            late, children.late = children.late, None
            if found is not None and found[0]:
                children.taken += 1
                if late is not None:
                    late()
            return found

        @functools.wraps(os.waitpid)
        def waitpid(pid, options, /):
            if type(pid) is int and pid > 0:
                if pid in children.frozen:
                    raise _Error(_ECHILD, "No child processes")
                if pid in children.estranged or pid in children.foreign:
                    return children.status(pid, options & _WNOHANG)
                return took(_waitpid(pid, options))
            if pid != -1 or not children.frozen:
                return took(_waitpid(pid, options))
            return took(children.any_child(options, _waitpid, (0, 0)))

        @functools.wraps(os.wait)
        def wait():
            return waitpid(-1, 0)

        @functools.wraps(os.wait3)
        def wait3(options):
            if not children.frozen:
                return took(_wait3(options))
            return took(children.any_child(options, _wait4, (0, 0, None)))

        @functools.wraps(os.wait4)
        def wait4(pid, options):
            if type(pid) is int and pid > 0 and pid in children.frozen:
                raise _Error(_ECHILD, "No child processes")
            if pid != -1 or not children.frozen:
                return took(_wait4(pid, options))
            return wait3(options)

        @functools.wraps(os.waitid)
        def waitid(idtype, id, options, /):
            if idtype == os.P_PID and id in children.frozen:
                raise _Error(_ECHILD, "No child processes")
            if idtype != os.P_ALL or not children.frozen:
                return took(_waitid(idtype, id, options))

            def one(pid, flags):
                found = _waitid(os.P_PID, pid, flags)
                return (0, None) if found is None else (pid, found)

            return took(children.any_child(options, one, (0, None))[1])

        os.waitpid, os.wait, os.wait3, os.wait4, os.waitid = waitpid, wait, wait3, wait4, waitid
        _rebind_subprocess(waitpid)
        self._install_hooks()
        self._install_signal()

    def any_child(self, options, one, nothing):
        """Waits for any child but the frozen ones. `one` waits for one of them, with the flags that it is given."""
        while True:
            mine = self.visible()
            if not mine:
                raise _Error(_ECHILD, "No child processes")
            for pid in mine:
                try:
                    found = one(pid, options | _WNOHANG)
                except _Error:
                    continue
                if found[0]:
                    return found
            if options & _WNOHANG:
                return nothing
            _await_any(mine)

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
                if not children.ours:
                    hook()

            return run

        @functools.wraps(original)
        def register_at_fork(*, before=None, after_in_child=None, after_in_parent=None):
            hooks = {"before": before, "after_in_child": after_in_child, "after_in_parent": after_in_parent}
            hooks = {name: hook for name, hook in hooks.items() if hook is not None}
            if _frame(1).f_globals.get("__name__") not in _LOCK_HOOKS:
                hooks = {name: quiet(hook) if callable(hook) else hook for name, hook in hooks.items()}
            original(**hooks)

        os.register_at_fork = register_at_fork

    def _install_signal(self):
        """User code's handler of SIGCHLD is not called for the end of a frozen process."""
        signal = sys.modules.get("signal")
        if signal is None:
            import signal
        set_signal, get_signal, children = signal.signal, signal.getsignal, self
        SIGCHLD = _native.SIGCHLD

        @functools.wraps(set_signal)
        def install(signalnum, handler):
            if signalnum == SIGCHLD and callable(handler) and handler not in (_native.SIG_IGN, _native.SIG_DFL):

                def quiet(number, frame):
                    # One signal may stand for the ends of several, and not all of them ours.
                    children.reap()
                    more = children.has_ended()
                    ours, others = children.ended > seen[0], children.taken > seen[1]
                    seen[:] = children.ended, children.taken
                    children.late = None
                    if others or more or not ours:
                        handler(number, frame)
                    elif _waits(frame):
                        # What that has taken is counted in a moment.
                        children.late = lambda: late(number, frame)

                def late(number, frame):
                    seen[1] = children.taken
                    handler(number, frame)

                seen = [children.ended, children.taken]

                quiet.pyrepl3_handler = handler
                before = set_signal(signalnum, quiet)
            else:
                before = set_signal(signalnum, handler)
            return getattr(before, "pyrepl3_handler", before)

        @functools.wraps(get_signal)
        def installed(signalnum):
            handler = get_signal(signalnum)
            return getattr(handler, "pyrepl3_handler", handler)

        signal.signal, signal.getsignal = install, installed


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


def _waits(frame):
    """Whether code that was interrupted is in one of the functions above that wait for children."""
    while frame is not None:
        if frame.f_globals is _globals and frame.f_code.co_name in ("waitpid", "wait3", "wait4", "waitid"):
            return True
        frame = frame.f_back
    return False


_globals = globals()


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
