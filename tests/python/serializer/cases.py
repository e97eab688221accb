"""What comes back and what is named: one case a kind of object. `lost`: names that must be lost, and a word of why."""

from dataclasses import dataclass, field
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    name: str
    setup: str
    check: str
    lost: dict = field(default_factory=dict)
    needs: tuple = ()
    since: tuple = (3, 10)


CASES = []


def case(name, setup, check, lost=None, needs=(), since=(3, 10)):
    CASES.append(Case(name, dedent(setup), dedent(check), lost or {}, needs, since))


# ---- what says that it is something else ----
case("an object that says it is a name", """
    class Missing:
        def __reduce__(self): return 'MISSING'
    MISSING = Missing(); d = {'x': MISSING}; also = MISSING
    class G:
        __slots__ = ("n", "__dict__")
        def __reduce_ex__(self, protocol): return 'somewhere.else'
    g = G(); g.n = [1]; g.m = g.n; h = [g]
""", """
    assert d['x'] is MISSING is also and type(MISSING) is Missing and MISSING.__reduce__() == 'MISSING'
    assert g.n == [1] and g.m is g.n and h[0] is g
""")
case("a member of an enum that says it is a name", """
    import enum
    @enum.global_enum
    class E(enum.IntEnum):
        A = 1
        def __reduce_ex__(self, protocol): return self.name
    A = E.A
    a = E.A; l = [a]
""", "assert E.A == 1 and a is E.A is l[0] and A is a", since=(3, 11))
case("attributes of subclasses whose library thinks of none", """
    import collections, datetime, decimal, fractions, pathlib, random, uuid, array, functools
    class R(random.Random):
        def __init__(self, *a): super().__init__(*a); self.n = 0
        def random(self): self.n += 1; return super().random()
    r = R(5); r.random(); r.note = [r]
    class C(collections.Counter): pass
    c = C("abca"); c.label = "letters"; c.me = c
    class D(collections.defaultdict): pass
    d = D(list, a=[1]); d.label = ["x"]; shared = d.label
    class O(collections.OrderedDict): pass
    o = O(b=1, a=2); o.label = 3
    class Day(datetime.date): pass
    day = Day(2020, 2, 29); day.label = "leap"
    class Time(datetime.datetime): pass
    time = Time(2020, 2, 29, 1); time.label = day
    class Dec(decimal.Decimal): pass
    dec = Dec("1.50"); dec.label = 1
    class Frac(fractions.Fraction): pass
    frac = Frac(1, 3); frac.label = 2
    class P(type(pathlib.PurePosixPath())): pass
    path = P("a/b"); path.label = 4
    class Q(collections.deque): pass
    q = Q([1], 3); q.label = 5
    class L(list): pass
    l = L([1]); l.label = 6
    class A(array.array): pass
    a = A("i", [1]); a.label = 7
    class F(functools.partial): pass
    f = F(int, base=2); f.label = 8
    class S(set): pass
    s = S([1]); s.label = 9
    class B(bytearray): pass
    b = B(b"x"); b.label = 10
    after = random.Random(5); after.random(); expected = after.random()
    del after
""", """
    assert r.n == 1 and r.note[0] is r and r.random() == expected and r.n == 2
    assert c == {"a": 2, "b": 1, "c": 1} and c.label == "letters" and c.me is c and type(c) is C
    assert d == {"a": [1]} and d["new"] == [] and d.label is shared == ["x"] and o.label == 3 and list(o) == ["b", "a"]
    assert day == datetime.date(2020, 2, 29) and day.label == "leap" and time.hour == 1 and time.label is day
    assert dec == decimal.Decimal("1.5") and dec.label == 1 and frac * 3 == 1 and frac.label == 2 and str(path) == "a/b" and path.label == 4
    assert list(q) == [1] and q.maxlen == 3 and q.label == 5 and l == [1] and l.label == 6 and a[0] == 1 and a.label == 7
    assert f("11") == 3 and f.label == 8 and s == {1} and s.label == 9 and b == b"x" and b.label == 10
""")
case("what a library compares by identity", """
    import argparse, optparse
    hidden = argparse.SUPPRESS; both = [optparse.NO_DEFAULT, optparse.SUPPRESS_HELP, hidden]
    parser = argparse.ArgumentParser('prog'); parser.add_argument('--secret', help=argparse.SUPPRESS, default=argparse.SUPPRESS)
    parser.add_argument('rest', nargs=argparse.REMAINDER, help='what is left')
    parser.set_defaults(level=3)
    old = optparse.OptionParser(prog='old'); old.add_option('--hidden', help=optparse.SUPPRESS_HELP)
""", """
    assert hidden is argparse.SUPPRESS and both[0] is optparse.NO_DEFAULT and both[1] is optparse.SUPPRESS_HELP and both[2] is hidden
    assert 'SUPPRESS' not in parser.format_help() and 'secret' not in parser.format_help() and 'what is left' in parser.format_help()
    found = parser.parse_args(['a', '--b'])
    assert found.rest == ['a', '--b'] and found.level == 3 and not hasattr(found, 'secret')
    assert 'hidden' not in old.format_help() and old.parse_args([])[0].hidden is None
""")

# ---- classes that a package's metaclass makes ----
case("pydantic models", """
    from pydantic import BaseModel, Field, field_validator, computed_field, ConfigDict, PrivateAttr
    from typing import ClassVar, Optional
    LIMIT = 10
    class Inner(BaseModel):
        n: int = Field(gt=0, description='positive')
    class M(BaseModel):
        'Words.'
        model_config = ConfigDict(validate_assignment=True)
        count: ClassVar[int] = 0
        seen: ClassVar[list] = []
        x: int = Field(default=1, le=LIMIT)
        inner: Optional[Inner] = None
        items: list[Inner] = []
        _secret: int = PrivateAttr(default=5)
        @field_validator('x')
        @classmethod
        def check(cls, v):
            cls.seen.append(v)
            return v + 1
        @computed_field
        @property
        def y(self) -> int: return self.x * 2
        def double(self): return type(self)(x=self.x, inner=self.inner)
    i = Inner(n=3)
    m = M(x=2, inner=i, items=[i]); m._secret = 9
    M.count = 7; seen = M.seen
    l = [m, m.inner]
""", """
    import pydantic
    assert type(m) is M and m.x == 3 and m.y == 6 and m._secret == 9 and M.count == 7 and M.seen is seen and seen[0] == 2
    assert l[0] is m and l[1] is m.inner and m.double().x == 4 and M.__doc__ == 'Words.'
    for bad in (dict(x=11), dict(inner={'n': 0})):
        try: M(**bad)
        except pydantic.ValidationError: continue
        assert False, bad
    assert m.model_dump()['y'] == 6 and M.model_json_schema()['properties']['x']['maximum'] == 10
    m.x = 5; assert m.x == 6
    assert 'LIMIT' in globals() and M.double.__code__.co_firstlineno > 20
""", needs=("pydantic",))
case("pydantic models of each other", """
    from __future__ import annotations
    import dataclasses, enum
    from typing import Generic, TypeVar
    from pydantic import BaseModel, RootModel, TypeAdapter
    T = TypeVar('T')
    class G(BaseModel, Generic[T]):
        v: T
    class Kind(enum.Enum): A = 'a'
    @dataclasses.dataclass
    class D:
        n: int = 0
    class Node(BaseModel):
        kids: list[Node] = []
        d: D = D(1)
        kind: Kind = Kind.A
        later: Later | None = None
        def size(self): return 1 + sum(k.size() for k in self.kids)
    class Later(Node):
        node: Node
        def size(self): return super().size() + 10
    class R(RootModel[list[int]]):
        def total(self): return sum(self.root)
    g = G[int](v=3); GI = G[int]; two = [G[str], g]; r = R([1, 2])
    t = Node(kids=[Node()]); t.later = Later(node=t); ta = TypeAdapter(list[R])
    class G2(BaseModel):
        x: int
        def f(self): return 1
    old = G2(x=1)
    class G2(BaseModel):
        y: int
        def f(self): return 2
    new = G2(y=1)
""", """
    assert type(g) is GI is G[int] and two[0] is G[str] and GI(v='4').v == 4 and r.total() == 3
    assert t.size() == 2 and t.later.node is t and t.later.size() == 11 and Node(kids=[{'d': {'n': '4'}}]).kids[0].d.n == 4
    assert type(t.d) is D and t.kind is Kind.A and ta.validate_python([[1]])[0].total() == 1
    assert old.f() == 1 and new.f() == 2 and type(old) is not type(new) is G2 and not hasattr(new, 'x')
""", needs=("pydantic",))
case("a pydantic model that was changed later", """
    from pydantic import BaseModel
    class M(BaseModel):
        x: int = 1
        def f(self): return 1
    M.f = lambda self: 2; m = M()
    class N(BaseModel):
        x: int = 1
        def f(self): return 1
    N.extra = 5; n = N(); kept = 1
""", "assert kept == 1", {"M": "M.f", "m": "M.f", "N": "N.extra", "n": "N.extra"}, needs=("pydantic",))
case("classes of SQLAlchemy", """
    from sqlalchemy import ForeignKey, String, create_engine, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, Session
    class Base(DeclarativeBase):
        pass
    class User(Base):
        __tablename__ = 'users'
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(30))
        items: Mapped[list['Item']] = relationship(back_populates='owner')
        def hello(self): return 'hi ' + self.name
    class Item(Base):
        __tablename__ = 'items'
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey('users.id'))
        owner: Mapped[User] = relationship(back_populates='items')
    u = User(name='ann', items=[Item(), Item()]); l = [u.items[0], u]
""", """
    assert type(u) is User and u.hello() == 'hi ann' and len(u.items) == 2 and l[0].owner is u is l[1]
    engine = create_engine('sqlite://'); Base.metadata.create_all(engine)
    with Session(engine) as s:
        s.add(u); s.commit(); assert s.scalars(select(Item).join(Item.owner).where(User.name == 'ann')).all() == list(u.items)
    engine.dispose()
""", needs=("sqlalchemy",))
case("structs, and classes with a cached hash", """
    import attrs, msgspec
    class P(msgspec.Struct):
        x: int
        y: list = []
        def f(self): return self.x
    p = P(1, [2]); l = [p.y]; data = msgspec.json.encode(p)
    @attrs.frozen(cache_hash=True)
    class F:
        x: int
    f = F(3); h = hash(f)
""", """
    assert p.f() == 1 and l[0] is p.y and msgspec.json.decode(data, type=P) == p and type(p) is P
    assert f == F(3) and hash(f) == hash(F(3)) == h
""", needs=("attrs", "msgspec"))
case("a decorated function that says it is a name", """
    import cachetools
    @cachetools.cached(cache={})
    def f(x): return [x]
    y = f(2)
""", "assert f(3) == [3] and f(2) is y and f.cache", needs=("cachetools",))
case("what a library copies when it is pickled", """
    from bs4 import BeautifulSoup
    soup = BeautifulSoup('<div><p>a</p></div>', 'html.parser'); p = soup.p; other = BeautifulSoup('<b>x</b>', 'html.parser')
""", "assert p.text == 'a' and soup.p.text == 'a' and other.b.text == 'x'", {"p in soup": "a copy of its own"}, needs=("bs4",))

