"""What the session changed in modules: attributes that it set, replaced or deleted, and entries of `sys.modules`.

Found in two ways. A module that was there when the session began, or that has been noted since, is compared with what
it was. Where an assignment stands in an executed source, its target is looked at: this also finds attributes of
library classes, and of modules that were patched in the same execution that imported them.
A library changes its own modules, too (caches, what it imports lazily); `_is_of_the_session` tells these apart.
"""

import dis
import importlib
import sys
import types

from . import assigned
from .situation import LAZY, is_of_session, is_of_worker, is_plain, subclasses, text, untext

_MISSING = object()
_UNKNOWN = object()
_Module = types.ModuleType
_DUNDER = frozenset(
    "__warningregistry__ __file__ __cached__ __spec__ __loader__ __builtins__ __path__ __package__ __doc__ __name__".split()
)
# Kept as other kinds, or what the interpreter and the worker set all the time.
_ELSEWHERE = {
    "sys": frozenset(
        "modules path argv meta_path path_hooks path_importer_cache stdin stdout stderr __stdin__ __stdout__ __stderr__"
        " last_type last_value last_traceback last_exc _git flags".split()
    ),
    "builtins": frozenset(["_"]),
    "warnings": frozenset("filters _filters_version onceregistry _onceregistry _defaultaction".split()),
    "tempfile": frozenset(["tempdir", "_name_sequence"]),
    "os": frozenset(["environ"]),
    "asyncio.events": frozenset(["_event_loop_policy"]),
    "urllib.request": frozenset(["_opener"]),
    "decimal": frozenset(["DefaultContext", "BasicContext", "ExtendedContext"]),
    "logging": frozenset(["root", "_loggerClass", "_logRecordFactory"]),
}
# What a function has beside what is in its dict, and code may set.
_OF_FUNCTIONS = frozenset(("__code__", "__defaults__", "__kwdefaults__", "__doc__", "__name__", "__qualname__"))
# Modules in which nothing happens by itself.
_STILL = ("builtins", "sys")


class Patch:
    """`value` is `_MISSING` where the attribute was deleted; `before` where there was none, or `_UNKNOWN`."""

    def __init__(self, module, path, owner, value, before):
        self.module, self.path, self.owner, self.value, self.before = module, path, owner, value, before

    @property
    def name(self):
        return ".".join((self.module, *self.path))


def _found(baseline, options, changed):
    said = assigned.read(options)
    patches, targets, loose = {}, set(), said.loose or said.dynamic
    for path, by_name in [*((path, False) for path in said.targets), *((path, True) for path in said.patched)]:
        owner, module, inner = _resolve(path, options.namespace)
        loose = loose or owner is None and path[0] not in options.namespace
        if owner is None or (module not in baseline.modules and vars(sys.modules[module]).get("__spec__") is None):
            continue  # made up by the session, and kept as such
        attribute = path[-1]
        if len(inner) == 1:
            targets.add((module, attribute))
            if module in baseline.modules:
                continue  # it is compared below
        patch = _seen(module, inner, owner, by_name)
        if patch is not None:
            patches[patch.name] = patch
    for name, module, before in changed:
        now = vars(module)
        for attribute in [*now, *(each for each in before if each not in now)]:
            value, old = now.get(attribute, _MISSING), before.get(attribute, _MISSING)
            if value is old or type(attribute) is not str:
                continue
            if (name, attribute) in targets or _is_of_the_session(name, module, attribute, value, old, said):
                if not _is_elsewhere(name, attribute, value):
                    patches[f"{name}.{attribute}"] = Patch(name, (attribute,), module, value, old)
    for name in baseline.unnoted():
        module = sys.modules.get(name)
        if type(module) is not _Module or vars(module) is options.namespace or name == "__main__":
            continue
        for attribute, value in list(vars(module).items()):
            if is_of_session(value) and not _is_own(module, value) and not _is_elsewhere(name, attribute, value):
                patches.setdefault(f"{name}.{attribute}", Patch(name, (attribute,), module, value, _UNKNOWN))
    for patch in _on_classes(options.namespace) if loose else ():
        patches.setdefault(patch.name, patch)
    return list(patches.values())


def _on_classes(namespace):
    """What the session's code has put onto classes of libraries, whatever way that went: all of them are looked at."""
    for cls in subclasses(object):
        module = type.__getattribute__(cls, "__module__")
        if type(module) is not str or module == "__main__" or module.startswith("_pyrepl3"):
            continue
        for attribute, value in list(_contents(cls).items()):
            kind = type(value)
            if id(kind) in _NEVER:
                continue
            inner = value.fget if kind is property else value.__func__ if kind in (staticmethod, classmethod) else value
            if type(inner) is types.FunctionType and inner.__globals__ is not namespace or not is_of_session(inner):
                continue
            if _is_found(cls, module):
                yield Patch(module, (*cls.__qualname__.split("."), attribute), cls, value, _UNKNOWN)


