"""A session that changed nothing has nothing to be kept, and nothing is named as lost."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import capture_of, steps

# What many programs import, and what imports set up by themselves.
LIBRARY = """
import argparse, asyncio, atexit, collections, concurrent.futures, contextvars, copy, csv, ctypes, dataclasses, datetime
import decimal, difflib, email.message, enum, fractions, functools, gettext, glob, hashlib, heapq, html.parser
import http.client, importlib.metadata, inspect, io, itertools, json, locale, logging.handlers, mimetypes
import multiprocessing, operator, os, pathlib, pickle, platform, pprint, queue, re, sched, secrets, shelve, shutil
import signal, socket, socketserver, sqlite3, ssl, statistics, string, struct, subprocess, sysconfig, tarfile, tempfile
import textwrap, threading, time, tokenize, traceback, types, typing, unittest.mock, urllib.request, uuid, warnings
import weakref, xml.etree.ElementTree, zipfile, zoneinfo
"""
USE = """
json.dumps([1]); tempfile.gettempdir(); mimetypes.guess_type("a.txt"); uuid.uuid4(); locale.getlocale()
re.compile("a"); sysconfig.get_config_vars(); platform.platform(); decimal.Decimal(1)
logging.getLogger("quiet").debug("x"); subprocess.run(["true"]); list(csv.reader(["a,b"]))
with unittest.mock.patch("json.dumps"): json.dumps(1)
with warnings.catch_warnings(): warnings.simplefilter("ignore")
with decimal.localcontext() as local: local.prec = 3
with open("/dev/null") as file: file.read()
async def nothing(): await asyncio.sleep(0)
asyncio.run(nothing())
sqlite3.connect(":memory:").close()
with concurrent.futures.ThreadPoolExecutor(1) as pool: pool.submit(len, "a").result()
"""


def test_nothing(python: str) -> None:
    items, lost = capture_of(python, "x = 1")
    assert (items, lost) == ([], {})


def changes_in(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what counts by being used at all: random state, warnings once seen, and the machine's table of MIME types once read."""
    read = {"kind": "registry", "of": "mimetypes.add_type", "entries": [], "gone": []}
    return [item for item in items if item["kind"] not in ("random", "warnings") and item != read]


def test_imports(python: str) -> None:
    items, lost = capture_of(python, LIBRARY, USE)
    assert (changes_in(items), lost) == ([], {})


def test_restoring_nothing_changes_nothing(python: str) -> None:
    restored = steps(python, ["restore", []], ["capture"])
    assert restored == [[], [[], []]]
    restored = steps(python, ["run", LIBRARY + USE], ["restore", []], ["capture"])
    assert restored[1] == []
    assert changes_in(restored[2][0]) == [] and restored[2][1] == []


def test_the_workers_own_replacements(python: str) -> None:
    """What the worker puts in place of functions of Python's is not the session's doing, and stays when that is undone."""
    use = "import os, builtins, atexit, inspect, getpass, sys; x = 1"
    results = steps(python, ["run", LIBRARY], ["run", use], ["capture"], ["restore", []], ["capture"], preload=("worker",))
    for items, lost in (results[2], results[4]):
        assert (changes_in(items), lost) == ([], [])
    assert results[3] == []
    check = "import signal; assert all('_pyrepl3' in f.__globals__['__name__'] for f in (os.waitpid, os.system, builtins.input, getpass.getpass, inspect.getfile, atexit.register, sys.excepthook))"
    changes = "os.system = 5; builtins.input = 6; atexit.register = 7; signal.signal(signal.SIGCHLD, lambda *a: None)"
    steps(python, ["run", "import signal; " + use], ["run", check], ["run", changes], ["restore", []], ["run", check], preload=("worker",))


@pytest.mark.parametrize("preload", [(), ("numpy", "pandas", "matplotlib.pyplot"), ("worker",)])
def test_libraries(preload: tuple[str, ...]) -> None:
    import sys

    for name in ("numpy", "pandas", "matplotlib"):
        pytest.importorskip(name)
    code = """
import numpy as np, pandas as pd, matplotlib.pyplot as plt
df = pd.DataFrame({"a": [1, 2]}); df.describe(); np.linalg.inv(np.eye(2)); plt.figure(); plt.plot([1]); plt.close()
df.name = 1
"""
    items, lost = capture_of(sys.executable, code, "x = df.a.sum()", preload=preload)
    kinds = [item for item in items if item["kind"] not in ("random", "warnings") and item.get("what") != "random"]
    assert (kinds, lost) == ([], {})
