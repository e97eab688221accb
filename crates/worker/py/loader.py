"""Loads the worker's modules from the zygote's channel, without a file on disk.

They see a private copy of `builtins`: user code may replace `builtins.len` and the worker still counts.
"""

import builtins
import json
import sys
from importlib.machinery import ModuleSpec

sources = json.loads(read(int(read(10))))  # noqa: F821 (given by the bootstrap)
private = dict(vars(builtins))
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
        exec(code, vars(module))


sys.meta_path.insert(0, Loader)
from _pyrepl3 import zygote  # noqa: E402

# `tasks` is loaded when a session first awaits, `keep` for its first checkpoint; until then their source is kept.
for name in list(sources):
    if name in sys.modules:
        del sources[name]
main = sys.modules["__main__"]
for name in list(vars(main)):
    if not name.startswith("__"):
        delattr(main, name)
zygote.main()
