"""Connections to sqlite: databases in memory with all that is in them, others by their path."""

import os
import pickle
import sys

# What could not be kept of a connection that was: pairs of a name and a reason, for `capture`.
_notes = {}
_described = {}
_LEVELS = ("", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", "NONE")


def reducers():
    sqlite3 = sys.modules.get("sqlite3")
    connection, cursor = getattr(sqlite3, "Connection", None), getattr(sqlite3, "Cursor", None)
    if connection is None or cursor is None:
        return {}
    return {connection: _reduce, cursor: _refuse, sqlite3.Row: _reduce_row}


def _reduce_row(row):
    return _make_row, (tuple(row.keys()), tuple(row))


def _make_row(names, values):
    """A row has its names from the cursor of a query."""
    import sqlite3

    database = sqlite3.connect(":memory:")
    try:
        quoted = (name.replace('"', '""') for name in names)
        cursor = database.execute("SELECT " + ", ".join(f'1 AS "{name}"' for name in quoted))
        return sqlite3.Row(cursor, values)
    finally:
        database.close()


def _refuse(_cursor):
    raise pickle.PicklingError("a sqlite cursor cannot be saved: run its query again")


def capture(here):
    """Only names: the connections themselves are variables."""
    for name, reason in _notes.items():
        here.lose(name, reason)
    return ()


def _reduce(connection):
    # Once for each, since looking changes things here: this process is the saver.
    known = _described.get(id(connection))
    if known is None or known[0] is not connection:
        known = _described[id(connection)] = connection, _describe(connection)
    return _open, known[1]


def _describe(connection):
    import sqlite3

    databases = [(row[1], row[2]) for row in _rows(connection, "PRAGMA database_list") if row[1] != "temp"]
    # One that was put into memory as a whole has a name that is no path.
    databases = [(name, path if os.path.isabs(path or "") else "") for name, path in databases]
    contents, main = [], dict(databases).get("main")
    label = f"sqlite {main or ':memory:'}"
    if connection.in_transaction:
        _notes[f"{label} (transaction)"] = (
            "its open transaction is saved as it is; it cannot be rolled back after a restore"
            if not main
            else "what was not committed in its open transaction is not in the checkpoint"
        )
    for name, path in databases:
        if path:
            contents.append((name, path, None))
        else:
            contents.append((name, "", _serialize(sqlite3, connection, name)))
    if _rows(connection, "SELECT 1 FROM sqlite_temp_master LIMIT 1"):
        _notes[f"{label} (temporary tables)"] = "temporary tables are not kept"
    for function in _own_functions(sqlite3, connection):
        _notes[f"{label} (function {function})"] = "a function made with create_function must be made again"
    settings = {
        "isolation_level": connection.isolation_level,
        "row_factory": connection.row_factory,
        "text_factory": connection.text_factory,
        "detect_types": _detect_types(sqlite3, connection),
        "foreign_keys": _rows(connection, "PRAGMA foreign_keys")[0][0],
    }
    if hasattr(connection, "autocommit"):
        settings["autocommit"] = connection.autocommit
    return contents, settings


def _rows(connection, statement):
    """By a plain cursor: the connection's factories are the user's."""
    import sqlite3

    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    factory, connection.text_factory = connection.text_factory, str
    try:
        return cursor.execute(statement).fetchall()
    finally:
        connection.text_factory = factory
        cursor.close()


def _serialize(sqlite3, connection, name):
    if not _rows(connection, f"PRAGMA {_quoted(name)}.page_count")[0][0]:
        return b""
    if hasattr(connection, "serialize"):
        return connection.serialize(name=name)
    if connection.in_transaction:
        # A backup would wait for its end for ever. In the saver it can be ended, as long as no file is written to.
        if any(path for _number, _name, path in _rows(connection, "PRAGMA database_list")):
            raise pickle.PicklingError("it has an open transaction, and a database in memory beside one in a file")
        connection.commit()
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "copy")
        copy = sqlite3.connect(path)
        connection.backup(copy, name=name)
        copy.close()
        with open(path, "rb") as file:
            return file.read()


def _own_functions(sqlite3, connection):
    try:
        mine = {row[0] for row in _rows(connection, "PRAGMA function_list")}
        fresh = sqlite3.connect(":memory:")
        usual = {row[0] for row in _rows(fresh, "PRAGMA function_list")}
        fresh.close()
    except sqlite3.Error:
        return []
    return sorted(mine - usual)


def _detect_types(sqlite3, connection):
    """What the connection was opened with, which it does not tell: by what it does. In the saver's process alone, so
    that what is registered for it is gone with that."""
    found = 0
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    cursor.execute('SELECT 1 AS "a [b]"')
    if cursor.description[0][0] == "a":
        found |= sqlite3.PARSE_COLNAMES
    if connection.in_transaction:
        cursor.close()
        # A table cannot be made without touching the transaction; both are asked for together as a rule.
        return found | (sqlite3.PARSE_DECLTYPES if found else 0)
    sqlite3.register_converter("PYREPL3PROBE", lambda _value: "converted")
    level, connection.isolation_level = connection.isolation_level, None
    try:
        cursor.execute("CREATE TEMP TABLE pyrepl3_probe (a PYREPL3PROBE)")
        cursor.execute("INSERT INTO temp.pyrepl3_probe VALUES ('x')")
        if cursor.execute("SELECT a FROM temp.pyrepl3_probe").fetchone()[0] == "converted":
            found |= sqlite3.PARSE_DECLTYPES
        cursor.execute("DROP TABLE temp.pyrepl3_probe")
    except sqlite3.Error:
        pass  # a database that is locked or cannot be read: then types are not converted by their declarations
    finally:
        connection.isolation_level = level
        cursor.close()
    return found


def _open(contents, settings):
    """The connection again."""
    import sqlite3

    main = next((entry for entry in contents if entry[0] == "main"), None)
    if main is None or str(settings["isolation_level"]).upper() not in _LEVELS:
        raise ValueError("the saved connection to a database is broken")
    if main[1] and not os.path.exists(main[1]):
        raise FileNotFoundError(f"there is no database {main[1]}")
    options = {name: settings[name] for name in ("isolation_level", "detect_types")}
    connection = sqlite3.connect(main[1] or ":memory:", **options)
    for name, path, content in contents:
        if name != "main":
            if path and not os.path.exists(path):
                raise FileNotFoundError(f"there is no database {path}")
            connection.execute(f"ATTACH ? AS {_quoted(name)}", (path or ":memory:",))
        if content is not None:
            _fill(sqlite3, connection, name, content)
    if settings["foreign_keys"]:
        connection.execute("PRAGMA foreign_keys = ON")
    connection.row_factory, connection.text_factory = settings["row_factory"], settings["text_factory"]
    if hasattr(connection, "autocommit") and "autocommit" in settings:
        connection.autocommit = settings["autocommit"]
    return connection


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


def _fill(sqlite3, connection, name, content):
    if not content:
        return
    if hasattr(connection, "deserialize"):
        connection.deserialize(content, name=name)
        return
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "copy")
        with open(path, "wb") as file:
            file.write(content)
        copy = sqlite3.connect(path)
        # A backup into an attached database is by the name in the target, which Python does not offer.
        if name != "main":
            copy.close()
            raise ValueError(f"the attached database {name} needs Python 3.11 or later to be filled")
        copy.backup(connection)
        copy.close()
