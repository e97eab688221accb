"""Open files: as variables by `describe_file`, as descriptors by the list of what is open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .harness import named, steps

LINES = "".join(f"line {n} ä\\n" for n in range(3000))

# name: (how it is opened and used, what must hold in the process that it was restored in)
FILES = {
    "text_reader": (
        "f = open(PATH, encoding='utf-8'); f.readline(); f.read(3)",
        "assert f.readline() == 'e 1 ä\\n' and f.name == PATH and f.mode == 'r'",
    ),
    "text_reader_in_a_loop": (
        "f = open(PATH, encoding='utf-8')\nfor line in f:\n    if line.startswith('line 70 '): break",
        "assert next(f) == 'line 71 ä\\n'",
    ),
    "binary_reader": (
        "f = open(PATH, 'rb'); f.seek(100); f.read(10); f.peek()",
        "assert f.tell() == 110 and type(f).__name__ == 'BufferedReader' and f.read(5) == open(PATH, 'rb').read()[110:115]",
    ),
    "raw": ("f = open(PATH, 'rb', buffering=0); f.read(7)", "assert f.tell() == 7 and type(f).__name__ == 'FileIO'"),
    "writer_unflushed": (
        "f = open(PATH, 'w', encoding='utf-8'); f.write('flushed '); f.flush(); f.write('buffered ä')",
        """
assert open(PATH, encoding='utf-8').read() == 'flushed ' and f.tell() == 19
f.write('!'); f.close(); assert open(PATH, encoding='utf-8').read() == 'flushed buffered ä!'
""",
    ),
    "binary_writer": (
        "f = open(PATH, 'wb'); f.write(b'abc'); f.flush(); f.write(b'de'); f.seek(1); f.write(b'X')",
        "f.close(); assert open(PATH, 'rb').read() == b'aXcde'",
    ),
    "appender": (
        "f = open(PATH, 'a'); f.write('last')",
        "assert not open(PATH).read().endswith('last'); f.write('!'); f.close(); assert open(PATH).read().endswith('ä\\nlast!')",
    ),
    "reader_and_writer": (
        "f = open(PATH, 'r+b'); f.read(10); f.seek(4); f.write(b'ZZ')",
        "assert f.tell() == 6; f.close(); data = open(PATH, 'rb').read(); assert data[:8] == b'lineZZ \\xc3' and len(data) > 30000",
    ),
    "closed": ("f = open(PATH); f.close()", "assert f.closed and f.name == PATH and f.mode == 'r'"),
    "exclusive": ("import os; os.unlink(PATH); f = open(PATH, 'x'); f.write('a')", "f.write('b'); f.close(); assert open(PATH).read() == 'ab'"),
    "newlines": (
        "f = open(PATH, newline=''); f.read(2); g = open(PATH, newline='\\r\\n'); h = open(PATH + '2', 'w', newline='\\r\\n')",
        """
h.write('a\\n'); h.close(); assert open(PATH + '2', 'rb').read() == b'a\\r\\n'
from _pyrepl3.serializer.open_files import describe_file
assert describe_file(f)['newline'] == '' and describe_file(g)['newline'] == '\\r\\n'
""",
    ),
    "encoding": (
        "f = open(PATH, 'w', encoding='utf-16'); f.write('ä'); f.flush(); g = open(PATH, encoding='utf-16', errors='replace'); g.read(0)",
        "f.write('b'); f.close(); assert g.errors == 'replace' and g.read() == 'äb'",
    ),
    "written_since": (
        "f = open(PATH, 'w'); f.write('once')",
        "f.close(); assert open(PATH).read() == 'once'",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_variable(name: str, python: str, tmp_path: Path) -> None:
    opened, check = FILES[name]
    path = tmp_path / "file"
    path.write_text("".join(f"line {n} ä\n" for n in range(3000)), encoding="utf-8")
    begin = f"PATH = {str(path)!r}"
    todo = [["run", begin], ["run", opened], ["save", [each for each in "fgh" if f"{each} = " in opened]]]
    if name == "written_since":
        todo.append(["run", "f.flush()"])
    kept, lost, items, lost_context = steps(python, *todo)[2]
    assert (lost, items, lost_context) == ({}, [], [])
    results = steps(python, ["run", begin], ["load", kept], ["run", check])
    assert len(results) == 3


def test_the_live_process_goes_on(python: str, tmp_path: Path) -> None:
    """To describe a file moves no position and writes nothing in the process that goes on."""
    path = tmp_path / "file"
    path.write_text("".join(f"{n}\n" for n in range(10000)))
    code = f"""
