"""Which units belong together: those that reach a common mutable object, or memory that overlaps.

The picklers tell: a C pickler's memo lists the id of everything that it wrote, so no walk of our own is needed.
"""

import collections
import ctypes
import gc
import io
import pickle
import sys
import types

# What two groups may have in common without sharing anything: it cannot change, or it is saved by reference.
ATOMS = frozenset(
    (str, bytes, int, float, complex, bool, type(None), type(...), type(NotImplemented), tuple, frozenset, range, slice)
    + (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType, types.CellType)
    + (types.MethodDescriptorType, types.WrapperDescriptorType, types.MemberDescriptorType)
    + (types.GetSetDescriptorType, types.ClassMethodDescriptorType, types.GenericAlias, types.UnionType)
    + (property, staticmethod, classmethod, types.MappingProxyType)
)
# The same, of modules that the session may never have imported.
_MORE = {
    "datetime": ("date", "time", "datetime", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "pathlib": ("PurePosixPath", "PosixPath"),
    "re": ("Pattern",),
    "uuid": ("UUID",),
}


def _atoms():
    loaded = ((sys.modules[module], names) for module, names in _MORE.items() if module in sys.modules)
    return ATOMS.union(vars(module)[name] for module, names in loaded for name in names if name in vars(module))


class Sets:
    """Union-find over hashable things."""

    def __init__(self):
        self.parent = {}

    def root(self, one):
        parent = self.parent
        while (above := parent.setdefault(one, one)) != one:
            parent[one] = parent[above]
            one = parent[above]
        return one

    def join(self, one, other):
        one, other = self.root(one), self.root(other)
        if one != other:
            self.parent[other] = one


def group(passes, is_reference, identical=()):
    """Groups of the names of `passes` (name -> pickling.Pass), in the order of `passes`.
    `is_reference(obj)`: whether it is saved by reference. `identical`: pairs of names for one object."""
    sets, atoms = Sets(), _atoms()
    for one, other in identical:
        sets.join(one, other)
    # The greatest comes last: what it has in common with the rest is asked of the smaller side, at C speed.
    order = sorted((name for name in passes if not passes[name].atomic), key=lambda name: passes[name].weight)
    owner = {}
    for at, name in enumerate(order):
        if len(order) == 1:
            break
        last = at + 1 == len(order)
        ids = () if last else set(passes[name].ids())
        for one in passes[name].among(owner) if last else owner.keys() & ids:
            obj = object_at(one)
            kind = type(obj)
            if kind in atoms or issubclass(kind, type) or is_reference(obj):
                continue
            sets.join(owner[one], name)
        owner.update(dict.fromkeys(ids, name))
        owner.pop(0, None)
    ranges = sorted((start, end, name) for name, one in passes.items() for start, end in one.ranges)
    reach, last = 0, None
    for start, end, name in ranges:
        if start < reach:
            sets.join(last, name)
        if end > reach:
            reach, last = end, name
    groups = collections.OrderedDict()
    for name in passes:
        groups.setdefault(sets.root(name), []).append(name)
    return list(groups.values())


# Where a walk of what an object refers to goes no further: these refer to everything.
_BOUNDS = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, types.FrameType, type)


def reached(obj, targets, stops, limit):
    """Which of the ids `targets` an object refers to, through whatever it holds, by strong references. Not through what has one of the
    ids `stops`, and at most `limit` objects far: what is further away is not found."""
    found, seen, frontier = set(), {id(obj)}, [obj]
    while frontier and len(seen) < limit:
        fresh = []
        for one in [*gc.get_referents(*frontier), *_within(frontier)]:
            address = id(one)
            if address in seen or address in stops:
                continue
            seen.add(address)
            if address in targets:
                found.add(address)
            if gc.is_tracked(one) and not isinstance(one, _BOUNDS):
                fresh.append(one)
        frontier = fresh
    return found


