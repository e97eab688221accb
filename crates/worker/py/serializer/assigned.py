"""What the session's executed sources say about things that cannot be seen: which attributes of modules they assign,
and what they register where nobody can ask for it.

Only a hint of where to look: what is there is asked of the live objects.
"""

import ast
import re
import sys
import types

_STORE = re.compile(r"([A-Za-z_]\w*)(?:\s*\.\s*[A-Za-z_]\w*)+\s*(?:,|=(?!=)|[-+*/%&|^@<>]{1,2}=|:|\)|\])")
_NAME, _IMPORTS = re.compile(r"\w+"), re.compile(r"\b(?:import|as)\b([^\n]*)")
_DELETE = re.compile(r"\bdel\b[^\n]*\.")
_CALLS = re.compile(
    r"\b(?:setattr|delattr|patch|monkeypatch|register|register_error|register_at_fork|addaudithook|settrace|setprofile"
    r"|finalize|__dict__|vars|exec|eval)\b"
)
_WATCHED = frozenset(
    "codecs.register_error codecs.register atexit.register weakref.finalize os.register_at_fork sys.addaudithook"
    " threading.settrace threading.setprofile".split()
)


class Said:
    def __init__(self):
        self.targets = {}  # (name of a module or of what is in the namespace, attribute, …) -> True
        self.patched = {}  # what `mock.patch("a.b")` names, as such paths
        self.calls = {}  # dotted name of a function -> names and constants that it was called with first
        self.dynamic = False  # whether attributes are set whose names only the running code knows
        self.loose = False  # whether attributes are set of what only the running code knows

    def add(self, other):
        self.targets.update(other.targets)
        self.patched.update(other.patched)
        for name, said in other.calls.items():
            self.calls.setdefault(name, set()).update(said)
        self.dynamic = self.dynamic or other.dynamic


class _Source:
    """What one source says, whatever there is in the namespace: read once, as far as anybody wants to know."""

    __slots__ = ("bases", "imported", "must", "said", "text")

    def __init__(self, text):
        self.text, self.said = text, None
        self.must = bool(_CALLS.search(text) or _DELETE.search(text))
        bases = () if self.must else {found.group(1) for found in _STORE.finditer(text)} - {"self", "cls"}
        self.bases = tuple(bases)
        # For those bases only.
        self.imported = frozenset(_NAME.findall(" ".join(_IMPORTS.findall(text)))) if bases else frozenset()

    def is_worth_reading(self, namespace, said):
        if self.must:
            return True
        for base in self.bases:
            value = namespace.get(base)
            if type(value) is types.ModuleType or issubclass(type(value), type):
                return True
            if value is None and (base in sys.modules or base in self.imported):
                return True
            # A parameter, or the variable of a loop.
            said.loose = said.loose or base not in namespace
        return False

    def read(self):
        if self.said is None:
            self.said = Said()
            try:
                _Reader(self.said).read(ast.parse(self.text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass  # it never ran, or is a source with magic
        return self.said


def read(options):
    """Read once for each look at the session."""
    found = getattr(options, "said", None)
    if found is None:
        found = options.said = Said()
        for file, text in options.sources.items():
            if type(text) is str:
                source = _known(options.read_before, file, text)
                if source.is_worth_reading(options.namespace, found):
                    found.add(source.read())
    return found


def read_ahead(texts, read_before, namespace):
    """In the live session, while nothing is asked for: reads the sources that the next look would have to read, for a moment. What a look
    reads in a saver is forgotten with it."""
    for file in read_before.keys() - texts.keys():
        del read_before[file]
    left = 20
    for file in [file for file in texts if file not in read_before]:
        text = texts[file]
        source = _known(read_before, file, text)
        if type(text) is str and source.is_worth_reading(namespace, Said()):
            source.read()
            left -= 5
        left -= 1
        if left <= 0:
            break


def _known(read_before, file, text):
    source = read_before.get(file)
    if source is None or source.text is not text:
        source = read_before[file] = _Source(text if type(text) is str else "")
    return source


class _Reader:
    def __init__(self, said):
        self.said, self.aliases = said, {}

    def read(self, tree):
        nodes = list(ast.walk(tree))
        for node in nodes:
            if type(node) is ast.Import:
                for each in node.names:
                    if each.asname:
                        self.aliases[each.asname] = tuple(each.name.split("."))
                    else:
                        first = each.name.partition(".")[0]
                        self.aliases[first] = (first,)
            elif type(node) is ast.ImportFrom and node.module and not node.level:
                for each in node.names:
                    self.aliases[each.asname or each.name] = (*node.module.split("."), each.name)
        for node in nodes:
            kind = type(node)
            if kind is ast.Attribute and not isinstance(node.ctx, ast.Load):
                self._target(_chain(node))
            elif kind is ast.Call:
                self._call(node)
            elif kind is ast.Subscript and not isinstance(node.ctx, ast.Load) and any(map(_is_dict, ast.walk(node.value))):
                self.said.dynamic = True

    def _path(self, chain):
        return None if not chain else (*self.aliases.get(chain[0], (chain[0],)), *chain[1:])

    def _target(self, chain):
        path = self._path(chain)
        if path is not None and path[0] not in ("self", "cls"):
            self.said.targets[path] = True

    def _call(self, node):
        path = self._path(_chain(node.func))
        if path is None:
            return
        first = node.args[0] if node.args else None
        name = ".".join(path)
        if name in ("setattr", "delattr") or path[-1] in ("setattr", "delattr"):
            self._set_attribute(first, node.args)
        elif "patch" in path:
            self._patch(path, first, node.args)
        elif name in ("vars", "exec", "eval"):
            self.said.dynamic = True
        elif name in _WATCHED:
            said = self.said.calls.setdefault(name, set())
            chain = _chain(first) if first is not None else None
            if isinstance(first, ast.Constant) and type(first.value) is str:
                said.add(first.value)
            elif chain:
                said.add(chain[-1])
            else:
                said.add("")
            if name == "weakref.finalize" and len(node.args) > 1:
                said.add((_chain(node.args[1]) or ("",))[-1])

    def _set_attribute(self, owner, arguments):
        if isinstance(owner, ast.Constant) and type(owner.value) is str:
            # `monkeypatch.setattr("json.dumps", …)`
            self.said.patched[tuple(owner.value.split("."))] = True
            return
        chain = _chain(owner) if owner is not None else None
        name = arguments[1] if len(arguments) > 1 else None
        if isinstance(name, ast.Constant) and type(name.value) is str:
            if chain:
                self._target((*chain, name.value))
        else:
            self.said.dynamic = True

    def _patch(self, path, first, arguments):
        if isinstance(first, ast.Constant) and type(first.value) is str:
            self.said.patched[tuple(first.value.split("."))] = True
        elif path[-1] == "object" and len(arguments) > 1 and isinstance(arguments[1], ast.Constant):
            chain = self._path(_chain(first))
            if chain and type(arguments[1].value) is str:
                self.said.patched[(*chain, arguments[1].value)] = True


def _is_dict(node):
    """Whether a node names an object's dict, in whatever way."""
    return "__dict__" in (getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "value", None))


def _chain(node):
    """The names of `a.b.c`; None for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    names.append(node.id)
    return tuple(reversed(names))
