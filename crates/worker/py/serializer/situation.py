"""What every kind of context is handed: where it stands when a session is captured, and when it is restored.

A kind names what it cannot keep and goes on; no failure of one reaches another.
"""

import math
import sys
import types

# Largest integer that every reader of JSON has exactly.
_EXACT = 1 << 53
# What `lazy import` leaves until the name is used (Python 3.15).
LAZY = getattr(types, "LazyImportType", None)


class Options:
    """What the worker knows of its session and a kind cannot find out by itself.

    `namespace`: the dict of `__main__`. `sources`: file name -> text of the executions. `own_fds`: descriptors that are
    the worker's (channels, and those of the session's event loop). `streams`: the worker's own standard streams by name
    (`stdout`, `stderr`, `stdin`). `exits`: what is registered with atexit, as (function, arguments, keyword arguments);
    None where nobody keeps a list. `context`: the contextvars.Context in which user code runs; None for
    the caller's own. `before`: what `look_before_fork` returned.
    `compiler`: has `flags`, those of `from __future__ import …`, which later executions are compiled with.
    `read_before`: what `assigned` has found in sources, for the next look.
    `shared`: names of `shared_roots` that the codec keeps as groups of its own.
    """

    def __init__(
        self, namespace=None, sources=None, own_fds=(), streams=None, exits=None, context=None, before=None, shared=(),
        read_before=None, compiler=None,
    ):
        self.namespace = vars(sys.modules["__main__"]) if namespace is None else namespace
        self.sources = dict(getattr(sources, "texts", sources) or {})
        self.own_fds = frozenset(own_fds)
        self.streams = dict(streams or {})
        self.exits, self.context, self.before = exits, context, before
        self.shared = frozenset(shared)
        self.read_before = {} if read_before is None else read_before
        self.compiler = compiler
        self.said = None


class _Situation:
    def __init__(self, baseline, keeper, options):
        self.baseline, self.keeper, self.options = baseline, keeper, options
        self.lost = []
        self.stated = set()  # places of the session's own modules that `module_state` answers for
        self._named = set()

    def lose(self, name, reason):
        """Names something that is not kept; the first reason stands."""
        name = clean(name)
        if name not in self._named:
            self._named.add(name)
            self.lost.append({"name": name, "reason": clean(reason)})


class Capture(_Situation):
    def __init__(self, baseline, keeper, options):
        super().__init__(baseline, keeper, options)
        self.claimed = set()  # descriptors that another kind, or a variable, answers for

    def put(self, name, value):
        """A value as a part of an item, or None where it had to be named as lost."""
        if is_plain(value):
            return {"plain": value}
        try:
            return {"kept": self.keeper.dump(value)}
        except Exception as error:
            self.lose(name, why(error))
        return None


class Restore(_Situation):
    def __init__(self, baseline, keeper, options, roots=None):
        super().__init__(baseline, keeper, options)
        self.roots = dict(roots or {})  # name -> what the codec restored of `shared_roots`

    def get(self, entry):
        """The value that `put` made the entry of."""
        if "plain" in entry:
            return entry["plain"]
        return self.keeper.load(entry["kept"])

    def attempt(self, name, action, *arguments):
        """Runs an action; a failure is named. True where it succeeded."""
        try:
            action(*arguments)
        except (Exception, SystemExit) as error:
            self.lose(name, f"it could not be brought back: {why(error)}")
            return False
        return True


def why(error):
    """An error in words: its text, and its kind where that says more."""
    try:
        text = str(error)
    except Exception:
        text = ""
    kind = type(error).__name__
    return text if kind == "Lost" and text else f"{kind}: {text}" if text else kind


def is_plain(value):
    """Whether JSON carries a value exactly."""
    kind = type(value)
    if kind is str:
        return _is_unicode(value)
    if kind is int:
        return -_EXACT < value < _EXACT
    return value is None or kind is bool or (kind is float and math.isfinite(value))


def text(value):
    """A string as JSON carries it; one with lone surrogates (of a path that is no UTF-8) as hexadecimal digits."""
    if type(value) is not str:
        raise TypeError(f"{type(value).__name__} is no str")
    return value if _is_unicode(value) else {"surrogates": value.encode("utf-8", "surrogatepass").hex()}


def untext(value):
    if type(value) is dict:
        return bytes.fromhex(value["surrogates"]).decode("utf-8", "surrogatepass")
    if type(value) is not str:
        raise TypeError(f"{type(value).__name__} is no str")
    return value


def modules():
    """(name, module) of all that is loaded. Keys of `sys.modules` that are no strings name nothing."""
    return [(name, module) for name, module in list(sys.modules.items()) if type(name) is str]


def subclasses(base):
    """All classes below, each once."""
    seen, todo = {base}, [base]
    while todo:
        for one in type.__subclasses__(todo.pop()):
            if one not in seen:
                seen.add(one)
                todo.append(one)
                yield one


def clean(value):
    """A string for people, and for every reader of JSON: lone surrogates, of file names say, become question marks."""
    return str(value).encode("utf-8", "replace").decode()


def _is_unicode(value):
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_of_session(value, main="__main__"):
    """Whether a value was made by the session's own code: a function or class of it, an instance of its class, or a
    method of one. Asks only what cannot run user code."""
    for one in (value, type(value)):
        if isinstance_of(one, type):
            if type.__getattribute__(one, "__module__") == main:
                return True
        elif type(one).__name__ == "function" and hasattr(type(one), "__globals__"):
            if one.__globals__.get("__name__") == main:
                return True
    inner = None
    if type(value).__name__ == "method":
        inner = value.__self__
    elif type(value).__name__ == "partial":
        inner = value.func
    return inner is not None and is_of_session(inner, main)


def is_of_worker(value):
    """Whether a value is one of the worker's own functions or objects."""
    globals_ = getattr(value, "__globals__", None) if type(value).__name__ == "function" else None
    name = globals_.get("__name__") if type(globals_) is dict else None
    if name is None:
        kind = value if isinstance_of(value, type) else type(value)
        name = type.__getattribute__(kind, "__module__")
    return type(name) is str and name.partition(".")[0] == "_pyrepl3"


def isinstance_of(value, kind):
    """`isinstance`, without asking the object itself."""
    return issubclass(type(value), kind)


# ---- objects that several groups of a checkpoint may refer to, each of which is loaded by itself ----

_token = [""]
_made = {}


def begin_session(token):
    _token[0] = token


def key_of(thing):
    """The same for the same object in each group of a checkpoint, and in each checkpoint of a session."""
    return f"{_token[0]}:{id(thing):x}"


def once(key, make):
    """The object of a key: made when the first group that refers to it is loaded."""
    if key not in _made:
        _made[key] = make()
    return _made[key]


def end_load():
    """What is loaded next is another checkpoint, or the same one once more: with objects of its own."""
    _made.clear()
