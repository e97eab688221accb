"""A group of a checkpoint while it is made: its parts, its pickle, and how the manifest describes it."""

import reprlib
import sys

from . import reducing
from .situation import clean
from .words import name_of, type_name

PREVIEW = 200  # characters of a lost value


class Group:
    def __init__(self, parts):
        self.parts, self.bind, self.units = parts, {}, []
        self.done, self.payload, self.shared, self.slices, self.blocks = None, (), (), None, []
        self.error = self.verified = None

    def names(self):
        return [part[1] for part in self.parts if part[0] == "name"] + list(self.bind)

    def labels(self):
        return [part[1] if part[0] == "name" else part[1].partition("@")[0] for part in self.parts]

    def is_atomic(self):
        return self.done.atomic

    def entry(self, streams, buffers):
        """The group as a checkpoint's body has it; streams and buffers are appended to the lists given."""
        tier = self.done.tier if self.done is not None and self.names() != list(self.bind) else "source"
        entry = {"names": self.names(), "tier": tier, "stream": None, "buffers": []}
        if self.parts:
            entry["parts"] = [list(part) for part in self.parts]
        if self.units:
            entry["units"] = list(self.units)
        if self.bind:
            entry["bind"] = dict(self.bind)
        if self.done is not None and self.done.pickler is not None and self.done.pickler.units:
            entry["definitions"] = list(self.done.pickler.units)
        if self.slices:
            entry["slices"] = [list(one) for one in self.slices]
        if streams is not None and self.done is not None:
            entry["stream"] = len(streams)
            streams.append(self.done.stream)
            entry["buffers"] = list(range(len(buffers), len(buffers) + len(self.blocks)))
            buffers += self.blocks
        return entry


def needs(keys, bad):
    """Why something that refers to these keys is lost, or None. `bad`: key -> why it is lost."""
    for key in keys:
        if key in bad:
            return f"it needs {key.partition('@')[0]}: {bad[key]}"
    return None


def by_reference(registry, obj):
    """Whether two groups that both have this object share nothing by it."""
    kind = type(obj)
    if registry.single.get(id(kind), {}).get(id(obj)) is not None:
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(obj, numpy.dtype):
        return True
    pandas = sys.modules.get("pandas.core.dtypes.base")
    if pandas is not None and isinstance(obj, pandas.ExtensionDtype):
        return True
    return name_of(kind) in ("cython_function_or_method", "ufunc", "NewType") or issubclass(kind, tuple(reducing.TYPING))


class _Short(reprlib.Repr):
    """Runs nobody's code: of what is no value of Python's own, the type is shown."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = PREVIEW // 2

    def repr1(self, x, level):
        return super().repr1(x, level) if _is_one_of(x, _SHOWN) else f"<{type_name(x)}>"


_SHOWN = (list, dict, tuple, set, frozenset, str, bytes, int, float, complex, bool, type(None))


def _is_one_of(obj, kinds):
    """Without asking its metaclass whether it is equal to something."""
    return any(type(obj) is kind for kind in kinds)


def preview(obj):
    """What a lost value looked like, where it is a container or a text."""
    if not _is_one_of(obj, (list, dict, tuple, set, str, bytes)):
        return {}
    try:
        return {"preview": clean(_Short().repr(obj)[:PREVIEW])}
    except Exception:  # keys whose comparison fails, say: there is no preview, then
        return {}
