"""Annotations of functions and classes.

From Python 3.14 on they are evaluated when they are first asked for (PEP 649), by a function beside the one that they are of, or in the
dict of the class. That function is kept, and what it has given so far. What it would give is kept as well, for other versions of Python.
"""

import gc
import types

# Whether this Python evaluates them later.
LATER = "__annotate__" in vars(types.FunctionType)
_VALUE = 1  # annotationlib.Format.VALUE
# In the dict of a class: the function, and what it has given.
FUNCTION, GIVEN = "__annotate_func__", "__annotations_cache__"
# In the state of a class: what the function would give.
EVALUATED = "<annotations>"
# Cells of the class statement, which it leaves in a class that is made of its names (`typing.NamedTuple`).
CELLS = ("__classcell__", "__classdictcell__")


def of_function(function, can_be_kept):
    """Parts of a function's state. `can_be_kept(object)`: whether it can be pickled."""
    annotate = getattr(function, "__annotate__", None)
    if annotate is None:
        return {"annotations": function.__annotations__ or None}
    found = _evaluate(annotate, can_be_kept)
    if found is None:
        return {"annotate": annotate}
    now = function.__annotations__
    # Somebody may have put something into it.
    return {"annotate": annotate, "annotations": found} if _are_equal(now, found) else {"annotations": now}


def of_class(names, can_be_kept):
    """What the function of a class would give, or None. `names`: its dict."""
    given, annotate = names.get(GIVEN), names.get(FUNCTION)
    if given is not None or annotate is None:
        return given
    return _evaluate(annotate, can_be_kept)


def _evaluate(annotate, can_be_kept):
    try:
        found = annotate(_VALUE)
    except Exception:  # it refers to what is not there yet, say
        return None
    return found if type(found) is dict and can_be_kept(found) else None


def _are_equal(one, other):
    try:
        return one.keys() == other.keys() and all(one[name] is value or bool(one[name] == value) for name, value in other.items())
    except Exception:  # comparing them runs code of the session's
        return False


def give_function(made, state, is_missing):
    """`is_missing(object)`: whether it is in the place of a function that does not exist under this version of Python."""
    annotate = state.get("annotate")
    if annotate is not None and LATER and not is_missing(annotate):
        made.__annotate__ = annotate
    elif "annotations" in state:
        made.__annotations__ = state["annotations"]


def give_class(made, state, is_missing):
    """Takes its parts out of a class's state."""
    evaluated, annotate = state.pop(EVALUATED, None), state.get(FUNCTION)
    if LATER and not is_missing(annotate):
        return
    state.pop(FUNCTION, None)
    state.pop(GIVEN, None)
    if evaluated is not None:
        state["__annotations__"] = evaluated


def has_place(name):
    """Whether a name is one that a class has in this version of Python."""
    return LATER or name not in (FUNCTION, GIVEN)


def own(cls):
    """Those of a class alone."""
    if not LATER:
        return vars(cls).get("__annotations__", {})
    try:
        return cls.__annotations__
    except Exception:  # it refers to what is not there yet
        return {}


def dict_of(cls):
    """The very dict of a class, to which its scope refers. A class only shows it."""
    return gc.get_referents(vars(cls))[0]
