"""Threads do not come along in a fork: what they leave behind in the woken process is found, mended and named."""

import dis
import sys
import threading
from _thread import LockType as _Lock
from _thread import RLock as _RLock
from _thread import get_ident as _get_ident

_enumerate, _frames, _instructions = threading.enumerate, sys._current_frames, dis.get_instructions
# A condition makes a lock for each who waits: nobody else can get it but to wake them.
_WAIT = threading.Condition.wait.__code__

# Frames of a thread that are looked at, and elements of one container.
_DEPTH, _ELEMENTS = 50, 100
# Kinds are asked of `type` throughout: `isinstance` asks the object, and proxies answer for what is gone, or raise.
_LOCKS = (_Lock, _RLock)
_UNKNOWN = object()
# What stands between loading a lock and the instruction that gets it.
_BETWEEN = ("CACHE", "PRECALL", "PUSH_NULL", "NOP", "EXTENDED_ARG", "COPY", "SWAP", "LOAD_SPECIAL")


class Lost:
    """The threads of the process at one moment, other than its main thread."""

    def __init__(self):
        self.names, self.locks = [], []
        self.idents = {}
        me, frames = _get_ident(), _frames()
        if len(frames) < 2:
            return
        others = [thread for thread in _enumerate() if thread.ident != me and thread.ident is not None]
        known = {thread.ident for thread in others}
        others += [_Nameless(ident) for ident in frames if ident != me and ident not in known]
        for thread in others:
            self.names.append(str(thread.name))
            self.idents[thread.ident] = str(thread.name)
            self._look_for_locks(thread, frames.get(thread.ident))

    def _look_for_locks(self, thread, frame):
        """Locks that a thread seems to hold: among what the code of its frames works with. A plain lock does not know
        its owner, so this is a guess; of a reentrant one it is certain."""
        seen, depth, sure_only = set(), 0, False
        awaited = None if frame is None else _awaited(frame)
        if awaited is _UNKNOWN:
            sure_only = True
        elif awaited is not None:
            # What it waits for is another's.
            seen.add(id(_plain(awaited)))
        while frame is not None and depth < _DEPTH:
            code = frame.f_code
            around = dict(frame.f_locals)
            if code is _WAIT:
                around.pop("waiter", None)
            for name in code.co_names:
                if name in frame.f_globals:
                    around.setdefault(name, frame.f_globals[name])
            for name, value in around.items():
                for label, one in _within(name, value, code.co_names):
                    self._consider(thread, label, _plain(one), seen, sure_only)
            frame, depth, sure_only = frame.f_back, depth + 1, False

    def _consider(self, thread, name, value, seen, sure_only):
        if id(value) in seen:
            return
        if type(value) is _RLock:
            seen.add(id(value))
            # Its repr is the only place where its owner stands.
            if f"owner={thread.ident} " in repr(value):
                self.locks.append((name, str(thread.name), value))
        elif type(value) is _Lock and not sure_only:
            seen.add(id(value))
            if value.locked() and not _is_internal(thread, value):
                self.locks.append((name, str(thread.name), value))

    def warnings(self):
        found = [f"the thread {name} runs: a rollback loses it" for name in self.names]
        found += [f"the thread {thread} holds the lock {name}" for name, thread, _lock in self.locks]
        return found

    # ---- in the process that was woken ----

    def mend(self):
        """Releases the locks of lost threads. Returns what is lost, in words."""
        lost = [f"the thread {name} is gone" for name in self.names]
        for name, thread, lock in self.locks:
            if lock.locked() if hasattr(lock, "locked") else "locked" in repr(lock).split()[0]:
                lock._at_fork_reinit()
                lost.append(f"the lock {name} was held by the thread {thread}, which is gone: it is released")
        return lost


class _Nameless:
    """A thread that was not made with `threading`."""

    name = "without a name"

    def __init__(self, ident):
        self.ident = ident


def _plain(value):
    return value._lock if issubclass(type(value), threading.Condition) else value


def _within(name, value, mentioned):
    """A value, and the parts of it that code may use which mentions these names: pairs of a label and a part."""
    yield name, value
    kind = type(value)
    if kind in _LOCKS or issubclass(kind, threading.Condition):
        return
    if kind is dict:
        if len(value) <= _ELEMENTS:
            yield from ((f"{name}[{key!r}]", part) for key, part in list(value.items()) if type(key) in (str, int))
    elif kind in (list, tuple):
        yield from ((f"{name}[{at}]", part) for at, part in enumerate(value[:_ELEMENTS]))
    else:
        try:
            parts = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return
        if type(parts) is not dict:
            return
        if name == "self":
            yield from ((f"{kind.__name__}.{key}", part) for key, part in list(parts.items()))
        else:
            yield from ((f"{name}.{key}", parts[key]) for key in mentioned if key in parts)


def _awaited(frame):
    """The lock that a frame is about to get, if it is: found by the instructions that load it. `_UNKNOWN` where it is
    about to get one that cannot be found so."""
    code, chain = frame.f_code, []
    # The very instruction that runs, and those before it, last first.
    before = [one for one in _instructions(code) if one.offset <= frame.f_lasti][::-1]
    if not before or before[0].offset != frame.f_lasti:
        return None
    at = 1
    if before[0].opname in ("BEFORE_WITH", "SETUP_WITH"):
        pass
    elif "CALL" in before[0].opname:
        # Python 3.14 has a call in a with statement; everything else is a method, with its arguments behind it.
        if len(before) < 2 or before[1].opname != "LOAD_SPECIAL":
            while at < len(before) and before[at].argval not in ("acquire", "__enter__"):
                if "CALL" in before[at].opname and before[at].opname != "PRECALL":
                    return None
                at += 1
            if at == len(before):
                return None
            at += 1
    else:
        return None
    for one in before[at:]:
        if one.opname in _BETWEEN:
            continue
        if one.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain.append(one.argval)
            continue
        if not one.opname.startswith(("LOAD_FAST", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF")):
            return _UNKNOWN
        # Instructions of two loads name two variables.
        name = one.argval[-1] if type(one.argval) is tuple else one.argval
        found = frame.f_locals.get(name, frame.f_globals.get(name, _UNKNOWN))
        for attribute in reversed(chain):
            try:
                found = object.__getattribute__(found, "__dict__").get(attribute, _UNKNOWN)
            except AttributeError:
                return _UNKNOWN
        return found
    return _UNKNOWN


def _is_internal(thread, lock):
    """The locks by which a thread is joined and started are not held by what it does."""
    return lock in (getattr(thread, "_tstate_lock", None), getattr(thread, "_lock", None))
