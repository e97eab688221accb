"""numpy, pandas and matplotlib."""

from .table import case

case("numpy_errors", shared="import numpy as np\ndef told(kind, flag): pass",
     change="np.seterr(divide='raise', over='call'); np.seterrcall(told); np.setbufsize(16384)",
     check="assert np.geterr()['divide'] == 'raise' and np.geterrcall().__name__ == 'told' and np.getbufsize() == 16384",
     undone="assert np.geterr()['divide'] == 'warn' and np.geterrcall() is None and np.getbufsize() == 8192", needs=("numpy",))
case("numpy_print", shared="import numpy as np",
     change="np.set_printoptions(precision=2, suppress=True, formatter={'int': lambda i: '<%d>' % i})",
     check="assert str(np.array([1.2345])) == '[1.23]' and str(np.array([1])) == '[<1>]'",
     undone="assert str(np.array([1.23456])) == '[1.23456]' and str(np.array([1])) == '[1]'", needs=("numpy",))
case("numpy_random", shared="import numpy as np", change="np.random.seed(3); np.random.rand(); np.random.randn()",
     check="one = np.random.RandomState(3); one.rand(); one.randn(); assert np.random.randn() == one.randn()", needs=("numpy",))
case("numpy_other_generator", shared="import numpy as np", change="np.random.set_bit_generator(np.random.PCG64(5)); np.random.rand()",
     check="one = np.random.RandomState(np.random.PCG64(5)); one.rand(); assert np.random.rand() == one.rand()", needs=("numpy",))
case("pandas_options", shared="import pandas as pd", change="pd.set_option('display.max_rows', 7); pd.options.display.precision = 2",
     check="assert pd.get_option('display.max_rows') == 7 and pd.options.display.precision == 2",
     undone="assert pd.get_option('display.max_rows') == 60", needs=("pandas",))
case("pandas_method_added", change="import pandas as pd; pd.DataFrame.first = lambda self: self.iloc[0, 0]",
     check="import pandas as pd; assert pd.DataFrame({'a': [5]}).first() == 5", needs=("pandas",))
case("matplotlib_parameters", shared="import matplotlib.pyplot as plt",
     change="plt.rcParams['figure.figsize'] = (3, 4); plt.style.use('ggplot')",
     check="assert list(plt.rcParams['figure.figsize']) == [3, 4] and plt.rcParams['axes.facecolor'] == '#E5E5E5'",
     undone="assert list(plt.rcParams['figure.figsize']) != [3, 4]", needs=("matplotlib",))
case("matplotlib_figures", shared="import matplotlib.pyplot as plt",
     change="a = plt.figure(5); plt.plot([1, 2]); b, axes = plt.subplots(1, 2); plt.figure(5)",
     check="assert plt.get_fignums() == [5, 6] and plt.gcf().number == 5 and len(plt.gca().lines) == 1 and len(plt.figure(6).axes) == 2",
     undone="assert plt.get_fignums() == []", needs=("matplotlib",))

# ---- what libraries are told by a call ----

case("xml_prefixes", shared="import xml.etree.ElementTree as ET", change="ET.register_namespace('mine', 'urn:mine')",
     check="assert ET.tostring(ET.Element('{urn:mine}a')) == b'<mine:a xmlns:mine=\"urn:mine\" />'",
     undone="assert 'urn:mine' not in ET._namespace_map and len(ET._namespace_map) == 7")
case("xml_prefix_taken_over", shared="import xml.etree.ElementTree as ET", change="ET.register_namespace('dc', 'urn:other')",
     check="assert ET._namespace_map['urn:other'] == 'dc' and 'dc' not in [v for k, v in ET._namespace_map.items() if k != 'urn:other']",
     undone="assert ET._namespace_map['http://purl.org/dc/elements/1.1/'] == 'dc'")
case("calendar_weekday", change="import calendar; calendar.setfirstweekday(6)",
     check="import calendar; assert calendar.firstweekday() == 6", undone="import calendar; assert calendar.firstweekday() == 0")
case("mime_types", change="import mimetypes; mimetypes.add_type('x/mine', '.mine'); mimetypes.add_type('x/loose', '.loose', strict=False)",
     check="import mimetypes; assert mimetypes.guess_type('a.mine')[0] == 'x/mine' and mimetypes.guess_extension('x/mine') == '.mine'\n"
     "assert mimetypes.guess_type('a.loose', strict=False)[0] == 'x/loose' and mimetypes.guess_type('a.html')[0] == 'text/html'",
     undone="import mimetypes; assert mimetypes.guess_type('a.mine')[0] is None and mimetypes.guess_type('a.html')[0] == 'text/html'")