PATH = {str(path)!r}
reader = open(PATH); lines = iter(reader); first = [next(lines) for _ in range(5)]
writer = open(PATH + "w", "w"); writer.write("a")
both = open(PATH, "r+b"); both.read(5); both.seek(2); both.write(b"#")
"""
    check = """
assert [next(lines) for _ in range(3000)][-1] == "3004\\n"
assert open(PATH + "w").read() == "" and open(PATH).read(3) == "0\\n1"
writer.write("b"); writer.close(); assert open(PATH + "w").read() == "ab"
assert both.read(3) == b"\\n2\\n"
"""
    results = steps(python, ["run", code], ["save", ["reader", "writer", "both"]], ["run", check])
    assert sorted(results[1][0]) == ["both", "reader", "writer"]


LOST = {
    "gone": ("f = open(PATH + 'x', 'w'); import os; os.unlink(PATH + 'x')", "no name any more"),
    "temporary": ("import tempfile; f = tempfile.TemporaryFile(); f.write(b'x')", "no name any more"),
    "device": ("f = open('/dev/null')", "no regular file"),
    "pipe": ("import os; r, w = os.pipe(); f = open(r)", "no regular file"),
    "within": ("import gzip, io; gzip.open(PATH + 'z', 'w').close(); f = io.TextIOWrapper(gzip.open(PATH + 'z'))", "GzipFile"),
    "standard": ("import sys; f = sys.__stdout__", "standard stream"),
}


@pytest.mark.parametrize("name", LOST)
def test_lost(name: str, python: str, tmp_path: Path) -> None:
    opened, reason = LOST[name]
    _kept, lost, _items, _lost = steps(python, ["run", f"PATH = {str(tmp_path / 'file')!r}"], ["run", opened], ["save", ["f"]])[2]
    assert reason in lost["f"]


def test_file_is_gone_or_shorter(python: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x" * 100)
    code = f"f = open({str(path)!r}); f.read(50); import os; fd = os.open({str(path)!r}, os.O_RDONLY); os.read(fd, 60)"
    kept, _lost, items, _lost_context = steps(python, ["run", code], ["save", ["f"]])[1]
    assert [item["kind"] for item in items] == ["file"]
    path.write_text("x")
    code = "try: LOAD()\nexcept OSError as e: print(e)"
    for reason in ("shorter", "no file"):
        told = named(steps(python, ["restore", items])[0])
        assert [reason in text for text in told.values()] == [True] and re.match(r"fd \d+ \(", next(iter(told)))
        path.unlink(missing_ok=True)
    assert kept


def test_descriptor(python: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    code = f"""
import os, fcntl
fd = os.open({str(path)!r}, os.O_RDWR); os.lseek(fd, 17, 0); os.set_inheritable(fd, True)
fcntl.lockf(fd, fcntl.LOCK_EX)
"""
    items, lost = steps(python, ["run", code], ["capture"])[1]
    # A library may have taken 3: libffi keeps its own file open once it has made a callback.
    (fd,) = [item["fd"] for item in items]
    assert named(lost) == {f"lock on {path}": "a lock ends with the process that took it: take it again"}
    check = f"import os; assert os.read({fd}, 2) == bytes([17, 18]) and os.get_inheritable({fd}) and os.write({fd}, b'x') == 1"
    results: list[Any] = steps(python, ["restore", items], ["run", check])
    assert results[0] == []
    taken = steps(python, ["run", "keep = open('/dev/null')"], ["restore", items])[1]
    assert "in use for another file" in taken[0]["reason"]
