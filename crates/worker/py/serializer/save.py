"""Saves a namespace: groups of names that share objects, each by itself, and what cannot be saved by name.

    names ──► one pickle each ──► groups (graph.py) ──► one pickle a group ──► loaded back (verify.py) ──► sink
               └► definitions, by key, described and pickled in the same way

Runs in a forked child that is thrown away, so it may switch off the collector, warnings and signal handlers.
"""

import gc
import pickle
import sys
import types
import warnings

from . import bytecode, definitions, graph, limits, pickling, reducing, references, session_modules
from .groups import Group, by_reference, needs, preview
from .registry import Registry, package, version_of
from .remains import CONTAINERS, Remains
from .situation import LAZY, clean
from .verify import Verifier
from .words import Lost, module_of, of_error, type_name, unfit_name

# Names that every `__main__` has.
OWN = frozenset(("__builtins__", "__name__", "__package__", "__loader__", "__spec__", "__file__", "__cached__"))
# Those that are the session's when there is something in them.
WHEN_SAID = frozenset(("__doc__", "__annotations__"))
_ATOMS = (int, float, str, bytes, bool, complex, type(None))
# Bytes of a pickle above which a name that it has in it is not pickled once more by itself.
LARGE = 4 << 10
# Packages whose objects are pickled without what they only remember; None: Python's own, and the session's.
_OWN_WAY = (None, "pandas", "PIL")
# How many names are looked at for what they refer to, and how many objects far.
WALK, FAR = 1000, 20_000
# C's pickler recurses on the C stack: beyond this depth the one that does not takes over.
DEPTH = 2000
# Kinds of context in which an object of the session's is called, or changed.
_SHARING = frozenset(("signal", "variable", "logging", "codec", "exit", "hook", "patch", "module", "entry", "stream"))
DEADLY = "to save it ended the process that did so, twice: see how it is pickled and loaded"


class _Probe:
    """Asks a handler of the pickler how it would save an object, without pickling it."""

    def __init__(self, registry):
        self.registry, self.units, self.modules, self.suspects = registry, {}, set(), {}

    refer = pickling._Overriding.refer


class Keeper:
    """How the context saves its objects. Shares the definitions with the variables."""

    Lost = Lost

    def __init__(self, saver):
        self.saver, self.part = saver, ("context", "")

    def begin(self, kind):
        """Raises Lost where this kind of context is to be left out."""
        self.part = "context", kind
        if self.part in self.saver.leave_out:
            raise Lost(DEADLY)

    def dump(self, obj):
        """The entry to load it by; raises Lost."""
        self.saver.sink.busy((self.part,))
        return self.saver.dump(obj, self.part[1])


class _Round:
    """What is to be loaded back and compared, in order."""

    def __init__(self, saver):
        self.saver = saver
        streams, buffers, self.entries = [], [], []
        for group in saver.groups_:
            self.entries.append(group.entry(streams, buffers))
        self.verifier = Verifier(saver.registry, saver.skeletons(), self.entries, streams, buffers)

    def findings(self, check=None):
        """(kind, index, verdict, part) of each: True, False where it was not tried, or why it does not come back as it was. Ends where a
        definition does not. `part`: which of a group's parts it is, if that is known. `check`: in the place of this one's."""
        saver, check = self.saver, check or self.check
        for at, unit in enumerate(saver.described):
            if unit.key not in saver.reasons and not unit.verified:
                verdict, part = check("unit", at)
                yield "unit", at, verdict, part
                if type(verdict) is str:
                    return
        budget = saver.verify_bytes
        for at, group in enumerate(saver.groups_):
            if group.verified is not None:
                continue
            verdict, part = True, None
            if group.done is not None and not group.is_atomic():
                budget -= len(group.done.stream)
                fits = budget >= 0 or b"__main__" in group.done.stream
                verdict, part = check("group", at) if fits else (False, None)
            yield "group", at, verdict, part

    def check(self, kind, at):
        """(verdict, part) of one."""
        saver = self.saver
        if kind == "unit":
            unit = saver.described[at]
            saver.sink.busy((("unit", unit.key),))
            with limits.within(saver.deadline):
                reason, part = self.verifier.definition(unit), None
        else:
            group = saver.groups_[at]
            saver.busy_with(group)
            with limits.within(saver.deadline):
                reason, part = self.verifier.group(self.entries[at], group.done, group.payload, group.labels(), group.shared)
        return True if reason is None else reason, part


