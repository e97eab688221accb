"""The words of a stream: what pickles of a checkpoint call when they are loaded.

A stream names these functions by module and name, as pickle does; none of them is ever called as it stands here. The
loader (load.py) puts a method of its own, which knows the session that is restored, in the place of each.
"""


def _word(name):
    def word(*_arguments):
        raise RuntimeError(f"{name} is a word of a checkpoint's stream: only its loader gives it a meaning")

    word.__name__ = word.__qualname__ = name
    word.__module__ = __name__
    return word


WORDS = (
    "unit",  # a definition, by key
    "member",  # an attribute of an importable module: (module, qualified name)
    "module",  # an importable module
    "code",  # a code object: marshalled, and where its source is
    "array",  # a numpy array over a buffer
    "permuted",  # a numpy array that owns its memory, its axes in an order of their own
    "view",  # a numpy array over the memory of another object
    "subclass",  # an instance of a subclass of numpy's arrays: a plain one, the class, its attributes
    "sharing",  # pandas' note of who shares a memory until it is written
    "shared",  # a block or an index of pandas, with that note
    "proxy",  # a read-only view of a mapping
    "wrapper",  # property, classmethod, staticmethod, cached_property
    "weak",  # a weak reference
    "dead",  # a weak reference whose object is gone
    "new",  # an instance, without a call of its class
    "adopt",  # the dict of an instance, which something else has as well
    "extend",  # what a library's class makes of its state, and the attributes beside it
    "field",  # what a field of a dataclass has: each version of Python has others
    "fill",  # the state of an instance, without a call of its __setattr__
    "contain",  # what is in a container of the session's class, past what that says of it
    "keys",  # a view of a dict: of its keys, values or items
    "lock",  # a lock that nobody holds: whether the one who holds it may take it again
    "local",  # values of one thread: those of the thread that runs executions
    "chain",  # the state of an exception, with its cause and its context
    "memory",  # a memoryview
    "parameters",  # of a dataclass: each version of Python has others
    "missing",  # a placeholder for what cannot be saved
    "file",  # an open file, as the context describes it
    "contents",  # the dict of a class
    "chained",  # an itertools.chain: what follows, and what it is in
    "cycling",  # an itertools.cycle: what it has gone through, and the rest
)
for _name in WORDS:
    globals()[_name] = _word(_name)


class Key:
    """Pickled as the unit that it names (`reducing`): for parts that pickle would not ask about in time."""

    def __init__(self, registry, obj, kind, name):
        self.key = registry.unit(obj, kind, name)

    def __reduce__(self):
        raise RuntimeError("a key is pickled by its registry's pickler only")


class ClassDict:
    """Pickled as the dict that a class has: pickle would make a copy of that."""

    def __init__(self, cls):
        self.cls = cls

    def __reduce__(self):
        raise RuntimeError("the dict of a class is pickled by a registry's pickler only")
