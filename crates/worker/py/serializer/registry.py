"""What is saved by reference: things that a module can give again, and the session's own definitions, by key."""

import collections
import gc
import importlib
import sys
import types

from . import annotations, references
from .words import is_main, module_named, module_of, name_of

_special_types = {type(None), type(...), type(NotImplemented)}
_types_names = {id(value): name for name, value in vars(types).items() if isinstance(value, type)}
# What libraries compare by identity, though it is a text or a tuple, which pickle copies.
_SENTINELS = {
    "argparse": ("SUPPRESS", "PARSER", "REMAINDER"),
    "optparse": ("NO_DEFAULT", "SUPPRESS_HELP", "SUPPRESS_USAGE"),
}
# Equal values of these are as good as the same one: a module's own instances of them are no reason for a reference.
_VALUES = frozenset(("datetime", "decimal", "fractions", "uuid", "ipaddress", "pathlib", "collections", "enum", "re"))
_STANDARD = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
# Whose types there are without an import.
_UNNAMED = ("string.templatelib",)
_STDLIB = sys.stdlib_module_names | {"_pyrepl3"}


class Unit:
    """A definition of the session: what others refer to by its key.

    `head`, `shape`: pickles of what makes its skeleton, and of what is put into that at once. `payload`: its state,
    pickled with the group that it is in; None where there is none. `deps`: keys that head and shape refer to."""

    def __init__(self, key, kind, obj):
        self.key, self.kind, self.obj = key, kind, obj
        self.head = self.shape = self.payload = self.error = None
        self.deps, self.modules = [], set()
        self.parts, self.verified = (), False


