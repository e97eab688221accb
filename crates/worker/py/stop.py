"""SIGINT: raises KeyboardInterrupt only while the execution that it is meant for runs user code.

The supervisor sends a frame `interrupt` with the execution's token and then SIGINT. The handler looks at a mode:

    OFF    no execution: a signal that comes now is remembered, and counts only if a frame names the next execution
    ON     user code runs: the handler raises
    DEFER  an execution runs, but in the worker's own code: the handler notes it, and the next switch to ON raises
    IDLE   the event loop runs between executions: raises only into a task that keeps the loop from its work

Other signals, for which user code has handlers (`handlers`), follow the same modes: while user code runs its handler is called at once;
where the worker waits for a request, too, and what it raises is printed; in the worker's own code it is noted for the next of these.
"""

import _signal as _native
import os
import sys
from _thread import get_ident as _get_ident

OFF, ON, DEFER, IDLE = range(4)

# The module `signal` wraps these and makes an enumeration of every answer, at ten times the cost.
_signal, _getsignal = _native.signal, _native.getsignal
SIGINT = _native.SIGINT
_getpid, _frame = os.getpid, sys._getframe


class Guard:
    def __init__(self):
        self.mode = OFF
        self.pending = False
        self.main = _get_ident()
        self.loop = None  # a tasks.Loop, once there is one
        self.users = None  # a handler that user code installed, out of the way between executions
        self.pid = 0  # of the worker; processes that user code forks are none
        self.waits = False  # for a request: nothing of the worker's own is in the way of a handler
        self.calls = False  # handlers, one after the other
        self.called = 0  # handlers, while nothing else of user code ran
        self.noted = {}  # signals that came in the worker's own code, and their handlers
        self.report = None  # prints what a handler raises that nothing has called

    def attach(self):
        """In the worker: from now on SIGINT comes here."""
        self.main, self.pid = _get_ident(), _getpid()
        _signal(SIGINT, self.handle)

    def attach_again(self):
        """In a process that was woken: what was meant for the one before is not meant for this one."""
        self.main, self.mode, self.pending, self.pid = _get_ident(), OFF, False, _getpid()
        self.noted.clear()

    def detach(self):
        """In a process that user code forked, SIGINT means what it means in any Python program."""
        if _getsignal(SIGINT) == self.handle:
            _signal(SIGINT, _native.default_int_handler)

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

    def is_main(self):
        """Whether the calling thread is the one that runs executions."""
        return _get_ident() == self.main

    def begin(self):
        """User code is about to run: its own handler comes back."""
        if self.users is not None:
            _signal(SIGINT, self.users)
            self.users = None

    def end(self):
        """User code has run: a handler that it installed must not run within the worker's own code."""
        self.mode = OFF
        self.pending = False
        if _getsignal(SIGINT) != self.handle:
            self.users = _getsignal(SIGINT)
            _signal(SIGINT, self.handle)

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

    # ---- other signals ----

    def call(self, handler, signum, frame):
        """A signal has come that user code has a handler for."""
        if self.mode == ON or _getpid() != self.pid:
            handler(signum, frame)
            return
        self.noted[signum] = handler
        if (self.waits or self.mode == IDLE) and not self.calls:
            self.call_noted()

    def call_noted(self):
        """Where the worker waits for a request: calls the handlers of signals that have come. What they raise is printed."""
        mode, self.calls = self.mode, True
        try:
            while self.noted:
                signum, handler = self.noted.popitem()
                self.called += 1
                try:
                    try:
                        self.mode = ON
                        handler(signum, _frame(1))
                    finally:
                        self.mode = DEFER
                except BaseException as error:
                    self.mode = DEFER
                    self.report(error)
        finally:
            self.mode, self.calls = mode, False

    def raise_pending(self):
        while self.noted:
            signum, handler = self.noted.popitem()
            handler(signum, _frame(1))
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt
