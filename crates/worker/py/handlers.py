"""Signal handlers of user code: they run while user code runs. One whose signal comes at another time waits until nothing of the worker's
own is in its way, and what it raises is printed, as at a Python prompt.
"""

import _signal as _native
import functools
import os

_signal, _getsignal, _getpid = _native.signal, _native.getsignal, os.getpid


class Handler:
    """What the interpreter calls in place of a handler of the user's. Whoever asks for the handler gets the user's."""

    __slots__ = ("guard", "pyrepl3_handler")

    def __init__(self, handler, guard):
        self.pyrepl3_handler, self.guard = handler, guard

    def __call__(self, signum, frame):
        self.guard.call(self.pyrepl3_handler, signum, frame)


def install(guard):
    """`signal.signal` and `signal.getsignal` call these. What the worker does at SIGINT is what Python does by default, to whoever asks."""
    default = _native.default_int_handler

    def users(handler):
        if type(handler) is Handler:
            return handler.pyrepl3_handler
        return default if handler == guard.handle else handler

    def ours(signalnum, handler):
        if handler is default and signalnum == _native.SIGINT and guard.pid == _getpid():
            return guard.handle
        return Handler(handler, guard) if callable(handler) else handler

    @functools.wraps(_native.signal)
    def signal(signalnum, handler, /):
        return users(_signal(signalnum, ours(signalnum, handler)))

    @functools.wraps(_native.getsignal)
    def getsignal(signalnum, /):
        return users(_getsignal(signalnum))

    _native.signal, _native.getsignal = signal, getsignal
