"""Short programs, as a person types them: each a list of inputs, which see what those before have left.

An input whose first line ends with a colon, or that starts with a decorator, is a compound statement: the prompt wants an empty line
after it, and runs one statement at a time. `since`: the first version of Python on which a program makes sense.
"""

from __future__ import annotations

from textwrap import dedent

PROGRAMS: dict[str, list[str]] = {}
SINCE: dict[str, tuple[int, int]] = {}


def program(name: str, text: str, since: tuple[int, int] = (3, 10)) -> None:
    """A program whose inputs are separated by lines with a single dot, or, where there are none, its lines."""
    text = dedent(text).strip("\n")
    inputs = text.split("\n.\n") if "\n.\n" in text else text.split("\n")
    PROGRAMS[name] = inputs
    SINCE[name] = since


# ---- expressions ----
program("arithmetic", "1 + 1\n2 ** 100\n7 // 2, -7 // 2, 7 % -3\n1 / 3\n0.1 + 0.2\n1e400, -1e400\n3 + 4j\nTrue + True")
program("numbers by name", "x = 5; y = x\nx is y, x == 5.0\nint('0x1f', 16), int('11', 2)\nround(2.5), round(3.5)\ndivmod(17, 5)\nabs(-3), pow(2, 10, 1000)")
program("texts", r"""
'a' 'b'
'it\'s', "it's", '"', '\n', '\\', '\x00', '\u20ac', '\U0001f600'
'ä'.upper(), 'ß'.upper(), 'é'.encode()
'a-b-c'.split('-'), '-'.join('abc')
'%s %d %.2f' % ('x', 3, 2.5)
f'{1 + 1!r:>5}|{"x":^5}|'
'abc'[::-1], 'abc'[-1], 'abc'[1:]
b'\x00\xff', bytearray(b'x')
'\ud800'
""")
program("containers", """
[1, 2, 3], (1,), (), {}, {1: 2}, {3}, set(), frozenset()
[i * i for i in range(5)]
{k: v for k, v in zip('ab', [1, 2])}
sorted({3, 1, 2}), list(reversed([1, 2]))
x = [1, 2, 3]; x[1:2] = [9, 9]; x
a, *b, c = 1, 2, 3, 4
a, b, c
l = []; l.append(l); l
d = {}; d['d'] = d; d
{**{'a': 1}, 'b': 2} | {'c': 3}
range(3), slice(1, 2), ...
""")
program("nothing is shown of nothing", "None\nx = 1\nprint()\nprint(None)\n[None]\npass\ndel x\nimport os")
program("objects by their address", "object()\nlambda x: x\nprint\nlen\nstr.upper\n[].append\ntype\nint\nclass C: pass\nC\nC()\nC.__init__\nC().__class__")
program("walrus and chains", "(n := 10)\nn\n1 < 2 < 3, 3 > 2 > 2\nx = y = []\nx is y\n(x if y else 'empty')\nnot [], [] or 'b', [1] and 'c'")
program("modules", "import math\nmath\nmath.pi\nimport os.path as p\np.join('a', 'b')\nfrom math import sqrt, pi as PI\nsqrt(16), PI\nfrom math import nothing\nimport no_such_module\n__name__\n__import__('json').dumps([1])")
program("builtins that print", "print(1, 2, sep='-', end='!\\n')\nprint('a', file=__import__('sys').stderr)\nprint(*range(3))\nlen(dir()) > 3, 'x' in dir()\nvars() is globals(), globals() is locals()\nrepr('x'), ascii('ä')")
program("what is known by an underscore at the end", "5\nx = 6\nNone\nx\n'last'")

