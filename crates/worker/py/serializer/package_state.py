"""Places of packages that data people use."""

from .place import Place
from .situation import is_of_session


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


class _Sequences(Place):
    label, module, ready = "matplotlib.color_sequences", "matplotlib", "color_sequences"

    def now(self, module):
        return module.color_sequences._color_sequences

    def usual(self, module):
        return dict(module.color_sequences._BUILTIN_COLOR_SEQUENCES)


class _Named(Place):
    """A table of classes by name, in which the session's own count."""

    def __init__(self, label, module, ready, table):
        self.label, self.module, self.ready, self.table = label, module, ready, table

    def now(self, module):
        return self.table(module)

    def usual(self, module):
        return {name: one for name, one in self.now(module).items() if not is_of_session(one)}


class _Accessors(Place):
    """Of pandas: attributes of its classes, `frame.mine`, that a session registers a class for."""

    label, module, ready = "pandas.api.extensions", "pandas", "api"
    _BY_CLASS = {"DataFrame": "dataframe", "Series": "series", "Index": "index"}

    def now(self, module):
        found = {}
        for kind in self._BY_CLASS:
            for name, value in vars(getattr(module, kind)).items():
                accessor = getattr(value, "_accessor", None) if type(value).__name__.endswith("Accessor") else None
                if accessor is not None and is_of_session(accessor):
                    found[f"{kind}.{name}"] = accessor
        return found

    def put(self, module, key, value):
        kind, _, name = key.partition(".")
        getattr(module.api.extensions, f"register_{self._BY_CLASS[kind]}_accessor")(name)(value)

    def remove(self, module, key):
        kind, _, name = key.partition(".")
        delattr(getattr(module, kind), name)
        getattr(module, kind)._accessors.discard(name)


class _Images(Place):
    """Of Pillow: formats that others than Pillow itself have told it of."""

    label, module, ready = "PIL.Image.register", "PIL.Image", "EXTENSION"

    def now(self, module):
        found = {}
        for table in ("OPEN", "SAVE", "SAVE_ALL", "DECODERS", "ENCODERS"):
            for name, value in getattr(module, table, {}).items():
                first = value[0] if type(value) is tuple else value
                if not (getattr(first, "__module__", None) or "").startswith("PIL"):
                    found[f"{table} {name}"] = value
        theirs = {key.partition(" ")[2] for key in found}
        found.update((f"EXTENSION {ext}", name) for ext, name in module.EXTENSION.items() if name in theirs)
        found.update((f"MIME {name}", kind) for name, kind in module.MIME.items() if name in theirs)
        return found

    def put(self, module, key, value):
        table, _, name = key.partition(" ")
        getattr(module, table)[name] = value
        if table == "OPEN" and name not in module.ID:
            module.ID.append(name)

    def remove(self, module, key):
        table, _, name = key.partition(" ")
        del getattr(module, table)[name]
        if table == "OPEN" and name in module.ID:
            module.ID.remove(name)


KNOWN = (
    _Colours(),
    _Sequences(),
    _Named(
        "matplotlib.projections.register_projection", "matplotlib.projections", "projection_registry",
        lambda module: module.projection_registry._all_projection_types,
    ),
    _Named("matplotlib.scale.register_scale", "matplotlib.scale", "_scale_mapping", lambda module: module._scale_mapping),
    _Units(),
    _Accessors(),
    _Images(),
    _Assumptions(),
    _Seed(),
)