class _Saver:
    def __init__(self, namespace, sink, skip, leave_out, verify_bytes, deadline, texts, options):
        self.registry = Registry(namespace, texts, **options)
        self.sink, self.skip, self.leave_out, self.verify_bytes = sink, skip, leave_out, verify_bytes
        self.deadline = deadline if limits.prepare() else None
        self.passes, self.payloads, self.lost, self.reasons = {}, {}, {}, {}
        self.imports, self.bind, self.sizes = {}, {}, {}
        self.described, self.notes, self.shareable = [], {}, None
        self.large = []  # names whose pickles are worth a look whether others are in them
        self.remains = {}  # name -> what is missing in its value, which is kept otherwise: (label, reason)

    # ---- the first pass: every name and every definition by itself ----

    def names(self):
        namespace = self.registry.namespace
        names = []
        for name in list(namespace):
            reason = unfit_name(name)
            if reason is not None:
                self.notes[reason[0]] = reason[1]
            elif name not in OWN and name not in self.skip and (name not in WHEN_SAID or namespace[name]):
                names.append(name)
        for done, name in enumerate(names):
            if ("name", name) in self.leave_out:
                self.lost[name] = DEADLY
                continue
            self.sink.progress(done, len(names), name)
            try:
                self._name(name, namespace[name])
            except BaseException as error:  # a metaclass of the user's that answers wrongly: this name fails, nothing else
                self.passes.pop(("name", name), None)
                self.lost[name] = of_error(error, "it cannot be looked at")
        self.definitions()

    def _name(self, name, obj):
        part = "name", name
        if type(obj) in _ATOMS and id(obj) not in self.registry.points:
            one = pickling.Pass()
            one.stream, one.atomic = pickle.dumps((obj,), 5), True
            self.passes[part], self.payloads[part] = one, (obj,)
            return
        probe = _Probe(self.registry)
        try:
            if type(obj) is LAZY:
                obj = obj.resolve()
            found = self._probe(probe, obj)
        except Lost as lost:
            self.lost[name] = lost.reason
            return
        except BaseException as error:
            self.lost[name] = of_error(error, "it cannot be looked at")
            return
        if found is not None:
            kind, what = found
            if kind == "unit":
                self.bind[name] = what
            else:
                self.imports[name] = what
            return
        if type(obj) is dict:
            self.registry.point_at(obj)
        within = self._written_by(obj)
        if within is None:
            self._pass(part, obj)
        else:
            self.passes[part], self.payloads[part] = pickling.Joined(self.passes, within), (obj,)
        if issubclass(type(obj), BaseException) and BaseException.__traceback__.__get__(obj) is not None:
            self.notes[f"{name}.__traceback__"] = "a traceback holds frames, which Python cannot save: keep its text"
        if issubclass(type(obj), AttributeError) and AttributeError.obj.__get__(obj) is not None:
            self.notes[f"{name}.obj"] = "what has no such attribute is not pickled with the error: keep it in a variable"

    def _written_by(self, obj):
        """The earlier part whose pickle has an object in it, or None. Names for places in one large graph would else be pickled with all
        of it, each by itself."""
        if self._is_atom(obj):
            return None
        ids = {id(obj): True}
        for part in self.large:
            one = self.passes.get(part)
            if one is not None and one.error is None and one.tier == "pickle" and one.among(ids):
                return part
        return None

    def _probe(self, probe, obj):
        """("unit", key), ("import", (module, attribute)), or None: it has to be pickled."""
        kind = type(obj)
        if kind is types.ModuleType or isinstance(obj, types.ModuleType) and issubclass(kind, types.ModuleType):
            word, arguments = reducing.reduce_module(probe, obj)
            return ("unit", arguments[0]) if word is references.unit else ("import", (arguments[0], None))
        if issubclass(kind, type) or kind is types.FunctionType:
            place = self.registry.place(obj)
            if place is not None:
                return "import", place
        elif kind is types.BuiltinFunctionType:
            place = self.registry.place(obj)
            return None if place is None else ("import", place)
        elif kind not in (reducing.LRU, *reducing.TYPING, types.CellType):
            return None
        handler = reducing.find(self.registry, kind)
        word = handler(probe, obj) if handler is not None else NotImplemented
        if word is not NotImplemented and word[0] is references.unit:
            return "unit", word[1][0]
        if word is not NotImplemented and word[0] is references.member:
            return "import", word[1]
        return None

    def _pass(self, part, obj):
        payload = (obj,)
        done = self._run(payload)
        if done.error is not None and not done.refused and pickling.cloud() is not None:
            second = self._run(payload, "cloudpickle")
            if second.error is None:
                second.first_error, done = done.error, second
        if done.error is not None and part[0] == "name" and type(obj) in CONTAINERS:
            done = self._remains(part[1], obj, done)
        self.passes[part], self.payloads[part] = done, payload
        if part[0] == "name" and done.weight > LARGE and part not in self.large:
            self.large.append(part)

    def _remains(self, name, obj, failed):
        """A pass of what can be saved of a container, or the one that failed."""
        found = Remains(name, obj, lambda part: self._run((part,)).error)
        if not found.missing or pickling.TOO_LONG in (failed.error, *found.missing.values()):
            return failed
        self.registry.missing.update(found.missing)
        done = self._run((obj,), "data")
        if done.error is not None:
            return failed
        self.remains[name] = found.notes()
        return done

    def _run(self, payload, tier="pickle", shared=()):
        with limits.within(self.deadline):
            return pickling.run(self.registry, payload, tier, shared)

    def definitions(self):
        """Describes what was found, and what that finds, to the end."""
        registry, late = self.registry, []
        while registry.pending or late:
            unit = registry.pending.popleft() if registry.pending else late.pop()
            if unit.kind == "globals" and registry.pending:
                late.append(unit)  # until all code is known that runs in it
                continue
            part = "unit", clean(unit.key)
            self.sink.busy((part,))
            if part in self.leave_out:
                unit.error = DEADLY
                self.described.append(unit)
                continue
            with limits.within(self.deadline):
                definitions.describe(registry, unit)
            self.described.append(unit)
            if unit.error is None and unit.payload is not None:
                self._pass(("unit", unit.key), unit.payload)

    def foreign_globals(self):
        """A dict that functions have for their globals is a definition; a name for it is bound to that, and other
        objects that hold it refer to it."""
        foreign = {id(unit.obj): unit for unit in self.described if unit.kind == "globals"}
        self.registry.points.update((one, ("unit", unit.key)) for one, unit in foreign.items())
        for part, one in list(self.passes.items()) if foreign else ():
            if one.atomic or one.error is not None:
                continue
            unit = foreign.get(id(self.payloads[part][0])) if part[0] == "name" else None
            if unit is not None:
                del self.passes[part]
                self.bind[part[1]] = unit.key
            elif one.among(foreign):
                self._pass(part, self.payloads[part][0])

    # ---- what is lost, and what that takes along ----

    def propagate(self):
        """Takes out what failed and what refers to it."""
        self._propagate()
        # What was in the pickle of something that is lost is looked at by itself.
        while alone := [part for part, one in self.passes.items() if type(one) is pickling.Joined and one.part not in self.passes]:
            for part in alone:
                self._pass(part, self.payloads[part][0])
            self._propagate()

    def _propagate(self):
        bad = {unit.key: unit.error for unit in self.described if unit.error is not None}
        for part in list(self.passes):
            error = self.passes[part].error
            if error is not None:
                del self.passes[part]
                if part[0] == "unit":
                    bad.setdefault(part[1], error)
                else:
                    self.lost.setdefault(part[1], error)
        changed = bool(bad)
        while changed:
            changed = False
            for unit in self.described:
                if unit.key not in bad:
                    refers = list(unit.deps)
                    one = self.passes.get(("unit", unit.key))
                    if one is not None:
                        refers += one.pickler.units
                    reason = needs(refers, bad)
                    if reason is not None:
                        bad[unit.key], changed = reason, True
        for key, reason in bad.items():
            self.passes.pop(("unit", key), None)
            self.reasons[key] = reason
        for part in list(self.passes):
            if part[0] == "name" and not self.passes[part].atomic and type(self.passes[part]) is not pickling.Joined:
                reason = needs(self.passes[part].pickler.units, bad)
                if reason is not None:
                    del self.passes[part]
                    self.lost[part[1]] = reason
        for name, key in list(self.bind.items()):
            if key in bad:
                del self.bind[name]
                self.lost[name] = bad[key]

    # ---- the second pass: groups ----

    def groups(self):
        registry, namespace = self.registry, self.registry.namespace
        first, identical = {}, []
        for part in self.passes:
            if part[0] == "name" and not self.passes[part].atomic:
                other = first.setdefault(id(namespace[part[1]]), part)
                if other != part:
                    identical.append((other, part))
                if type(self.passes[part]) is pickling.Joined:
                    identical.append((self.passes[part].part, part))
        keys = registry.keys
        groups = graph.group(self.passes, lambda obj: id(obj) in keys or by_reference(registry, obj), identical)
        self.groups_ = [Group(sorted(parts, key=lambda part: part[0] == "name")) for parts in groups]
        for group in self.groups_:
            self._fill(group)
        bound = {}
        for name, key in self.bind.items():
            bound.setdefault(key, []).append(name)
        holder = {part[1]: group for group in self.groups_ for part in group.parts if part[0] == "unit"}
        for key, names in bound.items():
            group = holder.get(key)
            if group is None:
                group = Group([])
                group.units = [key]
                self.groups_.append(group)
            group.bind.update(dict.fromkeys(names, key))

    def apart(self):
        """Notes names whose objects refer to each other and come back as two, as the pickling of a library makes copies: the tree of a
        document's element, say. Bounded: what is far away is not found."""
        namespace, targets = self.registry.namespace, {}
        for part, one in self.passes.items():
            obj = self.payloads[part][0]
            if part[0] == "name" and not one.is_plain() and not self._is_atom(obj):
                targets.setdefault(id(obj), part[1])
        stops = {id(namespace), id(sys.modules)}
        left = WALK if len(targets) > 1 else 0
        for address, name in targets.items():
            if left <= 0:
                break
            obj, one = namespace[name], self.passes["name", name]
            if package(module_of(type(obj)) or "__main__") in _OWN_WAY or type(one) is pickling.Joined:
                continue
            left -= 1
            reached = graph.reached(obj, targets, stops, FAR) - {address}
            for other in reached.difference(one.among(dict.fromkeys(reached))) if reached else ():
                reason = f"{name} refers to it, and comes back with a copy of its own: {type_name(obj)} is pickled so"
                self.notes[f"{targets[other]} in {name}"] = reason

    def _is_atom(self, obj):
        return type(obj) in graph.ATOMS or by_reference(self.registry, obj)

    def _fill(self, group, tier=None):
        passes = [self.passes[part] for part in group.parts]
        ranges = [one for single in passes for one in single.ranges]
        group.shared = graph.overlapping(ranges) if len(ranges) > 1 else ()
        group.payload = tuple(self.payloads[part][0] for part in group.parts)
        group.units = [part[1] for part in group.parts if part[0] == "unit"]
        if len(passes) == 1 and not group.shared and tier is None:
            group.done = passes[0]
        else:
            tiers = {one.tier for one in passes}
            tier = tier or next(tier for tier in ("data", "cloudpickle", "pickle") if tier in tiers)
            self.busy_with(group)
            group.done = self._run(group.payload, tier, group.shared)
            if group.done.error is None and self.registry.pending:
                group.done.error = "its pickling gives something else each time"
        group.error = group.done.error
        group.slices = None
        views = group.done.views
        if views:
            extents = [graph.extent(view) for view in views]
            merged, slices = graph.blocks(extents)
            by_extent = {extent: view for extent, view in zip(extents, views)}
            group.blocks = [by_extent.get(tuple(block)) or graph.memory(*block) for block in merged]
            if [(at, 0, view.nbytes) for at, view in enumerate(views)] != slices:
                group.slices = slices

    # ---- verification ----

    def verify(self, examine):
        """Loads back as much as the budget allows; what fails is tried on the next tier, then lost. `examine(round)` yields the
        findings of a `_Round`."""
        again = True
        while again:
            again = self._take_findings(examine(_Round(self)))

    def _take_findings(self, findings):
        failed = []
        for kind, at, verdict, part in findings:
            if kind == "unit":
                unit = self.described[at]
                unit.verified = True
                if type(verdict) is str:
                    unit.error = verdict
                    self._drop()
                    return True
            elif type(verdict) is str:
                failed.append((self.groups_[at], verdict, part))
            else:
                self.groups_[at].verified = verdict
        for one in failed:
            self._demote(*one)
        if failed:
            self._drop()
        return bool(failed)

    def busy_with(self, group):
        """Only what is more than Python's own containers and values runs anybody's code."""
        parts = [part for part in group.parts if not self.passes[part].is_plain()]
        with_hooks = [part for part in parts if self.passes[part].pickler.suspects]
        if parts:
            self.sink.busy(with_hooks or parts)

    def _demote(self, group, reason, part):
        """The next tier for a group that does not come back. `part`: which of its parts differs, if that is known: then
        it alone is lost."""
        if group.done.tier == "pickle" and pickling.cloud() is not None:
            self._fill(group, "cloudpickle")
            if group.error is None:
                group.done.first_error = reason
                return
        reason = group.done.first_error or reason
        if part is not None and len(group.parts) > 1:
            self.passes[group.parts[part]].error = reason
        else:
            group.error = reason

    def _drop(self):
        """Takes out groups that failed, and what refers to their definitions."""
        kept = []
        for group in self.groups_:
            if group.error is None:
                kept.append(group)
                continue
            for part in group.parts:
                self.passes[part].error = group.error
            for name, key in group.bind.items():
                self.bind.pop(name, None)
                self.lost[name] = group.error
        self.groups_ = kept
        self.propagate()
        left = []
        for group in kept:
            gone = [part for part in group.parts if part not in self.passes]
            group.bind = {name: key for name, key in group.bind.items() if name in self.bind}
            if gone:
                group.parts = [part for part in group.parts if part in self.passes]
                group.verified = None
                if group.parts:
                    self._fill(group)
            if group.parts or group.bind:
                left.append(group)
        self.groups_ = left

    def skeletons(self):
        return {
            unit.key: (unit.kind, unit.head, unit.shape, unit.deps)
            for unit in self.described
            if unit.key not in self.reasons
        }

    # ---- what is written ----

    def _variables_by_id(self):
        """Id -> name of each variable whose object may be shared. Those of the context's own kinds are, by keys."""
        if self.shareable is None:
            namespace, reducers, self.shareable = self.registry.namespace, self.registry.reducers, {}
            for name in (name for what, name in self.passes if what == "name" and not name.startswith("<")):
                obj = namespace[name]
                if not self._is_atom(obj) and not any(base in reducers for base in type(obj).__mro__):
                    self.shareable.setdefault(id(obj), name)
        return self.shareable

    def dump(self, obj, kind):
        """For the context: one object, by itself."""
        done = self._run((obj,))
        if done.error is not None:
            raise Lost(done.error)
        before = len(self.described)
        self.definitions()
        passes = [done, *(self.passes.get(("unit", unit.key)) for unit in self.described[before:])]
        # What libraries and the interpreter were told counts by its value.
        variables = self._variables_by_id() if kind in _SHARING else {}
        for address in [one for each in passes if each is not None and each.error is None for one in each.among(variables)]:
            self.notes[f"{variables[address]} in {kind}"] = "what is no variable comes back with a copy of its own"
        for unit in self.described[before:]:
            one = self.passes.get(("unit", unit.key))
            if unit.error is not None or one is not None and one.error is not None:
                self.propagate()
                raise Lost(unit.error or one.error)
        bad = needs(done.pickler.units, self.reasons)
        if bad is not None:
            raise Lost(bad)
        for unit in self.described[before:]:
            part = "unit", unit.key
            if part in self.passes:
                group = Group([part])
                self._fill(group)
                self.groups_.append(group)
        self.modules |= done.pickler.modules
        entry = {"stream": self._write(done.stream), "buffers": [self.sink.buffer(view) for view in done.views]}
        if done.pickler.units:
            entry["definitions"] = list(done.pickler.units)
        return entry

    def _write(self, data):
        stream = self.sink.stream()
        stream.write(data)
        return stream.close()

    def body(self, context):
        self.modules = set()
        order = {name: at for at, name in enumerate(self.registry.namespace)}
        self.groups_.sort(key=lambda group: min((order[name] for name in group.names()), default=-1))
        items = []
        if context is not None:
            try:
                items, lost = context(Keeper(self))
            except Exception as error:  # the variables are saved all the same
                items, lost = [], [{"name": "context", "reason": of_error(error, "the context cannot be saved")}]
            self.lost.update((entry["name"], entry["reason"]) for entry in lost)
        groups, variables = [], []
        for group in self.groups_:
            groups.append(self._group(group, variables, len(groups)))
        for name, (module, attribute) in self.imports.items():
            self.modules.add(module)
            required = self._packages([module])
            groups.append(
                {"names": [name], "tier": "import", "stream": None, "buffers": [], "requires": [*required], "bytes": 0}
                | {"import": [name, module, attribute], "verified": True}
            )
            obj = self.registry.namespace[name]
            variables.append(
                {"name": name, "tier": "import", "type": type_name(obj), "size": 0, "group": len(groups) - 1}
            )
        kept = self.skeletons()
        for unit in self.described:
            self.modules |= unit.modules
        listed, texts = definitions.sources_of(self.registry)
        modules, lost_modules = session_modules.collect(self.registry.local)
        packages = session_modules.submodules({module for module, attribute in self.imports.values() if attribute is None})
        for unit in self.described:
            if unit.kind == "lru" and unit.key in kept and unit.obj.cache_info().currsize:
                reason = "what an lru_cache holds cannot be asked of it: the function comes back with an empty cache"
                self.notes[f"cache of {unit.key.partition('@')[0]}"] = reason
        self.notes.update(self.registry.left_out)
        notes = [{"name": name, "reason": reason} for name, reason in self.notes.items()]
        for name, missing in self.remains.items():
            if ("name", name) in self.passes:
                notes += ({"name": label, "reason": reason} for label, reason in missing)
        for (what, name), one in self.passes.items():
            count = 0 if what != "name" or one.pickler is None else one.pickler.placeholders
            if count:
                reason = f"it holds {count:,} placeholders for what an earlier checkpoint could not keep"
                notes.append({"name": f"placeholders in {name}", "reason": reason})
        namespace = self.registry.namespace
        lost = [{"name": n, "reason": r} | preview(namespace.get(n)) for n, r in self.lost.items()]
        names = self._packages(self.modules)
        variables.sort(key=lambda entry: order[entry["name"]])
        return {
            "format": 1,
            "python": {
                "version": ".".join(map(str, sys.version_info[:3])),
                "implementation": sys.implementation.name,
                "magic": bytecode.MAGIC,
                "executable": sys.executable or "",
            },
            "packages": {name: version_of(name) or "" for name in sorted(names)},
            "groups": groups,
            "variables": variables,
            "lost": lost + notes + lost_modules,
            "definitions": listed,
            "imports": [
                {"name": name, "module": module, "attribute": attribute}
                for name, (module, attribute) in self.imports.items()
            ],
            "modules": modules,
            "submodules": self._write(pickle.dumps(packages, 5)) if packages else None,
            "skeletons": self._write(pickle.dumps(kept, 5)) if kept else None,
            "texts": self._write(pickle.dumps(texts, 5)) if texts else None,
            "context": items,
        }

    def _packages(self, modules):
        """Names of the packages that these modules come from. What is the session's own comes with the checkpoint."""
        return pickling.packages(modules) - {name.partition(".")[0] for name in self.registry.local}

    def _group(self, group, variables, index):
        done, namespace = group.done, self.registry.namespace
        entry = group.entry(None, None)
        entry["stream"] = None if done is None else self._write(done.stream)
        entry["buffers"] = [self.sink.buffer(view) for view in group.blocks]
        modules = done.pickler.modules if done is not None and done.pickler is not None else set()
        for key in group.units:
            modules = modules | self.registry.units[key].modules
        self.modules |= modules
        if done is not None and done.tier == "cloudpickle":
            self.modules.add("cloudpickle")
        entry["requires"] = sorted(self._packages(modules))
        entry["bytes"] = (0 if done is None else len(done.stream)) + sum(view.nbytes for view in group.blocks)
        entry["verified"] = bool(group.verified)
        for name in group.names():
            tier, size = entry["tier"], 0
            if name in group.bind:
                tier = "source"
                unit = self.registry.units[group.bind[name]]
                size = len(unit.head or b"") + len(unit.shape or b"")
            else:
                size = self.passes["name", name].size
                # Who shares with a container that is not whole is whole.
                tier = self.passes["name", name].tier if tier == "data" else tier
            if tier != entry["tier"]:
                entry.setdefault("tiers", {})[name] = tier
            kind = type_name(namespace[name])
            variables.append({"name": name, "tier": tier, "type": kind, "size": size, "group": index})
        return entry


