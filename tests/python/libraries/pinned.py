"""What of the libraries' objects does not come back from a checkpoint, in the same form as for the transaction suite's cases."""

from __future__ import annotations

FOLLOWS = "it is about what is named"

LOST: dict[str, dict[str, str]] = {
    'aiohttp': {
        'jar': 'an event loop belongs to this process: a new one',
        'session': 'an event loop belongs to this process: a new one',
    },
    'beautifulsoup4': {
        'p in soup': 'soup refers to it, and comes back with a copy of',
    },
    'bokeh': {
        'glyph': 'it cannot be loaded: AttributeError:',
        'held': 'it cannot be loaded: AttributeError:',
        'p': 'it cannot be loaded: AttributeError:',
        'source': 'it cannot be loaded: AttributeError:',
    },
    'decimal_and_contexts': {
        'context': 'a context of context variables cannot be pickled',
        'token': 'a token of a context variable belongs to a',
    },
    'duckdb': {
        'con': "TypeError: cannot pickle 'DuckDBPyConnection'",
        "duckdb's default connection": 'its tables (t) belong to this process: keep them',
        'held': "TypeError: cannot pickle 'DuckDBPyConnection'",
        'rel': "TypeError: cannot pickle 'DuckDBPyConnection'",
    },
    'grpc': {
        'call': 'TypeError: no default __reduce__ due to',
        'channel': 'TypeError: no default __reduce__ due to',
        'credentials': 'TypeError: no default __reduce__ due to',
        'fd (eventfd)': 'only regular files are opened again: open it',
        'fd (eventpoll)': 'only regular files are opened again: open it',
    },
    'h5py': {
        'd': 'TypeError: * objects cannot be pickled',
        'f': 'TypeError: * objects cannot be pickled',
        'lock on a file': 'a lock ends with the process that took it: take',
    },
    'httpx': {
        'client': 'a TLS context holds keys inside of a C library:',
    },
    'ipywidgets': {
        'box': "it cannot be loaded: AttributeError: 'IntSlider'",
        'label': "it cannot be loaded: AttributeError: 'IntSlider'",
        'link': "it cannot be loaded: AttributeError: 'IntSlider'",
        'slider': "it cannot be loaded: AttributeError: 'IntSlider'",
    },
    'jinja2': {
        'env': 'it cannot be loaded: TypeError:',
        'names': 'it cannot be loaded: TypeError:',
        'plain': 'it cannot be loaded: TypeError:',
        't': 'it cannot be loaded: TypeError:',
    },
    'lightgbm': {
        'data': 'ValueError: ctypes objects containing pointers',
    },
    'lxml': {
        'b': "TypeError: cannot pickle 'lxml.etree._Element'",
        'held': "TypeError: cannot pickle 'lxml.etree._Element'",
        'path': "TypeError: cannot pickle 'lxml.etree.XPath'",
        'root': "TypeError: cannot pickle 'lxml.etree._Element'",
        'tree': 'TypeError: cannot pickle',
    },
    'msgspec': {
        'decoder': "TypeError: cannot pickle 'msgspec.json.Decoder'",
    },
    'opencv': {
        'orb': 'TypeError: cannot pickle * object',
        'points': 'TypeError: cannot pickle * object',
    },
    'openpyxl': {
        'cell': 'it does not come back as it was:',
        'sheets': 'it does not come back as it was: * * items became',
        'wb': 'it does not come back as it was: * * items became',
        'ws': 'it does not come back as it was:',
    },
    'pillow': {
        'draw': "TypeError: cannot pickle 'ImagingCore' object",
    },
    'pint': {
        'held': "it cannot be loaded: UndefinedUnitError: 'smoot'",
        'length': "it cannot be loaded: UndefinedUnitError: 'smoot'",
        'speed': "it cannot be loaded: UndefinedUnitError: 'smoot'",
        'ureg': 'it needs Unit: * * items became *',
    },
    'plotly': {
        'fig in layout': 'layout refers to it, and comes back with a copy',
        'fig in trace': 'trace refers to it, and comes back with a copy of',
        'layout in fig': 'fig refers to it, and comes back with a copy of',
        'layout in trace': 'trace refers to it, and comes back with a copy of',
        'trace in fig': 'fig refers to it, and comes back with a copy of',
        'trace in layout': 'layout refers to it, and comes back with a copy',
    },
    'polars': {
        'fd (eventfd)': 'only regular files are opened again: open it',
        'fd (eventpoll)': 'only regular files are opened again: open it',
    },
    'protobuf': {
        'inner in m': 'm refers to it, and comes back with a copy of its',
        'message in file': 'file refers to it, and comes back with a copy of',
    },
    'regex_and_orjson': {
        'found': '_regex.Match is a type inside of a C library: its',
        'part': "TypeError: cannot pickle 'orjson.Fragment' object",
    },
    'spacy': {
        'span': 'NotImplementedError: * Pickling a span is not',
        'token': 'NotImplementedError: * Pickling a token is not',
    },
    'sqlalchemy_core': {
        'c': 'an engine holds connections to a database: make',
        'engine': 'an engine holds connections to a database: make',
    },
    'sqlite3': {
        'sqlite :memory: (function twice)': 'a function made with create_function must be made',
    },
    'statsmodels': {
        'design_info of a DataFrame': 'NotImplementedError: Sorry, pickling not yet',
    },
    'tqdm': {
        'bar': 'it needs',
        'bars': 'it needs',
        'thread tqdm_monitor': 'a thread ends with the process: start it again',
    },
    'xgboost': {
        'd': 'ValueError: ctypes objects containing pointers',
    },
    'zarr': {
        'fd (/dev/null)': 'only regular files are opened again: open it',
        'fd (eventpoll)': 'only regular files are opened again: open it',
        'thread asyncio_': 'a thread ends with the process: start it again',
        'thread zarr_io': 'a thread ends with the process: start it again',
    },
}

