"""The configuration of `logging`: levels, handlers, filters, and handlers that variables hold as well."""

import sys

from . import open_files
from .situation import is_of_session, key_of, once

_FRESH = {"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_ROOT_LEVEL = 30
_ATTRIBUTES = frozenset("filters name level parent propagate handlers disabled _cache manager".split())


def note(baseline):
    logging = sys.modules.get("logging")
    baseline.loggers = {name: _state(logger) for name, logger in _loggers(logging)} if logging is not None else {}


def _loggers(logging):
    """(name, logger), the root under an empty name."""
    yield "", logging.root
    for name, logger in sorted(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            yield name, logger


def _state(logger):
    return logger.level, logger.propagate, logger.disabled, list(logger.handlers), list(logger.filters)


def _fresh(name):
    """A logger that nobody has configured."""
    return (0 if name else _ROOT_LEVEL), True, False, [], []


def _label(name):
    return f"logger {name}" if name else "logger root"


def capture(here):
    logging = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "root"):
        return
    general = {}
    if logging.root.manager.disable:
        general["disable"] = logging.root.manager.disable
    levels = {name: level for level, name in logging._levelToName.items() if _FRESH.get(name) != level}
    if levels:
        general["levels"] = [[level, name] for name, level in levels.items() if type(level) is int]
    if general:
        yield {"general": general}
    for attribute in ("_loggerClass", "_logRecordFactory"):
        value = getattr(logging, attribute, None)
        if is_of_session(value):
            entry = here.put(f"logging.{attribute}", value)
            if entry is not None:
                yield {"attribute": attribute, "value": entry}
    for name, logger in _loggers(logging):
        for attribute, value in _set_on(logging, logger).items():
            entry = here.put(f"{_label(name)}.{attribute}", value)
            if entry is not None:
                yield {"logger": name, "attribute": attribute, "value": entry}
        state = _state(logger)
        usual = here.baseline.loggers.get(name) or _fresh(name)
        if _equal(state, usual) or (name not in here.baseline.loggers and _is_of_library(logging, state, usual)):
            continue
        level, propagate, disabled, handlers, filters = state
        yield {
            "name": name,
            "level": level,
            "propagate": bool(propagate),
            "disabled": bool(disabled),
            "handlers": _put_each(here, name, "handler", handlers),
            "filters": _put_each(here, name, "filter", filters),
        }


def _set_on(logging, logger):
    """Attributes that somebody has given a logger of the usual class."""
    if type(logger) not in (logging.Logger, logging.RootLogger):
        return {}
    return {name: value for name, value in vars(logger).items() if name not in _ATTRIBUTES}


def _equal(one, other):
    return one[:3] == other[:3] and all(
        len(mine) == len(its) and all(map(lambda a, b: a is b, mine, its)) for mine, its in zip(one[3:], other[3:])
    )


def _is_of_library(logging, state, usual):
    """What a library does to its own logger when it is imported: one handler that does nothing."""
    return state[:3] == usual[:3] and not state[4] and all(type(each) is logging.NullHandler for each in state[3])


def _put_each(here, name, what, values):
    entries = []
    for value in values:
        try:
            entries.append({"kept": here.keeper.dump(value)})
        except Exception as error:
            here.lose(_label(name), f"its {what}, a {type(value).__name__}: {error}")
    return entries


def restore(items, here):
    if not items and "logging" not in sys.modules:
        return
    import logging

    wanted = dict(here.baseline.loggers)
    disable, levels, given = 0, [], []
    for item in items:
        if "general" in item:
            disable, levels = item["general"].get("disable", 0), item["general"].get("levels", [])
        elif "logger" in item:
            label = f"{_label(item['logger'])}.{item['attribute']}"
            here.attempt(label, lambda item=item: given.append((item["logger"], item["attribute"], here.get(item["value"]))))
        elif "attribute" in item:
            here.attempt(f"logging.{item['attribute']}", _set_attribute, logging, item, here)
        else:
            here.attempt(_label(str(item["name"])), _want, logging, wanted, item, here)
    if logging.root.manager.disable != disable:
        here.attempt("logging.disable", logging.disable, disable)
    for level, name in levels:
        here.attempt(f"logging level {name}", logging.addLevelName, level, name)
    for _name, logger in _loggers(logging):
        for attribute in _set_on(logging, logger):
            delattr(logger, attribute)
    for name, attribute, value in given:
        vars(logging.getLogger(name or None))[attribute] = value
    existing = dict(_loggers(logging))
    for name in [*existing, *(name for name in wanted if name not in existing)]:
        logger = existing.get(name) or logging.getLogger(name)
        state, usual = _state(logger), _fresh(name)
        target = wanted.get(name, usual)
        if _equal(state, target) or (name not in wanted and _is_of_library(logging, state, usual)):
            continue
        here.attempt(_label(name), _configure, logger, target)


def _set_attribute(logging, item, here):
    if item["attribute"] not in ("_loggerClass", "_logRecordFactory"):
        raise ValueError("it is no such attribute")
    setattr(logging, item["attribute"], here.get(item["value"]))


def _want(logging, wanted, item, here):
    if type(item["name"]) is not str:
        raise TypeError("its name is no str")
    parts = {"handlers": [], "filters": []}
    for part, found in parts.items():
        for entry in item[part]:
            here.attempt(_label(item["name"]), lambda: found.append(here.get(entry)))
    for handler in parts["handlers"]:
        if not isinstance(handler, logging.Handler):
            raise TypeError(f"a {type(handler).__name__} is no handler")
    wanted[item["name"]] = (item["level"], item["propagate"], item["disabled"], parts["handlers"], parts["filters"])


def _configure(logger, state):
    level, propagate, disabled, handlers, filters = state
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled
    dropped = [handler for handler in logger.handlers if not any(handler is each for each in handlers)]
    logger.handlers[:], logger.filters[:] = handlers, filters
    for handler in dropped:
        if _is_file(handler):
            handler.close()


# ---- handlers ----


def reducers():
    """For every class of handlers that is in use. A handler has a lock and a stream, which pickle refuses."""
    logging = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "_handlerList"):
        return {}
    kinds = {type(handler) for reference in list(logging._handlerList) if (handler := reference()) is not None}
    own = ("__reduce__", "__reduce_ex__", "__getstate__")
    return {
        kind: _reduce
        for kind in kinds
        if issubclass(kind, logging.Handler)
        and not any(name in vars(base) for base in kind.__mro__ if base is not object for name in own)
    }


