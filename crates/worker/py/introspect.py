"""What can be asked of a session between executions: variables, completions, inspection."""

import builtins
import codeop
import inspect
import keyword
import re
import sys
import warnings

from .codec import clean
from .execute import TOP_LEVEL_AWAIT
from .present import REPR_LIMIT, bounded_repr, type_name

_PATH = re.compile(r"(?:[^\W\d]\w*\s*\.\s*)*(?:[^\W\d]\w*)?$")
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([\w.]*)$")
_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+import\s+(?:[\w\s,]*,\s*)?(\w*)$")
LIMIT = 500


def answer(request, executor):
    """What is asked about the session's state: one of four questions. Properties and reprs of the user's run."""
    op, namespace = request["op"], executor.namespace
    if op == "variables":
        return variables(namespace, executor.initial)
    if op == "complete":
        return complete(request["code"], request["cursor"], namespace)
    if op == "inspect":
        return inspect_name(request["name"], namespace)
    return is_complete(request["code"], executor.flags | TOP_LEVEL_AWAIT)


def variables(namespace, initial):
    found = []
    for name, value in list(namespace.items()):
        if name in initial or (name.startswith("__") and name.endswith("__")):
            continue
        item = {"name": clean(name), "type": type_name(value), "repr": _short(value)}
        item["size"] = _size(value)
        item["shape"] = _shape(value)
        if inspect.ismodule(value):
            item["module"] = clean(value.__name__)
        found.append(item)
    return found


def _short(value):
    if sys.modules.get("pandas") is not None and type(value).__name__ in ("DataFrame", "Series"):
        shape = _shape(value)
        return f"<{type(value).__name__} of shape {tuple(shape or ())}>"
    text = bounded_repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _size(value):
    """Bytes, as far as the object itself says; not what it refers to."""
    try:
        nbytes = getattr(value, "nbytes", None)
        return int(nbytes) if isinstance(nbytes, int) else sys.getsizeof(value)
    except Exception:
        return None


def _shape(value):
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return [int(size) for size in shape]
        if isinstance(value, (list, tuple, dict, set, frozenset, str, bytes)):
            return [len(value)]
    except Exception:
        pass
    return None


def complete(code, cursor, namespace):
    cursor = len(code) if cursor is None else max(0, min(cursor, len(code)))
    line = code[:cursor].rpartition("\n")[2]
    match = _FROM.match(line)
    if match:
        return _answer(_members(match[1], match[2]), cursor - len(match[2]), cursor)
    match = _IMPORT.match(line)
    if match:
        word = match[1].rpartition(".")[2]
        return _answer(_modules(match[1]), cursor - len(word), cursor)
    path = _PATH.search(line)[0]
    head, dot, word = path.rpartition(".")
    word = word.strip()
    if dot:
        matches = _attributes(head, word, namespace)
    else:
        matches = _names(word, namespace)
    return _answer(matches, cursor - len(word), cursor)


def _answer(matches, start, end):
    matches = [{"text": clean(text), "type": kind} for text, kind in matches[:LIMIT]]
    return {"matches": matches, "start": start, "end": end}


def _kind(value):
    if inspect.ismodule(value):
        return "module"
    if isinstance(value, type):
        return "class"
    return "function" if callable(value) else "instance"


def _names(word, namespace):
    found = {}
    for name, value in list(namespace.items()):
        if name.startswith(word) and (word.startswith("_") or not name.startswith("__")):
            found[name] = _kind(value)
    if word:
        for name in keyword.kwlist + getattr(keyword, "softkwlist", []):
            if name.startswith(word) and name != "_":
                found.setdefault(name, "keyword")
        for name, value in vars(builtins).items():
            if name.startswith(word) and (word.startswith("_") or not name.startswith("_")):
                found.setdefault(name, _kind(value))
    return sorted(found.items())


def resolve(path, namespace):
    """The object at a dotted path, without running a property of the user's on the way."""
    parts = [part.strip() for part in path.split(".")]
    if parts[0] in namespace:
        value = namespace[parts[0]]
    else:
        value = getattr(builtins, parts[0])
    for part in parts[1:]:
        if isinstance(inspect.getattr_static(type(value), part, None), property) and type(value).__module__ == "__main__":
            raise AttributeError(f"{part} is a property")
        value = getattr(value, part)
    return value


