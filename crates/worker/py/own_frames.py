"""Which frames are the worker's own, and who does not see them: tracers, profilers, debuggers, warnings.

User code is called by the worker, and calls it without knowing (`input`, `print`). A tracer that raises in one of its functions would end
the session. What the interpreter calls leaves them out; whoever asks for the tracer gets the user's.
"""

import functools
import sys
import warnings

# How the names of the worker's files begin.
OURS = "<pyrepl3>/"
# How Python names the place of a warning that is further up than all frames.
_NOWHERE = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)


class _Filter:
    """What the interpreter calls in place of a user's function for tracing or profiling."""

    __slots__ = ("pyrepl3_function",)

    def __init__(self, function):
        self.pyrepl3_function = function

    def __call__(self, frame, event, argument):
        return None if is_ours(frame.f_code) else self.pyrepl3_function(frame, event, argument)


# Those that have traced something in this execution.
debuggers = {}
# By their ids: code of frames that everything is called from, how the interpreter was started. They have no name of their own.
_bottom = {}


def is_ours(code):
    return code.co_filename.startswith(OURS) or id(code) in _bottom


def _plain(function):
    return function.pyrepl3_function if type(function) is _Filter else function


def _filtered(function):
    # Those in C install something of their own when they are called first.
    return _Filter(function) if callable(function) and type(function) is not _Filter else function


def install():
    """In the zygote: `sys` has these functions."""
    frame = sys._getframe()
    while frame is not None:
        _bottom[id(frame.f_code)] = frame.f_code
        frame = frame.f_back
    for name in ("settrace", "setprofile", "_settraceallthreads", "_setprofileallthreads"):
        if hasattr(sys, name):
            setattr(sys, name, _setter(getattr(sys, name)))
    for name in ("gettrace", "getprofile"):
        setattr(sys, name, _getter(getattr(sys, name)))
    if hasattr(sys, "monitoring"):
        sys.monitoring.register_callback = _registrar(sys.monitoring.register_callback, sys.monitoring.DISABLE)
    show = warnings._showwarnmsg

    @functools.wraps(show)
    def showwarnmsg(msg):
        if type(msg.filename) is str and msg.filename.startswith(OURS):
            msg.filename, msg.lineno = _NOWHERE
        show(msg)

    warnings._showwarnmsg = showwarnmsg


def _setter(original):
    @functools.wraps(original)
    def set_function(function, /):
        return original(_filtered(function))

    return set_function


def _getter(original):
    @functools.wraps(original)
    def get_function():
        return _plain(original())

    return get_function


def _registrar(original, disable):
    """For `sys.monitoring`. Callbacks of libraries, debuggers' and profilers', stay as they are: they raise nothing, and some look at the
    frame that they are called from."""

    @functools.wraps(original)
    def register_callback(tool_id, event, func, /):
        callback = func
        if callable(func) and getattr(func, "__module__", None) == "__main__":

            @functools.wraps(func)
            def callback(code, *arguments):
                return disable if is_ours(code) else func(code, *arguments)

            callback.pyrepl3_callback = func
        before = original(tool_id, event, callback)
        return getattr(before, "pyrepl3_callback", before)

    return register_callback


def adopt_bdb(bdb):
    """Debuggers set tracers on the frames that called the user's, too, and list them."""
    dispatch, get_stack = bdb.Bdb.trace_dispatch, bdb.Bdb.get_stack

    @functools.wraps(dispatch)
    def trace_dispatch(self, frame, event, arg):
        if is_ours(frame.f_code):
            return None
        debuggers[id(self)] = self
        return dispatch(self, frame, event, arg)

    @functools.wraps(get_stack)
    def stack_of_the_users(self, f, t):
        stack, at = get_stack(self, f, t)
        kept = [one for one in stack if not is_ours(one[0].f_code)]
        gone = sum(is_ours(one[0].f_code) for one in stack[:at])
        return (kept, max(at - gone, 0)) if kept else (stack, at)

    bdb.Bdb.trace_dispatch, bdb.Bdb.get_stack = trace_dispatch, stack_of_the_users


def stop_stepping():
    """When an execution has ended: who steps out of it does not mean the next one. Breakpoints stay."""
    while debuggers:
        try:
            debuggers.popitem()[1].set_continue()
        except Exception:
            pass  # one of the user's own making, which then goes on