def _reduce(handler):
    state = {name: value for name, value in vars(handler).items() if name not in ("lock", "stream", "sock")}
    stream = vars(handler).get("stream")
    if stream is not None and not _is_file(handler):
        named = [name for name in ("stderr", "stdout") for each in (name, f"__{name}__") if stream is getattr(sys, each)]
        stream = named[0] if named else (stream,)
    elif stream is not None:
        open_files.claim(stream.fileno())
        stream = "file"
    return _handler, (key_of(handler), type(handler), state, stream)


def _is_file(handler):
    return isinstance(handler, sys.modules["logging"].FileHandler)


def _handler(key, kind, state, stream):
    return once(key, lambda: _make_handler(kind, state, stream))


def _make_handler(kind, state, stream):
    import logging

    handler = kind.__new__(kind)
    vars(handler).update(state)
    handler.createLock()
    if isinstance(handler, logging.FileHandler):
        # What it has written stays.
        handler.mode = handler.mode.replace("w", "a").replace("x", "a")
        handler.stream = handler._open() if stream == "file" else None
    elif type(stream) is str:
        handler.stream = getattr(sys, stream)
    elif stream is not None:
        (handler.stream,) = stream
    logging._addHandlerRef(handler)
    if handler.name is not None:
        logging._handlers[handler.name] = handler
    return handler
