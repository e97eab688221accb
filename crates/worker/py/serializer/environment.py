"""What a process is given by who starts it: working directory, environment, arguments, and where modules are found."""

import os
import sys
import time

from .situation import text, untext


def note(baseline):
    # As the bytes that it consists of: to make strings of them takes longer than all else here.
    baseline.environ = dict(os.environ._data)
    baseline.path, baseline.argv = list(sys.path), list(getattr(sys, "argv", ()))
    baseline.cwd = _directory()


def _directory():
    try:
        return os.getcwd()
    except OSError:
        return None


def capture_directory(here):
    directory = _directory()
    if directory is None:
        here.lose("working directory", "it has been deleted")
    elif directory != here.baseline.cwd:
        yield {"path": text(directory)}


def restore_directory(items, here):
    wanted = here.baseline.cwd
    for item in items:
        wanted = untext(item["path"])
    if wanted is not None and wanted != _directory():
        try:
            os.chdir(wanted)
        except OSError as error:
            here.lose("working directory", f"{wanted}: {error.strerror}")


def _environ(baseline):
    return {os.environ.decodekey(name): os.environ.decodevalue(value) for name, value in baseline.environ.items()}


def capture_environment(here):
    if here.baseline.environ == os.environ._data:
        return
    before, now = _environ(here.baseline), dict(os.environ)
    if now != before:
        changed = [[text(name), text(value)] for name, value in now.items() if before.get(name) != value]
        yield {"set": changed, "unset": [text(name) for name in before if name not in now]}


def restore_environment(items, here):
    wanted = _environ(here.baseline)
    for item in items:
        for name in item["unset"]:
            wanted.pop(untext(name), None)
        for pair in item["set"]:
            name, value = pair
            here.attempt(f"environment variable {name}", _want, wanted, name, value)
    zone = os.environ.get("TZ")
    for name in list(os.environ):
        if name not in wanted:
            here.attempt(f"environment variable {name}", os.environ.pop, name)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            here.attempt(f"environment variable {name}", os.environ.__setitem__, name, value)
    if os.environ.get("TZ") != zone:
        time.tzset()


def _want(wanted, name, value):
    wanted[untext(name)] = untext(value)


def capture_path(here):
    path = list(sys.path)
    if path != here.baseline.path:
        yield {"path": _texts(path, "sys.path", here), "base": _texts(here.baseline.path, "sys.path", here)}


def _texts(values, name, here):
    found = []
    for value in values:
        if type(value) is str:
            found.append(text(value))
        else:
            here.lose(name, f"an entry of it is a {type(value).__name__}, no str")
    return found


def restore_path(items, here):
    wanted = here.baseline.path
    for item in items:
        saved, base = [untext(each) for each in item["path"]], [untext(each) for each in item["base"]]
        wanted = saved if base == wanted else _merged(saved, base, wanted)
    if list(sys.path) != wanted:
        sys.path[:] = wanted


def _merged(saved, base, mine):
    """The session's own entries around the entries of this interpreter, which are not those of the other one."""
    gone = set(base) - set(saved)
    first = next((at for at, entry in enumerate(saved) if entry in base), len(saved))
    front = saved[:first]
    back = [entry for entry in saved[first:] if entry not in base]
    return front + [entry for entry in mine if entry not in gone] + back


def capture_arguments(here):
    argv = getattr(sys, "argv", None)
    if type(argv) is not list:
        here.lose("sys.argv", "it is no list any more")
    elif argv != here.baseline.argv:
        yield {"argv": _texts(argv, "sys.argv", here)}


def restore_arguments(items, here):
    wanted = here.baseline.argv
    for item in items:
        wanted = [untext(each) for each in item["argv"]]
    if getattr(sys, "argv", None) != wanted:
        sys.argv = list(wanted)
