"""What a session tells a library by a call, for all of the process: names it registers, assumptions, seeds.

Nothing that is assigned shows it, so each such place has to be known. Told apart is what the library has by itself:
that is there again after a restore, in the version that is then installed.
"""

import sys

from .situation import is_of_session, is_plain

# xml/etree/ElementTree.py
_PREFIXES = {
    "http://www.w3.org/XML/1998/namespace": "xml",
    "http://www.w3.org/1999/xhtml": "html",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://schemas.xmlsoap.org/wsdl/": "wsdl",
    "http://www.w3.org/2001/XMLSchema": "xs",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi",
    "http://purl.org/dc/elements/1.1/": "dc",
}


class Place:
    """One place of one module that a session can change by a call. `now` and `usual` give dicts: what it holds, and what it would hold by itself."""

    label = module = ""
    ready = "__name__"  # the attribute that is there when the module's import has ended
    # Whether it counts although nothing was changed.
    always = False

    def now(self, module):
        raise NotImplementedError

    def usual(self, module):
        return {}

    def put(self, module, key, value):
        self.now(module)[key] = value

    def remove(self, module, key):
        del self.now(module)[key]

    def loaded(self):
        module = sys.modules.get(self.module)
        return module if module is not None and hasattr(module, self.ready) else None

    def imported(self):
        import importlib

        return importlib.import_module(self.module)


class _Prefixes(Place):
    label, module, ready = "xml.etree.ElementTree.register_namespace", "xml.etree.ElementTree", "_namespace_map"

    def now(self, module):
        return module._namespace_map

    def usual(self, module):
        return _PREFIXES


class _Weekday(Place):
    label, module, ready = "calendar.setfirstweekday", "calendar", "setfirstweekday"

    def now(self, module):
        return {"first": int(module.firstweekday())}

    def usual(self, module):
        return {"first": 0}

    def put(self, module, key, value):
        module.setfirstweekday(value)


class _Types(Place):
    """Beside what is added by hand, the files of the machine count, from the first use on."""

    label, module, ready, always = "mimetypes.add_type", "mimetypes", "inited", True

    def loaded(self):
        module = Place.loaded(self)
        return module if module is not None and module.inited else None

    def imported(self):
        module = Place.imported(self)
        if not module.inited:
            module.init()
        return module

    def now(self, module):
        return _types_of(module._db)

    def usual(self, module):
        fresh = module.MimeTypes()
        for file in module.knownfiles:
            try:
                fresh.read(file)
            except OSError:
                pass  # most systems have one of them at most
        return _types_of(fresh)

    def put(self, module, key, value):
        strict, _, extension = key.partition(" ")
        module.add_type(value, extension, strict == "strict")

    def remove(self, module, key):
        strict, _, extension = key.partition(" ")
        kind = module._db.types_map[strict == "strict"].pop(extension)
        known = module._db.types_map_inv[strict == "strict"].get(kind, [])
        if extension in known:
            known.remove(extension)


def _types_of(known):
    return {f"{word} {ext}": kind for word, at in (("loose", 0), ("strict", 1)) for ext, kind in known.types_map[at].items()}


class _Colours(Place):
    label, module, ready = "matplotlib.colormaps.register", "matplotlib", "colormaps"

    def now(self, module):
        return dict(module.colormaps._cmaps)

    def usual(self, module):
        return {name: each for name, each in module.colormaps._cmaps.items() if name in module.colormaps._builtin_cmaps}

    def put(self, module, key, value):
        module.colormaps.register(value, name=key, force=True)

    def remove(self, module, key):
        module.colormaps.unregister(key)


class _Units(Place):
    """Other libraries register theirs when they are imported: of these, only the session's own are looked at."""

    label, module, ready = "matplotlib.units.registry", "matplotlib.units", "registry"

    def now(self, module):
        return module.registry

    def usual(self, module):
        return {k: v for k, v in module.registry.items() if not (is_of_session(k) or is_of_session(v) or v is None)}


class _Assumptions(Place):
    label, module, ready = "sympy's global assumptions", "sympy.assumptions.assume", "global_assumptions"

    def now(self, module):
        return dict.fromkeys(module.global_assumptions, True)

    def put(self, module, key, value):
        module.global_assumptions.add(key)

    def remove(self, module, key):
        module.global_assumptions.discard(key)


class _Seed(Place):
    label, module, ready = "sympy.core.random", "sympy.core.random", "rng"

    def now(self, module):
        return {"state": module.rng.getstate()}

    def put(self, module, key, value):
        module.rng.setstate(value)

    def remove(self, module, key):
        pass  # what nobody has saved is as good as any other


KNOWN = (_Prefixes(), _Weekday(), _Types(), _Colours(), _Units(), _Assumptions(), _Seed())


def capture(here):
    for each in KNOWN:
        module = each.loaded()
        if module is None:
            continue
        usual, entries = each.usual(module), []
        now = dict(each.now(module))
        for key, value in now.items():
            if key in usual and _is_same(usual[key], value):
                continue
            kept = here.put(each.label, key), here.put(each.label, value)
            if None not in kept:
                entries.append(kept)
        gone = [key for key in usual if key not in now]
        if entries or gone or each.always:
            yield {"of": each.label, "entries": entries, "gone": [here.put(each.label, key) for key in gone]}


def restore(items, here):
    by_label = {item["of"]: item for item in items}
    for each in KNOWN:
        item = by_label.pop(each.label, None)
        if item is None and each.loaded() is None:
            continue
        here.attempt(each.label, _restore, each, item or {"entries": (), "gone": ()}, here)
    for label in by_label:
        here.lose(label, "this version does not know it")


def _restore(each, item, here):
    module = each.loaded() or each.imported()
    wanted = dict(each.usual(module))
    for key in item["gone"]:
        wanted.pop(here.get(key), None)
    for key, value in item["entries"]:
        wanted[here.get(key)] = here.get(value)
    now = dict(each.now(module))
    for key in now:
        if key not in wanted:
            each.remove(module, key)
    for key, value in wanted.items():
        if key not in now or not _is_same(now[key], value):
            each.put(module, key, value)


def _is_same(one, other):
    return one is other or is_plain(one) and is_plain(other) and one == other
