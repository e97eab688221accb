"""CPython's own tests of the language and its library, as a session's code and in a process of their own: with the same outcomes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyrepl3 import Session

LIMIT = 600.0
"""Seconds for one group, on a machine that does much else."""
RUN = '''
def outcomes(names, file):
    import json, os, tempfile, unittest
    found = {}
    class Result(unittest.TestResult):
        def addSuccess(self, test): found[test.id()] = ["passed", ""]
        def addError(self, test, error): found[test.id()] = ["failed", self._exc_info_to_string(error, test)]
        addFailure = addError
        def addSkip(self, test, reason): found[test.id()] = ["skipped", reason]
        def addExpectedFailure(self, test, error): found[test.id()] = ["expected", ""]
        def addSubTest(self, test, subtest, error):
            if error is not None: self.addError(subtest, error)
    with tempfile.TemporaryDirectory() as place:
        before = os.getcwd()
        os.chdir(place)
        try:
            for name in names: unittest.defaultTestLoader.loadTestsFromName("test." + name).run(Result())
        finally:
            os.chdir(before)
    with open(file, "w") as stream: json.dump(found, stream)
'''
QUICK = "test_builtin test_code test_scope test_generators test_coroutines test_class test_raise test_with".split()
# With the Python that runs the tests.
OTHERS = (
    "test_compile test_syntax test_exceptions test_fstring test_patma test_super test_descr test_genexps test_asyncgen test_dict test_list "
    "test_set test_types test_enum test_functools test_dataclasses test_typing test_copy test_random test_contextlib test_contextlib_async "
    "test_context test_weakref test_gc test_atexit test_warnings test_traceback test_inspect test_sys test_sys_settrace test_sys_setprofile "
    "test_pdb test_doctest test_runpy test_threading test_signal test_subprocess test_io test_logging test_faulthandler"
).split()
# Otherwise in a session, and why.
OTHERWISE = {
    "test_input_no_stdout_fileno": "a process that user code forks asks nobody",
    "test_no_line_event_after_creating_generator": "C code traces past `sys.settrace`, which is a function of Python here",
}


def in_a_process(python: str, names: list[str], file: Path) -> None:
    code = f"{RUN}\noutcomes({names!r}, {str(file)!r})"
    subprocess.run([python, "-c", code], check=True, capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL)


async def in_a_session(python: str, names: list[str], file: Path) -> None:
    async with Session(python=python) as session:
        await session.execute(RUN)
        await session.execute(f"outcomes({names!r}, {str(file)!r})", timeout=LIMIT)


def compare(python: str, names: list[str], place: Path) -> None:
    has = subprocess.run([python, "-c", f"import test.{names[0]}"], capture_output=True, check=False)
    if has.returncode:
        pytest.skip("this Python came without its tests")
    plain, session = place / "plain", place / "session"
    in_a_process(python, names, plain)
    asyncio.run(in_a_session(python, names, session))
    expected, found = json.loads(plain.read_text()), json.loads(session.read_text())
    assert any(outcome == "passed" for outcome, _why in expected.values())
    assert found.keys() == expected.keys()
    for name, (outcome, _why) in expected.items():
        if not any(one in name for one in OTHERWISE):
            assert found[name][0] == outcome, f"{name}: {outcome}, and in a session {found[name][0]}:\n{found[name][1]}"


def test_the_language(python: str, tmp_path: Path) -> None:
    compare(python, QUICK, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", OTHERS)
def test_the_rest(name: str, tmp_path: Path) -> None:
    compare(sys.executable, [name], tmp_path)