APART: dict[str, dict[str, str]] = {
    'duckdb': {
        "assert duckdb.sql('select count(*) from t').fetchall() == [(5,)]": FOLLOWS,
    },
    'beautifulsoup4': {
        "assert 'w' in str(soup)": FOLLOWS,
        'assert p.parent is soup.div': FOLLOWS,
    },
    'ipywidgets': {
        'assert seen == [7]': FOLLOWS,
    },
    'openpyxl': {
        "assert openpyxl.load_workbook(file).active['B1'].value == '=A1+1'": FOLLOWS,
    },
    'pillow': {
        'assert im.getpixel((2, 2)) == (0, 255, 0)': FOLLOWS,
    },
    'plotly': {
        'assert fig.data[0] is trace': FOLLOWS,
        'assert fig.layout is layout': FOLLOWS,
    },
    'protobuf': {
        "assert file.message_type[0].name == 'O'": FOLLOWS,
        "assert m['a'] == 3": FOLLOWS,
    },
    'sqlite3': {
        "assert con.execute('select twice(a) from t').fetchone()[0] == 2": FOLLOWS,
    },
}

STRUCTURE: dict[str, str] = {
    'beautifulsoup4': 'what comes back apart is named',
    'dataclasses_json': 'a type that annotations share is made for each of them',
    'marshmallow': 'weak references of its metaclass to bases',
    'plotly': 'what comes back apart is named',
    'pydantic': "pydantic's schemas name classes by their addresses",
    'pydantic_settings': "pydantic's schemas name classes by their addresses",
    'scipy': 'a generator that has never been asked for anything draws its seed anew',
    'spacy': 'counts of strings that its vocabulary has seen',
    'sqlalchemy_core': 'names that sqlalchemy makes of addresses',
    'sqlalchemy_orm': 'attributes that sqlalchemy computes when they are first asked for',
    'xarray': 'attributes that are made when they are first asked for',
}

ROLLBACK: dict[str, str] = {}
"""Where a return is not exact, and why."""
