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
        if sys.gettrace() is not None or sys.getprofile() is not None:
            return False
        return builtins.__import__ is self._import and sys.meta_path == self._finders
