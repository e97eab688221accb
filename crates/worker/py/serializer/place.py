"""What a library keeps for all of the process, and a session can change by a call."""

import importlib
import importlib.util
import sys


class Place:
    """One place of one module. `now` and `usual` give dicts: what it holds, and what it would hold by itself."""

    label = module = ""
    ready = "__name__"  # the attribute that is there when the module's import has ended
    # Whether it counts although nothing was changed.
    always = False

    def now(self, module):
        raise NotImplementedError

    def captured(self, module, options):
        """What it holds, where that takes a look at the session (`situation.Options`)."""
        return self.now(module)

    def usual(self, module):
        return {}

    def put(self, module, key, value):
        self.now(module)[key] = value

    def remove(self, module, key):
        del self.now(module)[key]

    def loaded(self):
        module = sys.modules.get(self.module)
        return module if module is not None and hasattr(module, self.ready) else None

    def imported(self):
        return importlib.import_module(self.module)


def pristine(module):
    """A copy of a module of Python's own as its source makes it: what its tables hold by themselves."""
    spec = importlib.util.find_spec(module.__name__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return vars(copy)
