"""Modules of the session's own, which no package has installed: their source is in the checkpoint, for where they are missing. And
modules that packages have as attributes because somebody imported them."""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

from .situation import modules
from .words import of_error

# A source that is larger is no module that somebody wrote in a session.
LARGEST = 4 << 20
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARY = os.path.dirname(os.__file__)
# Asked in the live process, where user code may have put something else in its place.
_getcwd = os.getcwd


def file_of(module, paths):
    """The source file of a module that is the session's own, or None: it is installed. `paths`: where Python was told to look before the
    session began; what it finds there is the session's own only below the working directory of this moment."""
    file = vars(module).get("__file__")
    if type(file) is not str or not file.endswith(".py"):
        return None
    directory = _directory()
    if not file.startswith(os.sep):
        file = f"{directory}{os.sep}{file}"
    if any(part in _INSTALLED for part in file.split(os.sep)):
        return None
    prefixes = [prefix for prefix in (sys.prefix, sys.base_prefix) if prefix != "/usr"]
    if _is_below(file, _LIBRARY, *prefixes):
        return None
    # Everything is below the root, which says nothing.
    if directory not in ("", os.sep) and _is_below(file, directory):
        return file
    return None if _is_below(file, *(path for path in paths if path != directory)) else file


def _is_below(file, *directories):
    return any(type(each) is str and each and file.startswith(each.rstrip(os.sep) + os.sep) for each in directories)


def _directory():
    try:
        return _getcwd()
    except OSError:
        return ""


def collect(local):
    """[{"name", "source", "file", "package"}] of these modules, name -> file, as far as they are loaded, and [{"name", "reason"}]."""
    found, lost = [], []
    for name, file in sorted(local.items()):
        if name not in sys.modules:
            continue
        try:
            source = _source(name, file)
            if len(source) > LARGEST:
                raise ValueError(f"it is larger than {LARGEST} bytes")
        except (OSError, ValueError) as error:
            reason = f"the source of this module of the session cannot be read: {error}"
            lost.append({"name": f"module {name}", "reason": reason})
            continue
        package = hasattr(sys.modules[name], "__path__")
        found.append({"name": name, "source": source, "file": file, "package": package})
    return found, lost


def _source(name, file):
    loader = getattr(sys.modules[name], "__loader__", None)
    if type(loader) is _Saved:
        return loader.get_source(name)
    with open(file, encoding="utf-8") as stream:
        return stream.read(LARGEST + 1)


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
        spec.has_location = True  # it says its `__file__`, and so is the session's own the next time, too
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