def _within(objects):
    """What messages of protobuf hold, which the collector does not see: a message in another one is a view of it."""
    kind = getattr(sys.modules.get("google.protobuf.message"), "Message", None)
    if kind is None:
        return
    for one in objects:
        if isinstance(one, kind):
            for _field, value in one.ListFields():
                if isinstance(value, kind):
                    yield value
                elif not isinstance(value, (str, bytes, int, float)):
                    # One of many: a list or a mapping of their own kinds.
                    yield from (part for part in (value.values() if hasattr(value, "values") else value) if isinstance(part, kind))


def object_at(address):
    """The object with this id. Only for ids of what a pickler that still lives has memoised: those are alive."""
    return ctypes.cast(address, ctypes.py_object).value


class _Table(ctypes.Structure):
    """The memo of a C pickler: a hash table of (object, index), the same from Python 3.10 to 3.13."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("mask", "used", "allocated", "entries")]


def memo_ids(pickler):
    """Ids of what a C pickler has memoised, and perhaps 0. `memo.copy()` makes a tuple for each, which takes as long as the pickling
    itself; the table is read where it lies, if it is as expected."""
    if not _readable:
        return list(pickler.memo.copy())
    return _read(pickler)


def memo_among(pickler, ids):
    """Which of these ids a C pickler has memoised. A few are looked up in the table, as the pickler itself does it."""
    if not _readable:
        return ids.keys() & pickler.memo.copy().keys()
    table, entries = _table(pickler)
    if len(ids) * 64 > table.allocated:
        return ids.keys() & _read(pickler)
    return [one for one in ids if _is_in(entries, table.mask, one)]


def _is_in(entries, mask, one):
    at = perturb = one >> 3
    while (found := entries[2 * (at & mask)]) != one:
        if not found:
            return False
        at = 5 * at + perturb + 1
        perturb >>= 5
    return True


def _table(pickler):
    table = _Table.from_address(ctypes.c_size_t.from_address(id(pickler) + object.__basicsize__).value)
    memory = (ctypes.c_size_t * (2 * table.allocated)).from_address(table.entries)
    return table, memoryview(memory).cast("B").cast("N")


def _read(pickler):
    return _table(pickler)[1][::2].tolist()  # with zeros, for entries that are free


def _is_readable():
    """Whether the table is where this module thinks: asked of a pickler whose memo is known."""
    if sys.implementation.name != "cpython" or not (3, 10) <= sys.version_info < (3, 14) or "t" in sys.abiflags:
        return False
    pickler = pickle.Pickler(io.BytesIO(), 5)
    pickler.dump([[at, [str(at)]] for at in range(40)])
    known, (table, entries) = pickler.memo.copy(), _table(pickler)
    if set(_read(pickler)) - {0} != known.keys():
        return False
    return all(_is_in(entries, table.mask, one) for one in known) and not _is_in(entries, table.mask, id(known))


_readable = _is_readable()


class _Buffer(ctypes.Structure):
    """Py_buffer of CPython's C interface."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get, _release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
_get.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int]
_release.argtypes = [ctypes.c_void_p]


def extent(view):
    """Where the memory of a contiguous buffer begins and ends."""
    buffer = _Buffer()
    _get(view, ctypes.addressof(buffer), 0)
    start = buffer.buf or 0
    length = buffer.len
    _release(ctypes.addressof(buffer))
    return start, start + length


def blocks(extents):
    """Joins ranges of memory that overlap. Returns the blocks, and for each range (block, offset, length)."""
    merged, slices = [], [None] * len(extents)
    for at in sorted(range(len(extents)), key=extents.__getitem__):
        start, end = extents[at]
        if not merged or start >= merged[-1][1]:
            merged.append([start, end])
        elif end > merged[-1][1]:
            merged[-1][1] = end
        slices[at] = (len(merged) - 1, start - merged[-1][0], end - start)
    return merged, slices


def overlapping(extents):
    """Those blocks that more than one range lies in."""
    merged, slices = blocks(extents)
    count = collections.Counter(block for block, _offset, _length in slices)
    return [tuple(merged[block]) for block, times in count.items() if times > 1]


def memory(start, end):
    """A view of memory that is known to be there for as long as the view is used."""
    return memoryview((ctypes.c_char * (end - start)).from_address(start)).cast("B")
