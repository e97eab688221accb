"""One pickle: a pickler that refers to definitions by key, and the pass of one group through it.

Pickle's own fast paths (lists, dicts, strings, numbers) never call back into Python; for everything else the pickler
asks `reducer_override`, which looks up the object's type in a table. An entry of None stands for pickle's own way.
"""

import copyreg
import ctypes
import functools
import io
import pickle
import sys
import threading

from . import graph, references
from .limits import TimedOut
from .reducing import classify
from .registry import package
from .words import Lost, is_main, of_error

_Pickler, _SlowPickler = pickle.Pickler, pickle._Pickler

# Smaller buffers stay in the stream: a blob of their own costs more than the copy.
SMALL = 32 << 10
# The stack of a pickle that C's recursion limit is too small for: address space, touched only as deep as needed.
STACK = 1 << 30
TOO_LONG = "its pickling took too long: it was stopped"


class _Overriding:
    """What both picklers have in common."""

    def reducer_override(self, obj):
        self.plain = False
        handler = self.table.get(id(type(obj)), self)
        if handler is self:
            handler = classify(self, type(obj))
        if handler is None:
            return NotImplemented
        return handler(self, obj)

    def begin(self, registry):
        self.registry, self.table = registry, registry.table
        self.units, self.modules, self.suspects = {}, set(), {}
        self.placeholders = 0  # for what an earlier checkpoint could not keep
        self.plain = True  # nothing but Python's own containers and values so far

    def refer(self, obj, kind, name, place=""):
        key = self.registry.unit(obj, kind, name, place)
        self.units[key] = True
        return references.unit, (key,)


class Fast(_Overriding, _Pickler):
    pass


class _Asking(_Overriding):
    """Refers to dicts that are part of something else: the session's namespace, a module's, that of functions; and to texts that a
    library knows by their identity. Python's own dicts and texts never come to `reducer_override`; to be asked for each object takes longer than to pickle it."""

    def persistent_id(self, obj):
        found = self.registry.points.get(id(obj))
        if found is not None:
            kind, name = found
            if kind == "unit":
                self.units[name] = True
            elif kind == "module":
                self.modules.add(name)
            elif kind == "member":
                self.modules.add(name[0])
        return found


class Pointing(_Asking, _Pickler):
    pass


class Partial(Pointing):
    """Puts placeholders where something cannot be saved."""

    def reducer_override(self, obj):
        reason = self.registry.missing.get(id(obj))
        return Pointing.reducer_override(self, obj) if reason is None else (references.missing, (reason,))


class Deep(_Asking, _SlowPickler):
    """For what is nested deeper than C's recursion goes. Runs on a thread with a large stack."""

    def save(self, obj, save_persistent_id=True):
        """As the library does it, but that nothing is called with a list of arguments: such a call is one of C, of which Python 3.12 and
        3.13 allow few."""
        self.framer.commit_frame()
        pid = self.persistent_id(obj) if save_persistent_id else None
        if pid is not None:
            self.save_pers(pid)
            return
        known = self.memo.get(id(obj))
        if known is not None:
            self.write(self.get(known[0]))
            return
        parts = self.reducer_override(obj)
        if parts is NotImplemented:
            kind = type(obj)
            own_way = self.dispatch.get(kind)
            if own_way is not None:
                own_way(self, obj)
                return
            reduce = copyreg.dispatch_table.get(kind)
            if reduce is not None:
                parts = reduce(obj)
            elif issubclass(kind, type):
                self.save_global(obj)
                return
            else:
                parts = obj.__reduce_ex__(self.proto)
        if type(parts) is str:
            self.save_global(obj, parts)
            return
        if type(parts) is not tuple or not 2 <= len(parts) <= 6:
            raise pickle.PicklingError("its class does not say what it is made of: a tuple of two to six parts is needed")
        function, arguments, state, items, pairs, setter = (*parts, None, None, None, None)[:6]
        self.save_reduce(function, arguments, state, items, pairs, setter, obj=obj)


@functools.lru_cache(maxsize=1)
def cloud():
    """The pickler of the tier `cloudpickle`, or None where the environment has none."""
    try:
        import cloudpickle
    except Exception:  # it is not there, or does not work: the tier does not exist
        return None

    class Cloud(_Asking, cloudpickle.Pickler):
        def reducer_override(self, obj):
            found = _Overriding.reducer_override(self, obj)
            return cloudpickle.Pickler.reducer_override(self, obj) if found is NotImplemented else found

    return Cloud


