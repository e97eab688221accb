"""Modules that the session itself wrote and imported: their source is in the checkpoint, for where they are missing. And modules that
packages have as attributes because somebody imported them."""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec

from .situation import modules
from .words import of_error

# A source that is larger is no module that somebody wrote in a session.
LARGEST = 4 << 20


def collect(registry):
    """[{"name", "source", "file", "package"}] of every such module that is loaded, and [{"name", "reason"}]."""
    for name, _module in modules():
        registry.real_module(name)
    found, lost = [], []
    for name, file in sorted(registry.session_modules.items()):
        try:
            with open(file, encoding="utf-8") as stream:
                source = stream.read(LARGEST + 1)
            if len(source) > LARGEST:
                raise ValueError(f"it is larger than {LARGEST} bytes")
        except (OSError, ValueError) as error:
            reason = f"the source of this module of the session cannot be read: {error}"
            lost.append({"name": f"module {name}", "reason": reason})
            continue
        package = hasattr(sys.modules[name], "__path__")
        found.append({"name": name, "source": source, "file": file, "package": package})
    return found, lost


def submodules(bound):
    """{package: [name below it]} of what is loaded of the packages `bound`. `import a.b` binds `a` alone, which has `b` since then."""
    found, tops = {}, {name.partition(".")[0] for name in bound}
    # Those that were imported lazily are there when they are asked for.
    lazy = [(name, None) for name in sorted(getattr(sys, "lazy_modules", ()))]
    for name, module in (*modules(), *lazy):
        # What is private is the package's own business: to import it again may take long.
        if name.partition(".")[0] not in tops or "._" in name or module is not None and not _is_attribute(name, module):
            continue
        for package in bound:
            if name.startswith(package + "."):
                found.setdefault(package, []).append(name[len(package) + 1 :])
    return found


def _is_attribute(name, module):
    """Whether the package that a module is in has it."""
    above, _dot, last = name.rpartition(".")
    parent = getattr(sys.modules.get(above), "__dict__", None) if above else None
    # `os.path` and the like are the module's own doing.
    return type(parent) is dict and "__path__" in parent and parent.get(last) is module


def import_submodules(found, lost):
    """Imports those again that are not there, and that their packages would not import by themselves when they are asked for."""
    for package, names in found.items():
        try:
            importlib.import_module(package)
        except Exception:  # its name says why it is lost
            continue
        for name in sorted(names, key=lambda name: name.count(".")):
            above, _dot, last = f"{package}.{name}".rpartition(".")
            try:
                if f"{package}.{name}" not in sys.modules and last not in dir(importlib.import_module(above)):
                    importlib.import_module(f"{package}.{name}")
            except (Exception, SystemExit) as error:
                lost.append({"name": f"{package}.{name}", "reason": of_error(error, "it cannot be imported")})


class _Saved:
    """Finds modules in a checkpoint, after everything else that finds modules."""

    def __init__(self, modules, sources):
        self.modules, self.sources = modules, sources

    def find_spec(self, name, path=None, target=None):
        if name not in self.modules:
            return None
        spec = ModuleSpec(name, self, origin=self.modules[name]["file"], is_package=self.modules[name].get("package"))
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        entry = self.modules[module.__name__]
        if self.sources is not None:
            self.sources.add(entry["file"], entry["source"])
        exec(compile(entry["source"], entry["file"], "exec", dont_inherit=True), vars(module))

    def get_source(self, name):
        return self.modules[name]["source"]


def offer(modules, sources=None):
    """Makes the modules of a checkpoint importable where they are not. Importing stays for whoever needs them."""
    for finder in [one for one in sys.meta_path if type(one).__name__ == "_Saved" and hasattr(one, "modules")]:
        sys.meta_path.remove(finder)
    absent = {entry["name"]: entry for entry in modules if not _is_there(entry["name"])}
    if absent:
        sys.meta_path.append(_Saved(absent, sources))


def _is_there(name):
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
