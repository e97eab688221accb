"""pandas: memory that frames, series and indexes share until one of them is written (copy-on-write).

Who shares it is noted in an object, `BlockValuesRefs`, that pandas leaves out when it pickles. Here the memory comes
back shared, so that note has to come back as well: without it a write to one frame would be seen in the others.
"""

import sys

from . import references
from .words import module_of, name_of


def handler(mro):
    """How pandas' blocks, indexes and notes are pickled; None for everything else."""
    internals = sys.modules.get("pandas._libs.internals")
    if internals is None or not hasattr(internals, "BlockValuesRefs"):
        return None
    for base in mro:
        if base is getattr(internals, "Block", None):
            return lambda _pickler, block: _with_note(block, block.refs)
        if base is internals.BlockValuesRefs:
            return lambda _pickler, _note: (references.sharing, ())
        if name_of(base) == "Index" and module_of(base).partition(".")[0] == "pandas":
            return lambda _pickler, index: _with_note(index, vars(index).get("_references"))
        if name_of(base) == "NDFrame" and module_of(base).partition(".")[0] == "pandas":
            return _with_attributes
    return None


def _with_attributes(pickler, frame):
    """With what somebody has set on it (`frame.note = "…"`), which pandas leaves out. Libraries do that, too: what of it cannot be
    saved is named, and costs no frame."""
    from . import pickling

    own = {}
    for name, value in vars(frame).items():
        if not name.startswith("_"):
            error = pickling.run(pickler.registry, (value,)).error
            if error is None:
                own[name] = value
            else:
                pickler.registry.left_out[f"{name} of a {type(frame).__name__}"] = error
    if not own:
        return NotImplemented
    function, arguments, state = frame.__reduce_ex__(5)[:3]
    return function, arguments, (state, own), None, None, references.extend


def _with_note(obj, note):
    made = obj.__reduce__()
    if note is None or type(made) is not tuple or len(made) > 2 and made[2] is not None:
        return made if type(made) is tuple else NotImplemented
    return references.shared, (made[0], made[1], note)


def load_sharing():
    return sys.modules["pandas._libs.internals"].BlockValuesRefs()


def load_shared(make, arguments, note):
    made = make(*arguments)
    if hasattr(made, "refs"):
        made.refs = note
        note.add_reference(made)
    else:
        made._references = note
        note.add_index_reference(made)
    return made