case("matplotlib_colours", shared="import matplotlib; from matplotlib.colors import ListedColormap",
     change="matplotlib.colormaps.register(ListedColormap(['k', 'w'], name='mine'))",
     check="assert matplotlib.colormaps['mine'].N == 2", undone="assert 'mine' not in matplotlib.colormaps and 'viridis' in matplotlib.colormaps",
     needs=("matplotlib",))
case("matplotlib_units", shared="import matplotlib.units\nclass Metre: pass\nclass Converter(matplotlib.units.ConversionInterface): pass",
     change="matplotlib.units.registry[Metre] = Converter()",
     check="assert type(matplotlib.units.registry[Metre]) is Converter", undone="assert not any(k.__name__ == 'Metre' for k in matplotlib.units.registry)",
     needs=("matplotlib",))
case("sympy_assumptions", shared="import sympy as sp; x = sp.Symbol('x')",
     change="sp.assumptions.global_assumptions.add(sp.Q.positive(x)); sp.core.random.seed(4); sp.core.random.random()",
     check="import random; one = random.Random(4); one.random()\n"
     "assert sp.ask(sp.Q.positive(x)) is True and sp.core.random.random() == one.random()",
     undone="assert sp.ask(sp.Q.positive(x)) is None", needs=("sympy",))
case("registered_but_not_to_be_saved", shared="import mimetypes, matplotlib.units",
     change="class Odd:\n    def __reduce__(self): raise TypeError('no way')\nmatplotlib.units.registry[complex] = Odd()",
     check="assert complex not in matplotlib.units.registry", lost={"matplotlib.units.registry": "no way"}, needs=("matplotlib",))
case("sqlite_adapters", shared="import sqlite3\nclass Point:\n    def __init__(self, x): self.x = x\ndef adapt(p): return f'<{p.x}>'\ndef back(b): return Point(b.decode())",
     change="sqlite3.register_adapter(Point, adapt); sqlite3.register_converter('point', back)",
     check="db = sqlite3.connect(':memory:', detect_types=sqlite3.PARSE_DECLTYPES); db.execute('create table t (p point)')\n"
     "db.execute('insert into t values (?)', (Point(3),)); assert db.execute('select p from t').fetchone()[0].x == '<3>'; db.close()",
     undone="assert len(sqlite3.adapters) == 2 and sorted(sqlite3.converters) == ['DATE', 'TIMESTAMP']")
case("archive_formats", shared="import shutil\ndef pack(base_name, base_dir, **more): return 'packed'\ndef unpack(*_): pass",
     change="shutil.register_archive_format('mine', pack, [('a', 1)], 'of mine'); shutil.register_unpack_format('mine', ['.mine'], unpack)",
     check="assert ('mine', 'of mine') in shutil.get_archive_formats() and 'mine' in [f[0] for f in shutil.get_unpack_formats()]",
     undone="assert 'mine' not in [f[0] for f in shutil.get_archive_formats() + shutil.get_unpack_formats()]")
case("email_charsets", shared="import email.charset as c", change="c.add_charset('iso-8859-1', c.SHORTEST, None, 'utf-8'); c.add_alias('mine', 'utf-8')",
     check="assert c.CHARSETS['iso-8859-1'] == (c.SHORTEST, None, 'utf-8') and c.ALIASES['mine'] == 'utf-8'",
     undone="assert c.CHARSETS['iso-8859-1'] == (c.QP, c.QP, None) and 'mine' not in c.ALIASES")
case("codec_aliases", change="import encodings.aliases; encodings.aliases.aliases['mine_8'] = 'utf_8'",
     check="assert 'ä'.encode('mine_8') == b'\\xc3\\xa4'", undone="import encodings.aliases; assert 'mine_8' not in encodings.aliases.aliases")
case("url_opener", shared="import urllib.request\nclass Mine(urllib.request.BaseHandler):\n    def mine_open(self, request): return 'opened ' + request.full_url",
     change="opener = urllib.request.OpenerDirector(); opener.add_handler(Mine()); urllib.request.install_opener(opener); del opener",
     check="assert urllib.request.urlopen('mine:x') == 'opened mine:x'", undone="assert urllib.request._opener is None")