# ---- plain values and aliasing ----
case("atoms", "a, b, c, d, e = 1, 2.5, 'x', None, b'y'; n = float('nan'); big = 10**400; z = -0.0; j = 1j",
     "assert (a, b, c, d, e, j) == (1, 2.5, 'x', None, b'y', 1j) and n != n and big == 10**400 and str(z) == '-0.0'")
case("surrogate", "s = '\\ud800'; nul = 'a\\0b'", "assert s == '\\ud800' and nul == 'a\\0b'")
case("containers", "x = {'l': [1, (2, 3)], 's': {1, 2}, 'f': frozenset('ab'), 'b': bytearray(b'q')}",
     "assert x == {'l': [1, (2, 3)], 's': {1, 2}, 'f': frozenset('ab'), 'b': bytearray(b'q')}")
case("same list twice", "a = [1]; b = a; c = [1]", "assert a is b and a is not c")
case("list inside dict", "a = [1]; d = {'a': a}", "assert d['a'] is a; a.append(2); assert d == {'a': [1, 2]}")
case("chain of sharing", "m = []; a = [m]; b = (m,); c = {1: b}; d = [c]", "assert a[0] is b[0] is m and d[0] is c and c[1] is b")
case("same tuple", "t = (1, 2, object); u = t", "assert t is u")
case("cycles", "a = []; a.append(a); d = {}; d['d'] = d; t = ([],); t[0].append(t)",
     "assert a[0] is a and d['d'] is d and t[0][0] is t")
case("two in a cycle", "a = {}; b = {'a': a}; a['b'] = b", "assert a['b'] is b and b['a'] is a")
case("deep list", """
    deep = []
    for _ in range(100_000): deep = [deep]
""", """
    depth = 0
    while deep: deep = deep[0]; depth += 1
    assert depth == 100_000
""")
case("deep and shared", """
    inner = [1]; deep = inner
    for _ in range(5000): deep = {'x': deep}
    del _
""", """
    while isinstance(deep, dict): deep = deep['x']
    assert deep is inner
""")
case("linked nodes", """
    class Node:
        def __init__(self, next): self.next = next
    head = None
    for _ in range(20_000): head = Node(head)
    del _
""", """
    count = 0
    while head is not None: head = head.next; count += 1
    assert count == 20_000
""")
case("set of tuples", "s = {(1, 'a'), (2, 'b')}; f = frozenset([s and 1])", "assert s == {(1, 'a'), (2, 'b')} and f == {1}")
case("ordered and default dicts", """
    import collections
    o = collections.OrderedDict([(2, 1), (1, 2)]); d = collections.defaultdict(list, a=[1]); c = collections.Counter('aab')
    q = collections.deque([1, 2], maxlen=3); m = collections.ChainMap({1: 2}, o)
""", """
    assert list(o) == [2, 1] and d['b'] == [] and c['a'] == 2 and q.maxlen == 3 and m.maps[1] is o
""")
case("stdlib values", """
    import datetime, decimal, fractions, uuid, pathlib, re, random, ipaddress, array, io
    t = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc); dec = decimal.Decimal('1.10')
    fr = fractions.Fraction(1, 3); u = uuid.UUID(int=5); p = pathlib.Path('/x'); pat = re.compile('a+', re.I)
    r = random.Random(4); r.random(); expected = random.Random(4); expected.random(); ip = ipaddress.ip_address('::1')
    arr = array.array('d', [1.5]); sio = io.StringIO('abc'); sio.read(1); bio = io.BytesIO(b'abc'); bio.seek(2)
""", """
    assert t.isoformat() == '2020-01-01T00:00:00+00:00' and str(dec) == '1.10' and fr * 3 == 1 and u.int == 5
    assert p.name == 'x' and pat.fullmatch('AA') and r.random() == expected.random() and str(ip) == '::1'
    assert arr[0] == 1.5 and sio.read() == 'bc' and bio.read() == b'c'
""")
case("iterators", """
    import itertools
    source = [1, 2, 3]; i = iter(source); next(i); c = itertools.count(5); e = enumerate('ab'); next(e)
    z = zip([1, 2], 'ab'); next(z); r = reversed([1, 2, 3]); next(r)
    cy = itertools.cycle('ab'); next(cy)
""", """
    assert list(i) == [2, 3] and next(c) == 5 and list(e) == [(1, 'b')] and list(z) == [(2, 'b')] and list(r) == [2, 1]
    assert next(cy) == 'b'
""")
case("iterator shares its list", "source = [1, 2]; i = iter(source)", "source.append(3); assert list(i) == [1, 2, 3]")
case("memoryview", "b = bytearray(b'abcd'); m = memoryview(b)[1:3]", "m[0] = 120; assert b == b'axcd' and len(m) == 2")
case("namespace and proxy", """
    import types
    n = types.SimpleNamespace(a=[1]); d = {'x': 1}; p = types.MappingProxyType(d)
""", "d['y'] = 2; assert p['y'] == 2 and n.a == [1]")
case("weak references", """
    import weakref
    class Thing: pass
    t = Thing(); w = weakref.ref(t); dead = weakref.ref(Thing()); wv = weakref.WeakValueDictionary(a=t); ws = weakref.WeakSet([t])
""", "assert w() is t and dead() is None and wv['a'] is t and t in ws and len(ws) == 1")
case("range slice ellipsis", "r = range(1, 9, 2); s = slice(1, None); e = ...; n = NotImplemented; t = type(None)",
     "assert list(r) == [1, 3, 5, 7] and s == slice(1, None) and e is ... and n is NotImplemented and t is type(None)")
