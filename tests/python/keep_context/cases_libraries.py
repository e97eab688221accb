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