def _attributes(head, word, namespace):
    try:
        value = resolve(head, namespace)
        names = dir(value)
    except Exception:
        return []
    found = []
    for name in names:
        if not isinstance(name, str) or not name.startswith(word) or (name.startswith("_") and not word.startswith("_")):
            continue
        try:
            static = inspect.getattr_static(value, name)
            kind = "function" if callable(static) or isinstance(static, (staticmethod, classmethod)) else _kind(static)
        except Exception:
            kind = "instance"
        found.append((name, kind))
    return sorted(found)


def _modules(path):
    import pkgutil

    head, dot, word = path.rpartition(".")
    try:
        if not dot:
            names = set(sys.builtin_module_names) | {module.name for module in pkgutil.iter_modules()}
            names |= getattr(sys, "stdlib_module_names", set())
        else:
            __import__(head)
            names = {module.name for module in pkgutil.iter_modules(getattr(sys.modules[head], "__path__", []))}
    except Exception:
        return []
    return sorted((name, "module") for name in names if name.startswith(word) and (word or not name.startswith("_")))


def _members(module, word):
    try:
        __import__(module)
        names = set(dir(sys.modules[module])) | {name for name, _ in _modules(module + ".")}
    except Exception:
        return []
    return sorted((name, "instance") for name in names if name.startswith(word) and (word or not name.startswith("_")))


def inspect_name(name, namespace):
    try:
        value = resolve(name, namespace)
    except Exception as error:
        return {"found": False, "name": clean(name), "why": clean(f"{type(error).__name__}: {error}")}
    answer = {"found": True, "name": clean(name), "type": type_name(value), "repr": _short(value)}
    for key, get in (
        ("signature", lambda: str(inspect.signature(value)) if callable(value) else None),
        ("doc", lambda: inspect.getdoc(value)),
        ("file", lambda: inspect.getsourcefile(_code_of(value))),
        ("line", lambda: inspect.getsourcelines(_code_of(value))[1]),
        ("source", lambda: inspect.getsource(_code_of(value))),
    ):
        try:
            found = get()
        except Exception:
            found = None
        answer[key] = clean(found[:REPR_LIMIT]) if isinstance(found, str) else found
    return answer


def _code_of(value):
    if isinstance(value, type) or inspect.isroutine(value) or inspect.ismodule(value):
        return value
    raise TypeError


def is_complete(code, flags):
    """complete, incomplete or invalid, as an interactive interpreter sees it, and the indentation of the next line."""
    indent = _indent(code)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiler = codeop.Compile()
            compiler.flags |= flags
            source = code if code.endswith("\n") else code + "\n"
            result = codeop._maybe_compile(compiler, source, "<input>", "exec")
    except (SyntaxError, OverflowError, ValueError, MemoryError, RecursionError):
        return {"status": "invalid", "indent": 0}
    if result is None:
        return {"status": "incomplete", "indent": indent}
    # A block goes on until an empty line, as in every Python prompt.
    last = code.rstrip(" \t").rpartition("\n")[2]
    if "\n" in code and last[:1] in (" ", "\t"):
        return {"status": "incomplete", "indent": indent}
    if _opens_block(code):
        return {"status": "incomplete", "indent": indent}
    return {"status": "complete", "indent": 0}


def _opens_block(code):
    lines = code.split("\n")
    first = lines[-1].strip()
    return len(lines) == 1 and first.endswith(":") or (len(lines) == 1 and first.startswith("@"))


def _indent(code):
    last = code.rpartition("\n")[2] or code.rstrip("\n").rpartition("\n")[2]
    width = len(last) - len(last.lstrip(" "))
    stripped = last.strip()
    if stripped.endswith(":"):
        return width + 4
    if stripped.split(" ")[0] in ("return", "pass", "break", "continue", "raise"):
        return max(0, width - 4)
    return width
