"""Brings a checkpoint back into a live namespace.

Definitions are made when something first refers to them, their states before the groups that use them, as far as
there is no cycle. Nothing is bound before everything was loaded: what a group that fails would have bound is named.
"""

import _thread
import dataclasses
import gc
import importlib
import io
import pickle
import sys
import types
import weakref

from . import annotations, arrays, bytecode, exceptions, frames, iterators, references, session_modules, skeletons
from .registry import version_of
from .remains import NotSaved
from .words import Lost, of_error

_Unpickler = pickle.Unpickler


# Names of one version of Python that every version has under another.
_RENAMED = {("enum", "EnumType"): "EnumMeta"}
# What they put into a class they put into it again, or leave out, under another version of Python.
_GENERATORS = ("dataclasses", "typing", "collections")


# Whose types are others in each version: nothing but the one object counts.
_MARKS = frozenset((("dataclasses", "MISSING"), ("dataclasses", "KW_ONLY")))


class _Reader(_Unpickler):
    lenient = False

    def find_class(self, module, name):
        if module == references.__name__:
            return self.words[name]
        if module == "__main__":
            return self.loader.in_main(name)
        try:
            return _Unpickler.find_class(self, module, _RENAMED.get((module, name), name))
        except AttributeError:
            if self.lenient and module in _GENERATORS:
                return skeletons.Missing(name, generated=True)
            raise


    def persistent_load(self, found):
        """A dict that is part of something else, or what a library compares by identity."""
        kind, name = found
        if kind == "member":
            return self.loader.member(*name)
        if kind == "namespace":
            return self.loader.namespace
        if kind == "module":
            return vars(self.loader.module(name))
        return self.loader.unit(name)


class _Gone:
    """Whose only instance is never kept: for weak references to what is gone."""


