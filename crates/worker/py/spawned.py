"""What a process that `multiprocessing` starts anew (spawn, forkserver) gets of the session: a main module, as a script would give it.

A session has no file that could be run again, and nobody wants its executions run again. So the new process gets their definitions: the
statements that import, define functions and classes, or make what such a statement made; and by value what those functions mention.
Tracebacks there show the source.
"""

import ast
import functools
import pickle
import sys
import types

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Bytes of all values together that functions mention. What is more is left out: a name error says which.
VALUES = 16 << 20

# Runs in the new process, where nothing of ours is. `texts`: by file; `statements`: of each, which run again; `values`: pickles, by
# name; `flags`: of the session's `__future__` imports.
_BEGIN = """
def begin(texts, statements, values, flags):
    import ast, linecache, pickle, sys, types
    main = types.ModuleType("__mp_main__")
    # As of a script: what is pickled of it is found under both names.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    failed = []
    def run(tree, file):
        try:
            exec(compile(tree, file, "exec", flags, True), vars(main))
        except Exception:
            failed.append((tree, file))
    for file, kept in statements.items():
        text = texts[file]
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
        body = ast.parse(text, file).body
        for at in kept:
            run(ast.Module([body[at]], []), file)
    for name, value in values.items():
        try:
            vars(main)[name] = pickle.loads(value)
        except Exception:
            pass  # whoever uses it is told that it is not there
    # Decorators and defaults may have needed a value.
    again, failed[:] = list(failed), []
    for tree, file in again:
        run(tree, file)
begin(texts, statements, values, flags)
"""


class _Main:
    """Is the main module where it is unpickled."""

    def __init__(self, executor):
        self.executor = executor

    def __reduce__(self):
        namespace, texts = self.executor.namespace, self.executor.sources.texts
        statements = {file: _kept(text, namespace) for file, text in texts.items()}
        statements = {file: kept for file, kept in statements.items() if kept}
        given = {"texts": {file: texts[file] for file in statements}, "statements": statements}
        return exec, (_BEGIN, {**given, "values": _values(namespace), "flags": self.executor.flags})


def adopt(spawn, executor):
    """Once `multiprocessing.spawn` is there."""
    original = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name):
        data = original(name)
        if "init_main_from_path" not in data and "init_main_from_name" not in data:
            # It takes what it knows, and this is made when it is read.
            data["pyrepl3_main"] = _Main(executor)
        return data

    spawn.get_preparation_data = get_preparation_data


def _kept(text, namespace):
    """Which of its statements are to run again."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [at for at, one in enumerate(body) if _defines(one) or _made_a_class(one, namespace)]


def _defines(statement):
    if isinstance(statement, _DEFINITIONS):
        return True
    if isinstance(statement, ast.If):
        parts = [statement.body, statement.orelse]
    elif isinstance(statement, ast.Try):
        parts = [statement.body, *(handler.body for handler in statement.handlers), statement.orelse, statement.finalbody]
    else:
        return False
    inner = [one for part in parts for one in part if not isinstance(one, ast.Pass)]
    return bool(inner) and all(_defines(one) or _is_constant(one) for one in inner)


def _is_constant(statement):
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)


def _made_a_class(statement, namespace):
    """`Point = namedtuple("Point", "x y")` and its kin, and functions made by a lambda or a call."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
        return False
    value = namespace.get(statement.targets[0].id)
    is_definition = isinstance(value, (type, types.FunctionType)) or type(value).__module__ == "typing"
    return is_definition and getattr(value, "__module__", None) == "__main__"


def _values(namespace):
    """Name -> pickle of what the session's functions mention and is no definition itself."""
    found, left = {}, VALUES
    for name in sorted(_mentioned(namespace)):
        value = namespace.get(name, sys)
        if isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)):
            continue
        try:
            data = pickle.dumps(value, 5)
        except Exception:
            continue  # whoever uses it there is told that it is not there
        if len(data) <= left:
            found[name] = data
            left -= len(data)
    return found


def _mentioned(namespace):
    """Names that functions of the session, and methods of its classes, have in their code."""
    codes, seen, names = [], set(), set()
    for value in list(namespace.values()):
        codes += _codes_of(value)
    while codes:
        code = codes.pop()
        if id(code) not in seen:
            seen.add(id(code))
            names.update(code.co_names)
            codes += [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return names & namespace.keys()


def _codes_of(value, level=0):
    value = getattr(value, "__wrapped__", value) if isinstance(value, types.FunctionType) else value
    if isinstance(value, types.FunctionType):
        return [value.__code__] if value.__module__ == "__main__" else []
    if isinstance(value, (staticmethod, classmethod)):
        return _codes_of(value.__func__, level)
    if isinstance(value, property):
        return [code for one in (value.fget, value.fset, value.fdel) if one is not None for code in _codes_of(one, level)]
    if isinstance(value, type) and value.__module__ == "__main__" and level < 5:
        return [code for one in vars(value).values() for code in _codes_of(one, level + 1)]
    return []
