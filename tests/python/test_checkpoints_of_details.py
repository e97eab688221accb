"""What pickling alone forgets: attributes beside a library's own, what C code keeps of exceptions, what is set on loggers and functions.

Each comes back, or is named."""

from __future__ import annotations

import json

from pyrepl3 import Session

# What is run, and an expression that tells what must be the same after a restore.
CASES = {
    "the name of a NameError": ("try: zzz\nexcept NameError as e: x = e.with_traceback(None)", "x.name"),
    "the module of an ImportError": ("try: from json import zzz\nexcept ImportError as e: x = e.with_traceback(None)", "x.name"),
    "a text put into a SyntaxError": ("try: compile('a b', '<f>', 'exec')\nexcept SyntaxError as e: x = e.with_traceback(None)\nx.text = 'other'", "[x.text, x.lineno, x.filename]"),
    "an OSError that was changed": ("x = OSError(2, 'no', 'f', None, 'g'); x.strerror = 'changed'", "[x.strerror, x.filename, x.filename2, x.errno]"),
    "the value of a StopIteration": ("x = StopIteration(3); x.value = 9", "[x.value, list(x.args)]"),
    "the code of a SystemExit": ("x = SystemExit(3); x.code = 9", "x.code"),
    "the reason of a UnicodeDecodeError": ("try: b'\\xff'.decode()\nexcept UnicodeDecodeError as e: x = e.with_traceback(None)\nx.reason = 'r'", "[x.reason, x.start]"),
    "a context that is suppressed": ("x = ValueError(1); x.__cause__ = None; y = ValueError(2); x.__context__ = y", "[x.__suppress_context__, x.__context__ is y]"),
    "an attribute of a Counter": ("import collections; x = collections.Counter('aab'); x.label = 'L'; y = x", "[x.label, dict(x), x is y]"),
    "an attribute of a DataFrame": ("import pandas as pd; x = pd.DataFrame({'a': [1]}); x.note = 'hi'; y = x['a']", "[x.note, x.a.tolist(), y.tolist()]"),
    "annotations": ("a: int = 3\nb: 'str'", "sorted(map(str, __import__('sys').modules['__main__'].__annotations__.items()))"),
    "names with underscores": ("__version__ = '1.2'; __all__ = ['a']", "[__version__, __all__]"),
    "an attribute of a logger": ("import logging; logging.getLogger('z').note = [5]", "logging.getLogger('z').note"),
    "the default action of warnings": ("import warnings; warnings.defaultaction = 'error'", "warnings.defaultaction"),
    "attributes set in a loop": ("import json\nfor k, v in {'AA': 1}.items(): setattr(json, k, v)", "json.AA"),
    "an attribute set by code in a text": ("import json\nexec('json.BB = 2')", "json.BB"),
    "the code of a library's function": ("import textwrap\ndef f(text): return 'X'\ntextwrap.dedent.__code__ = f.__code__", "textwrap.dedent('  a')"),
    "defaults of a library's function": ("import textwrap\ntextwrap.shorten.__defaults__ = ()\ntextwrap.indent.__defaults__ = (len,); textwrap.indent.__doc__ = 'mine'", "[textwrap.indent.__doc__, textwrap.indent.__defaults__[0] is len]"),
    "the dict of a dict": ("class D(dict): pass\nx = D(a=1); y = x.__dict__; x.q = 4", "[y is x.__dict__, x.q]"),
}


async def test_details_come_back(python: str) -> None:
    for name, (code, probe) in CASES.items():
        async with Session(python=python) as session:
            if "pandas" in code and not (await session.execute("import importlib.util; importlib.util.find_spec('pandas') is not None")).value:
                continue
            await session.execute(code)
            before = (await session.execute(probe)).value
            checkpoint = await session.checkpoint()
        async with Session(python=python) as other:
            restored = await other.restore(checkpoint)
            after = (await other.execute(probe)).value
        assert json.dumps(after) == json.dumps(before), name
        assert [*checkpoint.lost, *restored.lost] == [], name


async def test_what_does_not_come_back_is_named() -> None:
    async with Session() as session:
        await session.execute("try: (5).zzz\nexcept AttributeError as e: x = e.with_traceback(None)")
        checkpoint = await session.checkpoint()
        assert [lost.name for lost in checkpoint.lost] == ["x.obj"]