class Registry:
    def __init__(self, namespace, texts, reducers=None, files=None, local=None, originals=None):
        self.namespace, self.texts = namespace, texts
        self.originals = originals or {}
        self.missing = {}  # id -> why an object inside of a container cannot be saved (remains.py)
        self.left_out = {}  # what could not be saved of objects that are saved without it -> why
        self.reducers, self.files = reducers or {}, files
        self.units, self.pending = {}, collections.deque()
        self.keys, self.places, self.real, self.single = {}, {}, {}, {}
        self.alive = []  # whose ids are used as keys
        self.table = {}  # id of a type -> how its instances are pickled
        self.local, self.homes = local or {}, {}  # `local`: modules that are the session's own, name -> file
        self.mentioned = {}  # id of a dict of globals -> names in the code that runs in it
        self.dicts = {}  # id of a class's dict -> the class
        # What the session put in place of a standard stream is an object like any other.
        replaced = {id(value) for name, value in namespace.items() if type(name) is str and name.startswith("<sys.")}
        streams = {name: getattr(sys, name, None) for name in reversed(_STANDARD)}
        self.standard = {id(one): name for name, one in streams.items() if one and id(one) not in replaced}
        self.used = {}
        # Dicts that are part of something else: where they are found again (pickling.Pointing).
        self.points = {id(namespace): ("namespace", ""), **_sentinels()}
        self.shared = {}  # id of an instance's dict -> whether something else refers to it

    def point_at(self, obj):
        """Notes a dict that is the contents of a module."""
        name = obj.get("__name__")
        module = module_named(name) if type(name) is str else None
        if module is not None and vars(module) is obj and self.real_module(name) is module:
            self.points[id(obj)] = "module", name

    def key_of(self, obj):
        """The key of a definition that is known already, or None."""
        return self.keys.get(id(obj))

    def unit(self, obj, kind, name, place=""):
        """The key of a definition; it is described later."""
        key = self.keys.get(id(obj))
        if key is None:
            base = f"{name}@{place}" if place else name
            count = self.used[base] = self.used.get(base, 0) + 1
            key = base if count == 1 else f"{base}#{count}"
            self.keys[id(obj)] = key
            self.units[key] = unit = Unit(key, kind, obj)
            self.pending.append(unit)
            self.alive.append(obj)
        return key

    def known(self, obj, key):
        """Gives a definition the key that it has elsewhere: for what was loaded back."""
        self.keys[id(obj)] = key
        self.alive.append(obj)

    def knows_dict(self, cls):
        """The class is a definition: others may refer to its very dict."""
        self.dicts[id(annotations.dict_of(cls))] = cls

    def class_of(self, contents):
        """The class that has this dict, or None."""
        if id(contents) not in self.dicts:
            found = gc.get_referrers(contents) if "__module__" in contents else ()
            found = [one for one in found if isinstance(one, type) and annotations.dict_of(one) is contents]
            self.dicts[id(contents)] = found[0] if found else None
            self.alive.append(contents)
        return self.dicts[id(contents)]

    def place(self, obj):
        """(module, qualified name) where an import finds this class or function again, or None."""
        found = self.places.get(id(obj), 0)
        if found == 0:
            found = self._place(obj) or self.originals.get(id(obj))
            self.places[id(obj)] = found
            self.alive.append(obj)
        return found

    def _place(self, obj):
        if isinstance(obj, type):
            module, name = module_of(obj), name_of(obj)
        else:
            module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
        if type(name) is not str or is_main(module):
            return None
        if type(obj) is types.FunctionType and obj.__globals__ is self.namespace:
            return None  # `functools.wraps` gives it another's name
        if type(module) is not str:
            return None
        if module in _UNNAMED and module_named(module) is None:
            importlib.import_module(module)
        found = self.real_module(module)
        if found is None and module_named(module) is None:
            # A library may say where a thing is to be found before that module is ever imported.
            above, _, rest = module.rpartition(".")
            found = self.real_module(above) if above else None
            module, name = above, f"{rest}.{name}"
        if found is None:
            return None
        for part in name.split("."):
            found = getattr(found, part, self)
        if found is not obj:
            return None
        above, _, last = module.rpartition(".")
        if above and last.startswith("_") and getattr(self.real_module(above), name, self) is obj:
            return above, name  # where a library keeps what it offers changes from version to version
        return module, name

    def real_module(self, name):
        """The module of this name, if another process can import it as well; else None."""
        if name not in self.real:
            module = module_named(name)
            if module is not None and (vars(module) is self.namespace or name == "__main__"):
                module = None
            if name.partition(".")[0] == "_pyrepl3":
                self.real[name] = module
                return module
            if module is not None:
                spec, file = vars(module).get("__spec__"), vars(module).get("__file__")
                if spec is None and file is None and name not in sys.builtin_module_names:
                    module = None
            self.real[name] = module
        return self.real[name]

    def module_name(self, module):
        """The name to import a module by, or None: it was made in the session."""
        name = vars(module).get("__name__")
        if type(name) is str and module_named(name) is module and self.real_module(name) is module:
            return name
        return None

    def singletons(self, cls):
        """Names of those instances of a library's class that its module has: they are saved by reference."""
        found = self.single.get(id(cls))
        if found is None:
            found, module = {}, module_of(cls)
            if type(module) is str and module not in _VALUES and module != "builtins":
                home = self.real_module(module)
                if home is not None and module not in self.local:
                    found = {id(v): name for name, v in vars(home).items() if type(v) is cls and name.isidentifier()}
            self.single[id(cls)] = found
            self.alive.append(cls)
        return found

    def type_word(self, cls):
        """For types that C code made and that pickle cannot name: where `types` has them."""
        name = _types_names.get(id(cls))
        return (references.member, ("types", name)) if name else None

    def special(self, cls):
        return cls in _special_types


def _sentinels():
    loaded = ((module, sys.modules[module], names) for module, names in _SENTINELS.items() if module_named(module) is not None)
    return {
        id(vars(found)[name]): ("member", (module, name)) for module, found, names in loaded for name in names if name in vars(found)
    }


def package(module):
    """The package that has to be installed for a module, or None: it is Python's own, or the session's."""
    top = module.partition(".")[0]
    return None if top in _STDLIB or top == "__main__" else top


def version_of(name):
    """The version of an installed package, "" where it does not say, None where it is missing. Imports nothing."""
    module = module_named(name)
    version = getattr(module, "__version__", None) if module is not None else None
    if type(version) is str:
        return version
    from importlib import metadata, util

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
    try:
        return "" if module is not None or util.find_spec(name) is not None else None
    except (ImportError, ValueError):
        return None