class Loader:
    """What the streams of one checkpoint are loaded with. `skeletons`: key -> (kind, head, shape, deps)."""

    def __init__(self, namespace, skeletons_, texts=None, renamed=None, files=None):
        self.namespace, self.skeletons, self.files = namespace, skeletons_, files
        self.texts, self.renamed = texts or {}, renamed or {}
        self.made, self.failed, self.later, self.heads = {}, {}, {}, {}
        self.copies = {}  # key of a dict of globals -> what it has of the session's variables
        self.aliases = {}  # key of a type alias -> the list with what it stands for
        self.classes = set()  # ids of the classes that were made here
        self.words = {name: getattr(self, name) for name in references.WORDS if hasattr(self, name)}
        self.words.update(fill=_fill_instance, extend=_extend_instance, field=_fill_field, adopt=_adopt, chain=exceptions.set_state, contain=_contain)
        self.words.update(array=arrays.load_array, permuted=arrays.load_permuted, view=arrays.load_view)
        self.words.update(subclass=arrays.load_subclass, sharing=frames.load_sharing, shared=frames.load_shared)

    def read(self, stream, buffers=(), lenient=False):
        reader = _Reader(io.BytesIO(stream), buffers=buffers)
        reader.lenient = lenient
        reader.loader, reader.words = self, self.words
        return reader.load()

    # ---- definitions ----

    def unit(self, key):
        if key in self.failed:
            raise Lost(self.failed[key])
        if key not in self.made:
            try:
                self._make(key)
            except Lost as lost:
                self.made.pop(key, None)
                self.failed[key] = lost.reason
                raise
            except Exception as error:
                self.made.pop(key, None)
                self.failed[key] = of_error(error, f"{key} cannot be made again")
                raise Lost(self.failed[key]) from error
        return self.made[key]

    def _make(self, key):
        if key not in self.skeletons:
            raise Lost(f"the definition {key} is not in the checkpoint")
        kind, head, shape, _deps = self.skeletons[key]
        if kind == "cell":
            self.made[key] = types.CellType()
            return
        if kind == "globals":
            self.copies[key] = self.read(head)
            self.made[key] = {}
            return
        head = self.heads[key] = self.read(head)
        if kind == "module":
            self.made[key] = types.ModuleType(*head)
            return
        if kind == "alias":
            self.made[key], self.aliases[key] = skeletons.alias(*head)
            return
        made = getattr(skeletons, {"class": "cls", "typing": "typed"}.get(kind, kind))(self, head)
        if made is not None:
            self.made[key] = made
        if kind == "class":
            shape = {} if shape is None else self.read(shape, lenient=True)
            self.made[key] = skeletons.shape_class(self, key, made, shape, head)

    def copy_variables(self, namespace, keys=None):
        """Once they are back: to dicts of globals that have them, too."""
        for key in list(self.copies) if keys is None else keys:
            made = self.made.get(key)
            for name in self.copies[key] if made is not None else ():
                if name in namespace:
                    made.setdefault(name, namespace[name])

    def give_state(self, key, state):
        """To a definition; None where it has none."""
        kind, made = self.skeletons[key][0], self.unit(key)
        if isinstance(made, skeletons.Missing):
            return
        if state is not None:
            if kind == "class":
                skeletons.fill_class(self, key, made, state)
            elif kind == "alias":
                self.aliases[key][:] = state
            elif kind == "lru":
                skeletons.fill_dict(made, state)
            else:
                getattr(skeletons, f"fill_{kind}")(made, state)
        missing = self.later.pop(key, None)
        if missing:
            skeletons.remake(made, missing)

    def in_main(self, name):
        found = self.namespace
        for at, part in enumerate(name.split(".")):
            found = found[part] if at == 0 and part in found else getattr(found, part, self)
            if found is self:
                raise Lost(f"it refers to __main__.{name}, which is not there")
        return found

    # ---- the words of a stream ----

    def member(self, module, name, kind=None):
        found = self.module(module)
        try:
            for part in name.split("."):
                found = getattr(found, part)
        except AttributeError:
            if module in _GENERATORS:
                return skeletons.Missing(name, generated=True)
            raise
        if kind is not None and type(found).__qualname__ != kind and (module, name) not in _MARKS:
            raise Lost(f"it is {module}.{name}, a {kind} of the library: here that is a {type(found).__qualname__}")
        return found

    def module(self, name):
        return sys.modules["__main__"] if name == "__main__" else importlib.import_module(name)

    def code(self, magic, marshalled, place, shape):
        return bytecode.load(magic, marshalled, place, shape, self.texts, self.renamed)

    missing = NotSaved
    contents = staticmethod(annotations.dict_of)
    chained, cycling = staticmethod(iterators.load_chain), staticmethod(iterators.load_cycle)
    proxy = staticmethod(types.MappingProxyType)
    weak = staticmethod(weakref.ref)

    @staticmethod
    def dead():
        return weakref.ref(_Gone())

    @staticmethod
    def lock(is_reentrant):
        return _thread.RLock() if is_reentrant else _thread.allocate_lock()

    @staticmethod
    def local(cls=_thread._local, arguments=(), named={}):  # noqa: B006 (nobody changes it)
        return _thread._local.__new__(cls, *arguments, **named)

    @staticmethod
    def parameters(values):
        made = object.__new__(dataclasses._DataclassParams)
        known = getattr(type(made), "__slots__", None) or values
        # What an older version does not have in a dataclass cannot have been asked for by its other parts.
        for name in known:
            object.__setattr__(made, name, values.get(name, False))
        return made

    @staticmethod
    def new(cls, kind=object):
        return kind.__new__(cls)

    @staticmethod
    def wrapper(kind, parts, state):
        missing = [part for part in parts if isinstance(part, skeletons.Missing)]
        if missing:
            return missing[0]
        if kind == "cached_property":
            import functools

            made = functools.cached_property(parts[0])
            made.attrname = parts[1]
        else:
            made = {"property": property, "classmethod": classmethod, "staticmethod": staticmethod}[kind](*parts)
        if state:
            vars(made).update(state)
        return made

    @staticmethod
    def keys(below, which):
        return {"keys": dict.keys, "values": dict.values, "items": dict.items}[which](below)

    @staticmethod
    def memory(below, offset, length, form, readonly):
        view = memoryview(below)[offset : offset + length]
        if form != "B":
            view = view.cast(form)
        return view.toreadonly() if readonly else view

    def file(self, description):
        if self.files is None:
            raise Lost("an open file: nothing here knows how to open it again")
        return self.files(description)


def _fill_instance(made, state):
    own, slots, *shared = state
    if shared:
        _adopt(made, own)
    elif own is not None:
        object.__getattribute__(made, "__dict__").update(own)
    for name, value in slots.items():
        object.__setattr__(made, name, value)


def _contain(made, state):
    own, slots, contents = state
    _fill_instance(made, (own, slots))
    (list.extend if type(contents) is list else type(contents).update)(made, contents)


def _fill_field(made, slots):
    """A field of a dataclass has other attributes in each version of Python."""
    known = dataclasses.Field.__slots__
    foreign = [name for name, value in slots.items() if name not in known and value is not None]
    if foreign:
        raise Lost(f"this version of Python has no dataclasses.Field.{foreign[0]}")
    for name in known:
        object.__setattr__(made, name, slots.get(name))