case("types as values", "import types; a = int; b = types.FunctionType; c = dict[str, int]; d = int | None; e = [types.GeneratorType]",
     "assert a is int and b is type(lambda: 0) and c == dict[str, int] and d == (int | None) and e[0].__name__ == 'generator'")
case("exceptions", """
    class Mine(ValueError):
        def __init__(self, a, b): super().__init__(a); self.b = b
    e = Mine.__new__(Mine, 1); e.args = (1,); e.b = [2]; k = KeyError('x')
""", "assert k.args == ('x',)", {"e": ""})
case("exception that pickles", "class Mine(ValueError): pass\ne = Mine('a'); e.extra = 1\n",
     "assert type(e) is Mine and e.args == ('a',) and e.extra == 1")

case("exceptions with a cause", """
    class Mine(Exception): pass
    def make():
        try:
            try: 1 / 0
            except ZeroDivisionError as error: raise Mine('x') from error
        except Mine as error: return error
    e = make(); plain = ValueError(1); c = e.__cause__
""", "assert type(e) is Mine and e.__cause__ is c is e.__context__ and type(c) is ZeroDivisionError and plain.args == (1,)",
     {"e.__traceback__": "frames", "c.__traceback__": "frames"})
case("a cache that holds something", "import functools\n@functools.cache\ndef f(x): return x\nf(1)\n", "assert f(2) == 2", {"cache of f": "empty"})
case("views of a dict", "d = {'a': 1}; k, v, i = d.keys(), d.values(), d.items()", "d['b'] = 2; assert list(k) == ['a', 'b'] and 2 in v and ('b', 2) in i")

# ---- imports ----
case("imports", "import math, os.path as p, json\nfrom math import sqrt\nfrom collections import OrderedDict as O, abc\nprint_ = print",
     "assert math.pi and p.join and json.dumps and sqrt(4) == 2 and O.__name__ == 'OrderedDict' and abc.Sized and print_ is print")
case("functions of modules", "import random, os; f = random.random; e = os.environ; g = [os.path.join, len, str.upper, [].append]",
     "import random, os; assert f.__self__ is random._inst and e is os.environ and g[0] is os.path.join and g[1] is len")
case("standard streams", "import sys; out = sys.stdout; both = [sys.stderr]", "import sys; assert out is sys.stdout and both[0] is sys.stderr")

# ---- functions ----
case("function", "c = 1\ndef f(x, *a, k=2, **kw):\n    'doc'\n    return x + k + c\n",
     "assert f(1) == 4 and f.__doc__ == 'doc'; c = 10; assert f(1) == 13 and f.__globals__ is globals()")
case("lambdas of one line", "fs = [lambda: 1, lambda: 2, lambda x: x]; g, h = lambda: 3, lambda: 4",
     "assert [fs[0](), fs[1](), fs[2](5), g(), h()] == [1, 2, 5, 3, 4]")
case("shared default", "log = []\ndef f(x, log=log): log.append(x)\n", "f(1); assert log == [1] and f.__defaults__[0] is log")
case("function attributes", "data = {}\ndef f(): pass\nf.data = data; f.count = 3\n", "assert f.data is data and f.count == 3")
case("closure", """
    def make():
        n = 0
        def inc():
            nonlocal n; n += 1; return n
        def get(): return n
        return inc, get
    inc, get = make(); inc()
""", "assert get() == 1 and inc() == 2 and get() == 2")
case("closure over a global's list", "x = [1]\ndef make(y):\n    return lambda: y\nf = make(x)\n", "assert f() is x")
case("recursive closure", """
    def make():
        def fact(n): return 1 if n < 2 else n * fact(n - 1)
        return fact
    fact = make()
""", "assert fact(5) == 120")
case("empty cell", """
    def make():
        def f(): return later
        if 0: later = 1
        return f
    f = make()
""", """
    try: f()
    except NameError: pass
    else: assert 0
""")
case("partial", "import functools\ndef f(a, b): return a - b\np = functools.partial(f, b=1); q = functools.partial(int, base=2)\n",
     "assert p(3) == 2 and q('11') == 3 and p.func is f")
case("decorators", """
    import functools
    calls = []
    def deco(f):
        @functools.wraps(f)
        def wrapper(*a): calls.append(a); return f(*a)
        return wrapper
    @deco
    def add(a, b): 'adds'; return a + b
""", "assert add(1, 2) == 3 and calls == [(1, 2)] and add.__doc__ == 'adds' and add.__wrapped__.__name__ == 'add'")
case("lru_cache", """
    import functools
    @functools.lru_cache(maxsize=7)
    def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
    fib(10); fib.cache_clear(); table = {'f': fib}
""", "assert fib(30) == 832040 and fib.cache_parameters()['maxsize'] == 7 and table['f'] is fib")
case("singledispatch", """
    import functools
    class Thing: pass
    @functools.singledispatch
    def show(x): return 'any'
    @show.register(int)
    def _int(x): return 'int'
    @show.register
    def _thing(x: Thing): return 'thing'
""", "assert show('a') == 'any' and show(1) == 'int' and show(Thing()) == 'thing'")
case("generator function", "def g(n):\n    for i in range(n): yield i\nasync def co(): return 1\n",
     "assert list(g(3)) == [0, 1, 2]; import asyncio; assert asyncio.run(co()) == 1")
case("annotations", "def f(x: int, y: 'str' = '') -> list[int]: ...\nz: int = 3\n",
     "assert f.__annotations__ == {'x': int, 'y': 'str', 'return': list[int]}")
case("function by two names", "def f(): return 1\ng = f; d = {'f': f}; del f\n", "assert g() == 1 and d['f'] is g")
case("missing global", "def f(): return gone\n", """
    try: f()
    except NameError: pass
    else: assert 0
    gone = 5; assert f() == 5
""")
case("exec'd function", "ns = {'k': 2}\nexec('def f(): return k', ns); f = ns['f']\n", "assert f() == 2")
case("bound methods", "class A:\n    def m(self): return self\na = A(); m = a.m; ap = [].append; u = 'x'.upper\n",
     "assert m() is a and u() == 'X'")
case("traceback and source", "def f():\n    return 1 / 0\n", """
    import inspect, traceback
    assert inspect.getsource(f) == 'def f():\\n    return 1 / 0\\n'
    try: f()
    except ZeroDivisionError: assert 'return 1 / 0' in traceback.format_exc()
""")
case("type parameters", "def f[T](x: T) -> T: return x\nclass G[T]:\n    pass\ntype L[T] = list[T]\ng = G[int]()\n",
     "assert f(1) == 1 and f.__type_params__[0].__name__ == 'T' and type(g) is G and L.__name__ == 'L'", since=(3, 12))

# ---- classes ----
case("class", """
    k = 1
    class A:
        'doc'
        x = [1]
        def __init__(self, v): self.v = v
        def get(self): return self.v + k
        @property
        def p(self): return self.v
        @p.setter
        def p(self, v): self.v = v
        @staticmethod
        def s(): return 's'
        @classmethod
        def c(cls): return cls
    a = A(1); x = A.x
""", """
    assert a.get() == 2 and a.p == 1 and A.s() == 's' and a.c() is A and A.x is x and A.__doc__ == 'doc'
    k = 5; a.p = 3; assert a.get() == 8
""")
case("inheritance and super", """
    class A:
        def f(self): return ['A']
    class B(A):
        def f(self): return super().f() + ['B']
    class C(A):
        def f(self): return super().f() + ['C']
    class D(B, C):
        def f(self): return super().f() + ['D']
    d = D()
""", "assert d.f() == ['A', 'C', 'B', 'D'] and D.__mro__ == (D, B, C, A, object)")
case("redefined class", """
    class P:
        def who(self): return 'old'
    old = P()
    class P:
        def who(self): return 'new'
    new = P()
""", "assert old.who() == 'old' and new.who() == 'new' and type(new) is P and type(old) is not P and type(old).__name__ == 'P'")
case("class changed later", "class A: n = 0\nA.n = 5; A.l = []; A.f = lambda self: 7; a = A()\n",
     "assert A.n == 5 and a.f() == 7 and a.l is A.l")
