"""Signal handlers; timers, which can only be named."""

import _signal

from .situation import is_of_worker

_SIGNALS = {
    number: name
    for name, number in sorted(vars(_signal).items())
    if name.startswith("SIG") and not name.startswith("SIG_") and name not in ("SIGCLD", "SIGPOLL", "SIGKILL", "SIGSTOP")
}
_PLAIN = {_signal.SIG_DFL: "default", _signal.SIG_IGN: "ignore"}
_BY_NAME = {name: handler for handler, name in _PLAIN.items()}
_TIMERS = {
    name: getattr(_signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(_signal, name)
}


def note(baseline):
    baseline.handlers = handlers()


def handlers():
    """Signal number -> handler."""
    found = {}
    for number in _SIGNALS:
        handler = _signal.getsignal(number)
        # The worker wraps handlers of SIGCHLD; what user code sees is what it installed.
        found[number] = getattr(handler, "pyrepl3_handler", handler) if callable(handler) else handler
    return found


def timers():
    """Names of the timers that run. A fork does not keep them: ask in the live process."""
    return [name for name, which in _TIMERS.items() if _signal.getitimer(which)[0]]


def capture(here):
    before = here.options.before
    for name in before["timers"] if before else timers():
        here.lose(f"timer {name}", "what is to happen at a time to come is not kept: set it again")
    base = here.baseline.handlers
    for number, handler in (before["handlers"] if before else handlers()).items():
        name = _SIGNALS[number]
        if _same(handler, base.get(number)) or is_of_worker(handler):
            continue
        if handler is None:
            here.lose(name, "its handler was not installed by Python")
        elif not callable(handler):
            yield {"signal": name, "handler": {"name": _PLAIN[handler]}}
        else:
            entry = here.put(name, handler)
            if entry is not None:
                yield {"signal": name, "handler": entry}


def restore(items, here):
    base, now = here.baseline.handlers, handlers()
    wanted = {}
    for item in items:
        if here.attempt(str(item["signal"]), _want, wanted, item, here):
            continue
        number = getattr(_signal, str(item["signal"]), None)
        if type(number) is int:
            wanted[number] = now.get(number)
    for number in _SIGNALS:
        handler = wanted.get(number, base.get(number))
        if handler is not None and not _same(handler, now[number]):
            here.attempt(_SIGNALS[number], _install, number, handler)


def _install(number, handler):
    # Through the module, where the worker's wrapper of handlers of SIGCHLD stands.
    import signal

    signal.signal(number, handler)


def _want(wanted, item, here):
    number = next((number for number, name in _SIGNALS.items() if name == item["signal"]), None)
    if number is None:
        raise ValueError("this system has no such signal")
    entry = item["handler"]
    handler = _BY_NAME[entry["name"]] if "name" in entry else here.get(entry)
    if not callable(handler) and "name" not in entry:
        raise TypeError(f"a {type(handler).__name__} is no handler")
    wanted[number] = handler


def _same(one, other):
    # Not by `==` for what is callable: that could be the user's.
    return one is other or (not callable(one) and not callable(other) and one == other)