case("event_loop_policy", shared="import asyncio\nclass Mine(asyncio.DefaultEventLoopPolicy): pass",
     change="asyncio.set_event_loop_policy(Mine())", check="assert type(asyncio.get_event_loop_policy()).__name__ == 'Mine'",
     undone="assert type(asyncio.get_event_loop_policy()).__name__ != 'Mine'")
case("virtual_subclasses", shared="import collections.abc, numbers\nclass Money: pass\nclass Bag: pass",
     change="numbers.Number.register(Money)\nfor one in (Bag,): collections.abc.Mapping.register(one)",
     check="assert isinstance(Money(), numbers.Number) and issubclass(Bag, collections.abc.Mapping) and not isinstance(Bag(), numbers.Number)")
case("methods_put_in_a_loop", shared="import fractions, pathlib",
     change="for kind in (fractions.Fraction, pathlib.PurePath): kind.mine = lambda self: 'mine'\ndel kind",
     check="assert fractions.Fraction(1).mine() == 'mine' and pathlib.Path('a').mine() == 'mine'")
case("methods_put_by_a_function", shared="import fractions\ndef add(where, name):\n    setattr(where, name, lambda self: 'mine')\ndef plain(where):\n    where.plain = len_of\ndef len_of(self): return 5",
     change="add(fractions.Fraction, 'mine'); plain(fractions.Fraction)",
     check="assert fractions.Fraction(1).mine() == 'mine' and fractions.Fraction(1).plain() == 5")
case("process_settings", change="import os, threading; os.setpriority(os.PRIO_PROCESS, 0, 19); threading.stack_size(1 << 20); os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
     check="import os, threading; assert os.nice(0) == 19 and threading.stack_size() == 1 << 20 and len(os.sched_getaffinity(0)) == 1",
     undone="import os, threading; assert os.nice(0) < 19 and threading.stack_size() == 0")
case("matplotlib_projections", shared="import matplotlib.pyplot as plt, matplotlib.projections as p, matplotlib.scale as s, matplotlib\nclass Mine(plt.Axes): name = 'mine'\nclass Scale(s.LinearScale): name = 'mine'",
     change="p.register_projection(Mine); s.register_scale(Scale); matplotlib.color_sequences.register('mine', ['r', 'g'])",
     check="assert p.get_projection_class('mine') is Mine and s._scale_mapping['mine'] is Scale and matplotlib.color_sequences['mine'] == ['r', 'g']",
     undone="assert 'mine' not in p.get_projection_names() and 'mine' not in s.get_scale_names() and 'mine' not in matplotlib.color_sequences",
     needs=("matplotlib",))
case("pandas_accessors", shared="import pandas as pd\nclass Mine:\n    def __init__(self, obj): self.obj = obj\n    def size(self): return len(self.obj)",
     change="pd.api.extensions.register_dataframe_accessor('mine')(Mine); pd.api.extensions.register_series_accessor('mine')(Mine)",
     check="assert pd.DataFrame({'a': [1, 2]}).mine.size() == 2 and pd.Series([1]).mine.size() == 1 and 'mine' in pd.DataFrame._accessors",
     undone="assert not hasattr(pd.DataFrame, 'mine') and 'mine' not in pd.Series._accessors", needs=("pandas",))
case("image_formats", shared="from PIL import Image\ndef accept(start): return start[:4] == b'MINE'\ndef opened(file, name): return Image.new('1', (2, 3))",
     change="Image.register_open('MINE', opened, accept); Image.register_extension('MINE', '.mine'); Image.register_mime('MINE', 'x/mine')",
     check="import io; assert Image.open(io.BytesIO(b'MINE' * 9)).size == (2, 3) and Image.EXTENSION['.mine'] == 'MINE' and Image.MIME['MINE'] == 'x/mine'",
     undone="assert 'MINE' not in Image.OPEN and '.mine' not in Image.EXTENSION", needs=("PIL",))
case("entries_of_containers", shared="import http.client, keyword, html.entities\nclass Mine: pass\ndef mine(): return 5",
     change="http.client.responses[999] = mine; keyword.kwlist.append(mine); html.entities.html5[mine] = 'x'; http.client.responses[998] = Mine()",
     check="assert http.client.responses[999]() == 5 and keyword.kwlist[-1]() == 5 and list(html.entities.html5)[-1]() == 5 and type(http.client.responses[998]).__name__ == 'Mine'",
     undone="assert 999 not in http.client.responses and keyword.kwlist[-1] == 'yield' and mine not in html.entities.html5")