_contents = type.__dict__["__dict__"].__get__
# By id: a metaclass of the user's may have a hash of its own.
_NEVER = frozenset(
    map(
        id,
        (str, int, float, bool, bytes, tuple, dict, list, type(None), types.BuiltinFunctionType)
        + (types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType)
        + (types.GetSetDescriptorType, types.MemberDescriptorType),
    )
)


def _is_found(cls, module):
    """Whether it is where it says that it is."""
    found = sys.modules.get(module)
    for name in cls.__qualname__.split("."):
        found = vars(found).get(name) if type(found) is _Module or issubclass(type(found), type) else None
    return found is cls


def _is_own(module, value):
    return getattr(module, "__spec__", None) is None and is_of_session(value)


def _resolve(path, namespace):
    """(owner of the last attribute, name of its module, the path in that): the module is one that is imported."""
    value = namespace.get(path[0], _MISSING)
    if type(value) is not _Module and not _is_library_class(value):
        value = sys.modules.get(path[0])
        if type(value) is not _Module or value.__name__ == "__main__":
            return None, None, ()
    module, inner = (None, ())
    for at, name in enumerate(path[:-1]):
        if at:
            value = vars(value).get(name) if type(value) is _Module else _attribute(value, name)
        if type(value) is _Module:
            module, inner = value.__name__, ()
            if module == "__main__" or sys.modules.get(module) is not value:
                return None, None, ()
        elif _is_library_class(value):
            module, inner = value.__module__, tuple(value.__qualname__.split("."))
        elif value is None or value is _MISSING or module is None or is_of_session(value):
            return None, None, ()
        else:
            inner = (*inner, name)
    return value, module, (*inner, path[-1])


def _is_library_class(value):
    return issubclass(type(value), type) and not is_of_session(value) and value.__module__ in sys.modules


def _attribute(value, name):
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _seen(module, path, owner, by_name):
    """The patch that a source speaks of, if it is still there."""
    # Of logging, what its functions set is another kind; what is set on its classes is the session's.
    if module == "logging" and len(path) == 1 and path[0].startswith("_") or module.startswith("_pyrepl3"):
        return None
    if _is_elsewhere(module, path[0], None):
        return None
    try:
        contents = vars(owner)
    except TypeError:
        contents = {path[-1]: _attribute(owner, path[-1])}
    value = contents.get(path[-1], _MISSING)
    if type(owner) is types.FunctionType and path[-1] in _OF_FUNCTIONS:
        value = getattr(owner, path[-1])
    if by_name and not (is_of_session(value) or type(value).__module__.startswith("unittest.mock")):
        return None  # a patch that is not in force any more
    if value is _MISSING and not issubclass(type(owner), (type, _Module)):
        return None
    if len(path) > 1 and value is not _MISSING and _is_its_own(owner, path, value):
        return None
    return None if is_of_worker(value) else Patch(module, path, owner, value, _UNKNOWN)


def _is_its_own(owner, path, value):
    """A function of a class under its own name: put back after it was patched. `functools.wraps` gives one of the session's such a name."""
    return not is_of_session(value) and getattr(value, "__module__", None) == getattr(owner, "__module__", _MISSING) and (
        getattr(value, "__qualname__", None) == ".".join(path)
    )


def _is_elsewhere(module, attribute, value):
    return attribute in _DUNDER or attribute in _ELSEWHERE.get(module, ()) or is_of_worker(value)


def _is_of_the_session(name, module, attribute, value, old, said):
    if attribute in _DUNDER or is_of_worker(value):
        return False
    if value is not _MISSING and is_of_session(value):
        return True
    if type(old) is LAZY:
        return False  # the library has used what it imported lazily
    if type(value) is _Module and (value is sys.modules.get(f"{name}.{attribute}") or old is _MISSING):
        return False  # imported by the library
    if name in _STILL:
        return True
    if attribute.startswith("_") or _sets_itself(module, attribute):
        return False
    its = getattr(value, "__module__", None)
    if type(its) is str and (callable(value) or issubclass(type(value), type)):
        # A library that makes its attributes when they are first asked for. What replaces another's is a patch.
        return old is not _MISSING and its.partition(".")[0] != name.partition(".")[0]
    return said.dynamic or type(value).__module__.startswith("unittest.mock")


def _sets_itself(module, attribute):
    """Whether a function of a module assigns this global of it."""
    for value in list(vars(module).values()):
        functions = [value]
        if issubclass(type(value), type) and value.__module__ == module.__name__:
            functions = list(vars(value).values())
        for function in functions:
            code = getattr(function, "__code__", None) if type(function) is types.FunctionType else None
            if code is not None and _stores(code, attribute):
                return True
    return False