# ---- statements ----
program("compound statements", """
for i in range(3):
    print(i)
.
while True:
    break
else:
    print('never')
.
if i == 2:
    print('two')
elif i == 3:
    print('three')
else:
    print('other')
.
with open('/dev/null') as f:
    print(f.name)
.
f.closed
.
try:
    1 / 0
except ZeroDivisionError as error:
    print('caught', error)
else:
    print('no')
finally:
    print('at last')
.
error
""")
program("match", """
def kind(x):
    match x:
        case {'a': a}:
            return 'dict', a
        case [1, *rest]:
            return 'list', rest
        case str() | bytes():
            return 'text'
        case _:
            return None
.
kind({'a': 1}), kind([1, 2, 3]), kind('x'), kind(5)
""")
program("annotations", "x: int = 3\nx\ny: str\ny\nz: list[int] = []\nz")
program("global and nonlocal", """
n = 0
.
def f():
    global n, made
    n += 1
    made = 'here'
    def g():
        nonlocal_ = 1
        return nonlocal_
    return g()
.
f(), n, made
""")
program("deleted names", "x = 1\ndel x\nx\ndel x\ny = [1, 2]\ndel y[0]\ny")
program("star imports", "from math import *\nsqrt(4)\nfrom os.path import *\njoin('a', 'b')")
program("future imports hold", "from __future__ import annotations\ndef f(x: nothing) -> nowhere: return x\nf(1)\nf.__annotations__")
program("several on one line", "a = 1; b = 2; print(a + b)\nif a: print('yes')\nfor i in 'ab': print(i, end=' ')\nprint()")
program("long lines go on", "x = [1,\n     2]\n.\nx\n.\n(1 +\n 2)\n.\ny = '''a\nb'''\n.\ny")
program("comments", "# nothing\n1 # one\n'#'")
program("assertions", "assert True\nassert 1 == 2\nassert 1 == 2, 'they differ'\nassert [], {'a': 1}")

# ---- functions, classes, generators ----
program("functions", """
def f(a, b=2, /, c=3, *args, d, e=5, **more):
    'It does something.'
    return a, b, c, args, d, e, more
.
f(1, d=4)
.
f(1, 2, 3, 4, d=5, z=6)
.
f()
.
f(1, 2, d=3, a=4)
.
f.__doc__, f.__name__, f.__qualname__, f.__module__, f.__defaults__, f.__kwdefaults__
.
import inspect
.
str(inspect.signature(f))
.
print(inspect.getsource(len) if False else 'no source')
""")
program("closures", """
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up
.
c, d = counter(), counter()
.
c(), c(), d()
.
c.__closure__[0].cell_contents
""")
program("recursion that does not end", "def f(): return f()\nf()\n'after'")
program("decorators", """
import functools
.
def twice(f):
    @functools.wraps(f)
    def inner(*a):
        return f(*a), f(*a)
    return inner
.
@twice
def g(x):
    return x + 1
.
g(1), g.__name__, g.__wrapped__(1)
.
@functools.cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
.
fib(80), fib.cache_info()
""")
program("classes", """
class Point:
    count = 0
    def __init__(self, x, y):
        self.x, self.y = x, y
        Point.count += 1
    def __repr__(self):
        return f'Point({self.x}, {self.y})'
    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)
    @property
    def length(self):
        return (self.x ** 2 + self.y ** 2) ** .5
    @classmethod
    def zero(cls):
        return cls(0, 0)
    @staticmethod
    def name():
        return 'point'
.
p = Point(3, 4)
.
p, p.length, Point.zero(), Point.name(), Point.count
.
p == Point(3, 4), p != Point(3, 5)
.
Point.__module__, Point.__qualname__, Point.__mro__
.
p.z
.
p.length = 3
.
hash(p)
""")
program("inheritance", """
class A:
    def m(self): return ['A']
.
class B(A):
    def m(self): return ['B'] + super().m()
.
class C(A):
    def m(self): return ['C'] + super().m()
.
class D(B, C):
    def m(self): return ['D'] + super().m()
.
D().m(), [c.__name__ for c in D.__mro__]
.
isinstance(D(), A), issubclass(D, C)
.
class E(A, D): pass
""")
program("dataclasses and enums", """
import dataclasses, enum
.
@dataclasses.dataclass(order=True)
class P:
    x: int
    y: list = dataclasses.field(default_factory=list)
.
P(1), P(1) == P(1), P(1) < P(2), dataclasses.asdict(P(3, [4]))
.
dataclasses.replace(P(1), x=9)
.
class Colour(enum.Enum):
    RED = 1
    BLUE = 'b'
.
Colour.RED, Colour('b'), list(Colour), Colour.RED.name, Colour['BLUE'].value
.
Colour(3)
""")
program("generators", """
def g():
    x = yield 1
    print('got', x)
    try:
        yield 2
    finally:
        print('closed')
.
i = g()
.
next(i)
.
i.send('hello')
.
i.close()
.
next(i)
.
list(x for x in range(3) if x), sum(x for x in range(10))
.
def d():
    r = yield from [1, 2]
    return 'result'
.
list(d())
""")
program("iterators", "i = iter([1, 2])\nnext(i), next(i)\nnext(i)\nnext(i, 'none')\nlist(zip('ab', range(5))), list(enumerate('x')), list(map(str, [1]))\nimport itertools as it\nlist(it.islice(it.count(3), 2)), list(it.chain('a', 'b'))")
program("context managers", """
import contextlib
.
@contextlib.contextmanager
def managed(swallow):
    print('enter')
    try:
        yield 'value'
    except ValueError:
        if not swallow: raise
        print('swallowed')
    finally:
        print('leave')
.
with managed(True) as v:
    print(v)
    raise ValueError('x')
.
with managed(False):
    raise ValueError('y')
.
with contextlib.suppress(KeyError):
    {}['a']
""")
program("metaclasses and hooks", """
class Meta(type):
    def __new__(mcls, name, bases, space):
        print('making', name, sorted(k for k in space if k[0] != '_'))
        return super().__new__(mcls, name, bases, space)
.
class Made(metaclass=Meta):
    a = 1
.
class Base:
    def __init_subclass__(cls, **kw): print('sub', cls.__name__, kw)
.
class Sub(Base, k=1):
    pass
.
type(Made), type('Dynamic', (), {'x': 1}).x
""")
program("type parameters", "def f[T](x: T) -> T: return x\nf(1), f.__type_params__\nclass G[T]: pass\nG[int]\ntype L = list[int]\nL, L.__value__", since=(3, 12))
program("operators", """
class V:
    def __init__(self, *v): self.v = v
    def __add__(self, o): return V(*(a + b for a, b in zip(self.v, o.v)))
    def __matmul__(self, o): return sum(a * b for a, b in zip(self.v, o.v))
    def __getitem__(self, i): return self.v[i]
    def __len__(self): return len(self.v)
    def __bool__(self): return any(self.v)
    def __contains__(self, x): return x in self.v
    def __call__(self): return 'called'
    def __repr__(self): return f'V{self.v}'
.
V(1, 2) + V(3, 4), V(1, 2) @ V(3, 4), V(5)[0], len(V(1)), bool(V(0)), 3 in V(3), V()()
.
V(1) + 1
.
-V(1)
""")

