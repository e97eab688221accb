"""Connections to sqlite: databases in memory, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import named, steps

CASES = {
    "memory": (
        """
c = sqlite3.connect(":memory:"); c.execute("CREATE TABLE t (a, b)"); c.executemany("INSERT INTO t VALUES (?, ?)", [(i, str(i)) for i in range(1000)])
c.commit(); c.row_factory = sqlite3.Row; c.execute("PRAGMA foreign_keys = ON")
""",
        """
assert c.execute("SELECT sum(a) AS s FROM t").fetchone()["s"] == 499500 and c.execute("PRAGMA foreign_keys").fetchone()[0] == 1
c.execute("INSERT INTO t VALUES (1, 2)"); assert c.in_transaction; c.rollback()
assert c.execute("SELECT count(*) FROM t").fetchone()[0] == 1000
""",
        {},
    ),
    "empty": ("c = sqlite3.connect(':memory:')", "c.execute('CREATE TABLE t (a)')", {}),
    "settings": (
        "c = sqlite3.connect(':memory:', isolation_level=None, detect_types=sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES); c.text_factory = bytes; c.execute('CREATE TABLE t (d MINE, s TEXT)'); c.execute('INSERT INTO t VALUES (1, 2)')",
        """
sqlite3.register_converter("MINE", lambda b: b + b"!")
assert c.isolation_level is None and c.execute("SELECT d, s FROM t").fetchall() == [(b"1!", b"2")]
assert c.execute('SELECT 5 AS "x [mine]"').fetchone() == (b"5!",)
""",
        {},
    ),
    "row_factory_of_the_session": (
        "c = sqlite3.connect(':memory:'); c.row_factory = lambda cursor, row: list(row)",
        "assert c.execute('SELECT 1, 2').fetchall() == [[1, 2]]",
        {},
    ),
    "transaction": (
        "c = sqlite3.connect(':memory:'); c.execute('CREATE TABLE t (a)'); c.commit(); c.execute('INSERT INTO t VALUES (5)')",
        "assert c.execute('SELECT a FROM t').fetchall() == [(5,)]",
        {"sqlite :memory: (transaction)": "cannot be rolled back"},
    ),
    "function": (
        "c = sqlite3.connect(':memory:'); c.create_function('twice', 1, lambda x: 2 * x)",
        "assert c.execute('SELECT 1').fetchone() == (1,)",
        {"sqlite :memory: (function twice)": "made again"},
    ),
    "file": (
        "c = sqlite3.connect(PATH); c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (7)'); c.commit()",
        "assert c.execute('SELECT a FROM t').fetchall() == [(7,)]",
        {},
    ),
    "file_with_transaction": (
        "c = sqlite3.connect(PATH); c.execute('CREATE TABLE t (a)'); c.commit(); c.execute('INSERT INTO t VALUES (7)')",
        "assert c.execute('SELECT a FROM t').fetchall() == []",
        {"sqlite PATH (transaction)": "not committed"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_connection(name: str, python: str, tmp_path: Path) -> None:
    made, check, expected = CASES[name]
    path = str(tmp_path / "database")
    begin = ["run", f"import sqlite3; PATH = {path!r}"]
    kept, lost, _items, lost_context = steps(python, begin, ["run", made], ["save", ["c"]])[2]
    assert lost == {}
    found = {each: reason for each, reason in named(lost_context).items() if each.startswith("sqlite ")}
    assert list(found) == [each.replace("PATH", path) for each in expected]
    assert all(part in reason for part, reason in zip(expected.values(), found.values()))
    steps(python, begin, ["load", kept], ["run", check])


def test_the_live_connection_goes_on(python: str, tmp_path: Path) -> None:
    code = f"""
import sqlite3
c = sqlite3.connect({str(tmp_path / "d")!r}); c.execute("CREATE TABLE t (a)"); c.execute("INSERT INTO t VALUES (1)")
m = sqlite3.connect(":memory:"); m.execute("CREATE TABLE t (a)"); m.execute("INSERT INTO t VALUES (1)")
"""
    check = """
assert c.in_transaction and m.in_transaction
c.commit(); m.rollback()
assert c.execute("SELECT count(*) FROM t").fetchone() == (1,) and m.execute("SELECT count(*) FROM t").fetchone() == (0,)
"""
    assert not steps(python, ["run", code], ["save", ["c", "m"]], ["run", check])[1][1]


def test_lost(python: str, tmp_path: Path) -> None:
    path = tmp_path / "d"
    code = f"import sqlite3; c = sqlite3.connect({str(path)!r}); cursor = c.cursor()"
    kept, lost, _items, _lost = steps(python, ["run", code], ["save", ["c", "cursor"]])[1]
    assert "run its query again" in lost["cursor"]
    path.unlink()
    with pytest.raises(AssertionError, match="there is no database"):
        steps(python, ["load", {"c": kept["c"]}])