def save(
    namespace, sink, *, skip=frozenset(), verify_bytes=64 << 20, deadline=10.0, sources=None, context=None, files=None,
    reducers=None, local=None, originals=None, leave_out=frozenset(), examine=_Round.findings,
):
    """Saves `namespace` to `sink` and returns the body of the manifest (docs/design/checkpoints.md).

    `skip`: names to leave out. `verify_bytes`: how much of the streams is loaded back. `deadline`: seconds for each
    group. `sources`: texts of executions (source.Sources). `context(keeper)`: (items, lost) of what is no variable.
    `files(obj)`: describes an open file, or raises Lost. `reducers`: type -> function as in copyreg. `local`: modules that
    are the session's own, name -> file. `originals`: id -> (module, name) of what the session replaced there. `leave_out`: parts,
    as `sink.busy` names them, that ended earlier processes. `examine(round)`: yields what `round.findings()` does. A name
    that fails is in the body's "lost"; only the sink's errors are raised."""
    gc.disable()
    # A list of its own: the session's may be one of its variables.
    warnings.filters = [("ignore", None, Warning, None, 0)]
    warnings._filters_mutated()
    sys.setrecursionlimit(min(sys.getrecursionlimit(), DEPTH))
    options = {"reducers": reducers, "files": files, "local": local, "originals": originals}
    saver = _Saver(namespace, sink, skip, leave_out, verify_bytes, deadline, getattr(sources, "texts", {}), options)
    saver.names()
    saver.foreign_globals()
    saver.propagate()
    saver.groups()
    saver._drop()
    saver.verify(examine)
    saver.apart()
    return saver.body(context)


__all__ = ["save", "Keeper", "Lost"]