def _stores(code, attribute):
    if attribute in code.co_names and any(
        one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") and one.argval == attribute for one in dis.get_instructions(code)
    ):
        return True
    return any(_stores(each, attribute) for each in code.co_consts if type(each) is types.CodeType)


def originals(baseline):
    """id -> (module, name) of what was replaced: pickle does not find it under its name any more."""
    found = {}
    for name, module, before in baseline.look(again=True):
        now = vars(module)
        for attribute, value in before.items():
            if now.get(attribute) is not value and callable(value) and not is_plain(value):
                found.setdefault(id(value), (name, attribute))
    return found


def capture(here):
    for patch in _found(here.baseline, here.options, here.baseline.look()):
        if _is_state(patch, here):
            continue
        item = {"module": text(patch.module), "path": [text(each) for each in patch.path]}
        if patch.value is _MISSING:
            yield {**item, "deleted": True}
        else:
            entry = here.put(patch.name, patch.value)
            if entry is not None:
                yield {**item, "value": entry}


def restore(items, here):
    wanted = {}
    for item in items:
        path = tuple(untext(each) for each in item["path"])
        wanted[".".join((untext(item["module"]), *path))] = (untext(item["module"]), path, item)
    for patch in _found(here.baseline, here.options, here.baseline.changed_modules()):
        if patch.name in wanted or _is_state(patch, here):
            continue
        if patch.before is _UNKNOWN:
            here.lose(patch.name, "it stays as this session has patched it: what it was before is not known")
        else:
            here.attempt(patch.name, _put, patch.owner, patch.path[-1], patch.before)
    for name, (module, path, item) in wanted.items():
        here.attempt(name, _apply, module, path, item, here)


def _is_state(patch, here):
    """Whether it is what a module of the session's own holds, which is kept as such."""
    return patch.name in here.stated or patch.value is _MISSING and len(patch.path) == 1 and patch.module in here.baseline.local


def _apply(module, path, item, here):
    if not path:
        raise ValueError("no attribute is named")
    owner = importlib.import_module(module)
    for name in path[:-1]:
        owner = getattr(owner, name)
    _put(owner, path[-1], _MISSING if item.get("deleted") is True else here.get(item["value"]))


def _put(owner, attribute, value):
    if value is not _MISSING:
        setattr(owner, attribute, value)
    elif attribute in vars(owner):
        delattr(owner, attribute)


# ---- sys.modules ----


def capture_modules(here):
    for name, (module, *_rest) in here.baseline.modules.items():
        if name not in sys.modules:
            yield {"name": text(name), "removed": True}
        elif sys.modules[name] is not module and _is_made_up(name, here.options):
            yield from _kept(here, name)
    for name in here.baseline.unnoted():
        if type(name) is str and _is_made_up(name, here.options):
            yield from _kept(here, name)


def _kept(here, name):
    entry = here.put(f"sys.modules[{name!r}]", sys.modules[name])
    if entry is not None:
        yield {"name": text(name), "value": entry}


def _is_made_up(name, options):
    """Whether the session put an entry there: it comes from no import, and is no part of a package that does."""
    if name == "__main__" or name.startswith(("_pyrepl3", "__mp_main__")):
        return False
    module = sys.modules[name]
    if module is not None and type(module) is not _Module:
        return is_of_session(module) or type(module).__module__ in ("types", "unittest.mock")
    parent = name.rpartition(".")[0]
    while parent:
        if getattr(sys.modules.get(parent), "__spec__", None) is not None:
            return False
        parent = parent.rpartition(".")[0]
    if module is not None and vars(module).get("__spec__") is not None:
        return False
    # Compiled code makes modules without an import, too: the session's are those that it can name.
    if any(value is module for value in options.namespace.values()):
        return True
    return any(f'"{name}"' in source or f"'{name}'" in source for source in options.sources.values() if type(source) is str)


def restore_modules(items, here):
    wanted = {}
    for item in items:
        name = untext(item["name"])
        if item.get("removed") is True:
            wanted[name] = _MISSING
        else:
            here.attempt(f"sys.modules[{name!r}]", lambda: wanted.__setitem__(name, here.get(item["value"])))
    usual = {name: module for name, (module, *_rest) in here.baseline.modules.items()}
    for name, module in usual.items():
        if name in wanted or sys.modules.get(name) is module:
            continue
        if name not in sys.modules or _is_made_up(name, here.options):
            sys.modules[name] = module
    for name in here.baseline.unnoted():
        if name not in wanted and _is_made_up(name, here.options):
            del sys.modules[name]
    for name, module in wanted.items():
        if module is _MISSING:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