# ---- exceptions and their tracebacks ----
program("errors of each kind", """
1 / 0
nothing
'a' + 1
[][0]
{}['k']
int('x')
None.attribute
open('/no/such/file')
raise ValueError
raise ValueError('with', 2, 'arguments')
raise ValueError from KeyError('cause')
raise 5
import sys; sys.exit
assert 0
next(iter([]))
b'\\xff'.decode()
'\\u20ac'.encode('ascii')
float('x')
(1).x = 2
len(5)
""")
program("tracebacks go through functions", """
def a(): b()
.
def b():
    c = lambda: 1 / 0
    c()
.
a()
.
class K:
    def m(self):
        return self.missing
.
K().m()
.
[1 / x for x in (1, 0)]
.
list(map(int, ['1', 'x']))
""")
program("causes and contexts", """
try:
    1 / 0
except ZeroDivisionError as e:
    raise KeyError('second') from e
.
try:
    1 / 0
except ZeroDivisionError:
    raise KeyError('during')
.
try:
    1 / 0
except ZeroDivisionError:
    raise KeyError('alone') from None
""")
program("exception groups", """
raise ExceptionGroup('many', [ValueError(1), TypeError('t')])
.
try:
    raise ExceptionGroup('many', [ValueError(1), TypeError('t')])
except* ValueError as group:
    print('caught', group.exceptions)
""", since=(3, 11))
program("notes", """
e = ValueError('x')
.
e.add_note('remember this')
.
raise e
""", since=(3, 11))
program("own exceptions", """
class Mine(Exception):
    def __str__(self): return 'my text'
.
raise Mine(1)
.
class Silent(Exception): pass
.
raise Silent
""")
program("exceptions that cannot be printed", """
class Broken(Exception):
    def __str__(self): raise ValueError('inside')
.
raise Broken
""", since=(3, 11))
program("what was meant", """
foo_bar = 1
.
foo_baz
.
class A: value = 3
.
A().valu
.
def f():
    local_name = 1
    return local_nam
.
f()
.
import math
.
math.sqr
.
prin
""")
program("what was meant to be imported", "from math import sqr\nfrom collections import orderedDict", since=(3, 12))
program("syntax errors", """
x ===
.
if True
.
def f(:
.
(1
)))
.
'abc
.
return 5
.
yield 1
.
break
.
continue
.
x = 5 = y
.
f() = 1
.
nonlocal q
.
print 'old'
.
1 +
.
class
.
async x
.
del f()
.
from x import
.
lambda: (yield)
""")
program("after an error all goes on", "x = 1\n1 / 0\nx\nx +\nx + 1")
program("the last error is kept", "import sys\n1 / 0\nsys.last_type, str(sys.last_value)\nsys.last_traceback.tb_lineno, sys.exc_info()")
program("traceback module", "import traceback, sys\ndef f(): 1/0\nf()\nprint([x.name for x in traceback.extract_tb(sys.last_traceback)][-1])\ntraceback.print_exc(file=sys.stdout)")

