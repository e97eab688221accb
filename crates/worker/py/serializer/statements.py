"""Classes that the metaclass of a package has made: pydantic's models, SQLAlchemy's, msgspec's structs.

What such a metaclass makes of a class statement, compiled validators, say, lies outside of what can be seen in the class. So the
statement runs once more when the class is loaded, in the session's namespace, with what it needs there. Its instances are of the new
class.
"""

import __future__
import abc
import ast
import dis
import functools
import inspect
import re
import sys
import types

from . import bytecode
from .registry import package
from .words import Lost, module_of, name_of

_type_dict = type.__dict__["__dict__"].__get__
_FUTURE = functools.reduce(int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))
_ANNOTATIONS = __future__.annotations.compiler_flag
# Values of class attributes that are saved, as they may have changed since; others are the library's.
_PLAIN = (list, dict, set, tuple, frozenset, int, float, complex, str, bytes, bytearray, bool, type(None))
# Says where the statement was, or is made at each run.
_ASIDE = frozenset(
    ("__firstlineno__", "__static_attributes__", "_abc_impl", "__slotnames__", "__weakref__", "__dict__", "__module__")
)
_NOTHING = object()
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_LOADS = frozenset(("LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"))


def describe(registry, cls):
    """(head, shape, payload) of a class that its statement makes again, or None."""
    metaclass = type(cls)
    home = module_of(metaclass)
    if metaclass in (type, abc.ABCMeta) or registry.place(metaclass) is None or package(home or "__main__") is None:
        return None
    generic = _type_dict(cls).get("__pydantic_generic_metadata__")
    if type(generic) is dict and isinstance(generic.get("origin"), type):
        return {"origin": generic["origin"], "arguments": generic["args"]}, None, None
    found = _find(registry.texts, cls)
    if found is None:
        return None
    file, node, flags = found
    code = _compile(node, file, flags)
    names, place = _names(code), _order(registry.texts, file, node)
    # A class that is only named in annotations may be of a later statement, which needs this one.
    names |= {name for name in _annotated(node) if not _is_later(registry, name, place)}
    needs = {name: registry.namespace[name] for name in sorted(names) if name in registry.namespace and name != node.name}
    assigned = _assigned(node)
    state = {name: value for name, value in _type_dict(cls).items() if _is_kept(name, value, assigned)}
    head = {"file": file, "line": node.lineno, "name": node.name, "flags": flags, "needs": needs}
    return head, None, state or None


def _is_kept(name, value, assigned):
    """Whether an attribute is saved beside the statement: what that assigns may have changed since, and who else has a container of the
    class's has the same one after."""
    return type(value) in _PLAIN and name in assigned or type(value) in (list, dict, set) and not name.startswith("__")


def make(loader, head):
    """The class."""
    if "origin" in head:
        arguments = head["arguments"]
        return head["origin"][arguments if len(arguments) != 1 else arguments[0]]
    file, name, namespace = head["file"], head["name"], loader.namespace
    node = next((one for one in _statements(loader.texts.get(file, "")) if (one.lineno, one.name) == (head["line"], name)), None)
    if node is None:
        raise Lost(f"the statement of class {name} is not in the checkpoint")
    code = _compile(node, loader.renamed.get(file, file), head["flags"])
    before = {one: namespace.get(one, _NOTHING) for one in (*head["needs"], name)}
    namespace.update(head["needs"])
    try:
        exec(code, namespace)
        return namespace[name]
    finally:
        for one, value in before.items():
            if value is not _NOTHING:
                namespace[one] = value
            else:
                namespace.pop(one, None)


def difference(one, other):
    """What differs in words between a class and what its statement has made of it; None: nothing that can be seen."""
    mine, yours = dict(_type_dict(one)), dict(_type_dict(other))
    for name in mine.keys() ^ yours.keys():
        if name not in _ASIDE:
            return f"{name_of(one)}.{name} {'is not made by its statement' if name in mine else 'was not there'}"
    for name, value in mine.items():
        if name in _ASIDE:
            continue
        made = yours[name]
        if type(value) is not type(made) and name_of(type(value)) != name_of(type(made)):
            return f"{name_of(one)}.{name} became a {name_of(type(made))}"
        function, again = _function_of(value), _function_of(made)
        if type(function) is types.FunctionType and type(again) is types.FunctionType:
            if bytecode.marshalled(function.__code__) != bytecode.marshalled(again.__code__):
                return f"{name_of(one)}.{name} is not what its statement makes"
    before, after = _derived(one), _derived(other)
    for label in (*before, *after):
        if before.get(label) != after.get(label):
            texts = (f"{found[label][:60]}" if label in found else "nothing" for found in (before, after))
            return f"its statement makes it otherwise now, of what its names have become: {label}: {' became '.join(texts)}"
    return None


