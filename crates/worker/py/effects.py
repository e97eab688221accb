"""What happens at the end of a process must happen once: a fork that leaves must not do it for the other."""

import atexit
import sys
import weakref


def disown(namespace):
    """Leaves to the process that this one was forked from what that has registered for its end. Returns the names of
    the namespace with the ids of what they are bound to: this process does not end those."""
    atexit._clear()
    for finalizer in list(weakref.finalize._registry.values()):
        finalizer.atexit = False
    if weakref.finalize._registered_with_atexit:
        atexit.register(weakref.finalize._exitfunc)
    # What modules register for themselves stays of use.
    logging = sys.modules.get("logging")
    if logging is not None:
        atexit.register(logging.shutdown)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        atexit.register(util._exit_function)
    return {name: id(value) for name, value in namespace.items()}