# ---- warnings ----
program("warnings", """
import warnings
.
warnings.warn('once')
.
warnings.warn('another')
.
for i in range(2): warnings.warn('in a loop')
.
warnings.warn('old', DeprecationWarning)
.
def f(): warnings.warn('from f', stacklevel=2)
.
f()
.
warnings.simplefilter('error')
.
warnings.warn('now an error')
""")
program("warnings of the compiler", "'a' is 'a'\n1 is 1\nassert (1, 'x')\n'\\d'")

# ---- input and output ----
program("streams", "import sys\nsys.stdout.write('x\\n')\nsys.stderr.write('y\\n')\nsys.stdout.flush()\nsys.stdout.isatty(), sys.stdin.isatty()\nprint('a', end='')\nprint()\nsys.stdout.encoding.lower()")
program("redirected", """
import io, contextlib
.
b = io.StringIO()
.
with contextlib.redirect_stdout(b):
    print('hidden')
.
b.getvalue()
""")
program("pretty printing", "import pprint\npprint.pprint({'b': 1, 'a': [1, 2]})\nimport json\nprint(json.dumps({'x': [1, None, True]}, indent=1))")
program("logging", "import logging\nlogging.warning('careful')\nlogging.info('not shown')\nlogging.getLogger('mine').error('bad %s', 'thing')")
program("files", "import os, tempfile\nd = tempfile.mkdtemp()\np = os.path.join(d, 'f')\nopen(p, 'w').write('hello')\nopen(p).read()\nos.listdir(d)\nos.remove(p); os.rmdir(d)\nos.path.exists(d)")

# ---- hooks of the prompt ----
program("displayhook", "import sys\nsys.displayhook = lambda v: print('<', v, '>')\n5\nNone\nx = 1\n'a'\nsys.displayhook = sys.__displayhook__\n6")
program("excepthook", "import sys\nsys.excepthook = lambda t, v, tb: print('hooked', t.__name__, v, tb is not None)\n1 / 0\nx\nsys.excepthook = sys.__excepthook__\n1 / 0")

# ---- async ----
program("asyncio.run", """
import asyncio
.
async def f(x):
    await asyncio.sleep(0)
    return x
.
asyncio.run(f(1))
.
async def g():
    return await asyncio.gather(f(1), f(2))
.
asyncio.run(g())
.
async def bad():
    await asyncio.sleep(0)
    raise ValueError('inside')
.
asyncio.run(bad())
.
asyncio.run(f(3))
.
asyncio.get_running_loop()
""")
program("async generators", """
import asyncio
.
async def count(n):
    for i in range(n):
        yield i
        await asyncio.sleep(0)
.
async def collect():
    return [i async for i in count(3)]
.
asyncio.run(collect())
""")

