"""What happens at the end of a process must happen once: a branch that ends does not do it for its parent.

A branch keeps all that it has from its parent, exit functions and finalizers too. Only at its own end it leaves out
what was there before it began.
"""

import atexit
import functools
import sys
import weakref

_register, _unregister, _clear = atexit.register, atexit.unregister, atexit._clear
# Modules that register something for themselves, which is of use in every process.
_EVERYWHERE = ("logging", "multiprocessing.util", "weakref")


class Exits:
    """What is registered with `atexit`, which does not tell."""

    def __init__(self):
        self.entries = []  # (the line that it was registered in, function, arguments, keyword arguments)
        self.line = 0  # how many branchings this process comes from
        self.finalizers = 0  # in a branch: finalizers that were made before it have smaller numbers
        self.names = {}  # in a branch: its parent's names, with the ids of what they were bound to

    def install(self):
        @functools.wraps(_register)
        def register(func, /, *args, **kwargs):
            _register(func, *args, **kwargs)
            self.entries.append((self.line, func, args, kwargs))
            return func

        @functools.wraps(_unregister)
        def unregister(func, /):
            _unregister(func)
            self.entries = [entry for entry in self.entries if not entry[1] == func]

        @functools.wraps(_clear)
        def clear():
            _clear()
            self.entries = []

        atexit.register, atexit.unregister, atexit._clear = register, unregister, clear

    def begin_session(self):
        """In a session: what the zygote registered is not its own."""
        atexit._clear()
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False
        logging = sys.modules.get("logging")
        if logging is not None:
            atexit.register(logging.shutdown)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            atexit.register(util._exit_function)

    def begin_branch(self, namespace):
        self.line += 1
        self.finalizers = next(weakref.finalize._index_iter)
        self.names = {name: id(value) for name, value in namespace.items()}

    def run(self):
        """At the end of the process."""
        if self.line:
            _clear()
            for line, func, args, kwargs in self.entries:
                if line == self.line or getattr(func, "__module__", None) in _EVERYWHERE:
                    _register(func, *args, **kwargs)
            for finalizer in list(weakref.finalize._registry.values()):
                if finalizer.index < self.finalizers:
                    finalizer.atexit = False
        atexit._run_exitfuncs()

    def is_inherited(self, name, value):
        """Whether a name is bound as the parent had it: what that ends, a file, a buffer, a connection, is its."""
        return self.line > 0 and self.names.get(name) == id(value)