case("registry", """
    class A:
        all = []
        def __init__(self): A.all.append(self)
    one, two = A(), A()
""", "assert A.all == [one, two] and A.all[0] is one")
case("init_subclass runs once", """
    ran = []
    class Base:
        def __init_subclass__(cls, tag=None): ran.append(cls.__name__); cls.tag = tag
    class Sub(Base, tag='t'): pass
""", "assert ran == ['Sub'] and Sub.tag == 't'\nclass Next(Base): pass\nassert ran == ['Sub', 'Next']")
case("set_name runs once", """
    names = []
    class Field:
        def __set_name__(self, owner, name): names.append(name); self.name = name
        def __get__(self, obj, cls=None): return self if obj is None else obj.__dict__.get(self.name)
        def __set__(self, obj, value): obj.__dict__[self.name] = value
    class A: f = Field()
    a = A(); a.f = 5
""", "assert names == ['f'] and a.f == 5 and A.f.name == 'f'")
case("slots", """
    class S:
        __slots__ = ('a', '__b', 'unset')
        def __init__(self): self.a = 1; self.__b = [2]
        def b(self): return self.__b
    class T(S):
        __slots__ = ()
    class U(S): pass
    s, t, u = S(), T(), U(); u.x = 1
""", "assert s.a == 1 and s.b() == [2] and not hasattr(s, 'unset') and not hasattr(t, '__dict__') and u.x == 1")
case("dataclasses", """
    import dataclasses, typing
    @dataclasses.dataclass
    class D:
        x: int = 1
        y: list = dataclasses.field(default_factory=list, repr=False)
        z: typing.ClassVar[int] = 4
    @dataclasses.dataclass(frozen=True, order=True)
    class F: a: int
    @dataclasses.dataclass(slots=True)
    class S: a: int = 0
    @dataclasses.dataclass(frozen=True, slots=True)
    class FS:
        a: int
        b: str = 'b'
    d, f, s, fs = D(2, [1]), F(1), S(3), FS(4)
""", """
    import dataclasses
    assert d == D(2, [1]) and D() == D(1, []) and repr(d) == 'D(x=2)' and f < F(2) and hash(f) == hash(F(1))
    assert s.a == 3 and fs == FS(4) and dataclasses.replace(d, x=9).x == 9 and not hasattr(s, '__dict__')
    for one in (f, fs):
        try: one.a = 1
        except dataclasses.FrozenInstanceError: pass
        else: assert 0
    assert [x.name for x in dataclasses.fields(D)] == ['x', 'y'] and D.z == 4
    class E(D): w: int = 0
""")
case("enums", """
    import enum
    class Color(enum.Enum):
        RED = 1; GREEN = 'g'; ROT = 1
        def low(self): return self.name.lower()
        @classmethod
        def first(cls): return cls.RED
    class Planet(enum.Enum):
        EARTH = (1, 2)
        def __init__(self, mass, radius): self.mass, self.radius = mass, radius
    class Auto(enum.IntEnum):
        A = enum.auto(); B = enum.auto()
    class Perm(enum.Flag):
        R = 4; W = 2; X = 1
    class Own(enum.Enum):
        P = 'p'
        def __new__(cls, value):
            self = object.__new__(cls); self._value_ = value * 2; return self
    class Text(str, enum.Enum): A = 'a'
    red = Color.RED; both = Perm.R | Perm.W; d = {Color.GREEN: 1}; own = Own.P
""", """
    assert red is Color.RED is Color.ROT and Color(1) is red and Color['GREEN'].low() == 'green' and d[Color.GREEN] == 1
    assert list(Color) == [Color.RED, Color.GREEN] and Planet.EARTH.mass == 1 and Planet((1, 2)) is Planet.EARTH
    assert Auto.B == 2 and Auto.A + 1 == 2 and both == Perm.R | Perm.W and Perm(6) is both and Perm.X not in both
    assert own is Own.P and own.value == 'pp' and Own('pp') is own and Text.A == 'a' and Color.first() is red
    assert red.name == 'RED' and isinstance(red, Color) and len(Color) == 2
""")
case("namedtuples", """
    import collections, typing
    P = collections.namedtuple('P', 'x y', defaults=[7])
    class N(typing.NamedTuple):
        'doc'
        a: int
        b: str = 'q'
        def both(self): return self.a, self.b
    p, n = P(1), N(2)
""", "assert p == (1, 7) and p._replace(x=3).x == 3 and n.both() == (2, 'q') and N(1).b == 'q' and type(n) is N and P._fields == ('x', 'y')")
case("generics", """
    import typing
    T = typing.TypeVar('T', bound=int)
    class Box(typing.Generic[T]):
        def __init__(self, x: T): self.x = x
    class IntBox(Box[int]): pass
    b, i, alias = Box[int](1), IntBox(2), Box[int]
    UserId = typing.NewType('UserId', int)
""", """
    assert b.x == 1 and i.x == 2 and alias.__origin__ is Box and Box.__parameters__ == (T,) and T.__bound__ is int
    assert UserId(3) == 3 and UserId.__supertype__ is int
    class Again(Box[T]): pass
    assert Again[int](1).x == 1
""")
case("protocol and typeddict", """
    import typing
    @typing.runtime_checkable
    class Sized(typing.Protocol):
        def size(self) -> int: ...
    class Has:
        def size(self): return 1
    class TD(typing.TypedDict, total=False):
        a: int
    td: TD = {'a': 1}; h = Has()
""", "assert isinstance(h, Sized) and not isinstance(1, Sized) and TD(a=1) == td and TD.__optional_keys__ == {'a'}")
case("abstract classes", """
    import abc
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...
    class Sq(Shape):
        def area(self): return 4
    @Shape.register
    class Virtual: pass
    s = Sq()
""", """
    assert s.area() == 4 and isinstance(s, Shape) and issubclass(Virtual, Shape)
    try: Shape()
    except TypeError: pass
    else: assert 0
""")
case("metaclass", """
    made = []
    class Meta(type):
        def __new__(mcs, name, bases, ns, **kw):
            made.append(name); return super().__new__(mcs, name, bases, ns)
        def __init__(cls, name, bases, ns, **kw): cls.tag = name.lower()
        def __call__(cls, *a): o = super().__call__(*a); o.called = True; return o
        @property
        def shout(cls): return cls.__name__ + '!'
    class A(metaclass=Meta): pass
    a = A()
""", "assert made == ['A'] and A.tag == 'a' and type(A) is Meta and A.shout == 'A!' and a.called and A().called")
case("cached property", """
    import functools
    class A:
        @functools.cached_property
        def x(self): return []
    a = A(); x = a.x; b = A()
""", "assert a.x is x and b.x == [] and b.x is b.x")
case("nested and local classes", """
    class Outer:
        class Inner:
            v = 1
        def make(self): return Outer.Inner()
    def local():
        class L:
            def name(self): return 'L'
        return L()
    i, l = Outer().make(), local()
""", "assert type(i) is Outer.Inner and i.v == 1 and l.name() == 'L' and type(l).__qualname__ == 'local.<locals>.L'")
case("subclasses of builtins", """
    class L(list):
        def total(self): return sum(self)
    class D(dict):
        def __missing__(self, k): return k
    class S(str): pass
    class I(int): pass
    class T(tuple): pass
    l = L([1, 2]); l.tag = 't'; d = D(a=1); s = S('x'); s.a = 1; i = I(4); t = T((1,)); t.x = []
""", "assert l.total() == 3 and l.tag == 't' and d['q'] == 'q' and s == 'x' and s.a == 1 and i == 4 and t == (1,) and t.x == []")
case("context manager and callable class", """
    class C:
        def __enter__(self): return self
        def __exit__(self, *a): return True
        def __call__(self, x): return x + 1
        def __getitem__(self, k): return k
    c = C()
""", "assert c(1) == 2 and c[5] == 5\nwith c: 1 / 0")
case("getattr that recurses", """
    class Proxy:
        def __init__(self, below): self.below = below
        def __getattr__(self, name): return getattr(self.below, name)
    below = [1, 2]; p = Proxy(below)
""", "assert p.below is below and p.count(1) == 1")
case("class that lies about its class", """
    class Liar:
        @property
        def __class__(self): return int
    l = Liar(); l.x = 1
""", "assert type(l) is Liar and l.x == 1")
case("frozen by setattr", """
    class Fixed:
        def __init__(self, a): object.__setattr__(self, 'a', a)
        def __setattr__(self, n, v): raise AttributeError('fixed')
    f = Fixed([1]); a = f.a
""", "assert f.a is a")
case("changed class", "class A: pass\nclass B:\n    def f(self): return 'B'\na = A(); a.__class__ = B\n", "assert type(a) is B and a.f() == 'B'")
case("getstate of its own", """
    import threading
    class Job:
        def __init__(self): self.lock = threading.Lock(); self.data = [1]
        def __getstate__(self): d = dict(self.__dict__); del d['lock']; return d
        def __setstate__(self, d): self.__dict__.update(d); self.lock = threading.Lock()
    j = Job(); data = j.data
""", "assert j.data is data and j.lock.acquire(False)")
case("reduce of its own", """
    class V:
        def __init__(self, x): self.x = x
        def __reduce__(self): return V, (self.x,)
    v = V([1]); x = v.x
""", "assert v.x is x and type(v) is V")
case("instance attributes of a function", "class A: pass\na = A(); a.cb = lambda: a\n", "assert a.cb() is a")
case("module made in the session", """
    import types
    m = types.ModuleType('made', 'doc'); m.x = [1]; exec('def f(): return x', vars(m)); x = m.x
""", "assert m.f() is m.x and m.x is x and m.__doc__ == 'doc' and m.f.__globals__ is vars(m); m.x = 5; assert m.f() == 5")
case("class with a class in its state", "class A: pass\nclass B: other = A\nA.other = B; a = A()\n", "assert A.other is B and B.other is A")
case("operators", "class V:\n    def __init__(s, x): s.x = x\n    def __eq__(s, o): return s.x == o.x\n    def __hash__(s): return hash(s.x)\n    def __len__(s): return 0\n    __add__ = lambda s, o: V(s.x + o.x)\nd = {V(1): 'one'}; v = V(1)\n",
     "assert d[V(1)] == 'one' and (v + v).x == 2 and not v")