def _extend_instance(made, state):
    """`state`: the library's, as pickle hands it on, and the attributes."""
    theirs, own = state
    if theirs is not None:
        set_state = getattr(made, "__setstate__", None)
        if set_state is not None:
            set_state(theirs)
        else:
            _fill_instance(made, theirs if type(theirs) is tuple and len(theirs) == 2 else (theirs, {}))
    object.__getattribute__(made, "__dict__").update(own)


def _adopt(made, own):
    object.__setattr__(made, "__dict__", own)


def buffers_of(group, fetch):
    """The buffers of a group in the order of its stream: slices of its blobs where they share memory."""
    blobs = [_shield(fetch(index)) for index in group["buffers"]]
    if not group.get("slices"):
        return blobs
    return [blobs[block][offset : offset + length] for block, offset, length in group["slices"]]


def _shield(buffer):
    """A view whose `obj` is no bytearray: an array over a bytearray of the user's is another matter (arrays.py)."""
    import ctypes

    view = memoryview(buffer)
    if view.readonly or not view.nbytes:
        return view
    return memoryview((ctypes.c_char * view.nbytes).from_buffer(view)).cast("B")


class Keeper:
    """How the context brings its objects back. Shares the definitions with the variables."""

    Lost = Lost

    def __init__(self, restore):
        self.restore = restore

    def load(self, entry):
        return self.restore.values(entry)[0]


class _Restore:
    def __init__(self, body, source, loader):
        self.body, self.source, self.loader = body, source, loader
        self.owner = {key: group for group in body["groups"] for key in group.get("units", ())}
        self.state = {}  # id of a group -> its values, or the Lost that it ended in

    def unit(self, key, seen):
        """The states of a definition and of all that it refers to, innermost first."""
        todo = [(key, False)]
        while todo:
            key, ready = todo.pop()
            if ready:
                if self.loader.skeletons.get(key, ("",))[0] == "statement":
                    self._make(key)
                if key in self.owner:
                    self._do(self.owner[key])
                continue
            if key in seen:
                continue
            seen.add(key)
            todo.append((key, True))
            todo += [(need, False) for need in reversed(self._needs(key))]

    def _make(self, key):
        """A statement runs when all that it needs is there, and before anything is loaded that could look for its class."""
        try:
            self.loader.unit(key)
        except Lost:
            pass  # the loader remembers it

    def _needs(self, key):
        """Keys that a definition refers to."""
        needs = list(self.loader.skeletons[key][3]) if key in self.loader.skeletons else []
        group = self.owner.get(key)
        return needs if group is None else needs + list(group.get("definitions", ())) + list(group.get("units", ()))

    def broken(self, keys):
        """Why one of these definitions, or one that they refer to, is not there; or None."""
        todo, seen = list(keys), set()
        while todo:
            key = todo.pop()
            if key in seen:
                continue
            seen.add(key)
            state = self.state.get(id(self.owner.get(key)))
            reason = self.loader.failed.get(key) or (state.reason if isinstance(state, Lost) else None)
            if reason is not None:
                return f"it needs {key.partition('@')[0]}: {reason}"
            todo += self._needs(key)
        return None

    def group(self, group, seen):
        """The values of a group's names, by name; raises Lost."""
        needs = (*group.get("units", ()), *group.get("definitions", ()))
        for key in needs:
            self.unit(key, seen)
        self._do(group)
        done = self.state[id(group)]
        if not isinstance(done, Lost) and needs:
            reason = self.broken(needs)
            done = done if reason is None else Lost(reason)
        if isinstance(done, Lost):
            raise done
        return done

    def _do(self, group):
        if id(group) in self.state:
            return
        self.state[id(group)] = {}  # for cycles: those who need it meanwhile need its skeletons only
        try:
            done = self._group(group)
        except Lost as lost:
            done = lost
        except (Exception, SystemExit) as error:  # the group's own objects fail: it is lost, the others are not
            done = Lost(of_error(error, "it cannot be loaded"))
            done.__cause__ = error
        self.state[id(group)] = done

    def values(self, group):
        for key in group.get("definitions", ()):
            self.unit(key, set())
        return self.loader.read(self.source.stream(group["stream"]), buffers_of(group, self.source.buffer))

    def _group(self, group):
        values = {}
        if group["tier"] == "import":
            name, module, attribute = group["import"]
            return {name: self.loader.module(module) if attribute is None else self.loader.member(module, attribute)}
        if group["stream"] is not None:
            parts = self.loader.read(self.source.stream(group["stream"]), buffers_of(group, self.source.buffer))
            for what, part in zip(group["parts"], parts):
                if what[0] == "unit":
                    self.loader.give_state(what[1], part)
                else:
                    values[what[1]] = part
        for key in group.get("units", ()):
            if key in self.loader.later:
                self.loader.give_state(key, None)
        for name, key in group.get("bind", {}).items():
            values[name] = self.loader.unit(key)
            if isinstance(values[name], skeletons.Missing):
                raise Lost("its code was made by another version of Python, and there is no source of it")
        return values


