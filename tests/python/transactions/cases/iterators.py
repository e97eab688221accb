"""Iterators and generators that are half consumed, in every kind that there is."""

from ..case import case

case(
    "generator_half_consumed",
    setup="""
        log = []
        def count():
            for n in range(6):
                log.append(n)
                yield n
        g = count(); next(g); next(g)
    """,
    mutate="next(g); list(g); g.close(); g = None",
    check="assert log == [0, 1] and list(g) == [2, 3, 4, 5] and log == list(range(6))",
    consumes=True,
    diverge="[next(g) for _ in range({i} + 1)]",
)
case(
    "generator_with_send_and_finally",
    setup="""
        log = []
        def talk():
            got = None
            try:
                while True:
                    try:
                        got = yield got
                    except KeyError as error:
                        log.append(repr(error)); got = "caught"
            finally:
                log.append("finally")
        g = talk(); next(g); g.send(1)
    """,
    mutate="g.throw(KeyError('k')); g.send(5); g.close(); log.append('x')",
    check="""
        assert log == [] and g.gi_frame is not None
        assert g.send(2) == 2 and g.throw(KeyError("q")) == "caught"
        g.close()
        assert log == ["KeyError('q')", "finally"]
    """,
    consumes=True,
)
case(
    "generators_delegating",
    setup="""
        def inner(n):
            for i in range(n):
                yield i
            return n * 10
        def outer():
            total = 0
            for n in (2, 3):
                total += yield from inner(n)
            yield ("total", total)
        g = outer(); next(g)
        delegated = g.gi_yieldfrom
    """,
    mutate="next(g); next(g); delegated.close()",
    check="""
        assert g.gi_yieldfrom is delegated
        assert list(g) == [1, 0, 1, 2, ("total", 50)]
    """,
    consumes=True,
)
case(
    "iterators_of_containers",
    setup="""
        source = list(range(5))
        table = {"a": 1, "b": 2, "c": 3}
        its = [iter(source), iter(table), iter(table.items()), reversed(source), iter("xyz"), iter((7, 8, 9)),
               iter(range(10, 14)), iter(b"abc"), reversed(table)]
        for it in its:
            next(it)
        hints = [it.__length_hint__() for it in its[:4]]
    """,
    mutate="""
        for it in its:
            next(it)
        source.append(99); source[0] = -1; table["a"] = 10
    """,
    check="""
        assert hints == [it.__length_hint__() for it in its[:4]] == [4, 2, 2, 4]
        assert source == [0, 1, 2, 3, 4] and table == {"a": 1, "b": 2, "c": 3}
        source.append(99)
        assert [list(it) for it in its] == [
            [1, 2, 3, 4, 99], ["b", "c"], [("b", 2), ("c", 3)], [3, 2, 1, 0], ["y", "z"], [8, 9], [11, 12, 13],
            [98, 99], ["b", "a"],
        ]
    """,
    consumes=True,
)
case(
    "dict_iterator_survives_only_an_unchanged_size",
    setup="""
        table = {n: str(n) for n in range(4)}
        it = iter(table); next(it)
    """,
    mutate="table[99] = 'new'",
    check="assert list(it) == [1, 2, 3]",
    consumes=True,
    note="an iterator notices that its dict was changed meanwhile",
)
case(
    "set_iterator",
    setup="""
        members = {"a", "b", "c", "d", "e"}
        order = list(members)
        it = iter(members); got = [next(it), next(it)]
    """,
    mutate="next(it); members.discard(order[-1]); members.add('zz')",
    check="assert got == order[:2] and list(it) == order[2:] and members == set('abcde')",
    consumes=True,
)
case(
    "zip_map_filter_enumerate",
    setup="""
        seen = []
        def touch(x):
            seen.append(x)
            return x
        a, b = iter(range(10)), iter("abcdefghij")
        its = [zip(a, b), map(touch, iter([5, 6, 7])), filter(None, [0, 1, 0, 2, 3]), enumerate("wxyz", 5)]
        for it in its:
            next(it)
    """,
    mutate="""
        for it in its:
            next(it)
        next(a)
    """,
    check="""
        assert seen == [5]
        assert next(its[0]) == (1, "b") and next(a) == 2 and next(its[0]) == (3, "c")
        assert list(its[1]) == [6, 7] and list(its[2]) == [2, 3] and list(its[3]) == [(6, "x"), (7, "y"), (8, "z")]
    """,
    consumes=True,
)
case(
    "itertools_infinite",
    setup="""
        import itertools as it
        count, cycle, repeat = it.count(5, 2), it.cycle("abc"), it.repeat("r", 4)
        big = it.count(2 ** 70)
        for i in (count, cycle, cycle, repeat, big):
            next(i)
    """,
    mutate="[next(i) for i in (count, cycle, repeat, big)]",
    check="""
        assert [next(count), next(count)] == [7, 9] and [next(cycle) for _ in range(4)] == ["c", "a", "b", "c"]
        assert list(repeat) == ["r"] * 3 and next(big) == 2 ** 70 + 1
    """,
    consumes=True,
)
case(
    "itertools_finite",
    setup="""
        import itertools as it
        its = {
            "chain": it.chain([1, 2], iter([3, 4])),
            "nested": it.chain.from_iterable([[1], [2, 3]]),
            "islice": it.islice(it.count(), 2, 12, 3),
            "accumulate": it.accumulate([1, 2, 3, 4]),
            "compress": it.compress("abcdef", [1, 0, 1, 0, 1, 1]),
            "dropwhile": it.dropwhile(lambda x: x < 3, range(6)),
            "takewhile": it.takewhile(lambda x: x < 3, range(6)),
            "filterfalse": it.filterfalse(lambda x: x % 2, range(8)),
            "starmap": it.starmap(pow, [(2, 3), (3, 2), (10, 2)]),
            "zip_longest": it.zip_longest("ab", "xyz", fillvalue="-"),
            "pairwise": it.pairwise("abcd"),
        }
        firsts = {name: next(i) for name, i in its.items()}
    """,
    mutate="[next(i) for i in its.values()]; del its['chain']",
    check="""
        assert {name: list(i) for name, i in its.items()} == {
            "chain": [2, 3, 4], "nested": [2, 3], "islice": [5, 8, 11], "accumulate": [3, 6, 10],
            "compress": ["c", "e", "f"], "dropwhile": [4, 5], "takewhile": [1, 2], "filterfalse": [2, 4, 6],
            "starmap": [9, 100], "zip_longest": [("b", "y"), ("-", "z")], "pairwise": [("b", "c"), ("c", "d")],
        }
    """,
    consumes=True,
)
case(
    "itertools_combinatoric",
    setup="""
        import itertools as it
        its = [it.product("ab", repeat=2), it.permutations("abc", 2), it.combinations("abcd", 2),
               it.combinations_with_replacement("ab", 2)]
        for i in its:
            next(i)
    """,
    mutate="[next(i) for i in its]",
    check="""
        assert ["".join(map("".join, i)) for i in its] == ["abbabb", "acbabccacb", "acadbcbdcd", "abbb"]
    """,
    consumes=True,
)
case(
    "tee_and_groupby",
    setup="""
        import itertools as it
        log = []
        def source():
            for n in range(6):
                log.append(n)
                yield n
        left, right = it.tee(source()); [next(left) for _ in range(3)]; next(right)
        groups = it.groupby("aabbbc"); key, members = next(groups); next(members)
    """,
    mutate="next(right); next(left); next(groups); list(groups)",
    check="""
        assert log == [0, 1, 2] and key == "a" and list(members) == ["a"]
        assert list(right) == [1, 2, 3, 4, 5] and list(left) == [3, 4, 5] and log == list(range(6))
        assert [(k, len(list(g))) for k, g in groups] == [("b", 3), ("c", 1)]
    """,
    consumes=True,
)
case(
    "callable_and_sequence_iterators",
    setup="""
        values = [3, 2, 1, 0, 9]
        until = iter(lambda: values.pop(), 0)
        class Old:
            def __init__(self): self.asked = []
            def __getitem__(self, n):
                self.asked.append(n)
                if n > 3: raise IndexError
                return n * n
        old = Old()
        legacy = iter(old)
        class Counter:
            def __init__(self): self.n = 0
            def __iter__(self): return self
            def __next__(self): self.n += 1; return self.n
        own = iter(Counter())
        next(until); next(legacy); next(own)
    """,
    mutate="next(legacy); next(own); list(until); list(legacy)",
    check="""
        assert values == [3, 2, 1, 0] and old.asked == [0] and own.n == 1 and next(own) == 2
        assert list(until) == [] and values == [3, 2, 1] and list(legacy) == [1, 4, 9]
    """,
    consumes=True,
)
case(
    "exhausted_and_running_out",
    setup="""
        done = iter([1]); next(done)
        last = iter([1, 2]); next(last)
        peek = [last]
    """,
    mutate="next(last); next(last, None); done = iter([1]); peek.clear()",
    check="assert peek[0] is last and next(done, 'end') == 'end' and list(last) == [2]",
    consumes=True,
)
case(
    "random_module",
    setup="""
        import random
        random.seed(42)
        drawn = [random.random() for _ in range(5)]
        random.gauss(0, 1)
        own = random.Random("text"); own.getrandbits(7)
        state, own_state = random.getstate(), own.getstate()
        expected = random.Random(); expected.setstate(state)
        expected = [expected.gauss(0, 1), expected.random(), expected.randrange(10 ** 30)]
    """,
    mutate="random.random(); random.gauss(0, 1); random.shuffle([1, 2, 3]); own.seed(1); random.seed()",
    check="""
        assert random.getstate() == state and own.getstate() == own_state
        got = [random.gauss(0, 1), random.random(), random.randrange(10 ** 30)]
        assert got == expected
    """,
    consumes=True,
    diverge="random.seed({i})",
)