# ---- what cannot be saved ----
for name, code, word in (
    ("generator", "(i for i in [1])", "generator"),
    ("coroutine", "(lambda: co())()", "coroutine"),
    ("lock", "(lambda one: one.acquire() and one)(__import__('threading').Lock())", "lock"),
    ("rlock", "(lambda one: one.acquire() and one)(__import__('threading').RLock())", "lock"),
    ("condition", "(lambda one: one.acquire() and one)(__import__('threading').Condition())", "lock"),
    ("thread", "__import__('threading').Thread(target=print)", "thread"),
    ("socket", "__import__('socket').socket()", "socket"),
    ("file", "open('/etc/hostname')", "file"),
    ("binary file", "open('/etc/hostname', 'rb')", "file"),
    ("popen", "__import__('subprocess').Popen(['true'])", "process"),
    ("sqlite", "__import__('sqlite3').connect(':memory:')", "database"),
    ("match", "__import__('re').match('a', 'a')", "match"),
    ("finditer", "__import__('re').finditer('a', 'aa')", "iterator"),
    ("frame", "__import__('sys')._getframe()", "frame"),
    ("loop", "__import__('asyncio').new_event_loop()", "loop"),
    ("contextvar", "__import__('contextvars').ContextVar('v')", "context variable"),
    ("executor", "__import__('concurrent.futures').futures.ThreadPoolExecutor()", "threads"),
    ("mmap", "__import__('mmap').mmap(-1, 10)", "mapped"),
    ("environment lock inside", "[{'a': (lambda one: one.acquire() and one)(__import__('threading').Lock())}]", "lock"),
):
    case(f"lost {name}", f"async def co(): pass\nbad = {code}\nkept = [1]", "assert kept == [1] and 'bad' not in globals()", {"bad": word})
case("lost takes along what needs it", """
    def make():
        g = (i for i in [1])
        return lambda: next(g)
    f = make(); d = {'f': f}; kept = 1
""", "assert kept == 1", {"f": "generator", "d": "generator"})
case("lost beside what it shares", "s = [1]; bad = {'s': s, 'g': (i for i in s)}; ok = {'s': s}",
     "assert ok['s'] is s is bad['s'] and 'generator' in bad['g'].reason", {"bad['g']": "generator"})
case("raising reduce", "class R:\n    def __reduce__(self): raise RuntimeError('no way')\nr = R(); ok = 1\n", "assert ok == 1", {"r": "no way"})
case("exiting reduce", "class R:\n    def __reduce__(self): raise SystemExit(3)\nclass K:\n    def __getstate__(self): raise KeyboardInterrupt\nr, k = R(), K(); ok = 1\n",
     "assert ok == 1", {"r": "SystemExit", "k": "KeyboardInterrupt"})
case("lying reduce", "class R:\n    def __init__(self, x): self.x = x\n    def __reduce__(self): return R, (1,)\nr = R(5); honest = R(1)\n",
     "assert honest.x == 1", {"r": "r.x: 5 became 1"})
case("lying getstate", "class R:\n    def __getstate__(self): return {'x': 0}\nr = R(); r.x = 7\n", "", {"r": "r.x: 7 became 0"})
case("lying eq", "class R:\n    def __reduce__(self): return R, ()\n    def __eq__(self, o): return True\nr = R(); r.x = 7\n", "", {"r": "x: is gone"})
case("reduce to another type", "class R:\n    def __reduce__(self): return int, (4,)\nr = R()\n", "", {"r": "became"})
case("setstate that fails", "class R:\n    def __setstate__(self, s): raise ValueError('broken')\nr = R(); r.x = 1\n", "", {"r": "broken"})
case("endless reduce", "class R:\n    def __reduce__(self): return R, (R(),)\nr = R(); ok = 1\n", "assert ok == 1", {"r": ""})
case("raising property and metaclass", """
    class Meta(type):
        def __getattribute__(cls, n): raise RuntimeError('meta')
    class M(metaclass=Meta): pass
    class P:
        @property
        def __dict__(self): raise RuntimeError('dict')
    p = P(); ok = [1]
""", "assert ok == [1] and type(p) is P", {"M": ""})
case("hostile eq and hash", """
    class H:
        def __eq__(self, o): raise RuntimeError('eq')
        def __hash__(self): raise RuntimeError('hash')
        def __repr__(self): raise RuntimeError('repr')
        def __bool__(self): raise RuntimeError('bool')
        def __len__(self): raise RuntimeError('len')
    h = H(); l = [h]
""", "assert l[0] is h")
case("lock in a class", "import threading\nclass A:\n    lock = threading.Lock()\nA.lock.acquire(); a = A(); ok = 1\n", "assert ok == 1", {"A": "lock", "a": "lock"})

