"""A state that every version of Python from 3.10 on can save and load, and a check of it."""

SETUP = """
import collections, dataclasses, enum, functools, typing, abc
c = 3; a = [1]
def f(x, acc=a): return x + c
fs = [lambda: 1, lambda: 2]; g = [lambda y, k=k: y * k for k in (2, 3)]
class A:
    reg = []
    def __init__(self, x): self.x = x; A.reg.append(self)
    def get(self): return self.x + c
    @property
    def p(self): return [self.x for _ in range(2)]
class B(A):
    def get(self): return super().get() + 1
o = B(5)
def counter():
    n = 0
    def inc():
        nonlocal n; n += 1; return n
    return inc
inc = counter(); inc()
class Color(enum.Enum):
    RED = 1; GREEN = 2
    def low(self): return self.name.lower()
class Perm(enum.Flag): R = 1; W = 2
class Num(enum.IntEnum): ONE = 1
red, both = Color.RED, Perm.R | Perm.W
@dataclasses.dataclass(order=True)
class D:
    x: int = 1
    y: list = dataclasses.field(default_factory=list, compare=False)
@dataclasses.dataclass(frozen=True, slots=True)
class F:
    z: int
d, fr = D(2, [1]), F(1)
P = collections.namedtuple('P', 'x y', defaults=[9]); p = P(1)
class N(typing.NamedTuple):
    a: int
    b: int = 3
n = N(1)
@functools.lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def show(x): return 'any'
@show.register(int)
def _(x): return 'int'
def deco(fn):
    @functools.wraps(fn)
    def wrapper(*args): return [fn(*args)]
    return wrapper
@deco
def h(x): return x
T = typing.TypeVar('T')
class Box(typing.Generic[T]):
    def __init__(self, x): self.x = x
box = Box[int](1)
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Sq(Shape):
    __slots__ = ('s',)
    def area(self): return 4
sq = Sq()
data = {'a': [1.5, (2, b'x')], 's': {1, 2}, 'r': range(3)}
"""
CHECK = """
assert f(1) == 4 and f.__defaults__[0] is a and [x() for x in fs] == [1, 2] and [x(2) for x in g] == [4, 6]
assert o.get() == 9 and A.reg == [o] and o.p == [5, 5] and inc() == 2
c = 10; assert o.get() == 16 and f(0) == 10
assert red is Color.RED and red.low() == 'red' and Perm(3) is both and Num.ONE == 1 and list(Color) == [Color.RED, Color.GREEN]
assert d == D(2, []) and D() < d and repr(d) == 'D(x=2, y=[1])' and fr == F(1) and hash(fr) == hash(F(1)) and fr.z == 1
assert p == (1, 9) and p._replace(x=2).x == 2 and n == N(1, 3) and n._asdict() == {'a': 1, 'b': 3}
assert fib(20) == 6765 and show(1) == 'int' and show('') == 'any' and h(1) == [1] and h.__wrapped__(1) == 1
assert box.x == 1 and Box[int](2).x == 2 and sq.area() == 4 and isinstance(sq, Shape)
assert data == {'a': [1.5, (2, b'x')], 's': {1, 2}, 'r': range(3)}
try: fr.z = 2
except AttributeError: pass
else: assert 0
"""
