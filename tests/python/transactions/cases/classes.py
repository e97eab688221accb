"""Classes, instances, descriptors, enums, dataclasses, weak references."""

from ..case import case

case(
    "class_redefined_while_instances_live",
    setup="""
        class Point:
            kind = "old"
            def __init__(self, x): self.x = x
            def double(self): return self.x * 2
        p = Point(4)
        Old = Point
        bound = p.double
    """,
    mutate="""
        class Point:
            kind = "new"
            def double(self): return "changed"
        p.__class__ = Point
        p.x = 5
        bound = p.double
    """,
    check="""
        assert Point is Old and type(p) is Point and p.__dict__ == {"x": 4} and Point.kind == "old"
        assert bound() == 8 and bound.__self__ is p and bound.__func__ is Point.__dict__["double"]
    """,
)
case(
    "class_attributes",
    setup="""
        class Base:
            shared = []
            count = 0
        class Child(Base):
            count = 1
        one, two = Base(), Child()
        shared = Base.shared
        order = list(vars(Child))
    """,
    mutate="""
        Base.shared.append(1); Child.shared = []; del Child.count; Base.extra = 2
        one.count = 7; Base.method = lambda self: 1; Child.__name__ = "Kid"
    """,
    check="""
        assert Base.shared is Child.shared is shared == [] and (one.count, two.count) == (0, 1)
        assert not hasattr(Base, "extra") and not hasattr(Base, "method") and vars(one) == {}
        assert list(vars(Child)) == order and Child.__name__ == "Child"
    """,
)
case(
    "changed_bases",
    setup="""
        class A:
            def who(self): return "A"
        class B:
            def who(self): return "B"
        class C(A): pass
        c = C()
        subclasses = [A.__subclasses__(), B.__subclasses__()]
    """,
    mutate="C.__bases__ = (B,); A.who = B.who; c.who = lambda: 'own'",
    check="""
        assert C.__mro__ == (C, A, object) and c.who() == "A" == A().who() and vars(c) == {}
        assert A.__subclasses__() == [C] and B.__subclasses__() == [] and subclasses == [[C], []]
    """,
)
case(
    "metaclass",
    setup="""
        class Meta(type):
            made = []
            def __new__(mcs, name, bases, ns):
                cls = super().__new__(mcs, name, bases, ns)
                mcs.made.append(name)
                return cls
            def __call__(cls, *args):
                cls.calls = getattr(cls, "calls", 0) + 1
                return super().__call__(*args)
        class One(metaclass=Meta): pass
        first = One(); One()
    """,
    mutate="""
        class Two(One): pass
        One(); Two()
        Meta.__call__ = type.__call__
        Meta.extra = 1
        first.__class__ = Two
    """,
    check="""
        assert Meta.made == ["One"] and One.calls == 2 and One.__subclasses__() == []
        assert "__call__" in vars(Meta) and vars(Meta)["__call__"] is not type.__call__
        assert type(first) is One and not hasattr(Meta, "extra")
    """,
)
case(
    "descriptors_and_properties",
    setup="""
        class Typed:
            def __set_name__(self, owner, name): self.name, self.log = name, []
            def __get__(self, obj, owner=None):
                return self if obj is None else obj.__dict__["_" + self.name]
            def __set__(self, obj, value):
                self.log.append(value)
                obj.__dict__["_" + self.name] = value
        class Row:
            a = Typed()
            @property
            def twice(self): return self.a * 2
        row = Row(); row.a = 3
        descriptor = Row.__dict__["a"]
    """,
    mutate="""
        row.a = 4; descriptor.name = "b"; Row.twice = Row.twice.getter(lambda self: -1); Row.a = 9
        row._b = 1
    """,
    check="""
        assert Row.__dict__["a"] is descriptor and descriptor.log == [3] and descriptor.name == "a"
        assert row.twice == 6 and vars(row) == {"_a": 3} and row.a == 3
    """,
)
case(
    "slots",
    setup="""
        class Slotted:
            __slots__ = ("a", "b", "__weakref__")
        s = Slotted()
        s.a = [1]
        a = s.a
    """,
    mutate="s.a.append(2); s.b = 3; s.a = [1, 2]",
    check="""
        assert s.a is a == [1] and not hasattr(s, "b") and not hasattr(s, "__dict__")
        assert Slotted.__slots__ == ("a", "b", "__weakref__")
    """,
)
case(
    "dataclasses",
    setup="""
        from dataclasses import dataclass, field
        @dataclass(order=True)
        class Item:
            n: int
            tags: list = field(default_factory=list, compare=False)
        @dataclass(frozen=True)
        class Frozen:
            items: tuple
        item = Item(1, ["a"])
        frozen = Frozen((item,))
        tags = item.tags
    """,
    mutate="""
        item.n = 2; item.tags.append("b"); item.extra = 1
        object.__setattr__(frozen, "items", (Item(1, ["a"]),))
        Item.__dataclass_fields__["n"].default = 5
    """,
    check="""
        assert item == Item(1) and item.tags is tags == ["a"] and vars(item) == {"n": 1, "tags": tags}
        assert frozen.items[0] is item
        from dataclasses import MISSING
        assert Item.__dataclass_fields__["n"].default is MISSING
    """,
)
case(
    "enums_and_named_tuples",
    setup="""
        import enum
        from typing import NamedTuple
        class Colour(enum.Enum):
            RED = 1
            GREEN = 2
        class Flags(enum.Flag):
            A = 1
            B = 2
        class Pair(NamedTuple):
            left: object
            right: list = []
        pair = Pair(Colour.RED)
        both = Flags.A | Flags.B
    """,
    mutate="""
        Colour.RED.note = "noted"; Colour._member_map_["BLUE"] = Colour.GREEN; Colour.GREEN._value_ = 3
        pair.right.append(1); Pair.__doc__ = "changed"; pair = pair._replace(left=2); both = Flags.A
    """,
    check="""
        assert pair == (Colour.RED, []) and pair.left is Colour(1) and pair.right is Pair._field_defaults["right"]
        assert not hasattr(Colour.RED, "note") and list(Colour.__members__) == ["RED", "GREEN"]
        assert Colour.GREEN.value == 2 and both is Flags(3) and Pair.__doc__ == "Pair(left, right)"
    """,
)
case(
    "weak_references",
    setup="""
        import weakref
        class Thing: pass
        thing, other = Thing(), Thing()
        called = []
        ref = weakref.ref(thing, lambda r: called.append("thing"))
        proxy = weakref.proxy(other)
        other.n = 1
        count = weakref.getweakrefcount(thing)
    """,
    mutate="del thing; proxy.n = 2; del other; import gc; gc.collect()",
    check="""
        assert ref() is thing and called == [] and proxy.n == 1 and other.n == 1
        assert weakref.getweakrefcount(thing) == count == 1 and weakref.ref(thing) is not ref
    """,
)
case(
    "weak_dictionaries",
    setup="""
        import weakref
        class Thing: pass
        kept = [Thing() for _ in range(3)]
        values = weakref.WeakValueDictionary(enumerate(kept))
        keys = weakref.WeakKeyDictionary({k: n for n, k in enumerate(kept)})
        members = weakref.WeakSet(kept)
    """,
    mutate="kept.pop(); values[9] = kept[0]; keys[kept[0]] = -1; members.discard(kept[1])",
    check="""
        assert len(kept) == 3 and list(values) == [0, 1, 2] and all(values[n] is kept[n] for n in range(3))
        assert [keys[k] for k in kept] == [0, 1, 2] and len(members) == 3 and all(k in members for k in kept)
    """,
)
case(
    "finalizers",
    setup="""
        import weakref
        log = []
        class Noisy:
            def __del__(self): log.append("deleted")
        noisy, target = Noisy(), type("Target", (), {})()
        finalizer = weakref.finalize(target, log.append, "finalized")
        finalizer.atexit = False
    """,
    mutate="noisy = None; finalizer(); finalizer.atexit = True; target = None",
    check="""
        assert log == [] and type(noisy) is Noisy and finalizer.alive and not finalizer.atexit
        assert finalizer.peek()[0] is target and finalizer.peek()[2] == ("finalized",)
    """,
)
case(
    "abstract_classes_and_registration",
    setup="""
        import abc
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
        class Square:
            pass
        known = isinstance(Square(), Shape)
    """,
    mutate="Shape.register(Square); Shape.__abstractmethods__ = frozenset(); Shape.area = None",
    check="""
        assert not isinstance(Square(), Shape) and not issubclass(Square, Shape) and known is False
        assert Shape.__abstractmethods__ == {"area"} and callable(Shape.area)
    """,
)
case(
    "single_dispatch",
    setup="""
        import functools
        @functools.singledispatch
        def show(x): return "any"
        @show.register
        def _(x: int): return "int"
        int_impl = show.dispatch(int)
        shown = [show(1), show("s"), show(True)]
    """,
    mutate="""
        show.register(str, lambda x: "str"); show.register(bool, lambda x: "bool"); show.register(int, lambda x: "?")
    """,
    check="""
        assert [show(1), show("s"), show(True)] == shown == ["int", "any", "int"]
        assert show.dispatch(int) is int_impl and list(show.registry) == [object, int]
    """,
)
case(
    "dynamic_types",
    setup="""
        Made = type("Made", (dict,), {"x": 1, "__getattr__": lambda self, name: name * 2})
        made = Made(a=1)
        made.attribute = [made]
        generic = list[int]
    """,
    mutate="""
        del Made.__getattr__
        Made.x = 2; made["b"] = 2; made.attribute = []; Made.__qualname__ = "Other"; generic = list[str]
    """,
    check="""
        assert made.zz == "zzzz" and Made.x == 1 and made == {"a": 1} and made.attribute[0] is made
        assert Made.__qualname__ == "Made" and generic.__args__ == (int,)
    """,
)