# ---- numpy and pandas ----
NP = ("numpy",)
case("arrays", """
    import numpy as np
    a = np.arange(12.).reshape(3, 4); f = np.asfortranarray(a); big = np.arange(100_000); s = np.array(['a', 'bc'])
    o = np.array([1, 'x', None], object); z = np.zeros((0, 3)); sc = np.float32(1.5); zero = np.array(5)
    rec = np.array([(1, 2.)], dtype=[('a', 'i4'), ('b', 'f8')]); dt = np.array(['2020-01-01'], 'M8[D]')
    t = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2).copy('K'); bt = np.arange(240_000).reshape(2, 3, 40_000).transpose(1, 0, 2).copy('K')
    ro = np.arange(3); ro.flags.writeable = False; bro = np.arange(50_000); bro.flags.writeable = False
    nan = np.array([np.nan, -0.0]); ft = np.asfortranarray(np.arange(40_000.).reshape(200, 200)); b = np.array([True])
""", """
    import numpy as np
    assert (a == np.arange(12.).reshape(3, 4)).all() and f.flags.f_contiguous and (f == a).all() and (big == np.arange(100_000)).all()
    assert list(s) == ['a', 'bc'] and list(o) == [1, 'x', None] and z.shape == (0, 3) and sc == 1.5 and type(sc) is np.float32
    assert zero == 5 and zero.shape == () and rec['b'][0] == 2 and dt[0] == np.datetime64('2020-01-01')
    assert (t == np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)).all() and t.strides == np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2).copy('K').strides
    assert (bt == np.arange(240_000).reshape(2, 3, 40_000).transpose(1, 0, 2)).all() and bt.strides[1] > bt.strides[0] and bt.flags.writeable
    assert not ro.flags.writeable and not bro.flags.writeable and big.flags.writeable and a.flags.writeable
    assert np.isnan(nan[0]) and np.signbit(nan[1]) and ft.flags.f_contiguous and ft[1, 0] == 200
    a[0, 0] = 9; big[0] = 9; ft[0, 0] = 1
""", needs=NP)
case("views", """
    import numpy as np
    a = np.arange(20.); v = a[5:15:2]; r = a[::-1]; m = np.arange(12).reshape(3, 4); t = m.T; c = m[:, 1]; bigb = np.zeros(100_000); bv = bigb[10:20]
    fa = np.asfortranarray(np.arange(12.).reshape(3, 4)); fv = fa[1:, 2]; ob = np.array([[1], 'x', None, 2], object); ov = ob[::2]
""", """
    v[0] = 100; assert a[5] == 100 and v.base is a; r[0] = -1; assert a[19] == -1
    t[1, 2] = 50; assert m[2, 1] == 50 and c[2] == 50; bv[0] = 1; assert bigb[10] == 1
    fv[0] = 77; assert fa[1, 2] == 77; ov[1] = 'new'; assert ob[2] == 'new' and ov[0] is ob[0]
""", needs=NP)
case("views without a name for the base", "import numpy as np\ndef two():\n    base = np.arange(10)\n    return base[:6], base[4:]\nx, y = two()\n",
     "x[5] = 99; assert y[1] == 99", needs=NP)
case("views in containers", "import numpy as np\na = np.zeros(40_000); d = {'v': a[5:], 'w': a[1::2]}; l = [a.reshape(200, 200)]",
     "a[5] = 3; assert d['v'][0] == 3 and d['w'][2] == 3 and l[0][0, 5] == 3", needs=NP)
case("array over a bytearray", "import numpy as np\nb = bytearray(100); a = np.frombuffer(b, 'u1')[3:]", "a[0] = 7; assert b[3] == 7", needs=NP)
case("numpy random", "import numpy as np\ng = np.random.default_rng(1); g.random(); r = np.random.RandomState(2); e = np.random.default_rng(1); e.random()",
     "assert g.random() == e.random() and 0 <= r.rand() < 1", needs=NP)
case("numpy functions", "import numpy as np\nfrom numpy import sin, linalg\nf = np.add; d = np.dtype('f4'); u = np.vectorize(lambda x: x + 1)",
     "import numpy as np; assert sin is np.sin and f is np.add and d == 'f4' and list(u([1])) == [2]", needs=NP)
case("array in an instance", "import numpy as np\nclass M:\n    def __init__(self, w): self.w = w\nw = np.ones(50_000); m = M(w)\n", "m.w[0] = 5; assert w[0] == 5 and m.w is w", needs=NP)
case("matrix, masked array", "import numpy as np\nm = np.ma.array([1, 2], mask=[0, 1]); x = np.matrix([[1, 2]])", "assert m.sum() == 1 and x.shape == (1, 2)", needs=NP)
PD = ("pandas",)
case("frames", """
    import pandas as pd, numpy as np
    df = pd.DataFrame({'a': range(5), 'b': np.arange(5) * 1.5, 'c': list('vwxyz')}, index=list('abcde')); same = df; s = df['a']
    cat = pd.Series(['x', 'y', 'x'], dtype='category'); idx = df.index; ts = pd.Timestamp('2020-01-01', tz='UTC'); na = pd.NA
    g = df.groupby('a').sum(); mi = pd.MultiIndex.from_product([[1, 2], list("ab")]); dt = pd.Series(pd.date_range('2020', periods=3))
""", """
    import pandas as pd
    assert same is df and df.loc['c', 'b'] == 3.0 and list(s) == [0, 1, 2, 3, 4] and cat.cat.categories.tolist() == ['x', 'y']
    assert list(idx) == list('abcde') and str(ts) == '2020-01-01 00:00:00+00:00' and na is pd.NA and len(g) == 5
    assert mi[3] == (2, 'b') and dt[1] == pd.Timestamp('2020-01-02'); df['new'] = 1; assert 'new' in same
""", needs=PD)
case("frame over an array", "import pandas as pd, numpy as np\na = np.zeros((20_000, 3)); df = pd.DataFrame(a, copy=False); v = df.to_numpy()",
     "a[0, 0] = 5; assert df.iloc[0, 0] == 5 and v[0, 0] == 5", needs=PD)
case("sklearn", """
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.ensemble import RandomForestRegressor
    X = np.arange(20.).reshape(10, 2); y = X[:, 0]; m = LinearRegression().fit(X, y); f = RandomForestRegressor(5, random_state=0).fit(X, y); p = f.predict(X)
""", "assert abs(m.predict(X) - y).max() < 1e-9 and (f.predict(X) == p).all()", needs=("sklearn",))
case("scipy sparse", "import scipy.sparse as sp, numpy as np\nm = sp.random(100, 100, 0.1, random_state=0, format='csr'); t = m.sum()", "assert abs(m.sum() - t) < 1e-12", needs=("scipy",))
case("networkx, sympy", "import networkx as nx, sympy\ng = nx.path_graph(5); x = sympy.Symbol('x'); e = sympy.sin(x) ** 2",
     "assert list(g) == [0, 1, 2, 3, 4] and e.subs(x, 0) == 0 and x in e.free_symbols", needs=("networkx", "sympy"))
# ---- what the suite of transactions found ----
case("views of array subclasses", """
    import numpy as np
    class Tagged(np.ndarray):
        def __array_finalize__(self, obj): self.tag = getattr(obj, "tag", None)
    t = np.arange(3).view(Tagged); t.tag = ["set"]; v = t[1:]; m = np.matrix([[1, 2]])
    s = np.array([(1, 2.5), (2, 3.5)], dtype=[("n", "<i4"), ("x", ">f8")]); rec = s.view(np.recarray)
    big = np.arange(100000.0).view(Tagged); cut = big[10:50:2]; f = np.asfortranarray(np.ones((3, 4))).view(Tagged); ft = f.T
""", """
    assert type(t) is type(v) is Tagged and v.tag is t.tag == ["set"] and type(m) is np.matrix and m.tolist() == [[1, 2]]
    v[0] = 9; assert t.tolist() == [0, 9, 2]
    rec.n[0] = 7; assert type(rec) is np.recarray and type(rec[0]) is np.record and s["n"].tolist() == [7, 2]
    cut[0] = -1; assert big[10] == -1 and type(ft) is Tagged; ft[0, 1] = 5; assert f[1, 0] == 5
""", needs=("numpy",))
case("masked arrays and their parts", """
    import numpy as np
    m = np.ma.masked_less(np.arange(6), 2); part = m[1:4]; m.fill_value = -9; none = np.ma.array([1, 2]); one = np.ma.masked
    grid = np.ma.array(np.arange(6).reshape(2, 3), mask=[[0, 1, 0], [1, 0, 0]]); column = grid[:, 2]
""", """
    assert m.sum() == 14 and part.mask.tolist() == [True, False, False] and m.fill_value == -9 and one is np.ma.masked
    part[1] = 50; assert m[2] == 50 and none.mask is np.ma.nomask
    assert grid.sum() == 11; column[0] = 40; assert grid[0, 2] == 40 and grid.mask.tolist() == [[0, 1, 0], [1, 0, 0]]
""", needs=("numpy",))
case("frames that share until one is written", """
    import pandas as pd
    df = pd.DataFrame({"a": [3.0, 1.0, 2.0], "k": ["x", "y", "z"], "n": [1, 2, 3]})
    column, part, indexed, index, shallow = df["n"], df.iloc[1:], df.set_index("a"), pd.Index(df["n"]), df.copy(deep=False)
    twin = df.copy(); others = [twin["n"], twin.iloc[1:], twin.copy(deep=False)]
    twin.loc[1, "n"] = 88; expected = [others[0].tolist(), others[1]["n"].tolist(), others[2]["n"].tolist()]
""", """
    df.loc[1, "n"] = 88
    assert [column.tolist(), part["n"].tolist(), shallow["n"].tolist()] == expected
    if pd.__version__ >= "3": assert index.tolist() == [1, 2, 3]; df.loc[0, "a"] = 99; assert indexed.index.tolist() == [3, 1, 2]
""", needs=("pandas",))
case("a logger that logging does not know", """
    import logging
    alone, known, root = logging.Logger("alone"), logging.getLogger("known"), logging.getLogger()
""", "assert known is logging.getLogger('known') and root is logging.root", {"alone": "getLogger does not know"})
case("functions that a module has of an object", "import random; from random import shuffle, random as draw; d = {'f': shuffle}",
     "assert shuffle is random.shuffle is d['f'] and draw.__self__ is random.random.__self__")