def _derived(cls):
    """What a library has made of the values that stand in the statement, by label, as texts."""
    own = _type_dict(cls)
    found, generic = {}, own.get("__pydantic_generic_metadata__")
    if type(generic) is dict and generic.get("origin") is not None:
        return found  # it is made of the class that it is of, which is looked at
    fields = own.get("__pydantic_fields__")
    for name, field in fields.items() if type(fields) is dict else ():
        parts = (getattr(field, part, None) for part in ("annotation", "default", "default_factory", "metadata", "alias"))
        found[f"{name_of(cls)}.{name}"] = ", ".join(map(_text, parts))
    for name in ("__struct_fields__", "__struct_defaults__", "__struct_encode_fields__", "__table__"):
        if name in own:
            found[f"{name_of(cls)}.{name}"] = _text(own[name])
    return found


def _text(value):
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception:  # what is shown of it is its class's business
        return type(value).__qualname__


def _function_of(value):
    return value.fget if type(value) is property else getattr(value, "__func__", value)


def _find(texts, cls):
    """(file, node, flags of the compiler) of the statement that has made a class, or None."""
    name = name_of(cls)
    if "." in name:
        return None
    known, first, flags = None, _type_dict(cls).get("__firstlineno__"), 0
    for value in _type_dict(cls).values():
        code = getattr(_function_of(value), "__code__", None)
        if type(code) is types.CodeType and code.co_filename in texts and _function_of(value).__qualname__.startswith(name + "."):
            known, first, flags = code.co_filename, code.co_firstlineno, code.co_flags & _FUTURE
            break
    for file in [known] if known is not None else reversed(texts):
        if name not in texts[file]:
            continue
        nodes = [node for node in _statements(texts[file]) if node.name == name]
        if first is not None:
            nodes = [node for node in nodes if _begin(node) <= first <= node.end_lineno]
        if nodes:
            node = nodes[-1]
            if not flags and _is_postponed(node, cls):
                flags = _ANNOTATIONS
            return file, node, flags
    return None


def _order(texts, file, node):
    return list(texts).index(file), node.lineno


def _is_later(registry, name, place):
    value = registry.namespace.get(name)
    found = _find(registry.texts, value) if isinstance(value, type) and registry.place(value) is None else None
    return found is not None and _order(registry.texts, *found[:2]) > place


def _begin(node):
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _is_postponed(node, cls):
    """Whether annotations were kept as texts, as an earlier execution may have asked for."""
    if sys.version_info >= (3, 14):
        return False
    kept = _type_dict(cls).get("__annotations__") or {}
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not isinstance(one.annotation, ast.Constant):
            return type(kept.get(one.target.id)) is str
    return False


@functools.lru_cache(maxsize=256)
def _statements(text):
    """The class statements of a text that make names of its module."""
    try:
        todo = list(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found = []
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.ClassDef):
            found.append(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo += [one for one in ast.iter_child_nodes(node) if isinstance(one, (ast.stmt, ast.excepthandler))]
    return tuple(found)


def _compile(node, file, flags):
    return compile(ast.Module([node], []), file, "exec", flags, dont_inherit=True)


def _names(code):
    """What a statement looks up while it runs: not what its functions do later."""
    # A name that it gives to an attribute may be a variable's, too.
    found = {one.argval for one in dis.get_instructions(code) if one.opname in _LOADS}
    for const in code.co_consts:
        if type(const) is types.CodeType:
            runs = not const.co_flags & inspect.CO_OPTIMIZED or const.co_name.startswith(("__annotate", "<generic"))
            found |= _names(const) if runs else set()
    return found


def _annotated(node):
    """Names in annotations, which may be looked up later, or be texts."""
    found = set()
    for one in node.body:
        if isinstance(one, ast.AnnAssign):
            for part in ast.walk(one.annotation):
                if isinstance(part, ast.Name):
                    found.add(part.id)
                elif isinstance(part, ast.Constant) and type(part.value) is str:
                    found.update(re.findall(r"[^\W\d]\w*", part.value))
    return found


def _assigned(node):
    statements = [one for one in node.body if isinstance(one, (ast.Assign, ast.AnnAssign))]
    targets = [target for one in statements for target in (one.targets if isinstance(one, ast.Assign) else [one.target])]
    return {one.id for one in targets if isinstance(one, ast.Name)}
