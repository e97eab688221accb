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
    """The arguments of the word `code`."""
    lambdas, text = 0, texts.get(code.co_filename)
    if code.co_name == "<lambda>" and text is not None:
        lines = text.split("\n", code.co_firstlineno)
        if lines[: code.co_firstlineno][-1].count("lambda") > 1:
            lambdas = _ordinal(code, text)
    place = (code.co_filename, code.co_name, code.co_firstlineno, lambdas, code.co_flags & _FUTURE)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_freevars)
    return MAGIC, marshalled(code), place, shape


# Stands for a slice, which version 2 of marshal does not know (constants of code from Python 3.14 on).
_SLICE = "<a slice of pyrepl3>"


def marshalled(code):
    """The same for the same code. Version 2 of marshal writes no back-references: those depend on reference counts."""
    try:
        return marshal.dumps(code, 2)
    except ValueError:
        return marshal.dumps(_map_constants(code, lambda one: (_SLICE, one.start, one.stop, one.step) if type(one) is slice else one), 2)


def _map_constants(code, change):
    """Code with other constants, also in the code that is within. Tuples of constants may hold some."""

    def changed(one):
        if type(one) is types.CodeType:
            return _map_constants(one, change)
        if type(one) is tuple and not (one and one[0] == _SLICE):
            one = tuple(map(changed, one))
        return change(one)

    return code.replace(co_consts=tuple(map(changed, code.co_consts)))


def _unmarshalled(data):
    code = marshal.loads(data)
    if _SLICE.encode() not in data:
        return code
    return _map_constants(code, lambda one: slice(*one[1:]) if type(one) is tuple and one and one[0] == _SLICE else one)


def _ordinal(code, text):
    """Which of the lambdas of one line it is."""
    for at, found in enumerate(_candidates(text, code.co_filename, code.co_name, code.co_firstlineno, code.co_flags)):
        if found == code:
            return at
    return 0


_compiled = {}


def _candidates(text, file, name, line, flags):
    flags = flags & _FUTURE | _TOP_LEVEL_AWAIT
    module = _module(text, file, flags)
    if module is not None:
        return _within(module, name, line)
    # Something in it is of a newer Python, which says nothing of what stands beside it.
    for statement in _statements(text, line):
        module = _module(statement, file, flags)
        found = [] if module is None else _within(module, name, line)
        if found:
            return found
    return []


def _within(module, name, line):
    found, todo = [], [module]
    while todo:
        code = todo.pop()
        if code.co_name == name and code.co_firstlineno == line:
            found.append(code)
        todo += [const for const in reversed(code.co_consts) if type(const) is types.CodeType]
    return found


def _module(text, file, flags):
    """The code of a text; None where this Python does not understand it."""
    key = text, file, flags
    if key not in _compiled:
        try:
            _compiled[key] = compile(text, file, "exec", flags, True)
        except SyntaxError:
            _compiled[key] = None
    return _compiled[key]


# Beginnings and ends of lines that are tried for a statement.
_TRIES = 10


def _statements(text, line):
    """Texts with nothing but the outermost statement that a line is in, at its place; the likeliest first: a line that
    begins without a space may also be in the middle of a string."""
    lines = text.split("\n")
    begins = [at for at, one in enumerate(lines) if one[:1] not in ("", " ", "\t", "#", ")", "]", "}")]
    for start in [at for at in reversed(begins) if at < line][:_TRIES]:
        # Decorators stand at the beginning of a line, too.
        first = next((at for at in begins if at >= start and lines[at][0] != "@"), start)
        for end in [at for at in (*begins, len(lines)) if at > max(first, line - 1)][:_TRIES]:
            yield "\n" * start + "\n".join(lines[start:end])


def load(magic, data, place, shape, texts, renamed):
    """The code object, or None where it is of another version of Python and its source is not there."""
    file, name, line, ordinal, flags = place
    if magic == MAGIC:
        code = _unmarshalled(data)
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