case("the list of warnings' filters", """
    import warnings
    warnings.simplefilter("error", UserWarning); filters, count = warnings.filters, len(warnings.filters)
""", "assert len(filters) == count and filters[0][0] == 'error'")
case("an image of several frames", """
    import io
    from PIL import Image
    raw, still = io.BytesIO(), io.BytesIO()
    frames = [Image.new("L", (4, 4), n * 60) for n in range(4)]
    frames[0].save(raw, "GIF", save_all=True, append_images=frames[1:]); gif = Image.open(raw); gif.seek(1)
    frames[1].save(still, "PNG"); png = Image.open(still)
""", "assert png.getpixel((1, 1)) == 60 and len(frames) == 4", {"gif": "several frames"}, needs=("PIL",))

# ---- found by a hostile review ----
case("instances that the class itself holds", """
    class Sing:
        _i = None
        def __new__(cls):
            if cls._i is None: cls._i = super().__new__(cls)
            return cls._i
    s1 = Sing(); s1.data = [1, 2, 3]
    class Str(str):
        def __new__(cls, v): return super().__new__(cls, v)
    Str.A = Str('a')
    class Ver(tuple):
        def __new__(cls, v): return super().__new__(cls, v)
    Ver.ZERO = Ver((0, 0)); v = Ver((1, 2))
    class Item:
        def __init__(self, n): self.n = n
        def __hash__(self): return hash(super().__class__) and hash(self.n)
        def __setstate__(self, state): super().__setattr__('n', state['n'])
    Item.all = {Item(1), Item(2)}
""", "assert Sing() is s1 and s1.data == [1, 2, 3] and type(Str.A) is Str and Str.A == 'a' and Ver.ZERO == (0, 0) and v == (1, 2)\n"
     "assert {one.n for one in Item.all} == {1, 2}")
case("metaclass whose eq and hash are the user's", """
    class Meta(type):
        def __eq__(c, o): return c.key == o.key
        def __hash__(c): return 1
    class A(metaclass=Meta): key = 1
    a = A(); ok = [1]
""", "assert ok == [1]", {"a": "has no attribute 'key'"})
case("errors with lone surrogates", "class R:\n    def __reduce__(self): raise ValueError('caf\\udce9 bad')\nr = R(); ok = 1\n", "assert ok == 1",
     {"r": "caf? bad"})
case("keys that are no names", "globals()[7] = 8; globals()['x' * 70000] = 8; globals()['\\ud800'] = 4; ok = 1\n", "assert ok == 1",
     {"globals()[7]": "no string", "x" * 60 + "…": "70,000 characters", "?": "surrogate"})

# ---- dicts that are part of something else ----
case("namespace", "x = [1]; ns = globals(); holder = {'ns': globals(), 'x': x}\ndef f(where=globals()): return where",
     "assert ns is globals() is holder['ns'] is f() and holder['x'] is x; ns['y'] = 5; assert y == 5")
case("namespace in objects", """
    class Context:
        def __init__(self): self.names = globals()
    import collections
    context = Context(); chain = collections.ChainMap({'own': 1}, globals()); other = [5]
""", "assert context.names is globals() and chain.maps[1] is globals() and chain['other'] is other and chain['own'] == 1")
case("contents of a module", "import json, fractions; d = vars(json); held = [vars(fractions)]",
     "import json; assert d is vars(json) and held[0]['Fraction'](1, 2) + held[0]['Fraction'](1, 2) == 1")
case("dict of an instance", """
    class Plain: pass
    class Slotted:
        __slots__ = ('a', '__dict__')
    class Odd:
        def __getattr__(self, name): raise AttributeError(name)
    class Sub(list): pass
    one, two, three, four, five = Plain(), Slotted(), Odd(), Sub([1]), Plain()
    one.x = 1; two.a = 2; two.x = 2; three.x = 3; four.x = 4
    dicts = [vars(one), vars(two), vars(three), vars(four), vars(five)]; d = vars(one); alone = Plain(); alone.x = 1
""", """
    for obj, own in zip((one, two, three, four, five), dicts): assert vars(obj) is own, obj
    d['y'] = 9; assert one.y == 9 and d is dicts[0] and two.a == 2 and two.x == 2 and three.x == 3 and four == [1] and four.x == 4
    five.x = 1; assert dicts[4] == {'x': 1} and vars(alone) == {'x': 1}
""")
case("borg", """
    class Borg:
        state = {}
        def __init__(self): self.__dict__ = self.state
    a, b = Borg(), Borg(); a.x = 1
""", "assert b.x == 1; b.y = 2; assert a.y == 2 and vars(a) is vars(b) is Borg.state and Borg().x == 1")
case("objects in two names", """
    class P: pass
    p = P(); p.x = [1]; q = [p]; r = {'p': p, 'x': p.x}
""", "assert q[0] is p is r['p'] and r['x'] is p.x; q[0].y = 2; assert p.y == 2")
case("dict of an instance, after a first try failed", """
    import threading
    class Plain: pass
    one = Plain(); one.x = 1; held = [one, vars(one), threading.Lock()]; held[2].acquire()
    two = Plain(); two.x = lambda: 5; both = [two, vars(two)]
""", "assert held[0] is one and held[1] is vars(one) and both[0] is two and both[1] is vars(two) and two.x() == 5",
     {"held[2]": "lock"})
case(
    "locks that nobody holds, and what is built on them",
    """
    import queue, threading
    lock = threading.Lock(); again = threading.RLock(); both = [lock, lock]; event = threading.Event(); event.set()
    condition = threading.Condition(lock); semaphore = threading.BoundedSemaphore(3); semaphore.acquire()
    q = queue.Queue(5); q.put("a"); local = threading.local(); local.x = [1]; x = local.x
    """,
    """
    assert both[0] is both[1] is lock and condition._lock is lock and event.is_set()
    with lock: assert not lock.acquire(blocking=False)
    with again, again: pass
    with condition: condition.notify_all()
    semaphore.release()
    try: semaphore.release()
    except ValueError: pass
    else: raise AssertionError
    assert q.get_nowait() == "a" and q.maxsize == 5 and q.empty() and local.x is x == [1]
    seen = []
    thread = threading.Thread(target=lambda: seen.append(hasattr(local, "x"))); thread.start(); thread.join()
    assert seen == [False]
    """,
)

