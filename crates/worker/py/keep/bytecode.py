"""Code objects: marshalled for the same version of Python, found again in their source for another one."""

import __future__ as _future
import importlib.util
import marshal
import sys
import types

MAGIC = importlib.util.MAGIC_NUMBER.hex()
_FUTURE = 0
for _name in _future.all_feature_names:
    _FUTURE |= getattr(_future, _name).compiler_flag
_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT: executions are compiled with it


def describe(code, texts):
    """The arguments of the word `code`. Version 2 of marshal writes no back-references: those depend on reference
    counts, and the same code would give other bytes in the next checkpoint."""
    lambdas, text = 0, texts.get(code.co_filename)
    if code.co_name == "<lambda>" and text is not None:
        lines = text.split("\n", code.co_firstlineno)
        if lines[: code.co_firstlineno][-1].count("lambda") > 1:
            lambdas = _ordinal(code, text)
    place = (code.co_filename, code.co_name, code.co_firstlineno, lambdas, code.co_flags & _FUTURE)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_freevars)
    return MAGIC, marshal.dumps(code, 2), place, shape


def _ordinal(code, text):
    """Which of the lambdas of one line it is."""
    for at, found in enumerate(_candidates(text, code.co_filename, code.co_name, code.co_firstlineno, code.co_flags)):
        if found == code:
            return at
    return 0


_compiled = {}


def _candidates(text, file, name, line, flags):
    key = file, flags & _FUTURE
    if key not in _compiled or _compiled[key][0] != text:
        _compiled[key] = text, compile(text, file, "exec", flags & _FUTURE | _TOP_LEVEL_AWAIT, True)
    found, todo = [], [_compiled[key][1]]
    while todo:
        code = todo.pop()
        if code.co_name == name and code.co_firstlineno == line:
            found.append(code)
        todo += [const for const in reversed(code.co_consts) if type(const) is types.CodeType]
    return found


def load(magic, marshalled, place, shape, texts, renamed):
    """The code object, or None where it is of another version of Python and its source is not there."""
    file, name, line, ordinal, flags = place
    if magic == MAGIC:
        code = marshal.loads(marshalled)
    else:
        text = texts.get(file)
        if text is None:
            text = _library(file)
        found = [] if text is None else _candidates(text, file, name, line, flags)
        fitting = [one for one in found if _shape(one) == (*shape[:3], frozenset(shape[3]))]
        if len(found) > ordinal and found[ordinal] in fitting:
            code = found[ordinal]
        elif len(fitting) == 1:
            code = fitting[0]
        else:
            return None
    return _rename(code, file, renamed[file]) if file in renamed else code


def _shape(code):
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, frozenset(code.co_freevars)


def _library(file):
    """The source of an installed module, at its place in this environment."""
    for module in list(sys.modules.values()):
        if isinstance(module, types.ModuleType) and vars(module).get("__file__") == file:
            try:
                with open(file, encoding="utf-8") as stream:
                    return stream.read()
            except (OSError, UnicodeDecodeError):
                return None
    return None


def _rename(code, old, new):
    consts = tuple(_rename(one, old, new) if type(one) is types.CodeType else one for one in code.co_consts)
    return code.replace(co_filename=new if code.co_filename == old else code.co_filename, co_consts=consts)
