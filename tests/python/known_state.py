"""The state that the tests run in, whatever this process has inherited: from nohup, cron, a shell's `&`, a container.

`python known_state.py COMMAND…` runs any command so, as far as a command can be: `cargo xtask test` does. What is the
product's part, to work whatever *it* inherits, is tested on purpose: test_inheritance.py.
"""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PREFIXES = ("PYTHON", "LC_", "XDG_", "MPL", "CONDA", "PYREPL3_")
NAMES = ("LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV")
NAMES += ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
OURS = ("PYREPL3_BIN", "PYREPL3_HELPER", "PYREPL3_TEST_PYTHON", "PYREPL3_TEST_NEWEST", "PYREPL3_PYTHON")
OURS += ("PYREPL3_FAULTS_BIN", "PYREPL3_FAULT_SEEDS", "PYREPL3_FAULT_FIRST")
"""What is said to the tests themselves."""

LONGEST_TEMP = 40
"""Characters of a directory for temporary files in which a socket still has room for its name."""


def take(target: Path) -> Path:
    """Takes the known state. Returns a new directory for all temporary files; give it to `leave`."""
    if sys.flags.optimize:
        raise SystemExit("the tests are assertions, which PYTHONOPTIMIZE and -O leave out: run them without")
    if sys.getfilesystemencoding() != "utf-8":
        raise SystemExit("the tests need file names in UTF-8: run them with LC_ALL=C.UTF-8")
    _signals()
    os.umask(0o022)
    _limits()
    private = _environment(target)
    time.tzset()
    return private


def _signals() -> None:
    for number in signal.valid_signals():
        # Those two Python ignores by itself.
        if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _limits() -> None:
    wanted = {resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_STACK: 8 << 20, resource.RLIMIT_CORE: 0}
    for name in ("NOFILE", "STACK", "CORE", "NPROC", "FSIZE", "AS", "DATA", "CPU"):
        limit = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(limit)
        soft = wanted.get(limit, hard)
        resource.setrlimit(limit, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _environment(target: Path) -> Path:
    for name in ("PYREPL3_BIN", "PYREPL3_FAULTS_BIN"):
        if name in os.environ:
            os.environ[name] = os.path.abspath(os.environ[name])
    outer = tempfile.gettempdir()
    _clean_environment()
    private = Path(tempfile.mkdtemp(prefix="pyrepl3-tests-", dir=outer if len(outer) <= LONGEST_TEMP else "/tmp"))
    for name in ("tmp", "home", "cwd"):
        (private / name).mkdir()
    os.environ["HOME"] = str(private / "home")
    os.environ["TMPDIR"] = str(private / "tmp")
    # Kept from run to run: matplotlib takes long to look at all fonts.
    cache = target / "test-cache"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = private / "home" / ".cache"
    os.environ["XDG_CACHE_HOME"] = str(cache)
    tempfile.tempdir = None
    return private


def _clean_environment() -> None:
    for name in list(os.environ):
        if (name.startswith(PREFIXES) or name in NAMES) and name not in OURS:
            del os.environ[name]
    os.environ["LANG"] = "C.UTF-8"
    os.environ.setdefault("PATH", os.defpath)


def leave(private: Path) -> list[str]:
    """Deletes the directory. Returns what the tests have left in it, but for what pytest keeps there itself."""
    places = [private / "tmp", private / "cwd"]
    left = [str(path) for place in places for path in sorted(place.iterdir()) if not path.name.startswith("pytest-of-")]
    os.chdir("/")

    def again(function: Any, path: str, _: Any) -> None:
        # Tests make directories that cannot be written.
        os.chmod(os.path.dirname(path), stat.S_IRWXU)
        os.chmod(path, stat.S_IRWXU)
        function(path)

    shutil.rmtree(private, onerror=again)
    return left


def interpreters() -> dict[str, str]:
    """Each supported version of CPython that this machine has; at least the one that runs the tests."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in range(OLDEST, NEWEST + 1):
        version = f"3.{minor}"
        installed = sorted(PYENV.glob(f"versions/{version}.*/bin/python"))
        # What pyenv puts on the path is a script that may know of no such version.
        on_path = shutil.which(f"python{version}")
        if installed:
            found.setdefault(version, str(installed[-1]))
        elif on_path is not None and ".pyenv/shims" not in on_path:
            found.setdefault(version, on_path)
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


OLDEST, NEWEST = 10, int(os.environ.get("PYREPL3_TEST_NEWEST", "13"))
"""The minor versions of Python 3 that are taken."""


def _home() -> Path:
    # Before it is another one. A user that the system does not know has none.
    try:
        return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")


PYENV = Path(os.environ.get("PYENV_ROOT") or _home() / ".pyenv")


if __name__ == "__main__":
    _signals()
    os.umask(0o022)
    _limits()
    _clean_environment()
    os.execvp(sys.argv[1], sys.argv[1:])
