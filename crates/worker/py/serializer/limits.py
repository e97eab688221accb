"""Time limits for code of the user's that pickling runs: `__reduce__`, `__setstate__` and their kin."""

import contextlib
import signal
import threading

_signal, _setitimer, _ALRM, _REAL = signal.signal, signal.setitimer, signal.SIGALRM, signal.ITIMER_REAL


class TimedOut(BaseException):
    """Raised in user code that takes too long. No Exception, so that user code that catches those lets it pass."""


def _raise(_number, _frame):
    raise TimedOut


def prepare():
    """In the saver, once. Whether limits can be kept: signals are handled on the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return False
    _signal(_ALRM, _raise)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {_ALRM})
    return True


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
