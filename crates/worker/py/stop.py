"""SIGINT: raises KeyboardInterrupt only while the execution that it is meant for runs user code.

The supervisor sends a frame `interrupt` with the execution's token and then SIGINT. The handler looks at a mode:

    OFF    no execution: a signal that comes now is remembered, and counts only if a frame names the next execution
    ON     user code runs: the handler raises
    DEFER  an execution runs, but in the worker's own code: the handler notes it, and the next switch to ON raises
    IDLE   the event loop runs between executions: raises only into a task that keeps the loop from its work
"""

import os
import signal
from _thread import get_ident as _get_ident

OFF, ON, DEFER, IDLE = range(4)

_signal, _getsignal = signal.signal, signal.getsignal


class Guard:
    def __init__(self):
        self.mode = OFF
        self.pending = False
        self.main = _get_ident()
        self.loop = None  # a tasks.Loop, once there is one
        self.users = None  # a handler that user code installed, out of the way between executions
        _signal(signal.SIGINT, self.handle)

    def handle(self, _signum, _frame):
        if self.mode == ON:
            if self.loop is None or not self.loop.interrupt():
                raise KeyboardInterrupt
        elif self.mode == IDLE:
            if self.loop.is_blocked():
                raise KeyboardInterrupt
            self.pending = True
        else:
            self.pending = True

    def begin(self):
        """User code is about to run: its own handler comes back."""
        if self.users is not None:
            _signal(signal.SIGINT, self.users)
            self.users = None

    def end(self):
        """User code has run: a handler that it installed must not run within the worker's own code."""
        self.mode = OFF
        self.pending = False
        if _getsignal(signal.SIGINT) != self.handle:
            self.users = _getsignal(signal.SIGINT)
            _signal(signal.SIGINT, self.handle)

    def enter(self):
        """User code calls into the worker's own code (input, display). Returns what `leave` needs."""
        before = self.mode
        if before == ON and _get_ident() == self.main:
            self.mode = DEFER
            return True
        return False

    def leave(self, entered):
        """Back to user code; raises what came in between."""
        if entered:
            self.mode = ON
            self.raise_pending()

    def raise_pending(self):
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt


def ignore_in_child():
    """In a process that user code forked, SIGINT means what it means in any Python program."""
    if callable(_getsignal(signal.SIGINT)) and getattr(_getsignal(signal.SIGINT), "__self__", None).__class__ is Guard:
        _signal(signal.SIGINT, signal.default_int_handler)


os.register_at_fork(after_in_child=ignore_in_child)
