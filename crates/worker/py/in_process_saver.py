"""Writes a session's state down in the live process, which waits meanwhile: for sessions that cannot be frozen (a GPU in use, say).

The same as what the saver does, but for what the process needs afterwards. What is written is loaded back in a fork: the
session would else have it twice. That fork may be unable to use what could not be frozen, so what fails there is tried once
more here.
"""

import _signal
import gc
import os
import select
import signal
import socket
import sys
import time
import warnings

from . import saver, stop
from .codec import decode, encode
from .failure import message as _message

_fork, _exit, _pipe, _close, _write, _read = os.fork, os._exit, os.pipe, os.close, os.write, os.read
_socket = socket.socket
# How long the fork may say nothing; its own limits are shorter.
SILENCE = 30.0
_CHLD = signal.SIGCHLD


class Interrupted(BaseException):
    """Somebody wants the session back. No Exception, and raised where nothing is caught: what is written ends there."""


def run(keeping, guard, fd, is_interrupted):
    """Writes the state down to a supervisor's channel, or says there why that cannot be done. OSError where nothing can be begun."""
    from .serializer import context, limits, transport

    sock, sink, fds = _socket(fileno=fd), None, ()

    def send(data):
        if is_interrupted():
            raise Interrupted
        sock.sendall(data)

    try:
        guard.mode = stop.ON
        guard.raise_pending()
        with limits.borrowed(), _unchanged():
            sock.sendall(transport.frame({"t": "hello"}))
            request, fds = transport.Receiver(sock).frame()
            sink = transport.Sink(send, None, (), transport.Splicer.of(fds[0] if fds else None, sock))
            options = keeping.options(context.look_before_fork(), (0, 1, 2, fd, *fds, *saver.of_loops(keeping)))
            roots = context.shared_roots(keeping.baseline, options)
            keeping.namespace.update(roots)
            try:
                saver.write(keeping, sink, request, options, roots, examine=lambda round: _examine(round, guard, is_interrupted))
            finally:
                for name in roots:
                    keeping.namespace.pop(name, None)
    except BaseException as error:
        guard.mode = stop.DEFER
        is_stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
        why = "it was interrupted" if is_stopped else f"{type(error).__name__}: {_message(error)}"
        try:
            # Not by the sink: that may be the reason.
            sock.sendall(transport.frame({"t": "failed", "why": why}))
        except OSError:
            pass  # the supervisor is gone, or has seen enough
    finally:
        for one in fds:
            _close(one)
        sock.close()


class _unchanged:
    """What saving changes in its process is as it was, after the block."""

    def __enter__(self):
        self.collects, self.depth, self.interval = gc.isenabled(), sys.getrecursionlimit(), sys.getswitchinterval()
        self.filters, self.list = warnings.filters, list(warnings.filters)
        # Other threads would change what is being written. Those that wait for the system go on.
        sys.setswitchinterval(1000.0)

    def __exit__(self, *_error):
        sys.setswitchinterval(self.interval)
        sys.setrecursionlimit(self.depth)
        warnings.filters = self.filters
        warnings.filters[:] = self.list
        warnings._filters_mutated()
        if self.collects:
            gc.enable()


def _examine(round, guard, is_interrupted):
    """The findings of a fork. What fails there is checked here; what it does not come to was not tried."""
    guard.mode = stop.DEFER
    (read, write), handler = _pipe(), _ignore_ends()
    try:
        pid = _fork()
    except OSError:
        pid = None
    if pid == 0:
        _tell(round, write)
    _close(write)
    told = iter(()) if pid is None else _told(read, is_interrupted)

    def check(kind, at):
        verdict, part = next(told, (False, None))
        if type(verdict) is not str:
            return verdict, part
        try:
            guard.mode = stop.ON
            guard.raise_pending()
            return round.check(kind, at)
        finally:
            guard.mode = stop.DEFER

    try:
        yield from round.findings(check)
    finally:
        _close(read)
        if pid is not None:
            _bury(pid)
        _heed_ends(handler)
        guard.mode = stop.ON


def _tell(round, fd):
    """In the fork: what it finds, a line each. It has the channel's socket, too, and says nothing there."""
    check = round.check

    def told(kind, at):
        finding = check(kind, at)
        _write(fd, encode(finding).encode() + b"\n")
        return finding

    try:
        round.saver.sink = _Quiet()
        saver.die_first()
        null = os.open(os.devnull, os.O_RDWR)
        for one in (0, 1, 2):
            os.dup2(null, one)
        for _finding in round.findings(told):
            pass
    finally:
        _exit(0)


class _Quiet:
    def busy(self, _parts):
        pass


def _told(fd, is_interrupted):
    ready, data, end = select.poll(), b"", time.monotonic() + SILENCE
    ready.register(fd, select.POLLIN)
    while time.monotonic() < end:
        if is_interrupted():
            raise Interrupted
        if not ready.poll(100):
            continue
        end = time.monotonic() + SILENCE
        more = _read(fd, 1 << 16)
        if not more:
            return
        *lines, data = (data + more).split(b"\n")
        for line in lines:
            yield decode(line.decode(), 0)[0]


def _bury(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except OSError:
        pass  # the session ignores SIGCHLD: the kernel has seen to it


def _ignore_ends():
    """A handler of user code for ends of children does not hear of a fork of ours."""
    handler = _signal.getsignal(_CHLD)
    if callable(handler):
        _signal.signal(_CHLD, _nothing)
    return handler


def _heed_ends(handler):
    if not callable(handler):
        return
    for _ in range(2):
        _nothing()  # the interpreter calls handlers of signals that have come where a function begins, or a loop goes round
    _signal.signal(_CHLD, handler)
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            os.kill(os.getpid(), _CHLD)  # of the session's own
    except OSError:
        pass  # it has none


def _nothing(*_signal_and_frame):
    pass
