"""Loads the worker's modules from the zygote's channel, without a file on disk.

They see a private copy of `builtins`: user code may replace `builtins.len` and the worker still counts.
"""

import builtins
import json
import sys
from importlib.machinery import ModuleSpec

sources = json.loads(read(int(read(10))))  # noqa: F821 (given by the bootstrap)
private = dict(vars(builtins))
loaded, standard = {}, {}
packages = {name.rpartition(".")[0] for name in sources}


class Loader:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in sources:
            return ModuleSpec(name, Loader, origin="<pyrepl3>", is_package=name in packages)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__
        file = "<pyrepl3>/%s.py" % name.rpartition(".")[2]
        code = compile(sources[name], file, "exec", dont_inherit=True)
        vars(module)["__builtins__"] = private
        loaded[name] = module
        exec(code, vars(module))


def import_(name, globals=None, locals=None, fromlist=(), level=0, original=builtins.__import__):
    """For the worker's modules. User code may have emptied `sys.modules`, or taken out of `sys.meta_path` what finds them."""
    if level or name.partition(".")[0] == "_pyrepl3":
        for each, module in loaded.items():
            if sys.modules.get(each) is not module:
                sys.modules[each] = module
        if "builtins" not in sys.modules:
            # Not even Python's own modules can be imported without it.
            for each, module in standard.items():
                sys.modules.setdefault(each, module)
        if Loader not in sys.meta_path:
            sys.meta_path.insert(0, Loader)
    return original(name, globals, locals, fromlist, level)


private["__import__"] = import_
sys.meta_path.insert(0, Loader)
from _pyrepl3 import zygote  # noqa: E402

standard = dict(sys.modules)

# `tasks` is loaded when a session first awaits, `keep` for its first checkpoint; until then their source is kept.
for name in list(sources):
    if name in sys.modules:
        del sources[name]
main = sys.modules["__main__"]
for name in list(vars(main)):
    if not name.startswith("__"):
        delattr(main, name)
zygote.main()