class Pass:
    """What became of pickling one payload. `error`: why it failed, in words; then the rest means nothing. `refused`:
    whether another way of pickling would only seem to succeed."""

    atomic = refused = False

    def __init__(self, tier="pickle"):
        self.tier, self.error, self.stream = tier, None, b""
        self.first_error = None  # of the tier before
        self.views, self.ranges = [], []
        self.pickler = None

    @property
    def weight(self):
        return len(self.stream)

    def ids(self):
        """Of everything that the pickler wrote and that it could write a reference to."""
        if isinstance(self.pickler, _Pickler):
            return graph.memo_ids(self.pickler)
        return list(self.pickler.memo)

    def among(self, ids):
        """Those keys of the dict `ids` that are ids of what the pickler wrote."""
        if isinstance(self.pickler, _Pickler):
            return graph.memo_among(self.pickler, ids)
        return ids.keys() & self.pickler.memo.keys()

    def is_plain(self):
        """Whether nothing but Python's own containers and values is in it."""
        return self.atomic or self.pickler.plain

    @property
    def size(self):
        return len(self.stream) + sum(view.nbytes for view in self.views)


class Joined:
    """Of a name whose object another one's pass has written already: it goes into that one's group, and was not pickled by itself.
    `passes`: those that there are; `part`: the other one."""

    atomic = refused = False
    first_error, stream, weight, views, ranges = None, b"", 0, (), ()

    def __init__(self, passes, part):
        self.passes, self.part, self.error = passes, part, None
        self.pickler = _Aside(self.other.pickler)

    @property
    def other(self):
        return self.passes[self.part]

    @property
    def tier(self):
        return self.other.tier

    @property
    def size(self):
        return self.other.size

    def ids(self):
        return ()

    def among(self, _ids):
        return ()

    def is_plain(self):
        return self.other.is_plain()


class _Aside:
    """What is known of a pickler that has written more than is asked for."""

    placeholders = 0

    def __init__(self, pickler):
        self.units, self.suspects, self.modules = pickler.units, pickler.suspects, pickler.modules


def run(registry, payload, tier="pickle", shared=()):
    """Pickles one payload. `shared`: ranges of memory that more than one buffer lies in: those are never copied."""
    kinds = {"pickle": (Fast, Deep), "data": (Partial,)}.get(tier) or (cloud(),)
    done, points = None, registry.points
    # Whether it is such a dict itself: not to pickle all of it in vain.
    if tier != "pickle" or type(payload) is not tuple or not any(id(one) in points for one in payload[:1]):
        done = _run(registry, payload, tier, shared, kinds)
    if done is None or type(done.pickler) is Fast and done.among(points):
        done = _run(registry, payload, tier, shared, (Pointing, Deep))
    return done


def _run(registry, payload, tier, shared, kinds):
    done, file = Pass(tier), io.BytesIO()

    def keep(buffer):
        view = buffer.raw()
        start, end = graph.extent(view)
        done.ranges.append((start, end))
        if end - start < SMALL and not any(first < end and start < last for first, last in shared):
            return True
        done.views.append(view)
        return False

    for kind in kinds:
        pickler = done.pickler = kind(file, protocol=5, buffer_callback=keep)
        pickler.begin(registry)
        try:
            (_deep if kind is Deep else _plain)(pickler, payload)
            done.error = None
            break
        except BaseException as error:  # whatever the user's code raises: this payload fails, nothing else
            done.refused = isinstance(error, (Lost, TimedOut))
            done.error = TimedOut if isinstance(error, TimedOut) else _reason(error, pickler)
            if not isinstance(error, RecursionError) or kind is Deep:
                break
        file.seek(0)
        file.truncate()
        done.views, done.ranges = [], []
    if done.error is TimedOut:
        done.error = TOO_LONG
    done.stream = file.getvalue()
    return done


def _plain(pickler, payload):
    pickler.dump(payload)


def _deep(pickler, payload):
    """On a thread whose stack is large enough, without a limit of recursion."""
    failure = []

    def work():
        try:
            pickler.dump(payload)
        except BaseException as error:  # carried to the caller's thread
            failure.append(error)

    size, limit = threading.stack_size(STACK), sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(1_000_000)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            thread.join()
        except BaseException:  # the time is up: that thread is to stop as well
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TimedOut))
            raise
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    if failure:
        raise failure[0]


def _reason(error, pickler):
    if isinstance(error, Lost):
        return error.reason
    return of_error(error, "it cannot be pickled")


def packages(modules):
    """Names of the packages that these modules come from."""
    return {top for module in modules if (top := package(module)) is not None and not is_main(module)}