def load(body, source, namespace, *, only=None, sources=None, files=None, context=None):
    """Restores a checkpoint into `namespace`. `source.stream(i)` gives bytes, `source.buffer(i)` a writable buffer that
    is the restored object's from then on. `only`: names to restore, all others stay as they are. Returns
    {"restored": [{"name", "tier"}], "lost": [{"name", "reason"}]}. Raises what a broken stream of the checkpoint itself
    raises (not of a group, which is named in "lost"); then nothing is bound."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        restore, restored, lost = _load(body, source, namespace, only, sources, files)
    finally:
        if enabled:
            gc.enable()
    if context is not None:
        lost += context(body.get("context", ()), Keeper(restore))
    return {"restored": restored, "lost": lost}


def _load(body, source, namespace, only, sources, files):
    session_modules.offer(body.get("modules", ()), sources)
    lost = [entry for entry in body["lost"] if only is None or entry["name"] in only]
    packages = _table(body, "submodules", source, "modules of packages", lost)
    bound = {entry["module"] for entry in body.get("imports", ()) if only is None or entry["name"] in only}
    session_modules.import_submodules({name: found for name, found in packages.items() if name in bound}, lost)
    texts = _table(body, "texts", source, "the sources of definitions", lost)
    kept = _table(body, "skeletons", source, "definitions", lost)
    loader = Loader(namespace, kept, texts, _add_texts(texts, sources), files)
    restore, seen = _Restore(body, source, loader), set()
    restored, before = [], dict(namespace)
    # Imports and definitions first, and each bound at once: what is loaded may call code that uses them.
    groups = sorted(body["groups"], key=lambda group: _ORDER.get(group["tier"], len(_ORDER)))
    try:
        while groups:
            again, failures = [], {}
            for group in groups:
                names = [name for name in group["names"] if only is None or name in only]
                if not names and only is not None:
                    continue
                try:
                    values = restore.group(group, seen)
                except Lost as failure:
                    failures[id(group)] = names, failure.reason
                    if isinstance(failure.__cause__, NameError):
                        again.append(group)  # it may need a name that comes later
                    continue
                for name in names:
                    namespace[name] = values[name]
                    restored.append({"name": name, "tier": group.get("tiers", {}).get(name, group["tier"])})
            if len(again) == len(groups) or not again:
                for names, reason in failures.values():
                    lost += [{"name": name, "reason": reason} for name in names]
                break
            for group in groups:
                if group in again:
                    failures.pop(id(group))
                    restore.state.pop(id(group), None)
            for names, reason in failures.values():
                lost += [{"name": name, "reason": reason} for name in names]
            groups = again
    except BaseException:
        namespace.clear()
        namespace.update(before)
        raise
    loader.copy_variables({entry["name"]: namespace[entry["name"]] for entry in restored})
    return restore, restored, lost


_ORDER = {"import": 0, "source": 1}


def _table(body, which, source, label, lost):
    """A table that all groups have in common. What needs it is named one by one, where the store cannot give it."""
    if body.get(which) is None:
        return {}
    try:
        return pickle.loads(source.stream(body[which]))
    except Lost as failure:
        lost.append({"name": label, "reason": failure.reason})
        return {}


def _add_texts(texts, sources):
    """Makes the texts of executions known for tracebacks. A file name that stands for another text here gets a new
    one: returned, old name -> new name."""
    renamed = {}
    if sources is None:
        return renamed
    for file, text in texts.items():
        new, number = file, 1
        while sources.texts.get(new, text) != text:
            number += 1
            new = f"{file.rstrip('>')}, restored {number}>" if file.endswith(">") else f"{file} (restored {number})"
        if new != file:
            renamed[file] = new
        if new not in sources.texts:
            sources.add(new, text)
    return renamed


def missing(body):
    """Packages that the checkpoint refers to and that are not here, or of another version:
    [{"name", "saved", "here"}], `here` None where it is missing. Imports nothing."""
    found = []
    for name, saved in sorted(body.get("packages", {}).items()):
        here = version_of(name)
        if here != saved:
            found.append({"name": name, "saved": saved, "here": here})
    return found
