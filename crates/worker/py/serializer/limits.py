"""Time limits for code of the user's that pickling runs: `__reduce__`, `__setstate__` and their kin."""

import _signal
import contextlib
import threading
import time

_ALRM, _REAL, _setitimer = _signal.SIGALRM, _signal.ITIMER_REAL, _signal.setitimer
_SOON = 1e-4


class TimedOut(BaseException):
    """Raised in user code that takes too long. No Exception, so that user code that catches those lets it pass."""


def _raise(_number, _frame):
    raise TimedOut


def prepare():
    """In the saver, once. Whether limits can be kept: signals are handled on the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return False
    _signal.signal(_ALRM, _raise)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_ALRM})
    return True


@contextlib.contextmanager
def borrowed():
    """In a process that goes on: the session's own timer, its handler and its mask are back after the block. A timer that would have
    gone off meanwhile does so then."""
    handler, mask = _signal.getsignal(_ALRM), _signal.pthread_sigmask(_signal.SIG_BLOCK, {_ALRM})
    begun, (left, interval) = time.monotonic(), _setitimer(_REAL, 0)
    if _ALRM in _signal.sigpending():
        _signal.sigtimedwait({_ALRM}, 0)
        left = left or _SOON
    try:
        yield
    finally:
        _setitimer(_REAL, 0)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, {_ALRM})
        if handler is not None:
            _signal.signal(_ALRM, handler)
        if left:
            _setitimer(_REAL, max(left - (time.monotonic() - begun), _SOON), interval)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def within(seconds):
    """Raises TimedOut inside the block after so many seconds, and again every quarter of one: user code may have
    caught the first. None or 0: no limit."""
    if not seconds:
        yield
        return
    _setitimer(_REAL, seconds, 0.25)
    try:
        yield
    finally:
        _setitimer(_REAL, 0)
