"""The deep structure of a namespace, as text: what is the same on both sides of a checkpoint has the same text.

`SOURCE` runs inside the session and knows nothing of the codec: it looks at objects by their own `__reduce_ex__`, at
functions by their code, and at memory by its bytes. Mutable objects get the number of their first visit, so equal texts
mean equal types, equal values and equal aliasing, over all names together. Strings, numbers, tuples and frozen sets have
no number: whether two equal ones are one object is not part of a state.
"""

from __future__ import annotations

import json
from typing import Any

SOURCE = r'''
import collections, datetime, decimal, fractions, hashlib, io, json, sys, types, weakref

ATOMS = (type(None), bool, float, complex, type(...), type(NotImplemented), types.CodeType, range, slice)
ATOMS += (datetime.date, datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone)
ATOMS += (decimal.Decimal, fractions.Fraction)
# These say themselves what is kept of them, and note more while they draw: the cases look at what is drawn.
OPAQUE = ("matplotlib",)
OWN = {"__dict__", "__weakref__", "_abc_impl", "__module__", "__doc__", "__qualname__", "__slotnames__"}
MOST = 3_000_000


def found(obj):
    """Where it is found by name, if it is: it is then the same on both sides."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if isinstance(obj, types.ModuleType):
        return obj.__name__
    if type(module) is not str or type(name) is not str or module == "__main__":
        return None
    at = sys.modules.get(module)
    for part in name.split("."):
        at = getattr(at, part, None)
    return module + "." + name if at is obj else None


def code_of(code):
    consts = [code_of(each) if isinstance(each, types.CodeType) else (type(each).__name__, repr(each)) for each in code.co_consts]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_name, code.co_flags, code.co_firstlineno
    return hashlib.sha256(repr((code.co_code, names, consts)).encode("utf-8", "surrogatepass")).hexdigest()[:12]


ORDERED = (int, float, str, bytes)


class Walk:
    def __init__(self, main):
        self.main = main
        self.seen, self.kept, self.trail, self.numbers, self.count = {}, [], [], {}, 0
        self.memory = {}

    def name(self, name, value):
        """The tokens of what a name has, in the order in which its parts are met."""
        self.at, self.here = name, 0
        out, todo = [], collections.deque([value])
        while todo:
            each = todo.popleft()
            self.kept.append(each)
            self.trail.append(id(each))
            self.count += 1
            if self.count > MOST:
                out.append("and more")
                break
            out.append(self.one(each, todo))
        return out

    def one(self, obj, todo):
        kind = type(obj)
        if kind is int:
            if obj > 1 << 20:
                self.numbers[obj] = None
                # Ids are other ones on the other side; they are put right there, and checked by the case's own check.
                return "int" if obj.bit_length() in range(40, 48) else hex(obj)
            return hex(obj)
        if kind in (str, bytes):
            data = obj.encode("utf-8", "surrogatepass") if kind is str else obj
            return kind.__name__ + " " + (repr(obj) if len(data) < 100 else hashlib.sha256(data).hexdigest())
        if kind in ATOMS or kind.__module__ == "numpy.dtypes":
            return code_of(obj) if kind is types.CodeType else kind.__name__ + " " + repr(obj)
        if kind in (tuple, frozenset):
            todo.extend(self.ordered(obj) if kind is frozenset else obj)
            return "%s of %d" % (kind.__name__, len(obj))
        if issubclass(kind, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
            where = found(obj)
            if where is not None:
                return "found as " + where
        if id(obj) in self.seen:
            return self.seen[id(obj)]
        self.here += 1
        number = self.seen[id(obj)] = "#%s.%d" % (self.at, self.here)
        try:
            inside = self.inside(kind, obj, todo)
        except Exception as error:
            inside = "opaque, " + type(error).__name__
        return "%s %s.%s %s" % (number, kind.__module__, kind.__qualname__, inside)

    def ordered(self, items):
        """What lies in an order by hash. Objects hash by address: of those only the known ones have an order."""
        atoms = [each for each in items if isinstance(each, ORDERED)]
        others = [each for each in items if not isinstance(each, ORDERED)]
        known = sorted((each for each in others if id(each) in self.seen), key=lambda each: self.seen[id(each)])
        kinds = sorted(type(each).__name__ for each in others if id(each) not in self.seen)
        new = [each for each in others if id(each) not in self.seen] if len(set(kinds)) == len(kinds) else []
        atoms.sort(key=lambda each: (type(each).__name__, repr(each)))
        return atoms + known + kinds + sorted(new, key=lambda each: type(each).__name__)

    def inside(self, kind, obj, todo):
        if kind.__module__.partition(".")[0] in OPAQUE:
            return ""
        if kind in (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary):
            todo.extend(self.ordered(list(obj)))
            return "of %d" % len(obj)
        if kind in (list, collections.deque):
            todo.extend(obj)
            return "of %d" % len(obj)
        if kind is dict:
            for item in obj.items():
                todo.extend(item)
            return "of %d" % len(obj)
        if kind is set:
            todo.extend(self.ordered(obj))
            return "of %d" % len(obj)
        if kind is bytearray:
            return hashlib.sha256(obj).hexdigest()
        if kind is types.FunctionType:
            # What functools.wraps copies is one dict for both; nobody changes it.
            annotations = tuple(sorted(obj.__annotations__.items()))
            todo.extend((obj.__defaults__, obj.__kwdefaults__, obj.__dict__, annotations, obj.__doc__))
            todo.extend(self.cell(cell) for cell in obj.__closure__ or ())
            main = obj.__globals__ is self.main
            return "%s %s %s" % (obj.__qualname__, code_of(obj.__code__), "" if main else "of other globals")
        if kind is types.MethodType:
            todo.extend((obj.__func__, obj.__self__))
            return "method"
        if kind in (staticmethod, classmethod):
            todo.append(obj.__func__)
            return "of a class"
        if kind is property:
            todo.extend((obj.fget, obj.fset, obj.fdel))
            return "property"
        if kind is types.CellType:
            todo.append(self.cell(obj))
            return "cell"
        if kind is types.MappingProxyType:
            todo.append(dict(obj))
            return "proxy"
        if isinstance(obj, weakref.ref) and kind is weakref.ref:
            todo.append(obj())
            return "weak"
        if isinstance(obj, type):
            todo.extend(obj.__bases__)
            own = {name: value for name, value in vars(obj).items() if name not in OWN}
            for name in sorted(own):
                if not isinstance(own[name], (types.MemberDescriptorType, types.GetSetDescriptorType)):
                    todo.extend((name, own[name]))
            return obj.__qualname__ + " " + " ".join(sorted(own))
        if type(obj).__module__ == "array":
            self.trail.append(obj.buffer_info()[0])
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(obj, numpy.dtype):
            return repr(obj)
        if numpy is not None and isinstance(obj, numpy.ndarray):
            return self.array(numpy, obj, todo)
        made = obj.__reduce_ex__(4)
        if isinstance(made, str):
            return made
        self.kept.append(made)
        made = [part if at < 3 else part and list(part) for at, part in enumerate(made)]
        todo.extend(made)
        return "made of %d" % len(made)

    def array(self, numpy, obj, todo):
        plain = obj.view(numpy.ndarray)
        address, root = plain.__array_interface__["data"][0], obj
        self.trail.append(address)
        while isinstance(root.base, numpy.ndarray):
            root = root.base
        # Whose memory it is, and where in it, as seen from the first that was met.
        first, start = self.memory.setdefault(id(root), ("%s.%d" % (self.at, self.here), address))
        self.kept.append(root)
        if type(obj) is not numpy.ndarray and hasattr(obj, "__dict__"):
            todo.append(vars(obj))
        data = ""
        if plain.dtype.hasobject:
            todo.extend(plain.ravel().tolist())
        else:
            data = hashlib.sha256(plain.tobytes()).hexdigest()[:16]
        strides = [stride for length, stride in zip(plain.shape, plain.strides) if length > 1] if plain.size else []
        return "%s %s %s %s %s in the memory of %s at %d" % (plain.dtype, plain.shape, strides, data,
                "w" if plain.flags.writeable else "r", first, (address - start) if plain.size else 0)

    def cell(self, cell):
        try:
            return cell.cell_contents
        except ValueError:
            return "an empty cell"


def renumbered(value, numbers, depth=4):
    """Ids that a case has noted, as the ids of the same objects here."""
    if type(value) is int:
        return numbers.get(value, value)
    if depth and type(value) is tuple:
        new = tuple([renumbered(each, numbers, depth - 1) for each in value])
        return value if all(a is b for a, b in zip(value, new)) else new
    if depth and type(value) is list and len(value) < 1000:
        value[:] = [renumbered(each, numbers, depth - 1) for each in value]
    if depth and type(value) is dict and len(value) < 1000:
        new = {renumbered(key, numbers, depth - 1): renumbered(each, numbers, depth - 1) for key, each in value.items()}
        if list(new) != list(value) or any(new[key] is not value[key] for key in new):
            value.clear()
            value.update(new)
    return value


def shape(main, without, positions, file):
    """Writes by name a digest of its tokens and the first of them; and where in the walk ids were met that a name has."""
    walk = Walk(main)
    texts = {}
    names = sorted(name for name in main if name not in without and not name.startswith("__"))
    for name in names:
        tokens = walk.name(name, main[name])
        digest = hashlib.sha256("\n".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()
        texts[name] = [digest, [token[:300] for token in tokens[:2000]]]
    if positions:
        numbers = {int(old): walk.trail[at] for old, at in positions.items() if at < len(walk.trail)}
        for name in names:
            new = renumbered(main[name], numbers)
            if new is not main[name]:
                main[name] = new
    first = {}
    for at, number in enumerate(walk.trail):
        first.setdefault(number, at)
    with io.open(file, "w") as out:
        json.dump([texts, {str(number): first[number] for number in walk.numbers if number in first}], out)
'''

Shape = dict[str, list[Any]]


def asking(file: str, without: list[str], positions: dict[str, int] | None = None) -> str:
    """A statement for a session: it writes its shape without these names, and the positions of the ids it has noted.

    With positions from the other side, the ids that names hold are then replaced by those that the same objects have.
    It leaves nothing behind, no `_` either.
    """
    arguments = f"vars(__import__('sys').modules['__main__']), {without!r}, {json.dumps(positions or {})}, {file!r}"
    return f"(lambda own: (exec({SOURCE!r}, own), own['shape']({arguments}))[1])({{}})"


def difference(before: Shape, after: Shape) -> str:
    """The first name of which the texts differ, and where; nothing where all are the same."""
    missing, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    if missing or new:
        return f"not there any more, and not named: {missing}; new: {new}"
    for name, (digest, tokens) in before.items():
        other, others = after[name]
        if digest != other:
            at = next((i for i, (a, b) in enumerate(zip(tokens, others)) if a != b), min(len(tokens), len(others)))
            around = slice(max(0, at - 3), at + 3)
            return f"{name} differs at token {at}:\n  was {tokens[around]}\n  is  {others[around]}"
    return ""
