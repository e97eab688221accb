"""What a session found when it began: whatever differs from it is the session's doing.

`take` runs once in the zygote, after the worker has put its own replacements in place; `session_started` once in the
session, where only what the worker has changed since is read again: it is part of every session's start. What a pool's
warm-up code does in between counts as the session's doing, so that a restore elsewhere has it, too. Modules that are
imported later are noted by `note_modules`, which the worker calls before each execution.
"""

import os
import sys
import time

from . import environment, interpreter, logs, open_files, session_modules, settings, signals, situation
from .prints import Prints, print_of

_len, _type, _id, _Module = len, type, id, type(sys)
# By id: a metaclass of the user's may have a hash of its own.
CONTAINERS = frozenset(map(id, (dict, list, set)))
_main = sys.modules["__main__"]
# Attributes that the worker sets after `take`.
_SET_BY_WORKER = (("builtins", "input"), ("getpass", "getpass"))


class Baseline:
    def __init__(self):
        self.modules = {}  # name -> (module, a copy of its dict)
        self.later = {}  # the same for modules that were imported in the session
        self.local = {}  # name -> file of those of the latter that are the session's own
        self.gone = []  # modules whose names are other modules' by now
        self.containers = {}  # name -> its attributes that are dicts, lists or sets, the private ones left out
        self.odd = []  # names of modules that came from no import, made by compiled code or by the session
        self._prints, self._names = Prints(), []  # of the dicts of the former two
        self._looked = None
        self.settings = {}
        self.environ, self.cwd, self.path, self.argv = {}, None, [], []
        self.descriptors = {}  # descriptor -> (device, inode)
        self.streams, self.hooks = {}, frozenset()
        self.handlers, self.filters, self.loggers = {}, [], {}
        self.reducers, self.collector_hooks = {}, ()
        self.stale = frozenset()  # context variables of what the session was before it was restored
        self._count = self._last = self._table = None

    def session_started(self):
        """In the session, when the worker has prepared it and before user code runs."""
        # So that keys of objects in one session's checkpoints are not those of another's.
        situation.begin_session(f"{os.getpid():x}.{time.time_ns():x}")
        for name, attribute in _SET_BY_WORKER:
            if name in self.modules:
                module, noted = self.modules[name]
                noted[attribute] = vars(module)[attribute]
                self._prints.renew(self._names.index(name), vars(module))
        settings.note_again(self.settings)
        environment.note(self)
        interpreter.note_again(self)
        signals.note(self)
        self.descriptors = open_files.listed()
        self._seen()
        return self

    def note_modules(self):
        """Notes modules that were imported since the last call. Cheap where there are none."""
        if _len(sys.modules) == self._count and next(reversed(sys.modules), None) == self._last:
            return
        self.odd = []
        for name, module in situation.modules():
            if name in self.modules or name in self.later and self.later[name][0] is module or not _is_module(name, module):
                continue
            if vars(module).get("__spec__") is None:
                self.odd.append(name)
                continue
            # What prints are of must stay.
            if name in self.later:
                self.gone.append(self.later[name])
            self._note(self.later, name, module)
            file = session_modules.file_of(module, self.path)
            if file is not None:
                self.local[name] = file
        self._seen()

    def _note(self, known, name, module):
        noted = vars(module).copy()
        known[name] = (module, noted)
        # To look for them in a saver would write to all that modules hold.
        self.containers[name] = [
            attribute
            for attribute, value in noted.items()
            if _id(_type(value)) in CONTAINERS and _type(attribute) is str and attribute[:1] != "_"
        ]
        self._prints.add(vars(module))
        self._names.append(name)

    def _seen(self):
        self._count, self._last = _len(sys.modules), next(reversed(sys.modules), None)
        self._table = print_of(sys.modules)

    def unnoted(self):
        """Names in `sys.modules` that are not noted: of the last execution's imports, and odd ones."""
        if print_of(sys.modules) == self._table:
            return list(self.odd)
        return [
            name
            for name, module in situation.modules()
            if name not in self.modules
            and (name not in self.later or self.later[name][0] is not module)
            # To look at all that the worker consists of took longer than all other context together.
            and not name.startswith("_pyrepl3")
        ]

    def noted(self, name):
        """The module of this name as it was when it was noted; None where it was not."""
        found = self.later.get(name) or self.modules.get(name)
        return None if found is None else found[0]

    def changed_modules(self):
        """(name, module, its dict as it was noted) for each module whose dict is not as it was."""
        found = []
        for at in self._prints.changed():
            name = self._names[at]
            module, before = self.modules.get(name) or self.later[name]
            if not _same(vars(module), before):
                found.append((name, module, before))
        return found

    def look(self, again=False):
        """In the saver: the same for `originals` and for `capture`, which look at one state of one process."""
        if again or self._looked is None or self._looked[0] != os.getpid():
            self._looked = os.getpid(), self.changed_modules()
        return self._looked[1]


def take():
    """The baseline of a zygote. The worker's own replacements must be in place."""
    baseline = Baseline()
    baseline.settings = settings.read_all()
    interpreter.note(baseline)
    logs.note(baseline)
    for name, module in situation.modules():
        if _is_module(name, module):
            baseline._note(baseline.modules, name, module)
    return baseline


def _is_module(name, module):
    # `__main__` has another name, too, once multiprocessing is imported.
    if name == "__main__" or name.startswith("_pyrepl3"):
        return False
    return issubclass(_type(module), _Module) and module is not _main


def _same(now, before):
    return _len(now) == _len(before) and all(
        key in before and before[key] is value for key, value in list(now.items())
    )
