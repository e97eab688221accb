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
