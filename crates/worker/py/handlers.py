"""Signal handlers of user code: they run while user code runs. One whose signal comes at another time waits until nothing of the worker's
own is in its way, and what it raises is printed, as at a Python prompt.
"""

import _signal as _native
import functools

_signal, _getsignal = _native.signal, _native.getsignal


class Handler:
    """What the interpreter calls in place of a handler of the user's. Whoever asks for the handler gets the user's."""

    __slots__ = ("guard", "pyrepl3_handler")

    def __init__(self, handler, guard):
        self.pyrepl3_handler, self.guard = handler, guard

    def __call__(self, signum, frame):
        self.guard.call(self.pyrepl3_handler, signum, frame)


def _plain(handler):
    return handler.pyrepl3_handler if type(handler) is Handler else handler


def install(guard):
    """`signal.signal` and `signal.getsignal` call these."""

    @functools.wraps(_native.signal)
    def signal(signalnum, handler, /):
        return _plain(_signal(signalnum, Handler(handler, guard) if callable(handler) else handler))

    @functools.wraps(_native.getsignal)
    def getsignal(signalnum, /):
        return _plain(_getsignal(signalnum))

    _native.signal, _native.getsignal = signal, getsignal