# ---- newer Pythons ----
case("newer: plain dataclass", """
    import dataclasses
    @dataclasses.dataclass
    class D:
        x: int = 1
    d = D(2)
""", 'assert d == D(2)')
case("newer: NamedTuple", """
    import typing
    class N(typing.NamedTuple):
        a: int
        b: int = 3
        def both(self): return self.a
    n = N(1)
""", 'assert n == N(1)')
case("newer: annotations", """
    class A:
        x: int
        y: 'Later' = 1
    a = A()
""", "assert A.__annotations__['x'] is int")
case("newer: forward", """
    class A:
        x: Later
    a = A()

""", """
    import annotationlib
    assert annotationlib.get_annotations(A, format=annotationlib.Format.STRING) == {'x': 'Later'}
    class Later: pass
    assert A.__annotations__ == {'x': Later}
""", since=(3, 14))
case("newer: function", 'def f(x: int, y: Later = 1) -> str: return x', """
    class Later: pass
    assert f.__annotations__ == {'x': int, 'y': Later, 'return': str} and f.__annotate__ is not None
""", since=(3, 14))
case("newer: typed dict", """
    import typing
    class T(typing.TypedDict):
        x: int
    t: T = {'x': 1}
""", "assert T.__annotations__ == {'x': int} and t == {'x': 1}")
case("newer: protocol", """
    import typing
    @typing.runtime_checkable
    class P(typing.Protocol):
        x: int
        def m(self) -> int: ...
""", "assert isinstance(type('q',(),{'x':1,'m':1})(), P)")
case("newer: generic", """
    class G[T]:
        x: T
        def m(self, a: T) -> T: return a
    g = G[int]()
""", "assert g.m(1) == 1 and G.__annotations__['x'] is G.__type_params__[0]", since=(3, 12))
case("newer: super repr", """
    k=2
    class A:
        def get(self): return super().__repr__()[:1] + str(k)
""", "assert A().get() == '<2'")
case("newer: template", "v = [3]; t = t'a {v!r:>5} b'; ts = [t, t.interpolations[0]]", "assert t.values == (v,) and t.interpolations[0].conversion == 'r' and ts == [t, t.interpolations[0]] and ts[0] is t and t.values[0] is v", since=(3, 14))
case("newer: classdict", """
    class A:
        x = 1
        type L = int
        def f[T](self, a: T) -> T: return a
""", 'assert A().f(1) == 1', since=(3, 12))
case("newer: nested annot", """
    def make(K):
        class A:
            x: K
            def g(self): return K
        return A
    A = make(int); a=A()
""", "assert A.__annotations__ == {'x': int} and a.g() is int")
case("newer: sentinel", "S = sentinel('S'); other = sentinel('T'); l = [S, other]", "assert l[0] is S and l[1] is other and repr(other) == 'T'", since=(3, 15))
case("newer: frozendict", "f = frozendict(a=[1]); held = [f]", "assert held[0] is f and f['a'] == [1] and type(f) is frozendict", since=(3, 15))
case("newer: annotations that were changed", """
    class A:
        x: int
    def f(a: int): pass
    A.__annotations__['y'] = str
    f.__annotations__['b'] = str
""", "assert A.__annotations__ == {'x': int, 'y': str} and f.__annotations__ == {'a': int, 'b': str}")
case("constant slices", """
    def f(x): return x[1:], x[::2, 3:], (slice(1, 2), 'text')
    class A:
        def g(self): return super().__repr__()[:1], [lambda y: y[2:]]
""", "assert f.__code__.co_name == 'f' and A().g()[0] == '<' and A().g()[1][0]('abc') == 'c'")
case("iterators of itertools", """
    import itertools, operator
    items = [1, 2, 3, 4]
    a = itertools.chain(items, [5]); next(a)
    b = itertools.chain([], []); list(b)
    c = itertools.cycle(items); next(c)
    d = itertools.cycle([7, 8, 9]); [next(d) for _ in range(5)]
    e = itertools.repeat(items, 3); next(e)
    f = itertools.repeat(items)
    g = itertools.starmap(pow, [(2, 3), (2, 4)]); next(g)
    h = itertools.filterfalse(None, [0, 1, 0]); next(h)
    i = itertools.compress([1, 2, 3], [1, 0, 1]); next(i)
    j = itertools.count(5, 0.5); next(j)
    k = itertools.count(2**70); l = itertools.count(-3); next(l)
    m = itertools.cycle(()); n = itertools.cycle(iter('xy')); o = itertools.chain.from_iterable([[1], [2]])
    shared = iter(items); p = itertools.chain([0], shared); next(p); next(p)
""", """
    assert list(a) == [2, 3, 4, 5] and list(b) == [] and [next(c) for _ in range(6)] == [2, 3, 4, 1, 2, 3]
    assert [next(d) for _ in range(4)] == [9, 7, 8, 9]
    assert list(e) == [items, items] and next(f) is items and list(g) == [16] and list(h) == [0] and list(i) == [3]
    assert [next(j), next(j)] == [5.5, 6.0] and next(k) == 2**70 and next(l) == -2
    assert list(m) == [] and [next(n) for _ in range(3)] == ['x', 'y', 'x'] and list(o) == [1, 2]
    assert next(shared) == 2 and list(p) == [3, 4]
""")
case("submodules", "import xml.dom.minidom, concurrent.futures.thread as threads, email.mime.text, os.path, email as mail, json",
     """
    assert xml.dom.minidom.parseString('<a/>').documentElement.tagName == 'a' and threads.ThreadPoolExecutor
    assert email.mime.text.MIMEText('x').get_payload() == 'x' and mail is email and os.path.sep and json.decoder
""")
case("code that runs in a copy of the variables", """
    generator, shared, other = (each for each in ()), [1], [2]
    scope = dict(globals())
    exec("def made(): return shared, [lambda: late]", scope)
    scope['late'] = shared
    made, free = scope['made'], [scope.pop('other')]
    scope['other'] = other
    del scope
""", """
    assert made()[0] is shared and made()[1][0]() is shared and made.__globals__['other'] is other is free[0]
    assert 'generator' not in made.__globals__ and made.__globals__ is not globals()
""", {"generator": "generator"})
case("subclasses of threading.local", """
    import threading
    class Local(threading.local):
        kind = 'class'
        def __init__(self, a, b=2): self.a, self.b, self.seen = a, b, []
    shared = [1]
    l = Local(shared, b=3); l.seen.append(l); l.more = 'here'
    class Plain(threading.local): pass
    p = Plain(); p.x = shared
""", """
    assert l.a is shared and l.b == 3 and l.seen == [l] and l.more == 'here' and l.kind == 'class' and p.x is shared
    found = []
    other = threading.Thread(target=lambda: found.append((l.a is shared, l.b, hasattr(l, 'more'), hasattr(p, 'x'))))
    other.start(); other.join()
    assert found == [(True, 3, False, False)]
""")
case("containers that say something else of themselves", """
    class PubDict(dict):
        def items(self): return [(k, v) for k, v in super().items() if k[0] != '_']
        def __setitem__(self, key, value): raise TypeError('it is closed')
    shared = [1]
    p = PubDict(a=1, _secret=shared); p.me = p
    class L(list):
        def __iter__(self): return iter([9, 9])
        def __len__(self): return 1
    l = L([1, shared, 3]); l.append(l)
    class S(set):
        def __iter__(self): return iter(())
    s = S([1, 2])
""", """
    assert dict.__getitem__(p, '_secret') is shared and p.me is p and dict.__len__(p) == 2
    assert l[1] is shared and l[3] is l and list.__len__(l) == 4 and type(l) is L
    assert 1 in s and 2 in s and set.__len__(s) == 2 and type(s) is S
""")
case("a class statement whose names have become something else", """
    from pydantic import BaseModel, Field
    limit, start = 10, 5
    class Limited(BaseModel): a: int = Field(default=1, le=limit)
    class Started(BaseModel): a: int = start
    class Plain(BaseModel):
        a: int = 1
        b: list[int] = []
    limit, start = 100, 7
    one = Started()
""", "assert Plain().a == 1 and limit == 100", {"Limited": "otherwise now", "Started": "otherwise now", "one": "otherwise now"}, needs=("pydantic",))
case("newer: type aliases that refer to themselves", """
    type Json = dict[str, Json] | list[Json] | str | None
    type Tree[T] = list[T]
    type Plain = int
    value: Json = {'a': ['b']}
    held = [Json, Plain]
""", """
    assert Json.__value__.__args__[2:] == (str, type(None)) and held[0] is Json
    assert Json.__value__.__args__[1].__args__[0] is Json and Json.__module__ == '__main__'
    assert Plain.__value__ is int and Tree[int].__origin__ is Tree
""", since=(3, 12))
case("exceptions with what is beside their arguments", """
    def caught(code):
        try: exec(code)
        except BaseException as error: return error.with_traceback(None)
    n, i, a = caught('zzz'), caught('from json import zzz'), caught('(5).zzz')
    s = SystemExit(3); s.code = 9
    t = StopIteration(1); t.value = n
    o = OSError(2, 'no', 'f', None, 'g'); o.strerror = 'changed'
    g = ValueError('outer'); g.__cause__ = n; g.extra = t
""", """
    assert n.name == 'zzz' and i.name == 'json' and a.name == 'zzz' and s.code == 9 and t.value is n
    assert (o.strerror, o.filename, o.filename2) == ('changed', 'f', 'g') and g.__cause__ is n and g.extra is t
""", {"a.obj": "keep it in a variable"})
