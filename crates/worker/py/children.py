"""Frozen processes are children of the live one, and user code must not see them: not in `os.wait`, not as SIGCHLD.

After a rollback the live process is another one: children that it had are children of session init now, which knows
how they ended. Hooks that user code registered for its own forks do not run at ours.
"""

import _signal as _native
import _thread
import functools
import os
import select
import sys
import time

from . import system

_waitpid, _wait3, _wait4, _waitid = os.waitpid, os.wait3, os.wait4, os.waitid
_getpid, _kill, _pidfd_open = os.getpid, os.kill, getattr(os, "pidfd_open", None)
_WNOHANG, _poll, _sleep, _close = os.WNOHANG, select.poll, time.sleep, os.close
_frame, _get_ident = sys._getframe, _thread.get_ident
_Error = ChildProcessError
_ECHILD = 10

# Modules whose hooks make their locks usable in a child. Everything else would see a fork that nobody asked for.
_LOCK_HOOKS = ("logging", "threading", "concurrent.futures.thread")


class Children:
    def __init__(self):
        self.frozen = set()  # our own, to be hidden
        self.estranged = set()  # children of the process that this one was rolled back from
        self.foreign = set()  # children of the session that this one was branched from
        self.notices = Notices(self)  # which ends user code's handler of SIGCHLD knows of
        self.ours = False  # whether the fork that happens now is ours
        self.reseeds = False  # whether the module `random` seeds itself anew in our forks, too
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
            if pid in self.frozen:  # Its signal may have been handled just now, and then this was done there.
                self.notices.reaped(pid)
                self.frozen.discard(pid)

    def zombies(self):
        """Pids of user code's children that wait to be waited for."""
        try:
            while (found := _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if found.si_pid not in self.frozen:
                    return {pid for pid in self.visible() if _has_ended(pid)}
                self.reap()
        except _Error:
            pass
        return set()

    def visible(self):
        """Pids of the children that user code may know of."""
        return [pid for pid in system.children(_getpid()) if pid not in self.frozen]

    def forget_all(self):
        """In a process that user code forked: none of them is its child."""
        self.frozen.clear()
        self.notices.forget()
        self.estranged.clear()
        self.foreign.clear()

    # ---- what user code calls ----

    def install(self):
        children = self
        self.reseeds = "random" in sys.modules

        notices = self.notices

        def watched(pid, wait, *arguments):
            # A wait for `pid`, or for any child.
            if not notices.wanted:
                return wait(*arguments)
            mine, found = Wait(pid), None
            try:
                notices.waits.append(mine)
                found = wait(*arguments)
            finally:
                notices.has_waited(mine, found)
            return found

        @functools.wraps(os.waitpid)
        def waitpid(pid, options, /):
            if type(pid) is int and pid > 0:
                if pid in children.frozen:
                    raise _Error(_ECHILD, "No child processes")
                if pid in children.estranged or pid in children.foreign:
                    return children.status(pid, options & _WNOHANG)
                return watched(pid, _waitpid, pid, options)
            if pid != -1 or not children.frozen:
                return watched(None, _waitpid, pid, options)
            return watched(None, children.any_child, options, _waitpid, (0, 0))

        @functools.wraps(os.wait)
        def wait():
            return waitpid(-1, 0)

        @functools.wraps(os.wait3)
        def wait3(options):
            if not children.frozen:
                return watched(None, _wait3, options)
            return watched(None, children.any_child, options, _wait4, (0, 0, None))

        @functools.wraps(os.wait4)
        def wait4(pid, options):
            if type(pid) is int and pid > 0:
                if pid in children.frozen:
                    raise _Error(_ECHILD, "No child processes")
                return watched(pid, _wait4, pid, options)
            if pid != -1 or not children.frozen:
                return watched(None, _wait4, pid, options)
            return wait3(options)

        @functools.wraps(os.waitid)
        def waitid(idtype, id, options, /):
            if idtype == os.P_PID and id in children.frozen:
                raise _Error(_ECHILD, "No child processes")
            if options & os.WNOWAIT:
                watch = _unwatched
            else:
                watch = watched
            if idtype != os.P_ALL or not children.frozen:
                return watch(id if idtype == os.P_PID else None, _waitid, idtype, id, options)

            def one(pid, flags):
                found = _waitid(os.P_PID, pid, flags)
                return (0, None) if found is None else (pid, found)

            return watch(None, children.any_child, options, one, (0, None))[1]

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
        set_signal, get_signal, notices = signal.signal, signal.getsignal, self.notices
        SIGCHLD = _native.SIGCHLD

        @functools.wraps(set_signal)
        def install(signalnum, handler):
            if signalnum == SIGCHLD and callable(handler) and handler not in (_native.SIG_IGN, _native.SIG_DFL):

                def quiet(number, frame):
                    begun = True  # noqa: F841  seen from outside
                    if notices.deciding:
                        notices.again = True
                        return
                    notices.deciding = True  # Before any call: that is where the next signal comes.
                    try:
                        if _is_about_to_begin(quiet.__code__, frame):
                            return
                        tell = notices.heard(lambda: handler(number, frame))
                    finally:
                        notices.deciding = False
                    if tell:
                        handler(number, frame)

                quiet.pyrepl3_handler = handler
                before = set_signal(signalnum, quiet)
                notices.begin()
            else:
                before = set_signal(signalnum, handler)
                if signalnum == SIGCHLD:
                    notices.wanted = False
            return getattr(before, "pyrepl3_handler", before)

        @functools.wraps(get_signal)
        def installed(signalnum):
            handler = get_signal(signalnum)
            return getattr(handler, "pyrepl3_handler", handler)

        signal.signal, signal.getsignal = install, installed


def _unwatched(_, wait, *arguments):
    return wait(*arguments)


class Notices:
    """Which ends of children user code's handler of SIGCHLD was told of: of each of its own once, of no frozen one's.

    A signal does not say whose end it is for, and one may stand for several. What is seen beside it tells: zombies,
    what user code has waited for since, what it waits for at this moment, and frozen processes that were reaped.
    """

    def __init__(self, children):
        self.children = children
        self.wanted = False  # whether there is a handler
        self.forget()

    def forget(self):
        self.ours = set()  # frozen processes that were reaped, and whose signals were not heard yet
        self.told = set()  # zombies whose end the handler knows of
        self.untold = False  # whether a child was waited for whose end it does not know of
        self.waits = []  # the waits of user code that go on, in all threads
        self.deciding, self.again = False, False

    def begin(self):
        """There is a new handler. What ended before is no news."""
        self.wanted = False
        self.ours.clear()
        self.untold, self.told = False, self.children.zombies()
        self.wanted = True

    def reaped(self, pid):
        if self.wanted:
            self.ours.add(pid)

    def has_waited(self, wait, found):
        if wait in self.waits:
            self.waits.remove(wait)
        # What a wait returns, or a pair of the pid and that; None where it failed.
        pid = found[0] if found else 0
        if not pid:
            return
        if pid in self.told:
            self.told.discard(pid)
        elif wait.late is not None:
            wait.late()
        elif not wait.told:
            self.untold = True

    def heard(self, late):
        """Whether the signal that has come is for user code. Where only a wait that goes on can tell, that calls
        `late` when it has told."""
        news = ours = False
        while True:
            self.deciding, self.again = True, False
            try:
                self.children.reap()
                zombies = self.children.zombies()
                news = news or self.untold or not zombies <= self.told
                self.untold, self.told = False, zombies
                # A frozen process that was reaped just now has a signal of its own, which is heard here at the latest.
                _let_signals_come()
                ours = ours or bool(self.ours)
                self.ours.clear()
            finally:
                self.deciding = False
            if not self.again:
                break
        tell = news or not ours
        here = _get_ident()
        for wait in list(self.waits):
            # Its child may be gone already, and then this was its signal, too. In the thread that hears signals a wait
            # for any child may be as far.
            over = _is_gone(wait.pid) if wait.pid is not None else wait.thread == here
            wait.told = over and tell
            wait.late = None
            if over and not tell:
                wait.late = late if wait.thread == here else self._hear_again
        return tell

    def _hear_again(self):
        # In another thread, in which no handler may run.
        self.untold = True
        _kill(_getpid(), _native.SIGCHLD)


class Wait:
    """A wait of user code that goes on, for `pid` or for any child. `told`: the handler knows of the end that it is
    about to tell; `late` is called when it has told."""

    __slots__ = ("late", "pid", "thread", "told")

    def __init__(self, pid):
        self.pid, self.thread, self.told, self.late = pid, _get_ident(), False, None


def _is_about_to_begin(code, frame):
    """Whether a signal has come at the very beginning of a call of the handler, which will look at all there is."""
    while frame is not None:
        if frame.f_code is code and "begun" not in frame.f_locals:
            return True
        frame = frame.f_back
    return False


def _let_signals_come():
    """A call is where handlers of signals run."""


def _has_ended(pid):
    try:
        return _waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except _Error:
        return False


def _is_gone(pid):
    """Whether a child was waited for."""
    try:
        _waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return False
    except _Error:
        return True


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
