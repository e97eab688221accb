"""Tracebacks as Python prints them, without the worker's own frames."""

import ctypes
import io
import os
import sys
import traceback

from .codec import clean
from .own_frames import OURS

# The event loop's frames between the worker and a coroutine are nobody's business either.
_LOOP = os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep
LIMIT = 256 << 10
FRAMES = 200

_SUGGESTS = (NameError, AttributeError, ImportError)
_MEANT = ". Did you mean: '"
_TracebackException = traceback.TracebackException
_from_list = traceback.StackSummary.from_list
# A class may have put something of its own in its place.
traceback_of = BaseException.__traceback__.__get__


def describe(error):
    """What a frame says of an exception: ename, evalue, traceback, frames."""
    name = type(error).__name__
    try:
        trace = without_ours(error)
        summary = _TracebackException(type(error), error, trace, compact=True)
        _strip(summary, trace is not traceback_of(error))
        if sys.version_info < (3, 13) and isinstance(error, _SUGGESTS) and "Did you mean" not in summary._str:
            summary._str += _suggestion(error)
        text = "".join(summary.format())
        frames = [
            {"filename": clean(f.filename), "lineno": f.lineno or 0, "name": clean(f.name), "line": clean(f.line or "")}
            for f in list(summary.stack or ())[-FRAMES:]
        ]
    except BaseException as failed:  # an exception whose own parts raise, whatever that is
        text = f"Traceback (most recent call last):\n{name}: <its traceback could not be made: {type(failed).__name__}>\n"
        frames = []
    return {"ename": clean(name), "evalue": clean(cut(message(error))), "traceback": clean(cut(text)), "frames": frames}


def without_ours(error):
    """The traceback from where it leaves the worker's own frames, which come first, and those of the event loop on the way to a
    coroutine. Python would look for the source of the worker in each directory of `sys.path`."""
    first = traceback_of(error)
    if first is None or not _file(first).startswith(OURS):
        return first
    for passed in ((OURS, _LOOP), (OURS,)):
        trace = first
        while trace is not None and _file(trace).startswith(passed):
            trace = trace.tb_next
        if trace is not None:
            return trace
    return None


def _suggestion(error):
    """What Python's prompt says that was meant. The module `traceback` knows it as well as C code does since Python 3.13."""
    display = getattr(ctypes.pythonapi, "_PyErr_Display", None)
    if display is None:
        return ""
    display.argtypes, display.restype = (ctypes.py_object,) * 4, None
    file = io.StringIO()
    display(file, type(error), error, None)
    text = file.getvalue().rstrip()
    at = text.rfind(_MEANT)
    return text[at:] if at >= 0 and text.endswith("'?") and "\n" not in text[at:] else ""


def _file(trace):
    return trace.tb_frame.f_code.co_filename


def message(error):
    try:
        return str(error)
    except BaseException as failed:
        return f"<str() of the exception raised {type(failed).__name__}>"


def cut(text):
    if len(text) <= LIMIT:
        return text
    half = LIMIT // 2
    return f"{text[:half]}\n… [cut: {len(text) - LIMIT} characters left out] …\n{text[-half:]}"


def _strip(summary, was_ours):
    """Takes the worker's frames out of a summary and of all that it chains to. `was_ours`: the first one began with some."""
    seen = set()
    todo = [summary]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        stack = list(one.stack or ())
        keep = [f for f in stack if not f.filename.startswith(OURS)]
        if len(keep) != len(stack) or one is summary and was_ours:
            # Leading frames of asyncio are the way from the worker into the coroutine.
            while keep and keep[0].filename.startswith(_LOOP) and any(not f.filename.startswith(_LOOP) for f in keep):
                keep.pop(0)
        one.stack = _from_list(keep) if keep else None
        if one.stack is not None and len(keep) == len(stack):
            one.stack = type(one.stack)(stack)
        todo += [one.__cause__, one.__context__]
        todo += list(getattr(one, "exceptions", None) or ())
