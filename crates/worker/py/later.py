"""What checkpoints need, loaded when there is nothing else to do: to compile it takes longer than a small checkpoint.

The zygote does so when nobody has asked for a session for a moment. A session that was forked before that has to do it
in each of its savers, which are thrown away; so once it has been saved, its worker loads what will be needed again.
"""

import builtins
import importlib
import sys

NEEDED = ("_pyrepl3.serializer.transport", "_pyrepl3.serializer.save", "_pyrepl3.serializer.load", "_pyrepl3.serializer.context")
# For how long nothing must have been asked, in milliseconds.
IDLE = 20


class Later:
    def __init__(self):
        self._left = list(NEEDED)
        self._import, self._finders = builtins.__import__, list(sys.meta_path)

    def __bool__(self):
        return bool(self._left)

    def load_next(self):
        if not self._is_unwatched():
            self._left.clear()
            return
        try:
            importlib.import_module(self._left.pop(0))
        except Exception:  # nobody is worse off: a saver meets the same, and says so
            self._left.clear()

    def _is_unwatched(self):
        """Whether no user code would see it."""
        if sys.gettrace() is not None or sys.getprofile() is not None or builtins.__import__ is not self._import:
            return False
        # Libraries have finders of their own (six has one): behind those that were there, or asked of what is no user code's.
        added = [finder for finder in sys.meta_path if not any(finder is one for one in self._finders)]
        return sys.meta_path[:1] == self._finders[:1] and not any(map(_is_of_main, added))


def _is_of_main(finder):
    return getattr(finder if isinstance(finder, type) else type(finder), "__module__", "__main__") == "__main__"