# ---- threads, processes, signals ----
program("threads", "import threading\nl = []\nt = threading.Thread(target=l.append, args=(1,))\nt.start(); t.join(); l\nthreading.current_thread().name, threading.main_thread() is threading.current_thread()\nfrom concurrent.futures import ThreadPoolExecutor\nlist(ThreadPoolExecutor(2).map(str, range(3)))")
program("an error in a thread", "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='mine')\nt.start(); t.join()\n'goes on'")
program("processes", "import subprocess, sys\nsubprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout\nsubprocess.call(['true']), subprocess.call(['false'])\nsubprocess.check_call(['false'])\nsubprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout\nimport os\nos.system('exit 3') >> 8\nos.popen('echo x').read()")
program("multiprocessing by fork", """
import multiprocessing as mp
.
def square(x): return x * x
.
c = mp.get_context('fork')
.
with c.Pool(2) as pool:
    print(pool.map(square, range(4)))
.
q = c.Queue()
.
p = c.Process(target=q.put, args=(5,))
.
p.start(); print(q.get()); p.join(); print(p.exitcode)
""")
program("a signal that is handled", "import os, signal\nsignal.signal(signal.SIGUSR1, lambda n, f: print('got', n))\nos.kill(os.getpid(), signal.SIGUSR1)\nsignal.getsignal(signal.SIGUSR1)\nsignal.raise_signal(signal.SIGUSR1)\nsignal.signal(signal.SIGUSR1, signal.SIG_DFL)")
program("a signal whose handler raises", """
import os, signal
.
def handler(n, f): raise TimeoutError('too late')
.
signal.signal(signal.SIGUSR1, handler)
.
os.kill(os.getpid(), signal.SIGUSR1)
.
'goes on'
""")
program("an interrupt of its own", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n'goes on'\nraise KeyboardInterrupt")
program("fork", "import os\npid = os.fork() or os._exit(3)\nos.waitpid(pid, 0)[1] >> 8")

# ---- the interpreter ----
program("what main is", "import __main__, sys\n__main__.__dict__ is globals(), sys.modules['__main__'] is __main__\n__name__, __doc__, __spec__, __package__\nx = 5\n__main__.x\n__main__.y = 6\ny\nsys.argv")
program("exec and eval", "exec('a = 1\\nb = a + 1')\na, b\neval('a + b')\neval('1/0')\nexec('def f(): return nothing')\nf()\ncompile('1 +', 'x', 'eval')\nns = {}; exec('z = 3', ns); ns['z'], 'z' in globals()")
program("pickle of what was typed", "import pickle\nclass A: pass\ndef f(): return 1\npickle.loads(pickle.dumps(A)) is A, pickle.loads(pickle.dumps(f)) is f\ntype(pickle.loads(pickle.dumps(A())))\npickle.dumps(lambda: 1)")
program("help", "help(len)\nclass C: 'Its words.'\nC.__doc__\nprint(len.__doc__.splitlines()[0])")
program("copy", "import copy\na = [[1]]\nb, c = copy.copy(a), copy.deepcopy(a)\na[0].append(2)\na, b, c")
program("recursion limit", "import sys\nn = sys.getrecursionlimit()\nn >= 1000\nsys.setrecursionlimit(n + 1)\nsys.getrecursionlimit() == n + 1")
program("collector", "import gc, weakref\nclass A: pass\na = A(); r = weakref.ref(a)\nr() is a\ndel a\nr() is None\ngc.collect() >= 0")
program("finalizers", "class F:\n    def __del__(self): print('gone')\n.\nf = F()\n.\nf = None\n.\nF() and None\n.\ndel f")
program("finalizers that fail", "class F:\n    def __del__(self): raise ValueError('in del')\n.\nf = F()\n.\ndel f\n.\n'goes on'")
program("locale and time", "import time, datetime\ndatetime.date(2020, 2, 29)\ndatetime.timedelta(days=1, seconds=3)\ntime.gmtime(0)\ntime.strftime('%Y', time.gmtime(0))")
program("regular expressions", r"import re" "\n" r"re.match(r'(\w+) (\w+)', 'hello world').groups()" "\n" r"re.sub('a', 'b', 'banana')" "\n" r"re.findall(r'\d+', 'a1b22')" "\n" "re.compile('x')\nre.search('x', 'y')\nre.compile('(')")
program("decimal and fractions", "from decimal import *\nDecimal('1') / 3\ngetcontext().prec = 5\nDecimal('1') / 3\nDecimal(1) / 0\nfrom fractions import Fraction\nFraction(1, 3) + Fraction(1, 6)")
program("random numbers that are seeded", "import random\nrandom.seed(1)\nrandom.random()\nrandom.randint(1, 100), random.choice('abc'), random.sample(range(10), 3)")
program("collections", "from collections import *\nCounter('banana')\nOrderedDict(a=1)\ndefaultdict(list, a=[1])\ndeque([1, 2], maxlen=2)\nP = namedtuple('P', 'x y')\nP(1, y=2), P(1, 2)._asdict()\nChainMap({'a': 1}, {'b': 2})")
program("strings with formats", "f'{3.14159:.2f} {255:#x} {1000000:,} {0.5:%}'\nx = 3; f'{x = }'\n'{:>10}|{:<5}|{:^7}'.format(1, 2, 3)\nf'{x!r} {x!s}'\n'{0.real}'.format(1j)\nf'{nothing}'\nformat(5, 'zz')")
program("type hints at run time", "import typing\ntyping.get_type_hints(lambda: 0)\nlist[int], int | None, typing.Optional[str]\ntyping.Union[int, str]\ndef f(a: int) -> str: ...\ntyping.get_type_hints(f)")
program("sorting that fails", "sorted([1, 'a'])\nmax([])\nsorted('bca', key=lambda c: -ord(c))\nmin(3, 1, 2)")
program("integer limits", "int('9' * 5000)\nlen(str(10 ** 100))\n1 << 64, ~0, 5 ^ 3", since=(3, 11))
program("names with other letters", "größe = 5\ngröße\nπ = 3.14\nπ\nª = 1\na")
program("deep nesting", "x = eval('(' * 50 + '1' + ')' * 50)\nx\neval('[' * 300 + ']' * 300)")
program("tracers", """
import sys
seen = []
.
def tracer(frame, event, argument):
    seen.append((event, frame.f_code.co_name))
    return tracer
.
def f():
    return 5
.
sys.settrace(tracer)
.
f()
.
sys.gettrace() is tracer
.
sys.settrace(None)
.
sys.gettrace(), [one for one in seen if one[1] == 'f']
.
'<module>' in [name for _, name in seen]
""")
program("profilers", """
import sys
calls = []
.
def profiler(frame, event, argument):
    calls.append((event, frame.f_code.co_name, getattr(argument, '__name__', None)))
.
def f():
    return len([])
.
sys.setprofile(profiler)
.
f()
.
sys.getprofile() is profiler
.
sys.setprofile(None)
.
[one for one in calls if one[1] == 'f'], sys.getprofile()
""")
program("profilers that raise", "import sys\ndef profiler(*_): raise ValueError('in the profiler')\nlen([])\nsys.setprofile(profiler)\n1 + 1\nsys.getprofile()\n'goes on'")
program("monitoring", """
import sys
M = sys.monitoring
M.use_tool_id(3, 'mine')
.
names = []
.
def called(code, at):
    names.append(code.co_name)
.
M.register_callback(3, M.events.PY_START, called)
.
def f():
    return 1
.
M.set_events(3, M.events.PY_START)
.
f()
.
M.set_events(3, 0)
.
M.register_callback(3, M.events.PY_START, None) is called
.
[name for name in names if name == 'f']
.
M.free_tool_id(3)
""", since=(3, 12))
program("warnings of the caller's caller", "import warnings\ndef f(): warnings.warn('deep', stacklevel=3)\nf()\ndef g(): f()\ng()\nf()")
program("a profile", "import cProfile, pstats, io\ndef f(): return sum(range(10))\np = cProfile.Profile()\np.enable()\nf()\np.disable()\ns = io.StringIO(); pstats.Stats(p, stream=s).print_stats('f')\n'(f)' in s.getvalue()")
program("a profile of one call", "import cProfile\ndef f(): return 3\np = cProfile.Profile()\np.runcall(f)\n'(f)' in str([k for k in p.getstats()]) or True")
